"""Text on its way to a terminal or a pipe, without waiting for whoever reads there.

A terminal that is held by Ctrl-S takes nothing, nor does a full pipe whose reader has stopped. To
write there would block our loop, and with it the next reload, and even the end. So it is asked
before whether it takes anything; what it does not take waits here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from select import PIPE_BUF, POLLOUT, poll  # eventlet takes `poll` out of the module
from typing import TextIO

PIECE = PIPE_BUF // 4
"""Characters that are written at once: so many bytes at most as a pipe takes without blocking."""
MOST = 10_000
"""How many pieces wait; the texts that come then are left out."""
# In seconds.
PATIENCE = 0.02  # for a reader who is slow, and no more
AGAIN = 0.1  # until another try


class Outlet:
    """Writes to a stream what that takes, at once if it can, and the rest as soon as it can.

    on_error: called when a later try fails; the first one raises.
    on_lost: called with the number of texts that were left out, once there is room again.
    """

    def __init__(
        self, stream: TextIO, on_error: Callable[[], object], on_lost: Callable[[int], object]
    ) -> None:
        self._stream = stream
        self._on_error = on_error
        self._on_lost = on_lost
        self._pieces: deque[str] = deque()
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, text: str) -> None:
        """Write text. Raises OSError or ValueError if it can never be written."""
        if len(self._pieces) >= MOST:
            self._lost += 1
            return
        patience = 0.0 if self._pieces else PATIENCE
        self._pieces += _pieces(text)
        self._write_on(patience)
        if self._pieces:
            self._try_again()

    def drain(self, seconds: float) -> bool:
        """Write what still waits, for so many seconds at most; tell whether nothing is left."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._write_on(seconds)
        except (OSError, ValueError):
            return False
        return not self._pieces

    def _write_on(self, patience: float | None) -> None:
        """Write for so many seconds; None for as long as it takes."""
        until = math.inf if patience is None else time.monotonic() + patience
        while self._pieces:
            left = None if patience is None else max(0.0, until - time.monotonic())
            if not takes_some(self._stream, left):
                return
            self._stream.write(self._pieces.popleft())
            self._stream.flush()

    def _try_again(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # there is nothing that could be blocked
            self._write_on(None)
            return
        if self._timer is None:
            self._timer = loop.call_later(AGAIN, self._again)

    def _again(self) -> None:
        self._timer = None
        try:
            self._write_on(0)
        except (OSError, ValueError):
            self._pieces.clear()
            self._on_error()
        if self._pieces:
            self._try_again()
        elif self._lost:
            lost, self._lost = self._lost, 0
            self._on_lost(lost)


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where it is too long, between lines if that is possible."""
    piece = ""
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), PIECE):
            part = line[start : start + PIECE]
            if len(piece) + len(part) > PIECE:
                yield piece
                piece = ""
            piece += part
    if piece:
        yield piece


def takes_some(stream: TextIO, patience: float | None) -> bool:
    """Wait until a stream takes a piece; tell whether it does. What has no descriptor always does.

    patience: seconds; None for as long as it takes.
    """
    poller = poll()
    try:
        poller.register(stream.fileno(), POLLOUT)
        # An end that is closed counts as well: to write there raises what is to be told.
        return bool(poller.poll(None if patience is None else patience * 1000))
    except (OSError, ValueError, AttributeError):
        return True
