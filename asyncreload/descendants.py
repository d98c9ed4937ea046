"""The processes that a process started, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

_POLITE = 0.2
_STEP = 0.005


def descendants(pid: int) -> list[int]:
    """Return the processes that descend from one; elsewhere than on Linux, its direct children."""
    if sys.platform != "linux":
        return _direct_children(pid)
    children: dict[int, list[int]] = defaultdict(list)
    for other, parent in _parents():
        children[parent].append(other)
    found: list[int] = []
    unseen = [pid]
    while unseen:
        below = children[unseen.pop()]
        found += below
        unseen += below
    return found


def has_children() -> bool:
    """Tell cheaply whether this process may have children; where that cannot be told, it has."""
    if not hasattr(os, "waitid"):
        return True
    try:
        # Nobody is reaped, nor waited for.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def marked(entry: str) -> list[int]:
    """Return the processes that were started with `entry` in their environment, and their forks.

    entry: `NAME=value`. Linux only; elsewhere nothing is found.
    """
    found = []
    for name in _numbers():
        with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            if os.fsencode(entry) in file.read().split(b"\0"):
                found.append(int(name))
    return found


def end(pids: Iterable[int], patience: float = _POLITE) -> None:
    """Ask processes to end, and kill those that are left after `patience` seconds.

    But not the resource tracker of `multiprocessing`: it ignores that, and ends when we do.
    """
    pids = [pid for pid in pids if not _is_tracker(pid)]
    left = _signal(pids, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        time.sleep(_STEP)
        left = [pid for pid in left if _lives(pid)]
    _signal(left, signal.SIGKILL)


def kill(pids: Iterable[int]) -> None:
    """Kill processes at once."""
    _signal(pids, signal.SIGKILL)


def _signal(pids: Iterable[int], number: signal.Signals) -> list[int]:
    reached = []
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            reached.append(pid)
    return reached


def _is_tracker(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"multiprocessing.resource_tracker" in file.read()
    return False


def _lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and is not reaped does not."""
    if sys.platform != "linux":
        with suppress(OSError):
            os.kill(pid, 0)
            return True
        return False
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except OSError:
        return False


def _numbers() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _parents() -> Iterable[tuple[int, int]]:
    for name in _numbers():
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            yield int(name), int(file.read().rpartition(b")")[2].split()[1])


def _direct_children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False
    )
    pairs = (line.split() for line in listed.stdout.splitlines())
    return [int(child) for child, parent in pairs if int(parent) == pid]
