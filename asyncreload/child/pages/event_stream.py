"""The event stream by which an open page learns that there is something new.

It is served from the loop, on the app's own port, and dies with the process that serves it. The
browser connects again, into the accept queue, and so hears from the next child as soon as that
one answers: nothing is polled. The script that live pages listen with is served here as well.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from typing import Any

from asyncreload.child.pages.browser_scripts import LIVE
from asyncreload.child.pages.report_app import EVENTS
from asyncreload.child.pages.trust import is_loopback, is_loopback_host
from asyncreload.child.receive import receive_now

_REQUEST = re.compile(f"GET {re.escape(EVENTS)} ".encode())
_LIVE_REQUEST = re.compile(rb"GET [^ \r\n]*/\.asyncreload/(?:events|(live\.js)) ")
_SHORT_LINE = len(f"GET {EVENTS} ")
_LONGEST_LINE = 4096
_LONGEST_HEAD = 65536
_MOST_STREAMS = 256
_RETRY = 50
"""Milliseconds until the browser connects again."""

# A proxy must not collect what is said to the page, and the browser must not hand it to another
# site's: not even when it ends.
_COMMON = (
    "Cache-Control: no-store, no-transform\r\n"
    "X-Accel-Buffering: no\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Connection: close\r\n"
    "\r\n"
)
_STREAM = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{_COMMON}"
_SCRIPT = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/javascript; charset=utf-8\r\n"
    f"Content-Length: {len(LIVE.encode())}\r\n"
    f"{_COMMON}{LIVE}"
).encode()
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class EventStreams:
    """The open event streams. Each tells the state of this child, and then waits for its end."""

    def __init__(self, state: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = f"retry: {_RETRY}\nevent: state\ndata: {state}\n\n"
        self._open: set[socket.socket] = set()
        self.live = False
        """Whether the app's own pages listen, at whatever address and below whatever path."""

    def takes(self, connection: socket.socket, client: Any) -> bool:
        """Take a connection over if it asks for the stream, or for the script of live pages.

        The whole head of the request has come.
        """
        pattern, size = (_LIVE_REQUEST, _LONGEST_LINE) if self.live else (_REQUEST, _SHORT_LINE)
        found = pattern.match(receive_now(connection, size, socket.MSG_PEEK) or b"")
        if not found:
            return False
        headers = _headers(receive_now(connection, _LONGEST_HEAD) or b"")
        if len(self._open) >= _MOST_STREAMS:
            self._refuse(connection)
        elif found.lastindex:
            self._send(connection, _SCRIPT)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            self._keep(connection)
        elif _is_same_origin(headers) and (self.live or _is_here(headers, client)):
            self._send(connection, (_STREAM + self._event).encode())
            self._keep(connection)
        else:
            self._refuse(connection)
        return True

    @property
    def is_listened_to(self) -> bool:
        """Whether any page waits to be told of a change."""
        return bool(self._open)

    def close(self) -> None:
        """End the streams: the browsers connect again, and meet the next child."""
        while self._open:
            self._end(next(iter(self._open)))

    def _keep(self, connection: socket.socket) -> None:
        self._open.add(connection)
        self._loop.add_reader(connection, self._heard, connection)

    def _heard(self, connection: socket.socket) -> None:
        """Notice the end; a client has nothing else to tell."""
        if receive_now(connection, _LONGEST_HEAD) == b"":
            self._end(connection)

    def _refuse(self, connection: socket.socket) -> None:
        self._send(connection, _FORBIDDEN)
        self._end(connection)

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        with suppress(OSError):
            connection.send(answer, socket.MSG_DONTWAIT)

    def _end(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        self._loop.remove_reader(connection)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _headers(head: bytes) -> dict[str, str]:
    """Return the headers by their names in lower case; of what is told twice, both."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        name, _, value = line.strip(" \t\r").partition(":")
        if not name:
            break
        name, value = name.lower(), value.strip(" \t")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _is_same_origin(headers: dict[str, str]) -> bool:
    """Tell whether no page of another site asks."""
    if site := headers.get("sec-fetch-site"):
        return site in {"same-origin", "none"}  # it holds, too, where a proxy changes the host
    if (origin := headers.get("origin")) is None:
        return True
    host = headers.get("host", "")
    return origin in {f"http://{host}", f"https://{host}"}


def _is_here(headers: dict[str, str], client: Any) -> bool:
    """Tell whether it is this machine that asks, and for itself."""
    address = client[0] if isinstance(client, tuple) else ""
    return is_loopback(address) and is_loopback_host(headers.get("host", ""))
