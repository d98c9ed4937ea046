"""The event stream (server-sent events) by which an open page learns that the app has changed.

It is served in the loop, without a thread, on the app's own port. It tells a single event, the
state: a text that names the process. Then it stays open until the process ends. The browser
connects again, is queued by the kernel, and gets the state of the next child as soon as that one
answers: another state, so the page reloads itself. Nothing is polled.

Live pages, those of the app with a script that listens, get that script from here as well.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress

from asyncreload.child.pages.browser_scripts import LIVE_SCRIPT
from asyncreload.child.pages.report_app import EVENTS
from asyncreload.child.pages.trust import is_loopback, is_loopback_host
from asyncreload.child.sockets import ClientAddress, receive_now

_REQUEST = re.compile(f"GET {re.escape(EVENTS)} ".encode())
_LIVE_REQUEST = re.compile(rb"GET [^ \r\n]*/\.asyncreload/(?:events|(live\.js)) ")
# How many bytes of a request are peeked at to find these.
_REQUEST_SIZE = len(f"GET {EVENTS} ")
_LIVE_REQUEST_SIZE = 4096
_MAX_HEAD = 65536  # bytes
_MAX_STREAMS = 256  # at once; each takes a descriptor, and the app needs some as well
_RETRY = 50  # milliseconds until the browser connects again

# A proxy must not hold the event back, and a browser must not tell a page of another site even
# that the stream has ended.
_COMMON_HEADERS = (
    "Cache-Control: no-store, no-transform\r\n"
    "X-Accel-Buffering: no\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Connection: close\r\n"
    "\r\n"
)
_STREAM_HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{_COMMON_HEADERS}"
_SCRIPT_RESPONSE = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/javascript; charset=utf-8\r\n"
    f"Content-Length: {len(LIVE_SCRIPT.encode())}\r\n"
    f"{_COMMON_HEADERS}{LIVE_SCRIPT}"
).encode()
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class EventStreams:
    """The open event streams of this process. Used in the loop's thread only.

    state: names this process.
    live: whether the app's own pages listen, whatever host and path the browser knows them by. Else
        only report pages do, on this machine.
    limit: how many streams may be open; one more is refused.
    """

    def __init__(self, state: str, *, live: bool = False, limit: int = _MAX_STREAMS) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = f"retry: {_RETRY}\nevent: state\ndata: {state}\n\n"
        self._live = live
        self._limit = limit
        self._pattern = _LIVE_REQUEST if live else _REQUEST
        self._size = _LIVE_REQUEST_SIZE if live else _REQUEST_SIZE
        self._open: set[socket.socket] = set()

    def take_over(self, connection: socket.socket, client: ClientAddress) -> bool:
        """Take over a connection if it asks for the stream, or for the script of live pages.

        Return whether it does. If not, nothing was read from it. The whole head of its request must
        have arrived.
        """
        request = receive_now(connection, self._size, socket.MSG_PEEK)
        found = self._pattern.match(request or b"")
        if not found:
            return False
        headers = _parse_headers(receive_now(connection, _MAX_HEAD) or b"")
        if len(self._open) >= self._limit:
            self._refuse(connection)
        elif found.lastindex:
            self._send(connection, _SCRIPT_RESPONSE)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            self._keep_open(connection)
        elif _is_same_origin(headers) and (self._live or _is_from_here(headers, client)):
            self._send(connection, (_STREAM_HEAD + self._event).encode())
            self._keep_open(connection)
        else:
            self._refuse(connection)
        return True

    @property
    def has_listeners(self) -> bool:
        """Whether any page listens."""
        return bool(self._open)

    def close(self) -> None:
        """End the streams: the browsers connect again, and get an answer from the next child."""
        while self._open:
            self._end(next(iter(self._open)))

    def _keep_open(self, connection: socket.socket) -> None:
        self._open.add(connection)
        self._loop.add_reader(connection, self._on_bytes, connection)

    def _on_bytes(self, connection: socket.socket) -> None:
        """Close the connection if its client has; what a client sends has no meaning."""
        if receive_now(connection, _MAX_HEAD) == b"":
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


def _parse_headers(head: bytes) -> dict[str, str]:
    """Return the headers by their names in lower case; values of the same name with a comma."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        name, _, value = line.strip(" \t\r").partition(":")
        if not name:
            break
        name, value = name.lower(), value.strip(" \t")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _is_same_origin(headers: dict[str, str]) -> bool:
    """Tell whether the request does not come from a page of another site."""
    if site := headers.get("sec-fetch-site"):
        return site in {"same-origin", "none"}  # it holds also where a proxy changes the host
    if (origin := headers.get("origin")) is None:
        return True
    host = headers.get("host", "")
    return origin in {f"http://{host}", f"https://{host}"}


def _is_from_here(headers: dict[str, str], client: ClientAddress) -> bool:
    """Tell whether this machine asks, and names itself as the host: see trust.py."""
    address = client[0] if isinstance(client, tuple) else ""
    return is_loopback(address) and is_loopback_host(headers.get("host", ""))
