"""Where connections wait, without a thread, until the whole head of their request has arrived.

The head of a request is its request line and its headers, up to the empty line. Here it is peeked
at and left in the kernel: so a connection can go to the next child at any time, and whoever answers
it reads the head first. Low-water marks keep bytes that were seen already from waking the loop
again.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
from collections.abc import Callable
from http import HTTPStatus

from asyncreload.child.http.refusal import RefusedRequestError
from asyncreload.sockets import ClientAddress, set_low_water_mark, share_of_descriptors

_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
USUAL_HEAD = 8192  # bytes that a head seldom exceeds
MAX_HEAD = 65536  # bytes; http.server has the same limit for each line
_HEAD_TIMEOUT = 20.0  # seconds from the first byte until the head must be complete
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_PLAIN = re.compile(rb"(?!CONNECT )[A-Z]+ [!-~]+ HTTP/1\.[01]\r\n")
_BEGINNING = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z\r\n-]")
_NO_HTTP = "this is no HTTP: if the address begins with https://, make it http://"
_OF_FRAMING = rb"(?:content-length|transfer-encoding|upgrade|expect)[ \t]*:"
_FRAMING = re.compile(rb"(?i)\n((?:" + _OF_FRAMING + rb"|[ \t])[^\n]*)")  # folded lines as well
_LENGTH = re.compile(rb"(?i)content-length:[ \t]*(\d{1,18})[ \t]*\r")
_MAX_PENDING = 512  # connections; the next child has to take them over in milliseconds


class _Head:
    """What is known of a head that is not complete."""

    def __init__(self, client: ClientAddress) -> None:
        self.client = client
        self.seen = 0  # bytes that have arrived
        self.deadline: asyncio.TimerHandle | None = None


class PendingHeads:
    """The connections whose request head is not complete. Used in the loop's thread only.

    on_complete: called with a connection whose head has become complete, and its client.
    on_refused: called with a connection that is to get an error, and with that error.
    timeout: seconds from the first byte of a head until it must be complete.
    limit: how many connections may wait. One more, and the one that has waited longest is closed.
        If it is not given, half of the process's descriptors: the others are for the requests that
        are answered, and for the app.
    """

    def __init__(
        self,
        on_complete: Callable[[socket.socket, ClientAddress], None],
        on_refused: Callable[[socket.socket, RefusedRequestError], None],
        *,
        timeout: float = _HEAD_TIMEOUT,
        limit: int | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_complete = on_complete
        self._on_refused = on_refused
        self._timeout = timeout
        self._limit = limit or share_of_descriptors(2, _MAX_PENDING)
        self._heads: dict[socket.socket, _Head] = {}  # who has waited longest comes first
        self._buffer = bytearray(MAX_HEAD)

    def __len__(self) -> int:
        return len(self._heads)

    def hold_if_incomplete(self, connection: socket.socket, client: ClientAddress) -> bool:
        """Wait for the rest of a head from now on; if it is complete, return False."""
        size, is_complete = self._peek(connection)
        if is_complete:
            return False
        if len(self._heads) >= self._limit:
            oldest = next(iter(self._heads))
            self._release(oldest)
            oldest.close()
        head = self._heads[connection] = _Head(client)
        # By number: for a socket that it does not know, a selector formats an error message, and
        # the text of a socket takes two system calls.
        self._loop.add_reader(connection.fileno(), self._on_bytes, connection)
        self._wait_or_refuse(connection, head, size)
        return True

    def release_all(self) -> list[socket.socket]:
        """Stop waiting; return the connections that have waited."""
        released = list(self._heads)
        for connection in released:
            self._release(connection)
        return released

    def _peek(self, connection: socket.socket) -> tuple[int | None, bool]:
        """Return how many bytes there are, None for none yet, and whether the head is complete.

        No bytes, 0, mean that no more will arrive.
        """
        buffer = self._buffer
        try:
            size = connection.recv_into(buffer, USUAL_HEAD, _PEEK)
            if size == USUAL_HEAD and not _has_empty_line(buffer, size):
                size = connection.recv_into(buffer, MAX_HEAD, _PEEK)
        except BlockingIOError:
            return None, False
        except OSError:
            return 0, False
        return size, _has_empty_line(buffer, size)

    def _on_bytes(self, connection: socket.socket) -> None:
        size, is_complete = self._peek(connection)
        if not is_complete:
            self._wait_or_refuse(connection, self._heads[connection], size)
            return
        head = self._release(connection)
        if head.seen:
            set_low_water_mark(connection, 1)
        self._on_complete(connection, head.client)

    def _wait_or_refuse(self, connection: socket.socket, head: _Head, size: int | None) -> None:
        """Go on waiting, unless the client is gone or this will not become a request."""
        if size is None:
            return
        if not size:
            self._release(connection)
            connection.close()
        elif not head.seen and not _BEGINNING.match(self._buffer):
            self._refuse(connection, HTTPStatus.BAD_REQUEST, _NO_HTTP)
        elif size >= MAX_HEAD:
            reason = f"the head may be {MAX_HEAD} bytes long"
            self._refuse(connection, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
        elif size == head.seen:  # readable, and yet nothing was added: no more will arrive
            reason = "it ended before the empty line behind its headers"
            self._refuse(connection, HTTPStatus.BAD_REQUEST, reason)
        else:
            if not head.seen:
                status = HTTPStatus.REQUEST_TIMEOUT
                reason = f"its head was not complete {self._timeout:g} s after the first byte"
                head.deadline = self._loop.call_later(
                    self._timeout, self._refuse, connection, status, reason
                )
            head.seen = size
            set_low_water_mark(connection, size + 1)

    def _refuse(self, connection: socket.socket, status: HTTPStatus, reason: str) -> None:
        self._release(connection)
        set_low_water_mark(connection, 1)
        self._on_refused(connection, RefusedRequestError(status, reason))

    def _release(self, connection: socket.socket) -> _Head:
        self._loop.remove_reader(connection.fileno())
        head = self._heads.pop(connection)
        if head.deadline is not None:
            head.deadline.cancel()
        return head


def _has_empty_line(buffer: bytearray, size: int) -> bool:
    """Tell whether the first `size` bytes hold the line that ends a head, CR LF or LF alone."""
    return _EMPTY_LINE.search(buffer, 0, size) is not None


def request_size(data: bytes) -> float | None:
    """Return how many bytes a request has that begins like this; None while its head is not whole.

    Infinite if its end is not told beyond doubt, by a head that any parser understands alike.
    """
    found = _EMPTY_LINE.search(data)
    if found is None:
        return None
    end = found.end()
    framing = _FRAMING.findall(data, 0, end)
    if len(framing) > 1 or not _PLAIN.match(data):
        return math.inf
    if not framing:
        return end
    length = _LENGTH.fullmatch(framing[0])
    return end + int(length[1]) if length else math.inf
