"""A plain WSGI app, nothing to install. Run it: asyncreload examples/hello.py --port 8000."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

# Try this while it runs: change the greeting, save, reload the page. Then delete a quotation mark
# and save: the page says what is wrong. Put it back and save: the greeting is there again.
GREETING = "Hello from WSGI"

PAGE = """<!doctype html>
<html lang="en">
<title>{greeting}</title>
<h1>{greeting}</h1>
<p>Edit <code>hello.py</code>, save it and reload this page.</p>
</html>
"""


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = PAGE.format(greeting=GREETING).encode()
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
