"""What is taken in the app's own loop, and what goes to the acceptor. No thread but the test's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncreload.child.http.asgi_listener import AsgiListener, passing_to
from tests.unit.looping import until

if TYPE_CHECKING:
    from asyncreload.child.http.asgi_responder import AsgiResponder
    from asyncreload.child.sockets import ClientAddress

pytestmark = pytest.mark.asyncio

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n"


class Gate:
    def __init__(self) -> None:
        self.is_fresh = True
        self.asked = 0

    def check(self) -> list[str]:
        raise AssertionError

    async def stale(self, suspects: list[str]) -> bool:
        raise AssertionError

    def is_surely_fresh(self) -> bool:
        self.asked += 1
        return self.is_fresh


class Responder:
    def __init__(self) -> None:
        self.app_loop = asyncio.get_running_loop()
        self.free = 100
        self.started: list[tuple[socket.socket, bool]] = []

    def start_here(self, connection: socket.socket, *, is_all: bool) -> None:
        self.started.append((connection, is_all))


class Bench:
    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.gate, self.responder = Gate(), Responder()
        self.passed: list[socket.socket] = []
        self.clients: list[socket.socket] = []
        self.taken = AsgiListener(
            listener, self.gate, cast("AsgiResponder", self.responder), self._pass
        )

    def _pass(self, connection: socket.socket, client: ClientAddress) -> None:
        assert client
        self.passed.append(connection)

    def ask(self, data: bytes) -> None:
        client = socket.create_connection(self.listener.getsockname())
        client.sendall(data)
        self.clients.append(client)

    async def asks(self, data: bytes) -> None:
        """Ask, and wait until the connection was taken."""
        before = len(self.passed) + len(self.responder.started)
        self.ask(data)
        await until(lambda: len(self.passed) + len(self.responder.started) > before)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        made = Bench(listener)
        yield made
        made.taken.close()
        await asyncio.sleep(0)
        for one in [*made.clients, *made.passed, *(each for each, _ in made.responder.started)]:
            one.close()


async def test_a_whole_request_is_answered_here() -> None:
    async with bench() as b:
        await b.asks(GET)
        await b.asks(GET.replace(b"GET", b"HEAD"))
        assert [is_all for _, is_all in b.responder.started] == [True, True]
        assert (b.gate.asked, b.passed) == (2, [])


@pytest.mark.parametrize(
    "data",
    [
        POST,
        POST.replace(b"Content-Length: 1", b"transfer-encoding:chunked"),
        GET.replace(b"Host", b"Upgrade: websocket\r\nHost"),
        GET.replace(b"Host", b"EXPECT : 100-continue\r\nHost"),
        GET * 2,
        GET * 2 + b"G",
        POST.replace(b"POST", b"DELETE").replace(b"Content-Length: 1", b"X: 1"),
    ],
)
async def test_a_request_with_more_to_come_is_too_but_not_all_is_there(data: bytes) -> None:
    async with bench() as b:
        await b.asks(data)
        assert [is_all for _, is_all in b.responder.started] == [False]


@pytest.mark.parametrize(
    "data", [GET[:-2], b"", GET.replace(b"/", b"/.asyncreload/events", 1), b"x" * 9000]
)
async def test_what_is_not_simple_goes_to_the_acceptor(data: bytes) -> None:
    async with bench() as b:
        await b.asks(data)
        assert b.responder.started == []
        assert (len(b.passed), b.gate.asked) == (1, 0)


async def test_what_arrived_before_files_may_have_changed_goes_to_the_acceptor() -> None:
    async with bench() as b:
        b.gate.is_fresh = False
        await b.asks(GET)
        assert (len(b.passed), b.responder.started) == (1, [])


async def test_the_head_is_read_before_the_look() -> None:
    """A look before the head is whole would say nothing of a save in between."""
    async with bench() as b:
        b.gate.is_fresh = False
        order: list[str] = []
        plain = b.gate.is_surely_fresh

        def is_surely_fresh() -> bool:
            order.append("look")
            return plain()

        b.gate.is_surely_fresh = is_surely_fresh  # type: ignore[method-assign]
        await b.asks(GET[:-2])
        assert order == []


async def test_once_closed_it_takes_nothing() -> None:
    async with bench() as b:
        await b.asks(GET)
        b.taken.close()
        b.ask(GET)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(b.responder.started) == 1
        connection, _ = b.listener.accept()  # it is left for the next process
        connection.close()


async def test_closed_between_the_call_and_the_lock_it_takes_nothing() -> None:
    async with bench() as b:
        await b.asks(GET)
        b.ask(GET)
        b.taken._is_closed = True
        b.taken._on_connections()
        assert len(b.responder.started) == 1


async def test_while_there_is_no_room_connections_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncreload.child.http.asgi_listener.ACCEPTS_AGAIN", 0.001)
    async with bench() as b:
        b.responder.free = 0
        b.ask(GET)
        for _ in range(20):
            await asyncio.sleep(0)
        assert b.responder.started == []
        b.responder.free = 1
        await until(lambda: b.responder.started)


async def test_what_is_passed_is_taken_in_the_other_loop() -> None:
    taken: list[Any] = []
    ours, theirs = socket.socketpair()
    pass_on = passing_to(asyncio.get_running_loop(), lambda *each: taken.append(each))
    pass_on(theirs, "somebody")
    await until(lambda: taken)
    assert taken == [(theirs, "somebody")]
    ended = asyncio.new_event_loop()
    ended.close()
    passing_to(ended, lambda *each: taken.append(each))(theirs, "somebody")
    assert ours.recv(1) == b""
    assert len(taken) == 1
    ours.close()
