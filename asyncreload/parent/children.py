"""All children that live: from the start of each to its burial, and their common end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aiofiles.os

from asyncreload import descendants
from asyncreload.parent.process import FAMILY, Process, Surroundings
from asyncreload.protocol import End
from asyncreload.terminal import Terminal

# Both in seconds.
LEAVE = 1.0  # what a child gets to leave in a reload, before it is killed
MARGIN = 0.5  # what it gets on top of the app's `grace` for an end of its own

_descendants = aiofiles.os.wrap(descendants.descendants)
_marked = aiofiles.os.wrap(descendants.marked)


class Children:
    """The children of one supervisor.

    grace: seconds that the app gets for its end.
    """

    def __init__(self, grace: float) -> None:
        self._patience = grace + MARGIN
        self._children: set[Process] = set()
        self._reapers: set[asyncio.Task[None]] = set()
        self._lingering: asyncio.Task[None] | None = None

    async def start(
        self, inheritance: Sequence[int], lock: str, surroundings: Surroundings
    ) -> Process:
        """Start a child."""
        child = await Process.start(inheritance, lock, surroundings)
        self._children.add(child)
        return child

    async def bury(self, child: Process) -> None:
        """Kill a child if it lives, and reap it."""
        await child.close()
        self._children.discard(child)

    def reap_later(self, child: Process) -> None:
        """Have a child buried that is about to end, while the next one begins."""
        self._outlive(child, LEAVE)

    def let_linger(self, child: Process) -> None:
        """Let an old child send its last responses; but only one, and not for ever."""
        if self._lingering is not None:
            self._lingering.cancel()
        self._lingering = self._outlive(child, self._patience)

    async def kill_orphans(self, lock: str) -> None:
        """End what an app has started that crashed, and could not end it itself."""
        orphans = await _marked(f"{FAMILY}={lock}")
        descendants.kill({*orphans} - {child.pid for child in self._children})

    def kill(self) -> None:
        """Kill all children; what they started is left to `end`."""
        for child in self._children:
            child.kill()

    async def part_with(self, child: Process) -> None:
        """End a child politely: the app's `atexit` handlers are run."""
        if child not in self._children:
            return
        terminal = Terminal()
        child.send(End())
        try:
            async with asyncio.timeout(self._patience):
                await child.wait()
        except TimeoutError:
            await kill_with_descendants(child)
            terminal.restore()

    async def stop_waiting(self) -> None:
        """Give up on those that linger, or were to be buried later."""
        await cancel(*self._reapers)

    async def end(self, lock: str) -> None:
        """End all that is left, at once, and what it has started."""
        self.kill()
        try:
            await self.kill_orphans(lock)
        finally:
            while self._children:
                await self.bury(next(iter(self._children)))

    def _outlive(self, child: Process, patience: float) -> asyncio.Task[None]:
        reaper = asyncio.create_task(self._wait_and_bury(child, patience))
        self._reapers.add(reaper)
        reaper.add_done_callback(self._reapers.discard)
        return reaper

    async def _wait_and_bury(self, child: Process, patience: float) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await child.wait()
        finally:
            if not child.has_ended():
                await kill_with_descendants(child)
            await self.bury(child)


async def kill_with_descendants(child: Process) -> None:
    """Kill a child and all that it has started, which is found only while it lives."""
    below = await _descendants(child.pid)
    child.kill()
    descendants.kill(below)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they are done."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
