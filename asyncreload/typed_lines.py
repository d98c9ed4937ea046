"""Lines that are typed at the terminal and that nobody else reads.

The app has the same terminal as its standard input, for `input()` and for a debugger's prompt. So
each line is left to others for a moment; only what nobody has taken by then is read here. The
terminal stays in its usual mode, in which it hands over whole lines: nothing has to be put back.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

from asyncreload.terminal import is_in_foreground, waits_for_whole_lines

# In seconds.
OTHERS_FIRST = 0.1  # in which others may take a line before we do
LOOK_AGAIN = 0.5  # between two looks at a line that is not ours, and that nobody takes

_LONGEST = 4096
"""Bytes: the most that a terminal hands over as a line."""


class TypedLines:
    """Reads without ever waiting in a system call, and closes its descriptor at the end.

    descriptor: of the terminal, one that does not block and is ours alone: others that read from
        the terminal, the shell included, must go on to block.
    is_others: tells whether what is typed is meant for somebody who does not wait for it just now.
    """

    def __init__(
        self,
        descriptor: int,
        is_others: Callable[[], Awaitable[bool]],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._descriptor = descriptor
        self._is_others = is_others
        self._sleep = sleep

    @classmethod
    def at_terminal(cls, is_others: Callable[[], Awaitable[bool]]) -> Self | None:
        """Read what is typed at standard input; None if that is no terminal, or not ours."""
        try:
            os.tcgetpgrp(0)  # fails where it is not the terminal of our session
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
            return cls(os.open(os.ttyname(0), flags), is_others)
        except OSError:
            return None

    async def lines(self) -> AsyncIterator[str]:
        """Iterate over the lines, without their ends, until the terminal is closed."""
        try:
            while True:
                try:
                    await self._arrival()
                except OSError:  # a loop that cannot wait for a terminal, as on some macOS
                    return
                await self._sleep(OTHERS_FIRST)
                if not self._is_ours() or await self._is_others():
                    await self._sleep(LOOK_AGAIN)
                elif (data := self._read()) is not None:
                    for line in data.decode(errors="replace").splitlines():
                        yield line
                elif self._has_hung_up():
                    return
        finally:
            os.close(self._descriptor)

    async def _arrival(self) -> None:
        """Wait until there is something to read, for whomever."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()

        def on_arrival() -> None:
            loop.remove_reader(self._descriptor)
            if not arrived.done():
                arrived.set_result(None)

        loop.add_reader(self._descriptor, on_arrival)
        try:
            await arrived
        finally:
            loop.remove_reader(self._descriptor)

    def _is_ours(self) -> bool:
        """Tell whether we are in the foreground, and nobody has changed the terminal's mode."""
        try:
            if not is_in_foreground(self._descriptor):
                return False
        except OSError:
            pass  # the terminal was closed: reading tells
        return waits_for_whole_lines(self._descriptor)

    def _read(self) -> bytes | None:
        """Return what is there; None if somebody was quicker, or there will be no more.

        Should the shell put us into the background at this very moment, the kernel would stop us by
        SIGTTIN. While that is blocked, it says no instead.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})
        try:
            return os.read(self._descriptor, _LONGEST) or None  # nothing: Ctrl-D, or the end
        except OSError:
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _has_hung_up(self) -> bool:
        poller = select.poll()
        poller.register(self._descriptor, 0)  # the end is told without being asked for
        return bool(poller.poll(0))
