"""Connections wait until the head of their request is there, whatever the client does meanwhile."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest

from asyncreload.child.http import request_head as module
from asyncreload.child.http.request_head import PendingHeads
from tests.unit.looping import until

pytestmark = pytest.mark.asyncio

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


HELLO_OF_TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


class Room:
    """Where connections wait, and what became of them."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.complete: list[socket.socket] = []
        self.refused: list[tuple[socket.socket, HTTPStatus]] = []
        self.sockets = [self.listener]
        self.wakes = 0

    def open(self, **options: Any) -> PendingHeads:
        pending = PendingHeads(
            lambda connection, _: self.complete.append(connection),
            lambda connection, error: self.refused.append((connection, error.status)),
            **options,
        )
        wait_or_refuse = pending._wait_or_refuse

        def count(*told: Any) -> None:
            self.wakes += 1
            wait_or_refuse(*told)

        watched: Any = pending
        watched._wait_or_refuse = count
        return pending

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


@pytest.mark.parametrize(
    "head",
    [HEAD, HEAD.replace(b"\r\n", b"\n"), b"POST / HTTP/1.1\r\n\n" + b"body" * 9999, b"\r\n" + HEAD],
    ids=["usual", "bare line ends", "mixed, with a body", "empty line first"],
)
async def test_a_head_that_is_there_is_not_waited_for(room: Room, head: bytes) -> None:
    pending = room.open()
    assert not pending.hold_if_incomplete(room.pair(head)[1], "")
    assert len(pending) == 0


@pytest.mark.parametrize("size", [8000, 8192, 8193, 50_000])
async def test_a_long_head_that_is_there_is_found(room: Room, size: int) -> None:
    pending = room.open()
    head = HEAD.replace(b"localhost", b"l" * (size - len(HEAD) + 9))
    assert len(head) == size
    _, connection = room.pair(head)
    if pending.hold_if_incomplete(connection, ""):  # the kernel delivers it in parts
        await until(lambda: room.complete)
    assert connection.recv(size, socket.MSG_WAITALL) == head


async def test_a_head_may_come_byte_by_byte_and_is_left_to_who_answers(room: Room) -> None:
    pending = room.open()
    client, connection = room.pair()
    assert pending.hold_if_incomplete(connection, "")
    for number in range(len(HEAD)):
        assert room.complete == []
        client.sendall(HEAD[number : number + 1])
        wakes = room.wakes
        await until(lambda wakes=wakes: room.wakes > wakes or room.complete)  # type: ignore[misc]
    await until(lambda: room.complete)
    assert room.complete == [connection]
    assert len(pending) == 0
    assert connection.recv(1) == b"G"  # and the low-water mark is what it was


async def test_bytes_that_were_seen_do_not_wake_the_loop(room: Room) -> None:
    pending = room.open()
    _, connection = room.pair(HEAD[:10])
    pending.hold_if_incomplete(connection, "")
    await until(lambda: room.wakes)
    for _ in range(100):
        await asyncio.sleep(0)
    assert room.wakes == 1
    pending.release_all()


async def test_a_head_that_takes_too_long_is_refused(room: Room) -> None:
    pending = room.open(timeout=0.01)
    _, idle = room.pair()
    _, slow = room.pair(HEAD[:-1])
    assert pending.hold_if_incomplete(idle, "")
    assert pending.hold_if_incomplete(slow, "")
    await until(lambda: room.refused)
    assert room.refused == [(slow, HTTPStatus.REQUEST_TIMEOUT)]
    assert pending.release_all() == [idle]  # without a byte, there is no hurry


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_is_no_http_is_refused_at_its_first_byte(room: Room, *, at_once: bool) -> None:
    """A browser that was told https:// begins so, and waits."""
    pending = room.open()
    client, connection = room.pair(HELLO_OF_TLS if at_once else b"")
    assert pending.hold_if_incomplete(connection, "")
    if not at_once:
        client.sendall(HELLO_OF_TLS)
    await until(lambda: room.refused)
    assert room.refused == [(connection, HTTPStatus.BAD_REQUEST)]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_head_that_is_too_long_is_refused(room: Room, *, at_once: bool) -> None:
    pending = room.open()
    client, connection = room.pair()
    if at_once:
        client.sendall(b"G" * module.MAX_HEAD)
    assert pending.hold_if_incomplete(connection, "")
    if not at_once:
        client.sendall(b"G" * module.MAX_HEAD)
    await until(lambda: room.refused)
    assert room.refused == [(connection, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)]


@pytest.mark.parametrize("early", [True, False])
async def test_a_client_that_half_closes_inside_the_head_is_refused(
    room: Room, *, early: bool
) -> None:
    pending = room.open()
    client, connection = room.pair(HEAD[:10])
    if early:
        client.shutdown(socket.SHUT_WR)
    assert pending.hold_if_incomplete(connection, "")
    if not early:
        client.shutdown(socket.SHUT_WR)
    await until(lambda: room.refused)
    assert room.refused == [(connection, HTTPStatus.BAD_REQUEST)]


async def test_urgent_bytes_do_not_keep_the_loop_busy(room: Room) -> None:
    """What is behind them cannot be peeked at, though the connection counts as readable."""
    pending = room.open()
    client, connection = room.pair(b"G")
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"ET / HTTP/1.1\r\n")
    pending.hold_if_incomplete(connection, "")
    await until(lambda: room.refused)
    assert len(pending) == 0


async def test_of_too_many_the_one_is_closed_that_has_waited_longest(room: Room) -> None:
    pending = room.open(limit=2)
    connections = [room.pair()[1] for _ in range(4)]
    for connection in connections:
        pending.hold_if_incomplete(connection, "")
    assert [one.fileno() == -1 for one in connections] == [True, True, False, False]
    assert pending.release_all() == connections[2:]


async def test_a_released_connection_can_complete_its_head_elsewhere(room: Room) -> None:
    first, second = room.open(), room.open()
    client, connection = room.pair(HEAD[:10])
    first.hold_if_incomplete(connection, "")
    assert first.release_all() == [connection]
    client.sendall(HEAD[10:20])
    if second.hold_if_incomplete(connection, ""):
        client.sendall(HEAD[20:])
    await until(lambda: room.complete)
    assert connection.recv(1000) == HEAD
    assert len(first) == len(second) == 0
