"""A connection between its transport and uvicorn's protocol: what is passed on, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from asyncreload.child.http.asgi_connection import AsgiConnection, Use


class Protocol(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", exc))

    def shutdown(self) -> None:
        self.told.append("shutdown")


class Transport:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.told.append("close")
        self.closing = True

    def abort(self) -> None:
        self.told.append("abort")
        self.closing = True

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


class Made:
    def __init__(self) -> None:
        self.client, server = socket.socketpair()
        self.protocol = Protocol()
        self.transport = Transport()
        self.lost: list[AsgiConnection] = []
        self.connection = AsgiConnection(server, lambda _: self.protocol, self.lost.append)

    def connect(self) -> None:
        self.connection.connection_made(cast("asyncio.Transport", self.transport))


@pytest.fixture
def made() -> Iterator[Made]:
    one = Made()
    one.connect()
    yield one
    one.client.close()
    one.connection.socket.close()


def test_all_is_passed_on(made: Made) -> None:
    connection = made.connection
    connection.data_received(b"a")
    connection.pause_writing()
    connection.resume_writing()
    assert connection.eof_received() is True
    assert made.protocol.told == [b"a", "pause", "resume", "eof"]
    made.protocol.transport.write(b"b")
    assert made.transport.told == [b"b"]
    assert made.protocol.transport.get_extra_info("peername") == "the peername"


def test_a_websockets_protocol_takes_over(made: Made) -> None:
    """The transport keeps us: we have to be told of its end."""
    following = Protocol()
    made.protocol.transport.set_protocol(following)
    made.connection.data_received(b"a")
    made.connection.connection_lost(None)
    assert made.protocol.told == []
    assert following.told == [b"a", ("lost", None)]
    assert made.lost == [made.connection]


def test_it_is_lost(made: Made) -> None:
    error = ConnectionResetError()
    assert not made.connection.is_closing
    made.connection.connection_lost(error)
    assert made.protocol.told == [("lost", error)]
    assert made.lost == [made.connection]
    assert made.connection.lost.is_set()
    assert made.connection.is_closing


def test_it_is_lost_even_when_the_protocol_fails(made: Made) -> None:
    made.protocol.connection_lost = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        made.connection.connection_lost(None)
    assert made.lost == [made.connection]


def test_it_is_closing() -> None:
    one = Made()
    assert one.connection.is_closing  # it has no transport yet
    one.connection.close()
    one.connection.reset()
    one.connect()
    assert not one.connection.is_closing
    one.connection.close()
    assert one.connection.is_closing
    one.client.close()
    one.connection.socket.close()


def test_a_reset(made: Made) -> None:
    assert not made.connection.was_reset
    made.connection.reset()
    assert made.connection.was_reset
    assert made.transport.told == ["abort"]
    linger = made.connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert linger == b"\1\0\0\0\0\0\0\0"


def test_a_reset_of_what_is_closed(made: Made) -> None:
    made.connection.socket.close()
    made.connection.reset()
    assert made.transport.told == ["abort"]


# The early end


def test_a_response_goes_on(made: Made) -> None:
    made.connection.end_early()
    assert (made.transport.told, made.protocol.told) == ([], [])


@pytest.mark.parametrize("is_begun_later", [False, True])
def test_a_stream_is_closed(made: Made, *, is_begun_later: bool) -> None:
    steps = [lambda: made.connection.begin(Use.STREAM), made.connection.end_early]
    for step in reversed(steps) if is_begun_later else steps:
        assert made.transport.told == []
        step()
    assert (made.transport.told, made.protocol.told) == (["close"], [])


@pytest.mark.parametrize("is_begun_later", [False, True])
def test_a_websocket_is_shut_down(made: Made, *, is_begun_later: bool) -> None:
    steps = [lambda: made.connection.begin(Use.WEBSOCKET), made.connection.end_early]
    for step in reversed(steps) if is_begun_later else steps:
        assert made.protocol.told == []
        step()
    assert (made.transport.told, made.protocol.told) == ([], ["shutdown"])


def test_a_websocket_that_is_closing_is_not_shut_down(made: Made) -> None:
    made.connection.begin(Use.WEBSOCKET)
    made.connection.close()
    made.connection.end_early()
    assert made.protocol.told == []
