"""Bytes to a client and from it: all of them, and away only while there is nothing to do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from asyncreload.child.http.client_io import reader, send
from asyncreload.child.receive import receive_now

DEADLINE = 10.0
LARGE = bytes(range(256)) * 40_000
"""More than fits on its way."""


class Away:
    """Counts how often the client was waited for; then has it move."""

    def __init__(self, move: Callable[[], object] = lambda: None) -> None:
        self.times = 0
        self.now = False
        self._move = move

    def __enter__(self) -> None:
        self.times += 1
        self.now = True
        self._move()

    def __exit__(self, *_: object) -> None:
        self.now = False


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, client = socket.socketpair()
    with server, client:
        client.settimeout(DEADLINE)
        yield server, client


def test_what_has_come_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    away = Away()
    client.sendall(b"a line\nmore")
    client.shutdown(socket.SHUT_WR)
    with reader(server, away) as source:
        assert source.readline() == b"a line\n"
        assert source.read() == b"more"
    assert away.times == 0


def test_what_has_not_come_is_waited_for_each_time(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    away = Away(lambda: client.sendall(b"some"))
    with reader(server, away) as source:
        assert source.read(8) == b"somesome"
        assert not away.now
    assert away.times == 2


def test_an_end_is_worth_waiting_for(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    with reader(server, Away(client.close)) as source:
        assert source.read(8) == b""


def test_the_connection_outlives_its_reader(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    reader(server, Away()).close()
    server.sendall(b"x")
    assert client.recv(1) == b"x"


def test_what_fits_is_sent_without_waiting(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    away = Away()
    send(server, b"short", away)
    send(server, b"", away)
    assert client.recv(100) == b"short"
    assert away.times == 0


def test_all_is_sent_in_order_and_each_wait_is_told(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    client.setblocking(False)
    received = bytearray()

    def take() -> None:
        while data := receive_now(client, 65536):
            received.extend(data)

    away = Away(take)
    send(server, LARGE, away)
    take()
    assert received == LARGE
    assert away.times > 1
    assert not away.now


@pytest.mark.parametrize("size", [1, len(LARGE)])
def test_to_a_client_that_has_gone_is_an_error(
    pair: tuple[socket.socket, socket.socket], size: int
) -> None:
    server, client = pair
    client.close()
    with pytest.raises(BrokenPipeError):
        send(server, LARGE[:size], Away())


def test_a_client_that_goes_while_it_is_waited_for_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    with pytest.raises(BrokenPipeError):
        send(server, LARGE, Away(client.close))
