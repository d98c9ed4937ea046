"""Watches over a child that may fall silent: stopped, or held up by C code that keeps the GIL.

Such a child sees no change, so the parent looks at the files in its place. Nor does it see the
parent's death; so a shell stands by to kill it then, for as long as it is silent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from subprocess import PIPE

from asyncreload.liveness import LivenessCounter
from asyncreload.parent.process import Process
from asyncreload.parent.subprocesses import kill, start_process
from asyncreload.parent.threads import in_thread
from asyncreload.protocol import Ping
from asyncreload.python_files import python_files

BEATS_WITHIN = 1.5
"""Seconds in which a child that is well has counted at least one beat."""
ANSWERS_WITHIN = 1.0
"""Seconds without an answer after which a child is taken for silent: seconds that it could have
used, so that one which merely gets no processor is not."""
_KILL_WHEN_INPUT_ENDS = 'trap "" HUP INT QUIT TERM; read _; kill -9 "$1"; rm -f "$2"'
"""What the shell runs. Its input ends when we do; what the terminal sends is not meant for it."""
_SLACK = 2_000_000_000
"""Nanoseconds before the last sign of life in which a change may not have been seen any more."""

KilledWithUs = Callable[[int], AbstractAsyncContextManager[None]]


class Watchdog:
    """Set on one child.

    root: the directory whose files are looked at, beside those that the child, or the last one,
        watches.
    interval: seconds between two looks at them, while the child is silent.
    killed_with_us: has a process killed if we die, inside of its context.
    """

    def __init__(
        self,
        child: Process,
        liveness: LivenessCounter,
        root: str,
        interval: float,
        killed_with_us: KilledWithUs,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._child = child
        self._liveness = liveness
        self._root = root
        self._interval = interval
        self._killed_with_us = killed_with_us
        self._sleep = sleep
        self._began = time.time_ns()
        self._answered = asyncio.Event()
        self._watched: tuple[str, ...] = ()
        self._expected: tuple[str, ...] = ()
        self._is_impatient = False

    def expect_files(self, paths: Iterable[str]) -> None:
        """Look at these files until the child says which ones matter, should it fall silent before.

        One that is missing tells nothing: it may be this child that does without.
        """
        self._expected = tuple(paths)

    def watch_files(self, paths: Iterable[str]) -> None:
        """Look at these files in the child's place, should it fall silent."""
        self._watched, self._expected = tuple(paths), ()

    def be_impatient(self) -> None:
        """End the wait for a silent child even when no file has changed."""
        self._is_impatient = True

    def hear_answer(self) -> None:
        """Note that the child has answered."""
        self._answered.set()

    async def watch(self) -> tuple[str, ...]:
        """Return when the child is silent, and files have changed or somebody is impatient."""
        while True:
            count, since = self._liveness.count(), time.time_ns()
            await self._sleep(BEATS_WITHIN)
            if self._liveness.count() != count or await self.answers(ANSWERS_WITHIN):
                continue
            async with self._killed_with_us(self._child.pid):
                paths = await self._watch_silent(max(self._began, since - _SLACK))
                if paths is not None:
                    return paths

    async def answers(self, seconds: float) -> bool:
        """Tell whether the child answers, in so many seconds that it can use."""
        self._answered.clear()
        self._child.send(Ping())
        try:
            async with self._child.fair_timeout(seconds):
                await self._answered.wait()
        except TimeoutError:
            return False
        return True

    async def _watch_silent(self, since: int) -> tuple[str, ...] | None:
        """Return the files that have changed, or None when the child answers again."""
        changed = in_thread(_changed_since)
        while not await self.answers(self._interval):
            paths = await changed(since, self._watched, self._expected, self._root)
            if paths or self._is_impatient:
                return paths
        return None


@asynccontextmanager
async def killed_with_us(pid: int, lock: str) -> AsyncIterator[None]:
    """Have a process killed, and the lockfile removed, should this process die meanwhile."""
    command = ["/bin/sh", "-c", _KILL_WHEN_INPUT_ENDS, "sh", str(pid), lock]
    try:
        shell = await start_process(command, stdin=PIPE)
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


def _changed_since(
    since: int, watched: Iterable[str], expected: Iterable[str], root: str
) -> tuple[str, ...]:
    files = {*watched, *(entry.path for entry in python_files(root))}
    changed = {path for path in files if _is_newer(path, since, if_missing=True)}
    changed |= {path for path in expected if _is_newer(path, since, if_missing=False)}
    return tuple(sorted(changed))


def _is_newer(path: str, since: int, *, if_missing: bool) -> bool:
    try:
        return since < os.stat(path).st_ctime_ns <= time.time_ns()
    except OSError:
        return if_missing
