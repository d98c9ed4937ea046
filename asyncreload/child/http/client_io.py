"""Receives from a client and sends to it. What has to wait for the client says so meanwhile."""

from __future__ import annotations

import io
import socket
from contextlib import AbstractContextManager, suppress
from select import POLLIN, POLLOUT, poll
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

WhileWaiting = AbstractContextManager[object]
"""A context that is entered each time that a client has to be waited for."""


def open_reader(connection: socket.socket, while_waiting: WhileWaiting) -> io.BufferedReader:
    """Return what a client sends as a file to read. Closing it leaves the connection open.

    Reading raises OSError when the connection breaks. Threads may share the file: it has a lock.
    """
    return io.BufferedReader(_ClientStream(connection, while_waiting))


def send(connection: socket.socket, data: bytes, while_waiting: WhileWaiting) -> None:
    """Send all of it to a client. Raises OSError when the connection breaks."""
    left = memoryview(data)
    while True:
        with suppress(BlockingIOError):
            left = left[connection.send(left, socket.MSG_DONTWAIT) :]
        if not left:
            return
        _wait(connection, POLLOUT, while_waiting)


class _ClientStream(io.RawIOBase):
    """What a client sends, without a buffer."""

    def __init__(self, connection: socket.socket, while_waiting: WhileWaiting) -> None:
        self._connection = connection
        self._while_waiting = while_waiting

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while True:
            try:
                return self._connection.recv_into(buffer, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                _wait(self._connection, POLLIN, self._while_waiting)


def _wait(connection: socket.socket, event: int, while_waiting: WhileWaiting) -> None:
    poller = poll()
    poller.register(connection, event)
    with while_waiting:
        poller.poll()
