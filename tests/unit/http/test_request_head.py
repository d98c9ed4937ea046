"""Connections wait until the head of their request is there, whatever the client does meanwhile."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from asyncreload.child.http import request_head as module
from asyncreload.child.http.request_head import PendingHeads

pytestmark = pytest.mark.asyncio

DEADLINE = 10.0
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Room:
    """Where connections wait, and what became of them."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.complete: list[socket.socket] = []
        self.flawed: list[tuple[socket.socket, HTTPStatus]] = []
        self.sockets = [self.listener]
        self.wakes = 0

    def open(self) -> PendingHeads:
        waiting = PendingHeads(
            lambda connection, _: self.complete.append(connection),
            lambda *flaw: self.flawed.append(flaw),
        )
        judge = waiting._judge

        def count(*told: Any) -> None:
            self.wakes += 1
            judge(*told)

        watched: Any = waiting
        watched._judge = count
        return waiting

    def pair(self, sent: bytes = b"") -> tuple[socket.socket, socket.socket]:
        client = socket.create_connection(self.listener.getsockname())
        connection, _ = self.listener.accept()
        self.sockets += [client, connection]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(sent)
        return client, connection


@pytest.fixture
def room() -> Iterator[Room]:
    found = Room()
    yield found
    for one in found.sockets:
        one.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "head",
    [HEAD, HEAD.replace(b"\r\n", b"\n"), b"POST / HTTP/1.1\r\n\n" + b"body" * 9999, b"\r\n" + HEAD],
    ids=["usual", "bare line ends", "mixed, with a body", "empty line first"],
)
async def test_a_head_that_is_there_is_not_waited_for(room: Room, head: bytes) -> None:
    waiting = room.open()
    assert waiting.has_come(room.pair(head)[1], "")
    assert len(waiting) == 0


@pytest.mark.parametrize("size", [8000, 8192, 8193, 50_000])
async def test_a_long_head_that_is_there_is_found(room: Room, size: int) -> None:
    waiting = room.open()
    head = HEAD.replace(b"localhost", b"l" * (size - len(HEAD) + 9))
    assert len(head) == size
    _, connection = room.pair(head)
    if not waiting.has_come(connection, ""):  # the kernel delivers it in parts
        await until(lambda: room.complete)
    assert connection.recv(size, socket.MSG_WAITALL) == head


async def test_a_head_may_come_byte_by_byte_and_is_left_to_who_answers(room: Room) -> None:
    waiting = room.open()
    client, connection = room.pair()
    assert not waiting.has_come(connection, "")
    for number in range(len(HEAD)):
        assert room.complete == []
        client.sendall(HEAD[number : number + 1])
        wakes = room.wakes
        await until(lambda wakes=wakes: room.wakes > wakes or room.complete)  # type: ignore[misc]
    await until(lambda: room.complete)
    assert room.complete == [connection]
    assert len(waiting) == 0
    assert connection.recv(1) == b"G"  # and the low-water mark is what it was


async def test_bytes_that_were_seen_do_not_wake_the_loop(room: Room) -> None:
    waiting = room.open()
    _, connection = room.pair(HEAD[:10])
    waiting.has_come(connection, "")
    await until(lambda: room.wakes)
    for _ in range(100):
        await asyncio.sleep(0)
    assert room.wakes == 1
    waiting.leave()


async def test_a_head_that_takes_too_long_is_refused(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    waiting = room.open()
    _, idle = room.pair()
    _, slow = room.pair(HEAD[:-1])
    assert not waiting.has_come(idle, "")
    assert not waiting.has_come(slow, "")
    await until(lambda: room.flawed)
    assert room.flawed == [(slow, HTTPStatus.REQUEST_TIMEOUT)]
    assert waiting.leave() == [idle]  # without a byte, there is no hurry


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_head_that_is_too_long_is_refused(room: Room, *, at_once: bool) -> None:
    waiting = room.open()
    client, connection = room.pair()
    if at_once:
        client.sendall(b"G" * module._LONGEST)
    assert not waiting.has_come(connection, "")
    if not at_once:
        client.sendall(b"G" * module._LONGEST)
    await until(lambda: room.flawed)
    assert room.flawed == [(connection, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)]


@pytest.mark.parametrize("early", [True, False])
async def test_a_client_that_half_closes_inside_the_head_is_refused(
    room: Room, *, early: bool
) -> None:
    waiting = room.open()
    client, connection = room.pair(HEAD[:10])
    if early:
        client.shutdown(socket.SHUT_WR)
    assert not waiting.has_come(connection, "")
    if not early:
        client.shutdown(socket.SHUT_WR)
    await until(lambda: room.flawed)
    assert room.flawed == [(connection, HTTPStatus.BAD_REQUEST)]


async def test_urgent_bytes_do_not_keep_the_loop_busy(room: Room) -> None:
    """They stop a look at what is behind them, though it counts as readable."""
    waiting = room.open()
    client, connection = room.pair(b"G")
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"ET / HTTP/1.1\r\n")
    waiting.has_come(connection, "")
    await until(lambda: room.flawed)
    assert len(waiting) == 0


async def test_the_oldest_makes_room(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (5, 5))
    waiting = room.open()
    connections = [room.pair()[1] for _ in range(4)]
    for connection in connections:
        waiting.has_come(connection, "")
    assert [one.fileno() == -1 for one in connections] == [True, True, False, False]
    assert waiting.leave() == connections[2:]


async def test_without_a_limit_of_descriptors_there_is_one_all_the_same(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    waiting = room.open()
    assert not waiting.has_come(room.pair()[1], "")
    assert waiting._most == module._MOST
    assert len(waiting.leave()) == 1


async def test_who_leaves_with_half_a_head_completes_it_elsewhere(room: Room) -> None:
    first, second = room.open(), room.open()
    client, connection = room.pair(HEAD[:10])
    first.has_come(connection, "")
    assert first.leave() == [connection]
    client.sendall(HEAD[10:20])
    if not second.has_come(connection, ""):
        client.sendall(HEAD[20:])
    await until(lambda: room.complete)
    assert connection.recv(1000) == HEAD
    assert len(first) == len(second) == 0
