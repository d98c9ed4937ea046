"""How a child comes to its end: answer the last requests, let the main thread run `atexit`, go."""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from asyncreload import descendants, protocol
from asyncreload.child.lifecycle.debugger import is_at_prompt
from asyncreload.child.lifecycle.vanish import vanish
from asyncreload.terminal import Terminal

if TYPE_CHECKING:
    from asyncreload.child.http.front_end import FrontEnd
    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.child.lifecycle.parent_link import Channel

RELOAD = 3
ORPHANED = 1
INTERRUPTED = 130

# All in seconds.
DRAIN = 0.1  # what requests in flight get before the old code is told to go
ATEXIT = 0.5  # what `atexit` handlers get in a reload
WAKE = 0.1  # until a main thread that sleeps in the app's code is woken by a real signal


class Shutdown:
    """The end of this process. Made in the loop's thread, which also calls `begin`."""

    def __init__(self, main: MainThread, channel: Channel, front_end: FrontEnd) -> None:
        self._main = main
        self._channel = channel
        self._front_end = front_end
        self._terminal = Terminal()
        self._main_left = asyncio.Event()
        self._lingers = False
        self._hurries = False
        self._task: asyncio.Task[None] | None = None
        self.queue: int | None = None
        """The descriptor of the inotify queue, if there is one: see `Lobby.delegate_close`."""
        self.code: int | None = None
        """The exit code, once it is decided to leave."""
        self.drained: threading.Event = threading.Event()
        """Set when no more requests are waited for: the main thread may run `atexit` now."""

    def begin(self, code: int, grace: float, *, at_work: bool) -> None:
        """Begin to leave; asked again, leave without waiting for a last response.

        grace: seconds for that response, or for `atexit` when it is not a reload.
        at_work: whether code of the app has run, or runs.
        """
        if self.code is None:
            self.code = code
            self._task = asyncio.create_task(self._leave(code, grace, at_work=at_work))
            return
        self._hurries = True
        if self._lingers:
            self._end_family()
            os._exit(code)

    def main_has_left(self) -> None:
        """Note that the main thread runs no code of the app any more."""
        self._main_left.set()

    async def _leave(self, code: int, grace: float, *, at_work: bool) -> None:
        try:
            if at_work:
                await self._leave_politely(code, grace)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)  # whatever happens: a child that was told to leave does so

    async def _leave_politely(self, code: int, grace: float) -> None:
        self._front_end.close(hand_over=code == RELOAD)
        # In a reload the last bytes are delivered while the next child loads.
        await (self._front_end.answered if code == RELOAD else self._front_end.quiet)(DRAIN)
        self.drained.set()
        if (frame := self._main.interrupt()) is not None:
            wake = partial(self._wake, frame, frame.f_lasti)
            asyncio.get_running_loop().call_later(WAKE, wake)
        patience = ATEXIT if code in {RELOAD, ORPHANED} else grace
        with suppress(TimeoutError):
            await asyncio.wait_for(self._main_left.wait(), patience)
        self._main_left.set()
        if code == RELOAD and self._front_end.busy and not self._hurries:
            self._lingers = True
            self._channel.send(protocol.Left(code, self._front_end.busy))
            await self._front_end.quiet(grace)
        self._end_family()
        if code == RELOAD:
            if self.queue is not None:
                self._front_end.delegate_close(self.queue)
            farewell = protocol.Left(code, vanished=True).encode()
            vanish(code, self._channel.fileno(), farewell)
        self._channel.send(protocol.Left(code))

    def _wake(self, frame: FrameType, instruction: int) -> None:
        if not self._main_left.is_set() and not self._main.has_moved(frame, instruction):
            self._main.signal()

    def _end_family(self) -> None:
        """End what the app started; put the terminal back if a debugger dies at its prompt."""
        if descendants.has_children():
            descendants.end(descendants.descendants(os.getpid()))
        if is_at_prompt():
            self._terminal.restore()
