"""Connections answered by an ASGI app through uvicorn's real protocol, over real sockets.

The app's loop is here the side thread's, too, but where a test says otherwise.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncreload.child.http import asgi_responder
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.http.asgi_responder import AsgiResponder, _uvicorn
from asyncreload.child.http.refusal import RefusedRequestError
from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.wsgi import Site
from asyncreload.child.imports.interface import AsgiApp
from tests.unit.http.exchange import body_of, tcp_pair, unix_pair
from tests.unit.http.network import iterate
from tests.unit.looping import DEADLINE, until

if TYPE_CHECKING:
    from asyncreload.child.imports.interface import Message, Receive, Scope, Send
    from asyncreload.sockets import ClientAddress
    from tests.unit.http.exchange import Connect

pytestmark = pytest.mark.asyncio

pytest.importorskip("uvicorn")

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SITE = Site("localhost", 8000, threads=4, access_log=False)
TEXT = [(b"content-type", b"text/plain")]
STREAM = [(b"content-type", b"text/event-stream")]
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GOING_AWAY = b"\x88\x02\x03\xf4"
"""The frame that closes a WebSocket with 1012."""


PROTOCOLS = [("h11", "websockets"), ("httptools", "websockets"), ("h11", "wsproto")]
"""uvicorn's, for HTTP and for WebSockets, by what they are made of. It takes what is installed."""


@pytest.fixture(autouse=True, params=PROTOCOLS, ids="+".join)
def protocols(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Have each pair of protocols in turn be the one that uvicorn takes."""
    config = importlib.import_module("uvicorn.config")
    http, websocket = request.param
    for name in request.param:
        pytest.importorskip(name)
    monkeypatch.setitem(config.HTTP_PROTOCOLS, "auto", config.HTTP_PROTOCOLS[http])
    if websocket == "wsproto":  # else the one for the package, of which there are several
        monkeypatch.setitem(config.WS_PROTOCOLS, "auto", config.WS_PROTOCOLS[websocket])
    return http, websocket


async def test_each_pair_of_protocols_is_used(protocols: tuple[str, str]) -> None:
    config, _ = _uvicorn(cast("AppLoop", SimpleNamespace(app=AsgiApp(App()))))
    used = config.http_protocol_class, config.ws_protocol_class
    for protocol, name in zip(used, protocols, strict=True):
        assert f".{name}_" in protocol.__module__


def start(status: int = 200, headers: Any = TEXT) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


class App:
    """Answers by its path; tells what it is asked for, and what it receives."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.received: list[str] = []
        self.scopes: list[Scope] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.may_end = asyncio.Event()
        self.threads: set[int] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        self.scopes.append(scope)
        self.threads.add(threading.get_ident())
        await self.may_answer.wait()
        await getattr(self, scope["path"].strip("/") or "hello")(receive, send)

    async def _hear(self, receive: Receive) -> None:
        self.received.append((await receive())["type"])

    async def hello(self, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"hello"))

    async def background(self, receive: Receive, send: Send) -> None:
        await self.hello(receive, send)
        await self.may_end.wait()

    async def long(self, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"hel", more=True))
        await self.may_end.wait()
        await send(body(b"lo"))

    async def stream(self, receive: Receive, send: Send) -> None:
        await self._hear(receive)  # the request
        await send(start(headers=STREAM))
        await self._hear(receive)

    async def ws(self, receive: Receive, send: Send) -> None:
        await self._hear(receive)  # connect
        await send({"type": "websocket.accept"})
        await self._hear(receive)

    async def short(self, receive: Receive, send: Send) -> None:
        await send(start(headers=[(b"content-length", b"9")]))
        await send(body(b"a"))

    async def broken(self, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more=True))
        raise ZeroDivisionError

    async def nothing(self, receive: Receive, send: Send) -> None: ...


class StandIn:
    """As `AppLoop`, in the loop that runs."""

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop) -> None:
        self.app = AsgiApp(app)
        self.loop = loop
        self.lifespan_state = {"key": "value"}


class Gate:
    def __init__(self) -> None:
        self.is_fresh = True
        self.looks = 0

    def check(self) -> list[str]:
        raise AssertionError

    async def stale(self, suspects: list[str]) -> bool:
        raise AssertionError

    def is_surely_fresh(self) -> bool:
        self.looks += 1
        return self.is_fresh


class Served:
    """A responder, its app, and its clients; and what goes to the acceptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.app = App()
        self.freed = 0
        self.gate = Gate()
        self.passed: list[socket.socket] = []
        self.clients: list[socket.socket] = []
        app_loop = cast("AppLoop", StandIn(self.app, loop))
        errors = RequestErrors("", live=False)
        self.responder = AsgiResponder(
            app_loop, lambda: (SITE, errors), self.gate, self._pass_on, self._on_free
        )

    def _pass_on(self, connection: socket.socket, client: ClientAddress) -> None:
        assert client == "somebody"
        assert connection.getblocking()
        self.passed.append(connection)

    def _on_free(self) -> None:
        self.freed += 1

    def accept(self, request: bytes, connect: Connect = tcp_pair) -> socket.socket:
        """Take an accepted connection, as the listener does."""
        client, connection = connect()
        self.clients.append(client)
        client.setblocking(False)
        client.send(request)
        self.responder.expect()
        self.responder.take(connection, "somebody")
        return client

    async def answer_of_many(self, client: socket.socket) -> bytes:
        """The next answer of a connection that may be kept; b"" at its end."""
        received = b""
        async with asyncio.timeout(DEADLINE):
            while not received.endswith(b"lo\r\n0\r\n\r\n"):
                data = await asyncio.get_running_loop().sock_recv(client, 65536)
                if not data:
                    break
                received += data
        return received

    def ask(self, request: bytes = GET, connect: Connect = unix_pair) -> socket.socket:
        client, connection = connect()
        self.clients.append(client)
        client.setblocking(False)
        client.send(request)
        assert self.responder.start(connection, "somebody")
        return client

    async def answer(self, client: socket.socket) -> bytes:
        """What the client receives until the end of the connection."""
        received = b""
        async with asyncio.timeout(DEADLINE):
            while data := await asyncio.get_running_loop().sock_recv(client, 65536):
                received += data
        return received

    async def quiet(self) -> None:
        await until(lambda: not self.responder.busy)


@asynccontextmanager
async def serving(app_loop: asyncio.AbstractEventLoop | None = None) -> AsyncIterator[Served]:
    """Asserts that no callback of the loop has raised."""
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    served = Served(app_loop or loop)
    try:
        yield served
    finally:
        for one in [*served.clients, *served.passed]:
            one.close()
        await served.quiet()
        await until(lambda: not served.responder._open)
    assert failures == []
    assert not served.responder._open


def path(name: str, version: str = "1.1") -> bytes:
    return f"GET /{name} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def kept(name: str = "", body: bytes = b"") -> bytes:
    """A request that another one may follow on its connection."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"POST /%b HTTP/1.1\r\nHost: x\r\n%b\r\n%b" % (name.encode(), length, body)


# One request


async def test_a_request_is_answered() -> None:
    async with serving() as served:
        client = served.ask()
        assert served.app.begun == []
        assert served.responder.busy == 1
        reply = await served.answer(client)
        head = reply.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        assert head[0] == b"http/1.1 200 ok"
        assert head.count(b"connection: close") == 1
        assert head.count(b"server: uvicorn") == 1
        assert sum(line.startswith(b"date: ") for line in head) == 1
        assert b"hello" in body_of(reply)
        await served.quiet()
        assert served.app.scopes[0]["state"] == {"key": "value"}


@pytest.mark.parametrize("connect", [unix_pair, tcp_pair])
async def test_a_second_request_behind_the_first_is_not_answered(connect: Connect) -> None:
    async with serving() as served:
        client = served.ask(GET + path("second"), connect)
        reply = await served.answer(client)
        assert reply.count(b"HTTP/1.1") == 1
        assert served.app.begun == ["/"]


async def test_a_request_that_cannot_be_parsed() -> None:
    async with serving() as served:
        reply = await served.answer(served.ask(b"nonsense\r\n\r\n"))
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert served.app.begun == []


async def test_an_answer_by_uvicorn_itself() -> None:
    async with serving() as served:
        reply = await served.answer(served.ask(path("nothing")))
        assert reply.startswith(b"HTTP/1.1 500 ")


async def test_a_client_that_is_gone() -> None:
    async with serving() as served:
        served.app.may_answer.clear()
        client = served.ask()
        await until(lambda: served.app.begun)
        client.close()
        await iterate()
        served.app.may_answer.set()
        await served.quiet()


# Another request on the same connection


async def test_a_connection_is_kept() -> None:
    async with serving() as served:
        client = served.accept(kept())
        for number in range(1, 4):
            assert b"connection" not in (await served.answer_of_many(client)).lower()
            await until(lambda: len(served.responder._kept) == 1)
            assert (served.responder.busy, served.responder.free) == (
                0,
                served.responder._limit - 1,
            )
            assert served.gate.looks == number
            client.send(kept(body=b"body"))
        await until(lambda: len(served.app.begun) == 4)
        assert served.passed == []


async def test_requests_that_come_together_are_looked_at_one_by_one() -> None:
    async with serving() as served:
        client = served.accept(kept(body=b"first") + kept() + kept(body=b"x" * 1000) + GET)
        received = await served.answer(client)
        assert received.count(b"HTTP/1.1 200 OK") == 4
        assert (served.gate.looks, served.passed) == (4, [])


@pytest.mark.parametrize(
    "request_", [kept()[:-2], kept(".asyncreload/events"), kept("x" * 9000)], ids=len
)
async def test_what_is_not_simple_goes_to_the_acceptor(request_: bytes) -> None:
    async with serving() as served:
        served.accept(request_)
        client = served.accept(kept())
        await served.answer_of_many(client)
        client.send(request_)
        await until(lambda: len(served.passed) == 2)
        for connection in served.passed:
            assert connection.recv(10_000) == request_
        assert served.responder.free == served.responder._limit
        assert served.gate.looks == 1


async def test_what_arrived_before_files_may_have_changed_goes_to_the_acceptor() -> None:
    async with serving() as served:
        client = served.accept(kept() + kept(body=b"next"))
        served.gate.is_fresh = False
        served.accept(GET)
        [new] = served.passed
        assert new.recv(1000) == GET
        await served.answer_of_many(client)
        await until(lambda: len(served.passed) == 2)
        assert served.passed[1].recv(1000) == kept(body=b"next")
        assert len(served.app.begun) == 1


async def test_files_are_looked_at_when_the_head_is_there() -> None:
    """A look before that would say nothing of a save in between."""
    async with serving() as served:
        client = served.accept(kept())
        await served.answer_of_many(client)
        await iterate()
        assert served.gate.looks == 1
        client.send(kept())
        await served.answer_of_many(client)
        assert served.gate.looks == 2


async def test_a_client_that_closes_a_kept_connection() -> None:
    async with serving() as served:
        client = served.accept(kept())
        await served.answer_of_many(client)
        client.close()
        await until(lambda: not served.responder._open)
        assert served.passed == []
        assert served.responder.free == served.responder._limit


@pytest.mark.parametrize(
    "request_",
    [
        kept().replace(b"Host", b"Transfer-Encoding: chunked\r\nHost") + b"0\r\n\r\n",
        kept().replace(b"Host", b"Upgrade: h2c\r\nHost"),
        kept().replace(b"1.1", b"1.0"),
        GET,
    ],
)
async def test_a_request_whose_end_is_not_told_plainly_is_the_last(request_: bytes) -> None:
    async with serving() as served:
        received = await served.answer(served.accept(request_ + kept()))
        assert received.count(b"HTTP/1.1") == 1
        assert b"connection: close" in received.lower()


async def test_a_body_that_was_not_read_is_the_last() -> None:
    async with serving() as served:
        whole = kept(body=b"x" * 1_000_000)
        received = await served.answer(served.accept(whole[:1000]))
        assert b"connection: close" in received


async def test_so_many_are_kept_and_no_more() -> None:
    async with serving() as served:
        served.responder._limit = 4
        for _ in range(2):
            await served.answer_of_many(served.accept(kept()))
            await iterate()
        assert len(served.responder._kept) == 2
        assert b"connection: close" in await served.answer(served.accept(kept()))


async def a_kept_client(served: Served) -> socket.socket:
    """Return a client that was answered once, and whose connection is kept."""
    client = served.accept(kept())
    await served.answer_of_many(client)
    await until(lambda: len(served.responder._kept) == 1)
    return client


async def test_kept_connections_close_in_time() -> None:
    async with serving() as served:
        served.responder._config.timeout_keep_alive = 0.01
        client = served.accept(kept())
        assert await served.answer_of_many(client)
        assert await served.answer_of_many(client) == b""


async def test_a_request_that_comes_as_the_time_is_over_is_answered() -> None:
    async with serving() as served:
        client = await a_kept_client(served)
        [connection] = served.responder._open
        client.send(kept())
        connection.close()  # as by the protocol's timer
        assert await served.answer_of_many(client)


async def test_at_the_end_kept_connections_are_returned() -> None:
    async with serving() as served:
        client = await a_kept_client(served)
        [ours] = served.responder.end_early()
        client.send(b"next")
        with ours:
            await iterate()
            assert not served.responder._open
            assert served.responder.free == served.responder._limit
            assert ours.recv(10) == b"next"
            ours.send(b"later")
            assert (await asyncio.get_running_loop().sock_recv(client, 10)) == b"later"


async def test_a_request_that_comes_as_a_kept_connection_is_returned_is_left_to_others() -> None:
    """The app's loop hears of it before it hears that the connection is somebody else's."""
    async with serving() as served:
        client = await a_kept_client(served)
        [connection] = served.responder._open
        client.send(kept())
        [(ours, address)] = served.responder.end_keeping()
        with ours:
            served.responder.on_next(connection)
            await iterate()
            assert ours.recv(1000) == kept()
            assert address == "somebody"
            assert len(served.app.begun) == 1


async def test_no_descriptor_is_left_for_a_kept_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object) -> socket.socket:
        raise OSError

    async with serving() as served:
        client = await a_kept_client(served)
        monkeypatch.setattr(socket.socket, "dup", fail)
        assert served.responder.end_keeping() == []
        assert await served.answer_of_many(client) == b""


async def test_at_the_end_a_connection_is_passed_on_when_its_response_is_delivered() -> None:
    async with serving() as served:
        client = served.accept(kept("long") + kept())
        await until(lambda: served.app.begun)
        served.responder.end_early()
        await iterate()
        assert served.passed == []
        served.app.may_end.set()
        received = await served.answer_of_many(client)
        assert b"connection: close" not in received
        await until(lambda: served.passed)
        assert served.passed[0].recv(1000) == kept()
        assert served.responder.busy == 0


async def test_a_kept_connection_holds_nothing_up() -> None:
    async with serving() as served:
        client = served.accept(kept())
        waiting = asyncio.create_task(served.responder.quiet(3 * DEADLINE))
        await served.answer_of_many(client)
        await until(waiting.done)


# Cut off


async def test_an_answer_that_is_too_short_ends() -> None:
    """Its client would wait for the rest."""
    async with serving() as served:
        assert body_of(await served.answer(served.ask(path("short")))) in {b"", b"a"}


async def test_an_answer_that_is_not_delimited_is_reset() -> None:
    async with serving() as served:
        client = served.ask(path("broken", "1.0"), tcp_pair)
        with pytest.raises(ConnectionResetError):
            await served.answer(client)
        await served.quiet()


async def test_http_1_0_gets_no_chunks() -> None:
    async with serving() as served:
        reply = await served.answer(served.ask(path("hello", "1.0")))
        assert b"transfer-encoding" not in reply.lower()
        assert body_of(reply) == b"hello"


async def test_an_answer_in_chunks_is_not_reset() -> None:
    async with serving() as served:
        reply = await served.answer(served.ask(path("broken"), tcp_pair))
        assert body_of(reply) == b"1\r\na\r\n"  # and no chunk of length 0


# How many


async def test_connections_are_counted() -> None:
    async with serving() as served:
        responder = served.responder
        responder._limit = 2
        served.app.may_answer.clear()
        assert (responder.free, responder.busy) == (2, 0)
        clients = [served.ask(), served.ask()]
        assert (responder.free, responder.busy) == (0, 2)
        await until(lambda: len(served.app.begun) == 2)
        await iterate()
        assert served.freed == 0
        served.app.may_answer.set()
        for client in clients:
            await served.answer(client)
        await served.quiet()
        await iterate()
        assert (responder.free, served.freed) == (2, 1)  # it was full once


async def test_more_connections_than_are_free() -> None:
    """As when connections of the lobby come beside accepted ones."""
    async with serving() as served:
        served.responder._limit = 1
        clients = [served.ask(), served.ask()]
        assert served.responder.free == -1
        for client in clients:
            await served.answer(client)
        await until(lambda: served.freed == 2)


async def test_a_connection_that_comes_while_another_ends() -> None:
    """It makes all full in the other thread, which must be told when they are not any more."""
    async with serving() as served:
        responder = served.responder
        responder._limit = 2

        class Lock:
            def __enter__(self) -> None:
                responder._count += 1
                responder._lock = threading.Lock()

            def __exit__(self, *_: object) -> None: ...

        client = served.ask()
        responder._lock = cast("Any", Lock())
        await served.answer(client)
        await until(lambda: served.freed)
        responder._count -= 1


# The end


async def test_a_response_goes_on_at_the_end() -> None:
    async with serving() as served:
        served.app.may_answer.clear()
        client = served.ask()
        await until(lambda: served.app.begun)
        assert served.responder.end_early() == []
        await iterate()
        served.app.may_answer.set()
        assert b"hello" in await served.answer(client)


async def test_connections_are_returned_that_the_app_does_not_know() -> None:
    async with serving() as served:
        client = served.ask()
        [untouched] = served.responder.end_early()
        with untouched:
            assert served.responder.busy == 0
            await iterate()
            assert served.app.begun == []
            assert untouched.recv(1000) == GET  # the next process reads it whole
            untouched.send(b"later")
            assert client.recv(10) == b"later"


async def test_a_stream_ends_early() -> None:
    async with serving() as served:
        client = served.ask(path("stream"))
        await until(lambda: len(served.app.received) == 1)
        await iterate()
        served.responder.end_early()
        reply = await served.answer(client)
        assert reply.startswith(b"HTTP/1.1 200 ")
        await until(lambda: served.app.received == ["http.request", "http.disconnect"])


async def test_a_stream_that_begins_at_the_end() -> None:
    async with serving() as served:
        served.app.may_answer.clear()
        client = served.ask(path("stream"))
        await until(lambda: served.app.begun)
        served.responder.end_early()
        await iterate()
        served.app.may_answer.set()
        assert (await served.answer(client)).startswith(b"HTTP/1.1 200 ")
        await until(lambda: served.app.received == ["http.request", "http.disconnect"])


async def websocket_end(served: Served, client: socket.socket) -> None:
    """Read what a WebSocket's client gets, and close it as a client does."""
    received = b""
    async with asyncio.timeout(DEADLINE):
        while not received.endswith(GOING_AWAY):
            more = await asyncio.get_running_loop().sock_recv(client, 65536)
            assert more, received
            received += more
    head = received.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"connection: close" not in head.lower()
    await until(lambda: served.app.received == ["websocket.connect", "websocket.disconnect"])
    client.close()


async def test_a_websocket_ends_early() -> None:
    async with serving() as served:
        client = served.ask(UPGRADE)
        await until(lambda: len(served.app.received) == 1)
        await iterate()
        served.responder.end_early()
        await websocket_end(served, client)


async def test_a_websocket_that_begins_at_the_end() -> None:
    async with serving() as served:
        served.app.may_answer.clear()
        client = served.ask(UPGRADE)
        await until(lambda: served.app.begun)
        served.responder.end_early()
        await iterate()
        served.app.may_answer.set()
        await websocket_end(served, client)


async def test_a_connection_that_is_being_handed_over_at_the_end() -> None:
    """It was taken, and is not open yet: what it begins ends early all the same."""
    async with serving() as served:
        responder = served.responder
        client = served.ask(path("stream"))
        taken = responder._handed_over.popleft()  # as by `_take_over`, in the app's thread
        assert responder.end_early() == []
        responder._handed_over.append(taken)
        responder._take_over()
        assert (await served.answer(client)).startswith(b"HTTP/1.1 200 ")


async def test_a_websocket_among_other_requests() -> None:
    """Its protocol is made when its handshake is complete: it must not be taken for another's."""
    async with serving() as served:
        client = served.ask(UPGRADE[:-2])
        await iterate()
        assert b"hello" in await served.answer(served.ask())
        client.send(UPGRADE[-2:])
        await until(lambda: len(served.app.received) == 1)
        await iterate()
        served.responder.end_early()
        await websocket_end(served, client)


async def test_what_runs_behind_a_response_is_waited_for() -> None:
    async with serving() as served:
        assert b"hello" in await served.answer(served.ask(path("background")))
        await until(lambda: served.responder.free == served.responder._limit)
        waiting = asyncio.create_task(served.responder.quiet(3 * DEADLINE))
        await iterate()
        assert served.responder.busy == 1
        assert not waiting.done()
        served.app.may_end.set()
        await waiting
        assert served.responder.busy == 0


async def test_a_fork_sends_nothing_and_ends_when_its_step_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What happens in a fork, here in this process."""
    ended: list[object] = []
    monkeypatch.setattr(asgi_responder, "end_if_forked", ended.append)
    async with serving() as served:
        served.app.may_answer.clear()
        client = served.ask()
        await until(lambda: served.app.begun)
        asyncio.get_running_loop().call_soon(ended.append, "what was ready")
        served.responder._on_fork()
        await asyncio.sleep(0)
        assert ended == [os.getpid(), "what was ready"]
        served.app.may_answer.set()
        await iterate()
        with pytest.raises(BlockingIOError):
            client.recv(1)
        [connection] = served.responder._open
        served.responder.on_lost(connection)


async def test_waiting_until_all_is_answered() -> None:
    async with serving() as served:
        served.app.may_answer.clear()
        client = served.ask()
        await served.responder.quiet(0.001)
        assert served.responder.busy == 1
        await served.responder.answered(0.001)
        waiting = asyncio.create_task(served.responder.quiet(3 * DEADLINE))
        await until(lambda: served.app.begun)
        await iterate()
        assert not waiting.done()
        served.app.may_answer.set()
        await served.answer(client)
        await until(waiting.done)
        assert served.responder.busy == 0


async def test_what_is_not_read_is_read_before_the_end() -> None:
    """Else the connection would be reset, and the answer lost."""
    async with serving() as served:
        length = 1_000_000
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length
        client = served.ask(head, tcp_pair)
        sent = 0
        served.app.may_answer.clear()
        await until(lambda: served.app.begun)
        while sent < length:
            try:
                sent += client.send(bytes(length - sent))
            except BlockingIOError:
                break  # both buffers are full: the app reads nothing
            await iterate(5)
        served.app.may_answer.set()
        assert b"hello" in await served.answer(client)
        await until(lambda: len(served.responder._lingering))
        assert served.responder.busy == 1
        waiting = asyncio.create_task(served.responder.quiet(3 * DEADLINE))
        await iterate()
        assert not waiting.done()
        client.close()
        await until(waiting.done)


async def test_what_is_still_to_come_is_read_before_the_end() -> None:
    """Nothing of it has arrived when the answer is complete."""
    async with serving() as served:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        client = served.ask(head, tcp_pair)
        assert b"hello" in await served.answer(client)
        await until(lambda: len(served.responder._lingering))
        client.send(b"x" * 5)
        await iterate()
        client.send(b"x" * 5)  # it is not told that nobody reads
        assert len(served.responder._lingering) == 1


async def test_a_refusal() -> None:
    async with serving() as served:
        client, connection = unix_pair()
        served.clients.append(client)
        client.setblocking(False)
        served.responder.refuse(connection, RefusedRequestError(HTTPStatus.BAD_REQUEST, "no"))
        assert served.responder.busy == 1
        answer = await served.answer(client)
        assert answer.startswith(b"HTTP/1.0 400 ")
        assert answer.endswith(b"\r\n\r\n400 Bad Request: no\n")
        assert served.app.begun == []


# Two loops


async def test_the_app_runs_in_its_own_loop() -> None:
    app_loop = asyncio.new_event_loop()
    thread = threading.Thread(target=app_loop.run_forever)
    thread.start()
    try:
        async with serving(app_loop) as served:
            served.responder._limit = 4
            for _ in range(3):
                clients = [served.ask() for _ in range(4)]
                for client in clients:
                    assert b"hello" in await served.answer(client)
                await served.responder.quiet(DEADLINE)
                assert served.responder.busy == 0
            assert served.app.threads == {thread.ident}
    finally:
        app_loop.call_soon_threadsafe(app_loop.stop)
        thread.join(DEADLINE)
        app_loop.close()


async def test_a_loop_that_is_closed() -> None:
    app_loop = asyncio.new_event_loop()
    served = Served(app_loop)
    app_loop.close()
    client = served.ask()
    with client, served.responder.end_early()[0]:
        assert served.responder.busy == 0
