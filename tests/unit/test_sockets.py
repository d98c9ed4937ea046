"""What is done to sockets in more than one place."""

from __future__ import annotations

import resource
import select
import socket
from collections.abc import Iterator

import pytest

from asyncreload.sockets import (
    accept,
    from_descriptor,
    receive_now,
    set_low_water_mark,
    share_of_descriptors,
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection: the server's end, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, address = accept(listener)
    assert address == client.getsockname()
    with server, client:
        yield server, client


def test_sockets_are_of_pythons_own_class_whatever_the_app_replaces_it_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = socket.socket
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener, ours:
        with socket.create_connection(listener.getsockname()):
            monkeypatch.setattr(socket, "socket", type("Patched", (plain,), {}))
            accepted, _ = accept(listener)
        adopted = from_descriptor(theirs.detach())
        with accepted, adopted:
            assert {type(accepted), type(adopted)} == {plain}
            assert not adopted.get_inheritable()


def test_a_default_timeout_of_the_app_is_not_that_of_our_sockets() -> None:
    before = socket.getdefaulttimeout()
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener, ours:
        with socket.create_connection(listener.getsockname()):
            socket.setdefaulttimeout(7)
            try:
                accepted, _ = accept(listener)
                adopted = from_descriptor(theirs.detach())
            finally:
                socket.setdefaulttimeout(before)
        with accepted, adopted:
            assert [accepted.gettimeout(), adopted.gettimeout()] == [None, None]


def test_what_has_arrived_is_received(pair: Pair) -> None:
    server, client = pair
    assert receive_now(server, 10) is None
    client.sendall(b"data")
    assert receive_now(server, 2, socket.MSG_PEEK) == b"da"
    assert receive_now(server, 10) == b"data"
    client.close()
    assert receive_now(server, 10) == b""
    server.close()
    assert receive_now(server, 10) == b""


def test_below_the_low_water_mark_a_connection_is_not_readable(pair: Pair) -> None:
    server, client = pair
    set_low_water_mark(server, 3)
    client.sendall(b"ab")
    assert not select.select([server], [], [], 0)[0]
    client.sendall(b"c")
    assert select.select([server], [], [], 10)[0]
    server.close()
    set_low_water_mark(server, 1)  # of a connection that is closed, nothing is wanted


@pytest.mark.parametrize(
    ("limit", "divisor", "share"),
    [(100, 4, 25), (100, 2, 50), (3, 4, 1), (20_000, 4, 256), (resource.RLIM_INFINITY, 4, 256)],
)
def test_a_share_of_descriptors_leaves_some_for_others(
    limit: int, divisor: int, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert share_of_descriptors(divisor, 256) == share
