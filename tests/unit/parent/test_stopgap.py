"""While no process can be started, somebody answers all the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from asyncreload.lobby import Lobby
from asyncreload.parent.stopgap import Stopgap

pytestmark = pytest.mark.asyncio


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setblocking(False)
        yield made


@pytest.fixture
def lobby() -> Iterator[Lobby]:
    one, other = socket.socketpair()
    with one, other:
        yield Lobby(one, other)


@pytest.fixture
def stopgap(listener: socket.socket, lobby: Lobby) -> Stopgap:
    return Stopgap(*(one.fileno() for one in (listener, lobby.entrance, lobby.exit)))


async def ask(listener: socket.socket, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    for part in parts:
        writer.write(part)
        await writer.drain()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_each_request_is_told_why(listener: socket.socket, stopgap: Stopgap) -> None:
    stopgap.open("No such file or directory")
    stopgap.open("again")
    for parts in ([b"GET / HTTP/1.1\r\n\r\n"], [b"GET / HTTP", b"/1.1\r\n", b"\r\n"]):
        head, _, body = (await ask(listener, *parts)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 503 ")
        assert b"\r\nRefresh: 2" in head
        assert body.startswith(b"No process can be started for the app: No such file or directory.")
        assert b"Content-Length: %d\r\n" % len(body) in head
    stopgap.close()


async def test_later_ones_are_left_to_a_process(listener: socket.socket, stopgap: Stopgap) -> None:
    stopgap.open("gone")
    stopgap.close()
    stopgap.close()
    asking = asyncio.create_task(ask(listener, b"GET / HTTP/1.1\r\n\r\n"))
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    with connection:
        connection.sendall(b"the process's")
    assert await asking == b"the process's"


async def test_who_sends_nothing_is_not_answered(listener: socket.socket, stopgap: Stopgap) -> None:
    stopgap.open("gone")
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    stopgap.close()


async def test_who_waits_in_the_lobby_is_answered_too(stopgap: Stopgap, lobby: Lobby) -> None:
    client, server = socket.socketpair()
    with client, server:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        lobby.put([server])
        server.close()
        stopgap.open("gone")
        client.setblocking(False)
        answer = await asyncio.get_running_loop().sock_recv(client, 1000)
    assert answer.startswith(b"HTTP/1.0 503 ")
    stopgap.close()


async def test_without_a_descriptor_requests_wait() -> None:
    stopgap = Stopgap(-1, -1, -1)
    stopgap.open("gone")
    stopgap.close()
