"""A script that serves itself and reloads. Run it: python examples/script.py 8000.

Then change the greeting, save, and reload the page.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import asyncreload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

GREETING = "Hello from a script"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [f"<h1>{GREETING}</h1>\n".encode()]


asyncreload.run(app, port=int(sys.argv[1]) if sys.argv[1:] else 8000, reload=True)
