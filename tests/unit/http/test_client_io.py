"""Bytes to a client and from it: all of them; and each time of waiting for it is told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from asyncreload.child.http.client_io import open_reader, send
from asyncreload.sockets import receive_now

DEADLINE = 10.0
LARGE = bytes(range(256)) * 40_000
"""More than fits on its way."""


class Waits:
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


def test_what_has_arrived_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    waits = Waits()
    client.sendall(b"a line\nmore")
    client.shutdown(socket.SHUT_WR)
    with open_reader(server, waits) as source:
        assert source.readline() == b"a line\n"
        assert source.read() == b"more"
    assert waits.times == 0


def test_what_has_not_arrived_is_waited_for_each_time(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    waits = Waits(lambda: client.sendall(b"some"))
    with open_reader(server, waits) as source:
        assert source.read(8) == b"somesome"
        assert not waits.now
    assert waits.times == 2


def test_the_end_of_the_connection_is_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    with open_reader(server, Waits(client.close)) as source:
        assert source.read(8) == b""


def test_the_connection_outlives_its_reader(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    open_reader(server, Waits()).close()
    server.sendall(b"x")
    assert client.recv(1) == b"x"


def test_what_fits_is_sent_without_waiting(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    waits = Waits()
    send(server, b"short", waits)
    send(server, b"", waits)
    assert client.recv(100) == b"short"
    assert waits.times == 0


def test_all_is_sent_in_order_and_each_wait_is_told(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    client.setblocking(False)
    received = bytearray()

    def take() -> None:
        while data := receive_now(client, 65536):
            received.extend(data)

    waits = Waits(take)
    send(server, LARGE, waits)
    take()
    assert received == LARGE
    assert waits.times > 1
    assert not waits.now


@pytest.mark.parametrize("size", [1, len(LARGE)])
def test_to_a_client_that_has_gone_is_an_error(
    pair: tuple[socket.socket, socket.socket], size: int
) -> None:
    server, client = pair
    client.close()
    with pytest.raises(BrokenPipeError):
        send(server, LARGE[:size], Waits())


def test_a_client_that_goes_while_it_is_waited_for_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    with pytest.raises(BrokenPipeError):
        send(server, LARGE, Waits(client.close))
