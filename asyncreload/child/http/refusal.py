"""What a client is told whose request breaks the rules of HTTP: a status, and one line of text.

Not by `http.server`, as wsgiref's own server does it: its import takes longer than that of most
apps, and it parses requests less strictly than we do.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from http import HTTPStatus
from wsgiref.handlers import format_date_time


class RefusedRequestError(ValueError):
    """A request breaks the rules of HTTP: it is answered with `status`, without the app.

    reason: what is wrong with the request, in a few words. It may hold what the client sent.
    """

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def refuse(connection: socket.socket, error: RefusedRequestError) -> None:
    """Send the whole response, without waiting for the client, and nothing after it."""
    with suppress(OSError):
        connection.send(refusal(error), socket.MSG_DONTWAIT)
        connection.shutdown(socket.SHUT_WR)


def refusal(error: RefusedRequestError) -> bytes:
    """Return the whole response."""
    status = error.status
    body = f"{status.value} {status.phrase}: {error}\n".encode("utf-8", "backslashreplace")
    head = (
        f"HTTP/1.0 {status.value} {status.phrase}",
        f"Date: {format_date_time(time.time())}",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        "X-Content-Type-Options: nosniff",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
