"""Where connections wait, without a thread, until the whole head of their request has come.

The head is looked at in the kernel and left there: so a connection can go to the next child at any
time, and whoever answers it reads the head first. Low-water marks keep the loop from being woken by
bytes that it has seen.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

Client = Any

_NOW = socket.MSG_PEEK | socket.MSG_DONTWAIT
_USUAL = 8192  # bytes that a head seldom exceeds
_LONGEST = 65536  # bytes; http.server's own limit for each of its lines
_PATIENCE = 20.0  # seconds from the first byte until the head must be complete
_MOST = 512  # connections; the next child has to take them over in milliseconds


class _Head:
    """What is known of a request of which not everything is there."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen = 0
        self.deadline: asyncio.TimerHandle | None = None


class PendingHeads:
    """The connections that wait. Lives in the loop's thread.

    on_complete: called with a connection whose head has come, and its client.
    on_flawed: called with a connection that is to be refused, and the reason.
    """

    def __init__(
        self,
        on_complete: Callable[[socket.socket, Client], None],
        on_flawed: Callable[[socket.socket, HTTPStatus], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_complete = on_complete
        self._on_flawed = on_flawed
        self._heads: dict[socket.socket, _Head] = {}
        self._buffer = bytearray(_LONGEST)
        # The other half of the descriptors is for those who are answered, and for the app.
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        half = limit // 2 if limit != resource.RLIM_INFINITY else _MOST
        self._most = max(1, min(_MOST, half))

    def __len__(self) -> int:
        return len(self._heads)

    def has_come(self, connection: socket.socket, client: Client) -> bool:
        """Tell whether the whole head is there. If not, wait for it from now on."""
        size, complete = self._peek(connection)
        if complete:
            return True
        if len(self._heads) >= self._most:
            oldest = next(iter(self._heads))
            self._forget(oldest)
            oldest.close()
        head = self._heads[connection] = _Head(client)
        # By number: the selector describes what it does not know yet, a socket by system calls.
        self._loop.add_reader(connection.fileno(), self._on_bytes, connection)
        self._judge(connection, head, size)
        return False

    def leave(self) -> list[socket.socket]:
        """Wait for nobody any more; return who has waited."""
        left = list(self._heads)
        for connection in left:
            self._forget(connection)
        return left

    def _peek(self, connection: socket.socket) -> tuple[int | None, bool]:
        """Return how many bytes there are, None for none yet, and whether the head is complete."""
        buffer = self._buffer
        try:
            size = connection.recv_into(buffer, _USUAL, _NOW)
            if size == _USUAL and not _ends(buffer, size):
                size = connection.recv_into(buffer, _LONGEST, _NOW)
        except BlockingIOError:
            return None, False
        except OSError:
            return 0, False
        return size, _ends(buffer, size)

    def _on_bytes(self, connection: socket.socket) -> None:
        size, complete = self._peek(connection)
        if not complete:
            self._judge(connection, self._heads[connection], size)
            return
        head = self._forget(connection)
        if head.seen:
            wake_at(connection, 1)
        self._on_complete(connection, head.client)

    def _judge(self, connection: socket.socket, head: _Head, size: int | None) -> None:
        """Wait for more, unless the client has gone, or its request is none."""
        if size is None:
            return
        if not size:
            self._forget(connection)
            connection.close()
        elif size >= _LONGEST:
            self._refuse(connection, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif size == head.seen:  # woken, though nothing was added: nothing will be
            self._refuse(connection, HTTPStatus.BAD_REQUEST)
        else:
            if not head.seen:
                status = HTTPStatus.REQUEST_TIMEOUT
                head.deadline = self._loop.call_later(_PATIENCE, self._refuse, connection, status)
            head.seen = size
            wake_at(connection, size + 1)

    def _refuse(self, connection: socket.socket, status: HTTPStatus) -> None:
        self._forget(connection)
        wake_at(connection, 1)
        self._on_flawed(connection, status)

    def _forget(self, connection: socket.socket) -> _Head:
        self._loop.remove_reader(connection.fileno())
        head = self._heads.pop(connection)
        if head.deadline is not None:
            head.deadline.cancel()
        return head


def wake_at(connection: socket.socket, size: int) -> None:
    """Have the connection readable only when so many bytes are there, or nothing more will come."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


def _ends(buffer: bytearray, size: int) -> bool:
    """Tell whether there is the empty line that ends a head; it may be of other line ends, too."""
    return buffer.find(b"\n\r\n", 0, size) >= 0 or buffer.find(b"\n\n", 0, size) >= 0
