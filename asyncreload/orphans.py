"""Adopted orphans: reaped as init does it, and nothing else.

A child adopts what the app leaves without a parent, so that it finds it at the end. A supervisor
that is process 1 of a container adopts, too. Whoever adopts a process has to reap it. But the exit
code of what the process has started itself belongs to `subprocess`, `multiprocessing` or whoever
else asks for it by `os.waitpid`, now or in an hour. The kernel does not tell the two apart, so the
processes that Python code starts here are recorded.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from asyncreload.cpython import record_started_processes
from asyncreload.descendants import children

# Both in seconds.
LOOK_EVERY = 1.0
REAP_AFTER = 0.5  # a zombie that nobody has reaped by then is an orphan, if it was not recorded


class OrphanReaper:
    """Reaps adopted processes that have ended, and keeps off those that were recorded.

    A child that C code forks without Python is not recorded. Whoever forks in C mostly waits at
    once, so a zombie is reaped only if it was one `REAP_AFTER` seconds ago. In threads other than
    the main one C code has all the time that it wants: what the kernel has a process adopt becomes
    a child of its main thread, so only those are looked at.

    started: the numbers of the processes that were started here; more may come at any time.
    """

    def __init__(self, started: set[int]) -> None:
        self._started = started
        self._suspects: set[int] = set()

    @classmethod
    def install(cls) -> OrphanReaper:
        """Return a reaper that knows what is started in this process from now on."""
        started: set[int] = set()
        record_started_processes(started.add)
        return cls(started)

    def disown(self, pid: int) -> None:
        """Reap a process when it has ended, though it was started here: nobody waits for it."""
        self._started.discard(pid)

    def begin_anew(self) -> None:
        """In a fork that goes on: it has started nothing yet."""
        self._started.clear()
        self._suspects = set()

    def look(self) -> bool:
        """Reap what was seen at the last look, too; return whether there is more to reap soon.

        One system call when this process has no children, or none that has ended.
        """
        # A number that is free again may be an orphan's next.
        self._started -= {pid for pid in set(self._started) if not is_child(pid)}
        zombies = _ended_children() - self._started if _has_zombie(os.P_ALL) else set()
        for pid in zombies & self._suspects:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._suspects = zombies - self._suspects
        return bool(self._suspects)


async def reap_orphans(look: Callable[[], bool]) -> None:
    """Look again and again, sooner if there is something to reap. Runs until it is cancelled.

    Ends at once elsewhere than on Linux: nothing is adopted there.
    """
    if sys.platform != "linux":
        return
    # SIGCHLD would tell of ends, but its handler is the app's.
    while True:  # noqa: ASYNC110
        await asyncio.sleep(REAP_AFTER if look() else LOOK_EVERY)


def _ended_children() -> set[int]:
    """Return the zombies among the main thread's children."""
    return {pid for pid in children(os.getpid()) if _has_zombie(os.P_PID, pid)}


def _has_zombie(kind: int, pid: int = 0) -> bool:
    try:
        return os.waitid(kind, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def is_child(pid: int) -> bool:
    """Tell whether a process is a child of this one, and has not been reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
