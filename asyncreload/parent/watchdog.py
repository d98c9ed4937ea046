"""Watches over a child that may fall silent: stopped, or held up by C code that keeps the GIL.

Such a child sees no change, so the parent looks at the files in its place.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable

import aiofiles.os

from asyncreload.parent.process import Process
from asyncreload.protocol import Ping
from asyncreload.pulse import Pulse
from asyncreload.walk import python_files

PATIENCE = 1.0
"""Seconds without a beat after which a child is asked, and without an answer held for silent."""
_SLACK = 2_000_000_000
"""Nanoseconds before the last sign of life in which a change may not have been seen any more."""


class Watchdog:
    """Set on one child."""

    def __init__(self, child: Process, pulse: Pulse, root: str, interval: float) -> None:
        self._child = child
        self._pulse = pulse
        self._root = root
        self._interval = interval
        self._began = time.time_ns()
        self._answered = asyncio.Event()
        self.watched: tuple[str, ...] = ()

    def hears(self) -> None:
        """Note that the child has answered."""
        self._answered.set()

    async def watch(self) -> tuple[str, ...]:
        """Return when files have changed and the child is silent: those files."""
        while True:
            count, since = self._pulse.count(), time.time_ns()
            await asyncio.sleep(PATIENCE)
            if self._pulse.count() != count or await self._answers(PATIENCE):
                continue
            since = max(self._began, since - _SLACK)
            changed = aiofiles.os.wrap(_changed_since)
            while not await self._answers(self._interval):
                if paths := await changed(since, self.watched, self._root):
                    return paths

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
