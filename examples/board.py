"""A board of notices, in plain WSGI. Run it: asyncreload examples/board.py --port 8000.

What is sent to it by POST is shown: curl -d "Back at noon" http://127.0.0.1:8000/
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

GREETING = "Notices"

PAGE = """<!doctype html>
<html lang="en">
<title>{greeting}</title>
<h1>{greeting}</h1>
<ul>{notices}</ul>
</html>
"""

notices: list[str] = []


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        length = int(environ.get("CONTENT_LENGTH") or 0)
        notices.append(environ["wsgi.input"].read(length).decode(errors="replace"))
    items = "".join(f"<li>{html.escape(notice)}</li>" for notice in notices)
    body = PAGE.format(greeting=GREETING, notices=items).encode()
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
