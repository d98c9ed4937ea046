"""Receive from a client and send to it, however slow it is; while that means to wait, be away."""

from __future__ import annotations

import io
import socket
from contextlib import AbstractContextManager, suppress
from select import POLLIN, POLLOUT, poll
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Away = AbstractContextManager[object]
"""Entered for each time of waiting."""


def reader(connection: socket.socket, away: Away) -> io.BufferedReader:
    """Return what a client sends as a file to read."""
    return io.BufferedReader(_Incoming(connection, away))


def send(connection: socket.socket, data: bytes, away: Away) -> None:
    """Send all of it to a client."""
    left = memoryview(data)
    while True:
        with suppress(BlockingIOError):
            left = left[connection.send(left, socket.MSG_DONTWAIT) :]
        if not left:
            return
        _wait(connection, POLLOUT, away)


class _Incoming(io.RawIOBase):
    def __init__(self, connection: socket.socket, away: Away) -> None:
        self._connection = connection
        self._away = away

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while True:
            try:
                return self._connection.recv_into(buffer, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                _wait(self._connection, POLLIN, self._away)


def _wait(connection: socket.socket, event: int, away: Away) -> None:
    poller = poll()
    poller.register(connection, event)
    with away:
        poller.poll()
