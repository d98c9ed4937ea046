"""A script that serves itself: python app.py PORT."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import asyncreload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

VERSION = "1"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"app={VERSION}".encode()]


asyncreload.run(app, port=int(sys.argv[1]), reload=True)
