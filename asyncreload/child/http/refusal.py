"""What a client is told whose request breaks the rules of HTTP: a status, and one line of text.

Not by `http.server`, as wsgiref's own server does it: its import takes longer than that of most
apps, and it parses requests less strictly than we do.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from wsgiref.handlers import format_date_time


def refusal(status: HTTPStatus, reason: str) -> bytes:
    """Return the whole response.

    reason: what is wrong with the request, in a few words. It may hold what the client sent.
    """
    body = f"{status.value} {status.phrase}: {reason}\n".encode("utf-8", "backslashreplace")
    head = (
        f"HTTP/1.0 {status.value} {status.phrase}",
        f"Date: {format_date_time(time.time())}",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        "X-Content-Type-Options: nosniff",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
