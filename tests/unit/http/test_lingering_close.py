"""A connection is drained and closed: when its client has closed it, in time, or to make room."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from asyncreload.child.http.lingering_close import LingeringClose
from tests.unit.http.network import DEADLINE, reset_on_close
from tests.unit.looping import until

pytestmark = pytest.mark.asyncio


class Closed:
    """Counts the connections that were closed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def connect() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    """Makes connections, and closes them all: a client's end and the server's."""
    made: list[socket.socket] = []

    def make() -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname(), timeout=DEADLINE)
            made.extend((client, listener.accept()[0]))
        return client, made[-1]

    yield make
    for one in made:
        one.close()


Connect = Callable[[], tuple[socket.socket, socket.socket]]


async def test_a_connection_lingers_until_its_client_has_closed_it(connect: Connect) -> None:
    closed = Closed()
    lingering = LingeringClose(closed)
    client, connection = connect()
    lingering.add(connection)
    client.sendall(b"a" * 100_000)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (len(lingering), closed.count) == (1, 0)
    client.close()
    await until(lambda: closed.count)
    assert (len(lingering), connection.fileno()) == (0, -1)


async def test_all_that_a_client_sends_is_taken(connect: Connect) -> None:
    closed = Closed()
    lingering = LingeringClose(closed)
    client, connection = connect()
    client.setblocking(False)
    lingering.add(connection)
    async with asyncio.timeout(DEADLINE):
        await asyncio.get_running_loop().sock_sendall(client, b"b" * 5_000_000)
    client.close()
    await until(lambda: closed.count)


async def test_a_client_that_resets_the_connection_has_closed_it(connect: Connect) -> None:
    closed = Closed()
    lingering = LingeringClose(closed)
    client, connection = connect()
    lingering.add(connection)
    reset_on_close(client)
    client.close()
    await until(lambda: closed.count)
    assert (len(lingering), connection.fileno()) == (0, -1)


async def test_a_client_that_never_closes_has_a_deadline(connect: Connect) -> None:
    closed = Closed()
    lingering = LingeringClose(closed, seconds=0.001)
    client, connection = connect()
    lingering.add(connection)
    await until(lambda: closed.count)
    assert (len(lingering), connection.fileno()) == (0, -1)
    assert client.recv(1) == b""


async def test_of_too_many_the_one_is_closed_that_has_lingered_longest(connect: Connect) -> None:
    closed = Closed()
    lingering = LingeringClose(closed, limit=2)
    pairs = [connect() for _ in range(3)]
    for _, connection in pairs:
        lingering.add(connection)
    assert (len(lingering), closed.count) == (2, 1)
    assert [connection.fileno() == -1 for _, connection in pairs] == [True, False, False]
    for client, _ in pairs:
        client.close()
    await until(lambda: closed.count == 3)


async def test_a_deadline_ends_with_its_connection(connect: Connect) -> None:
    closed = Closed()
    lingering = LingeringClose(closed, seconds=0.05)
    client, connection = connect()
    lingering.add(connection)
    client.close()
    await until(lambda: closed.count)
    await asyncio.sleep(0.1)
    assert closed.count == 1
