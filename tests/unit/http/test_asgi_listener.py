"""Connections are accepted in the app's own loop. No thread but the test's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from asyncreload.child.http.asgi_listener import AsgiListener
from tests.unit.looping import until

if TYPE_CHECKING:
    from asyncreload.child.http.asgi_responder import AsgiResponder
    from asyncreload.sockets import ClientAddress

pytestmark = pytest.mark.asyncio

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Responder:
    def __init__(self) -> None:
        self.app_loop = asyncio.get_running_loop()
        self.free = 100
        self.taken: list[socket.socket] = []
        self.expected = 0
        self.on_take: Callable[[], object] = lambda: None

    def expect(self) -> None:
        self.expected += 1

    def take(self, connection: socket.socket, client: ClientAddress) -> None:
        assert client
        assert self.expected > len(self.taken)  # so it is waited for
        self.on_take()
        self.taken.append(connection)


class Bench:
    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.responder = Responder()
        self.clients: list[socket.socket] = []
        self.made = AsgiListener(listener, cast("AsgiResponder", self.responder))

    @property
    def taken(self) -> int:
        return len(self.responder.taken)

    def ask(self) -> None:
        client = socket.create_connection(self.listener.getsockname())
        client.sendall(GET)
        self.clients.append(client)

    async def asks(self) -> None:
        """Ask, and wait until the connection was taken."""
        before = self.taken
        self.ask()
        await until(lambda: self.taken > before)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        made = Bench(listener)
        yield made
        made.made.close()
        await asyncio.sleep(0)
        for one in [*made.clients, *made.responder.taken]:
            one.close()


async def test_once_closed_it_takes_nothing() -> None:
    async with bench() as b:
        await b.asks()
        b.made.close()
        b.ask()
        for _ in range(10):
            await asyncio.sleep(0)
        assert b.taken == 1
        connection, _ = b.listener.accept()  # it is left for the next process
        connection.close()


async def test_closed_between_the_call_and_the_lock_it_takes_nothing() -> None:
    async with bench() as b:
        await b.asks()
        b.ask()
        b.made._is_closed = True
        b.made._on_connections()
        assert b.taken == 1


async def test_whoever_closes_it_does_not_wait_for_code_of_the_app() -> None:
    """Tasks may begin at once, with `asyncio.eager_task_factory`."""
    async with bench() as b:
        b.responder.on_take = b.made.close
        await b.asks()


async def test_while_there_is_no_room_connections_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncreload.child.http.asgi_listener.ACCEPTS_AGAIN", 0.001)
    async with bench() as b:
        b.responder.free = 0
        b.ask()
        for _ in range(20):
            await asyncio.sleep(0)
        assert b.taken == 0
        b.responder.free = 1
        await until(lambda: b.taken)
