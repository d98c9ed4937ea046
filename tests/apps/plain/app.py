"""Plain WSGI with what a test wants to see: versions, slow and streamed answers, bodies, pids."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import helper  # type: ignore[import-not-found]  # beside this file once it is served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

VERSION = "1"


def index(environ: WSGIEnvironment) -> Iterable[bytes]:
    return [f"app={VERSION} helper={helper.VERSION}".encode()]


def slow(environ: WSGIEnvironment) -> Iterable[bytes]:
    time.sleep(float(query(environ).get("seconds", "1")))
    return index(environ)


def stream(environ: WSGIEnvironment) -> Iterator[bytes]:
    options = query(environ)
    for number in range(int(options.get("blocks", "10"))):
        yield f"block={number} app={VERSION}\n".encode()
        time.sleep(float(options.get("delay", "0.1")))


def echo(environ: WSGIEnvironment) -> Iterable[bytes]:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return [body]


def large(environ: WSGIEnvironment) -> Iterable[bytes]:
    return [b"x" * 1_000_000] * 8  # more than there is room for on its way to a client


def pid(environ: WSGIEnvironment) -> Iterable[bytes]:
    return [str(os.getpid()).encode()]


def lazily(environ: WSGIEnvironment) -> Iterable[bytes]:
    import lazy  # type: ignore[import-not-found]  # noqa: PLC0415  # by a request, on purpose

    return [f"lazy={lazy.VERSION}".encode()]


def query(environ: WSGIEnvironment) -> dict[str, str]:
    return dict(parse_qsl(environ.get("QUERY_STRING", "")))


ROUTES: dict[str, Callable[[WSGIEnvironment], Iterable[bytes]]] = {
    "/": index,
    "/slow": slow,
    "/stream": stream,
    "/echo": echo,
    "/large": large,
    "/pid": pid,
    "/lazy": lazily,
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    handler = ROUTES.get(environ["PATH_INFO"])
    status = "200 OK" if handler else "404 Not Found"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return handler(environ) if handler else [b"no such path"]
