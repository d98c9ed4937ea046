"""The event stream (server-sent events) by which an open page learns that the app has changed.

It is served in the loop, without a thread, on the app's own port. It tells the state: a text that
names the process. Then it stays open until the process ends. The browser connects again, is queued
by the kernel, and gets the state of the next child as soon as that one answers: another state, so
the page reloads itself. Nothing is polled.

When files have changed that need no reload, the state is another one, too. Open streams are told it
together with the one before and the names of style sheets: a page in that state fetches these anew.

Live pages, those of the app with a script that listens, get that script from here as well.

Strangers, whom nobody trusts with a report, may listen, too: the state tells no more than that the
process is another one. But they cannot take the streams of others, nor all descriptors.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote

from asyncreload.child.pages.browser_scripts import LIVE_SCRIPT
from asyncreload.child.pages.report_app import EVENTS
from asyncreload.child.pages.trust import THIS_MACHINE, Trust, is_same_origin
from asyncreload.sockets import ClientAddress, receive_now, share_of_descriptors

_REQUEST = re.compile(f"GET {re.escape(EVENTS)} ".encode())
_LIVE_REQUEST = re.compile(rb"GET [^ \r\n]*/\.asyncreload/(?:events|(live\.js)) ")
# How many bytes of a request are peeked at to find these.
_REQUEST_SIZE = len(f"GET {EVENTS} ")
_LIVE_REQUEST_SIZE = 4096
_MAX_HEAD = 65536  # bytes
# How many streams are open at once; each takes a descriptor, and the app needs some as well.
_MAX_STREAMS = 192
_MAX_STRANGERS = 64
_RETRY = 50  # milliseconds until the browser connects again
_RETRY_WITHOUT_STREAM = 5000  # the same, where no more streams may stay open

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
    trust: who is no stranger.
    live: whether the app's own pages listen, whatever path the browser knows them by. Else only
        report pages do.
    limit: how many streams of others than strangers may be open. One more is told the state, and
        to ask again later.
    strangers: the same for strangers. If it is not given, a small part of the descriptors.
    """

    def __init__(
        self,
        state: str,
        trust: Trust = THIS_MACHINE,
        *,
        live: bool = False,
        limit: int = _MAX_STREAMS,
        strangers: int | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._state = state
        self._trust = trust
        self._limit = limit
        self._strangers_limit = strangers or share_of_descriptors(16, _MAX_STRANGERS)
        self._pattern = _LIVE_REQUEST if live else _REQUEST
        self._size = _LIVE_REQUEST_SIZE if live else _REQUEST_SIZE
        self._open: set[socket.socket] = set()
        self._strangers: set[socket.socket] = set()  # those of the open ones

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
        site, origin, host = map(headers.get, ("sec-fetch-site", "origin", "host"))
        if not found.lastindex and not is_same_origin(site or "", origin, host or ""):
            self._send(connection, _FORBIDDEN)
            self._end(connection)
            return True
        is_trusted = self._is_trusted(headers, client)
        may_stay = self._keep_if_possible(connection, is_trusted=is_trusted)
        if found.lastindex:
            self._send(connection, _SCRIPT_RESPONSE)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        else:
            self._send(connection, self._events(_RETRY if may_stay else _RETRY_WITHOUT_STREAM))
        if not may_stay:
            self._end(connection)
        return True

    def tell_refresh(self, before: str, state: str, paths: Sequence[str]) -> None:
        """Tell the open streams that files have changed, but nothing was reloaded.

        before: the state until now.
        state: that from now on: a page in an earlier state may be outdated.
        paths: the files. When all are style sheets, pages are told their names.
        """
        self._state = state
        names = [quote(os.path.basename(path)) for path in paths]
        styles = names if all(name.endswith(".css") for name in names) else []
        event = f"event: state\ndata: {' '.join([state, before, *styles])}\n\n".encode()
        for connection in self._open:
            self._send(connection, event)

    @property
    def has_listeners(self) -> bool:
        """Whether any page listens."""
        return bool(self._open)

    def close(self) -> None:
        """End the streams: the browsers connect again, and get an answer from the next child."""
        while self._open:
            self._end(next(iter(self._open)))

    def _is_trusted(self, headers: dict[str, str], client: ClientAddress) -> bool:
        address = client[0] if isinstance(client, tuple) else ""
        return self._trust.includes(address, headers.get("host", ""))

    def _keep_if_possible(self, connection: socket.socket, *, is_trusted: bool) -> bool:
        """Keep a connection open, unless the limit for such clients is reached."""
        strangers = len(self._strangers)
        if is_trusted:
            may_stay = len(self._open) - strangers < self._limit
        else:
            may_stay = strangers < self._strangers_limit
        if may_stay:
            self._open.add(connection)
            if not is_trusted:
                self._strangers.add(connection)
            self._loop.add_reader(connection, self._on_bytes, connection)
        return may_stay

    def _events(self, retry: int) -> bytes:
        """Return all that a stream tells.

        retry: milliseconds until the browser connects again after its end.
        """
        event = f"retry: {retry}\nevent: state\ndata: {self._state}\n\n"
        return (_STREAM_HEAD + event).encode()

    def _on_bytes(self, connection: socket.socket) -> None:
        """Close the connection if its client has; what a client sends has no meaning."""
        if receive_now(connection, _MAX_HEAD) == b"":
            self._end(connection)

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        with suppress(OSError):
            connection.send(answer, socket.MSG_DONTWAIT)

    def _end(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        self._strangers.discard(connection)
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
