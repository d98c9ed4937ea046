"""One request and its answer, over a pair of sockets; and apps for that."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.http.wsgi import Site, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    Connect = Callable[[], tuple[socket.socket, socket.socket]]

SITE = Site("localhost", 8000, threads=4)
UNLOGGED = Site("localhost", 8000, threads=1, access_log=False)
CLIENT = ("127.0.0.1", 54321)
DEADLINE = 5.0
NEVER_WAITS = nullcontext()
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def unix_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


@contextmanager
def pair(connect: Connect = unix_pair) -> Iterator[tuple[socket.socket, socket.socket]]:
    browser, server = connect()
    with browser, server:
        browser.settimeout(DEADLINE)
        server.settimeout(DEADLINE)
        yield browser, server


def receive(browser: socket.socket) -> bytes:
    return b"".join(iter(lambda: browser.recv(65536), b""))


@contextmanager
def answering(
    app: WSGIApplication,
    *,
    client: tuple[Any, ...] | str = CLIENT,
    site: Site = SITE,
    connect: Connect = unix_pair,
) -> Iterator[tuple[socket.socket, list[bool]]]:
    """A browser's socket, and the return value once the block is left.

    Until then nobody closes the server's socket, as when a process that the app forked holds it.
    """
    unread: list[bool] = []
    with pair(connect) as (browser, server):

        def run() -> None:
            unread.append(answer(server, client, NEVER_WAITS, app=app, site=site))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield browser, unread
        finally:
            thread.join(2 * DEADLINE)
    assert not thread.is_alive()
    assert len(unread) == 1, "answer() raised"


def exchange(app: WSGIApplication, request: bytes, **options: Any) -> tuple[bytes, bool]:
    with answering(app, **options) as (browser, unread):
        browser.sendall(request)
        reply = receive(browser)
    return reply, unread[0]


def body_of(reply: bytes) -> bytes:
    return reply.partition(b"\r\n\r\n")[2]


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def never(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    pytest.fail("the app was called")


class Keeper:
    """An app that keeps its environ, and what `look` makes of it."""

    def __init__(self, look: Callable[[WSGIEnvironment], Any] = lambda _: None) -> None:
        self.look = look
        self.environ: WSGIEnvironment = {}
        self.seen: Any = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.environ = environ
        self.seen = self.look(environ)
        return hello(environ, start_response)


class Blocks:
    """An iterable that remembers whether it was closed."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.blocks = iter(blocks)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.blocks

    def close(self) -> None:
        self.closed += 1

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self


def read_all(environ: WSGIEnvironment) -> bytes:
    data: bytes = environ["wsgi.input"].read(-1)
    return data


def post(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((b"POST /up HTTP/1.1", b"Host: x", *headers, b"", body))


def chunked(body: bytes) -> bytes:
    return post(body, b"Transfer-Encoding: chunked")
