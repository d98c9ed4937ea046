"""The event stream by which an open page learns that there is something new.

It is served from the loop, on the app's own port, and dies with the process that serves it. The
browser connects again, into the accept queue, and so hears from the next child as soon as that
one answers: nothing is polled.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

from asyncreload.child.receive import receive_now
from asyncreload.child.reporting import EVENTS, is_loopback, is_loopback_host

_REQUEST = f"GET {EVENTS} ".encode()
_LONGEST_HEAD = 16384
_MOST_STREAMS = 256
_RETRY = 50
"""Milliseconds until the browser connects again."""

_HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/event-stream\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Connection: close\r\n"
    "\r\n"
)
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Streams:
    """The open event streams. Each tells the state of this child, and then waits for its end."""

    def __init__(self, state: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = f"retry: {_RETRY}\nevent: state\ndata: {state}\n\n"
        self._open: set[socket.socket] = set()

    def takes(self, connection: socket.socket, client: Any) -> bool:
        """Take a connection over if it asks for the stream, and from this machine."""
        with suppress(OSError):
            flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
            if connection.recv(len(_REQUEST), flags) == _REQUEST:
                head = connection.recv(_LONGEST_HEAD, socket.MSG_DONTWAIT)
                self._begin(connection, head, client)
                return True
        return False

    def close(self) -> None:
        """End the streams: the browsers connect again, and meet the next child."""
        while self._open:
            self._end(next(iter(self._open)))

    def _begin(self, connection: socket.socket, head: bytes, client: Any) -> None:
        allowed = len(self._open) < _MOST_STREAMS and _is_own_page(head, client)
        answer = (_HEAD + self._event).encode() if allowed else _FORBIDDEN
        self._open.add(connection)
        with suppress(OSError):
            connection.send(answer, socket.MSG_DONTWAIT)
        if allowed:
            self._loop.add_reader(connection, self._heard, connection)
        else:
            self._end(connection)

    def _heard(self, connection: socket.socket) -> None:
        if receive_now(connection, _LONGEST_HEAD) == b"":
            self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        self._loop.remove_reader(connection)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _is_own_page(head: bytes, client: Any) -> bool:
    """Tell whether a page of this very server asks, and from this machine."""
    lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in lines[1:])
        if colon
    }
    host = headers.get("host", "")
    origin = headers.get("origin")
    same_site = origin is None or origin.partition("://")[2] == host
    address = client[0] if isinstance(client, tuple) else ""
    return same_site and is_loopback(address) and is_loopback_host(host)
