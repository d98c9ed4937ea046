"""Watches over a child that may fall silent: stopped, or held up by C code that keeps the GIL.

Such a child sees no change, so the parent looks at the files in its place. Nor does it see the
parent's death; so a shell stands by to end it then, for as long as it is silent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from subprocess import PIPE

import aiofiles.os

from asyncreload.liveness import LivenessCounter
from asyncreload.parent.process import Process
from asyncreload.parent.subprocesses import kill, start_process
from asyncreload.protocol import Ping
from asyncreload.python_files import python_files

ROUND = 1.5
"""Seconds in which a child that is well has beaten at least once."""
PATIENCE = 1.0
"""Seconds without an answer after which a child is held for silent."""
_EXECUTOR = 'trap "" INT; read _; kill -9 "$1"; rm -f "$2"'
"""What the shell runs: its input ends when we do. Ctrl-C in the terminal is not meant for it."""
_SLACK = 2_000_000_000
"""Nanoseconds before the last sign of life in which a change may not have been seen any more."""


class Watchdog:
    """Set on one child."""

    def __init__(
        self, child: Process, liveness: LivenessCounter, lock: str, root: str, interval: float
    ) -> None:
        self._child = child
        self._lock = lock
        self._liveness = liveness
        self._root = root
        self._interval = interval
        self._began = time.time_ns()
        self._answered = asyncio.Event()
        self.watched: tuple[str, ...] = ()
        self.is_impatient = False
        """Whether a silent child is to end even when no file has changed."""

    def hears(self) -> None:
        """Note that the child has answered."""
        self._answered.set()

    async def watch(self) -> tuple[str, ...]:
        """Return when files have changed, or we are impatient, and the child is silent."""
        while True:
            count, since = self._liveness.count(), time.time_ns()
            await asyncio.sleep(ROUND)
            if self._liveness.count() != count or await self._answers(PATIENCE):
                continue
            async with self._executor():
                paths = await self._watch_silent(max(self._began, since - _SLACK))
                if paths is not None:
                    return paths

    async def _watch_silent(self, since: int) -> tuple[str, ...] | None:
        """Return the files that have changed, or None when the child answers again."""
        changed = aiofiles.os.wrap(_changed_since)
        while not await self._answers(self._interval):
            paths = await changed(since, self.watched, self._root)
            if paths or self.is_impatient:
                return paths
        return None

    @asynccontextmanager
    async def _executor(self) -> AsyncIterator[None]:
        """Have the child killed, and the lockfile removed, should we die meanwhile."""
        arguments = ("sh", str(self._child.pid), self._lock)
        try:
            shell = await start_process(["/bin/sh", "-c", _EXECUTOR, *arguments], stdin=PIPE)
        except OSError:  # out of descriptors, say: then the child is watched over all the same
            yield
            return
        try:
            yield
        finally:
            kill(shell)
            if shell.stdin is not None:
                shell.stdin.close()
            await shell.wait()

    async def _answers(self, seconds: float) -> bool:
        self._answered.clear()
        self._child.send(Ping())
        try:
            async with asyncio.timeout(seconds):
                await self._answered.wait()
        except TimeoutError:
            return False
        return True


def _changed_since(since: int, watched: Iterable[str], root: str) -> tuple[str, ...]:
    files = {*watched, *(entry.path for entry in python_files(root))}
    return tuple(sorted(path for path in files if _is_newer(path, since)))


def _is_newer(path: str, since: int) -> bool:
    try:
        return since < os.stat(path).st_ctime_ns <= time.time_ns()
    except OSError:
        return True
