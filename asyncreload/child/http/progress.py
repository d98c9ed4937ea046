"""Lets the loop wait until requests are answered, and wakes it only while it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Progress:
    """Has conditions looked at again when something has been answered or closed.

    To wake the loop from another thread costs more than many an answer: two threads that run at
    once hand the GIL to and fro. So that is done only where somebody waits. Made in the loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._happened = asyncio.Event()

    def note(self) -> None:
        """Note that a condition may hold now. Called in any thread, when that is so."""
        if self._waiting:
            with suppress(RuntimeError):  # the loop has ended, and with it all interest
                self._loop.call_soon_threadsafe(self._happened.set)

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition holds, but not longer than `seconds`. Called in the loop."""
        self._waiting += 1  # before the condition is looked at: what happens after it is told
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._happened.clear()
                    await self._happened.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1
