from __future__ import annotations

from typing import TYPE_CHECKING

from .prices import PRICES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    print("asked for", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(PRICES[environ["PATH_INFO"].strip("/")]).encode()]
