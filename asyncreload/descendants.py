"""Which processes a process has started, and which of them live.

A process has ended when all of its threads have: only then has the kernel closed its files, and
given its locks free. One that is being ended, as one of 1 GB is for a while, has not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress

MARK = "ASYNCRELOAD_FAMILY"
"""The variable that marks all that an app starts, so that it is found when the app has crashed.
Its value is the path of the supervisor's lockfile."""

# Places in /proc/PID/stat after the command's name.
_STATE, _PARENT, _THREADS, _BEGAN = 0, 1, 17, 19
_ENDED = frozenset({b"Z", b"X"})  # of the first thread; others may still run


def descendants(pid: int, spared: AbstractSet[int] = frozenset()) -> list[int]:
    """Return the processes that descend from one; some of its own children may have ended.

    spared: processes that are left out, with all below them.

    Elsewhere than on Linux, `ps` is asked; who has lost its parent is not found there. Its last
    children come first, as found at the very end: a process that forks and ends, again and again,
    does not wait to be looked for.
    """
    if sys.platform != "linux":
        return _all_below(pid, spared, _listed_by_ps())
    below = _all_below(pid, spared, _processes())
    return [*(child for child in children(pid) if child not in spared), *below]


def children(pid: int) -> list[int]:
    """Return the children of a process's main thread, zombies included. Linux only.

    Among them is what the process has adopted. Empty on a kernel that was built without that list.
    """
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
        return [int(child) for child in file.read().split()]
    return []


def children_of_all_threads(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads has started them. Linux only."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def has_children() -> bool:
    """Tell by one system call whether this process has children, zombies included.

    Nobody is waited for, nor reaped; but one may be under macOS before Python 3.13.
    """
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        else:
            os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def finds_families() -> bool:
    """Tell whether `family` can be relied on; if not, descendants are found while all live."""
    return sys.platform == "linux"


def family(lock: str) -> list[int]:
    """Return the processes that were started under a supervisor, and their forks.

    A process that has changed its environment, or is being ended by the kernel, is not found.
    lock: the path of the supervisor's lockfile. Linux only; elsewhere nothing is found.
    """
    mark = os.fsencode(f"{MARK}={lock}")
    found = []
    for name in _numbers():
        with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                found.append(int(name))
    return found


def has_ended(pid: int) -> bool:
    """Tell whether a process has ended, whether or not it was reaped."""
    if sys.platform == "linux" and (fields := _fields(str(pid))) is not None:
        return _is_over(fields)
    # It is gone; or we have no descriptor left to read that with, and a signal needs none.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is another user's
        pass
    return sys.platform != "linux" and all(pid != other for other, _ in _listed_by_ps())


def began(pid: int) -> int | None:
    """Return when a process began, in ticks since the system did: no other one of its number did.

    None if it is gone, and elsewhere than on Linux.
    """
    fields = _fields(str(pid))
    return None if fields is None else int(fields[_BEGAN])


def is_tracker(pid: int) -> bool:
    """Tell whether a process is the resource tracker of `multiprocessing`. Linux only."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"multiprocessing.resource_tracker" in file.read()
    return False


def _all_below(
    pid: int, spared: AbstractSet[int], processes: Iterable[tuple[int, int]]
) -> list[int]:
    children_of: dict[int, list[int]] = defaultdict(list)
    for other, parent in processes:
        if other not in spared:
            children_of[parent].append(other)
    found: list[int] = []
    unseen = [pid]
    while unseen:
        below = children_of[unseen.pop()]
        found += below
        unseen += below
    return found


def _is_over(fields: list[bytes]) -> bool:
    return fields[_STATE] in _ENDED and int(fields[_THREADS]) <= 1


def _numbers() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _processes() -> Iterator[tuple[int, int]]:
    """Yield each process with its parent; what has ended is nobody's parent any more."""
    for name in _numbers():
        if (fields := _fields(name)) is not None and not _is_over(fields):
            yield int(name), int(fields[_PARENT])


def _fields(name: str) -> list[bytes] | None:
    with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
        # The command's name is in parentheses, and may itself contain some.
        return file.read().rpartition(b")")[2].split()
    return None


def _listed_by_ps() -> Iterator[tuple[int, int]]:
    """Yield the same as `_processes`, where there is no /proc."""
    with subprocess.Popen(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True
    ) as ps:
        listed, _ = ps.communicate()
    for line in listed.splitlines():
        pid, parent, state = line.split()[:3]
        # It lists itself, too. Whoever looks until nothing new is found would look for ever.
        if int(pid) != ps.pid and not state.startswith("Z"):
            yield int(pid), int(parent)
