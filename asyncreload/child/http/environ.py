"""Makes the WSGI environ of a request: what an app is told of it, as waitress and gunicorn do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from asyncreload.child.http.head_parser import RequestHead, Target
    from asyncreload.sockets import ClientAddress

SERVER_SOFTWARE: Final = "WSGIServer/0.2"
"""As wsgiref's own server calls itself."""
_WITHOUT_PREFIX: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


def make_environ(
    head: RequestHead, target: Target, client: ClientAddress, server: tuple[str, int]
) -> WSGIEnvironment:
    """Return the environ of a request; wsgiref adds `wsgi.input` and its like.

    Values are text that holds bytes: each character is one of Latin-1, as PEP 3333 has it. There is
    no CONTENT_TYPE, CONTENT_LENGTH or HTTP_ variable for a header that the client has not sent.

    server: the host name and the port by which the app is told to name itself.
    """
    address = client if isinstance(client, tuple) else (client,)
    environ: WSGIEnvironment = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": head.version,
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "REMOTE_ADDR": address[0],
        "REMOTE_HOST": address[0],  # its name is not known without asking the DNS
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(target.path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": target.query,
        # The target as it was sent, under the name of waitress and under that of gunicorn.
        "REQUEST_URI": head.target,
        "RAW_URI": head.target,
        "wsgi.input_terminated": True,
    }
    if len(address) > 1:
        environ["REMOTE_PORT"] = str(address[1])
    _add_headers(environ, head)
    if target.host is not None:
        environ["HTTP_HOST"] = target.host  # RFC 9112: it counts in the place of the header
    return environ


def _add_headers(environ: WSGIEnvironment, head: RequestHead) -> None:
    for name, value in head.headers:
        # X_Real_IP would become the same variable as X-Real-IP, which a front server may have set
        # or removed.
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in _WITHOUT_PREFIX:
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
