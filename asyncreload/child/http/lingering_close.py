"""Lingering close: read what a client still sends before its connection is closed.

A connection that is closed with unread bytes in it is reset, and a reset may cost the client the
answer that it has not read yet.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from asyncreload.sockets import receive_now

_SECONDS = 2.0  # until a connection is closed even if its client goes on sending
_MAX_CONNECTIONS = 128
_DRAIN_CHUNK = 65536  # bytes


class LingeringClose:
    """Closes connections when their clients have closed them, or after some seconds.

    All methods are called in the loop's thread.

    on_closed: called whenever a connection has been closed.
    seconds: how long a client may take.
    limit: how many connections may linger. One more, and the one that has lingered longest is
        closed.
    """

    def __init__(
        self,
        on_closed: Callable[[], None],
        *,
        seconds: float = _SECONDS,
        limit: int = _MAX_CONNECTIONS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_closed = on_closed
        self._seconds = seconds
        self._limit = limit
        self._deadlines: dict[socket.socket, asyncio.TimerHandle] = {}  # the oldest comes first

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, connection: socket.socket) -> None:
        """Take over a connection whose sending side has been shut down."""
        if len(self._deadlines) >= self._limit:
            self._close(next(iter(self._deadlines)))
        deadline = self._loop.call_later(self._seconds, self._close, connection)
        self._deadlines[connection] = deadline
        self._loop.add_reader(connection, self._drain, connection)

    def _drain(self, connection: socket.socket) -> None:
        if receive_now(connection, _DRAIN_CHUNK) == b"":
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._deadlines.pop(connection).cancel()
        self._loop.remove_reader(connection)
        connection.close()
        self._on_closed()
