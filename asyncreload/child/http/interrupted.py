"""The answer to a request that was interrupted, as it held up a reload or the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

STATUS: Final = "503 Service Unavailable"
TEXT: Final = b"Interrupted by a reload, or by the end of the server. Please ask again."
RESPONSE: Final = (
    f"HTTP/1.0 {STATUS}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    f"Content-Length: {len(TEXT)}\r\n\r\n"
).encode() + TEXT
"""The same as bytes, for a request whose thread has no more time to answer."""


def interrupted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer, as a WSGI app."""
    del environ
    start_response(STATUS, [("Content-Type", "text/plain"), ("Content-Length", str(len(TEXT)))])
    return [TEXT]
