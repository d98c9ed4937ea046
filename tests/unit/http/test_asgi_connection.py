"""A connection as the transport of uvicorn's protocol: what it reads and sends, and how it ends."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from asyncreload.child.http.asgi_connection import AsgiConnection, Use
from tests.unit.http.exchange import tcp_pair
from tests.unit.http.network import iterate
from tests.unit.looping import until

pytestmark = pytest.mark.asyncio

BIG = 10_000_000
"""Bytes: more than the kernel takes at once."""


class Protocol(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.transport: Any = None
        self.error: Exception | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.told.append(data)
        if self.error is not None:
            raise self.error

    def eof_received(self) -> None:
        self.told.append("eof")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost" if exc is None else exc)

    def shutdown(self) -> None:
        self.told.append("shutdown")


class Made:
    """A connection, and its owner, which notes what it is told."""

    def __init__(self) -> None:
        self.client, server = tcp_pair()
        self.client.setblocking(False)
        self.protocol = Protocol()
        self.told: list[str] = []
        self.may_keep = self.may_give_up = True
        loop = asyncio.get_running_loop()
        self.connection = AsgiConnection(server, ("somebody", 1), loop, self)

    def make_protocol(self, connection: AsgiConnection) -> asyncio.Protocol:
        return self.protocol

    def keeps(self) -> bool:
        return self.may_keep

    def on_idle(self, connection: AsgiConnection) -> None:
        self.told.append("idle")

    def on_next(self, connection: AsgiConnection) -> None:
        self.told.append("next")
        connection.pause_reading()
        connection.socket.recv(65536)

    def gives_up(self, connection: AsgiConnection) -> bool:
        return self.may_give_up

    def on_lost(self, connection: AsgiConnection) -> None:
        self.told.append("lost")

    def ask(self, data: bytes, size: float | None = None) -> None:
        self.client.send(data)
        self.connection.receive(len(data) if size is None else size)

    def answer(self, data: bytes) -> None:
        self.connection.write(data)
        self.connection.end_response()

    def received(self) -> bytes | None:
        """What the client has received so far; None if nothing."""
        try:
            return self.client.recv(65536)
        except BlockingIOError:
            return None

    async def drain(self, size: int) -> None:
        """Receive so many bytes."""
        left = size
        async with asyncio.timeout(10):
            while left:
                left -= len(await asyncio.get_running_loop().sock_recv(self.client, left))


@pytest_asyncio.fixture
async def made() -> AsyncIterator[Made]:
    one = Made()
    yield one
    one.client.close()
    one.connection.abort()
    await iterate(3)
    one.connection.socket.close()


# What is read


async def test_no_more_is_read_than_the_request(made: Made) -> None:
    made.ask(b"onetwo", 3)
    await iterate()
    assert made.protocol.told == [b"one"]
    made.connection.watch()  # bytes are no end
    await iterate()
    assert made.protocol.told == [b"one"]
    assert made.connection.socket.recv(10) == b"two"


async def test_the_rest_of_a_request_is_read_when_it_comes(made: Made) -> None:
    made.ask(b"a", 3)
    assert not made.connection.may_be_kept
    made.client.send(b"bcd")
    await until(lambda: len(made.protocol.told) == 2)
    await iterate()
    assert made.protocol.told == [b"a", b"bc"]
    assert made.connection.may_be_kept


async def test_of_a_request_without_an_end_all_is_read(made: Made) -> None:
    made.ask(b"a", math.inf)
    made.client.send(b"b")
    await until(lambda: made.protocol.told == [b"a", b"b"])
    assert not made.connection.may_be_kept


async def test_nothing_is_read_while_the_protocol_pauses(made: Made) -> None:
    made.ask(b"a", 3)
    made.connection.pause_reading()
    made.client.send(b"bc")
    await iterate()
    assert made.protocol.told == [b"a"]
    made.connection.resume_reading()
    await until(lambda: made.protocol.told == [b"a", b"bc"])


async def test_the_end_of_a_client_within_its_request(made: Made) -> None:
    made.ask(b"a", 3)
    made.client.close()
    await until(lambda: made.told == ["lost"])
    assert made.protocol.told == [b"a", "eof", "lost"]
    assert made.connection.is_closing()
    assert made.connection.lost.is_set()


async def test_the_end_of_a_client_is_told_when_it_is_awaited(made: Made) -> None:
    made.ask(b"a")
    made.client.close()
    await iterate()
    assert made.protocol.told == [b"a"]
    made.connection.watch()
    await until(lambda: made.told == ["lost"])
    assert made.protocol.told == [b"a", "eof", "lost"]


async def test_a_protocol_that_fails(made: Made) -> None:
    made.protocol.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        made.ask(b"a")
    await until(lambda: made.told == ["lost"])


# What is sent


async def test_what_is_written_is_sent_at_once(made: Made) -> None:
    made.connection.write(b"a")
    assert made.received() == b"a"
    made.connection.write(memoryview(b"b"))
    assert made.received() == b"b"


async def test_what_is_corked_is_sent_in_one_piece(made: Made) -> None:
    made.connection.cork()
    made.connection.write(b"a")
    made.connection.write(b"b")
    assert made.received() is None
    made.connection.uncork()
    assert made.received() == b"ab"


async def test_what_the_kernel_does_not_take_is_sent_later(made: Made) -> None:
    made.connection.write(bytes(BIG))
    assert made.connection.get_write_buffer_size()
    assert made.protocol.told == ["pause"]
    made.connection.write(b"x")
    await made.drain(BIG + 1)
    assert made.protocol.told == ["pause", "resume"]
    assert made.connection.get_write_buffer_size() == 0
    made.connection.write(b"a")
    assert made.received() == b"a"


async def test_when_to_pause_can_be_said(made: Made) -> None:
    made.connection.set_write_buffer_limits(high=2 * BIG)
    made.connection.write(bytes(BIG))
    assert made.protocol.told == []
    made.connection.set_write_buffer_limits()
    made.connection.write(b"a")
    await made.drain(BIG + 1)


async def test_an_app_that_writes_in_small_pieces_waits_for_a_slow_client(made: Made) -> None:
    """The first that the kernel does not take is less than what is worth a pause."""
    while not made.connection.get_write_buffer_size():
        made.connection.write(b"x" * 1000)
    assert made.protocol.told == []
    for _ in range(100):
        made.connection.write(b"x" * 1000)
    assert made.protocol.told == ["pause"]


async def test_a_request_of_which_nothing_was_answered_is_cut_off_by_another_answer(
    made: Made,
) -> None:
    assert not made.connection.cut_off(b"instead")  # nobody has asked yet
    made.ask(b"ask")
    made.connection.request = "GET /"
    assert made.connection.cut_off(b"instead")
    made.connection.write(b"late")
    assert made.received() == b"instead"
    assert made.received() == b""
    assert not made.connection.cut_off(b"again")


@pytest.mark.parametrize("use", [Use.RESPONSE, Use.WEBSOCKET])
async def test_what_was_begun_gets_no_other_answer(made: Made, use: Use) -> None:
    made.ask(b"ask")
    made.connection.request = "GET /"
    made.connection.write(b"some")
    made.connection.begin(use)
    assert not made.connection.cut_off(b"instead")
    assert made.received() == b"some"


async def test_a_client_that_does_not_take_it_any_more(made: Made) -> None:
    made.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    made.client.close()
    await iterate()
    made.connection.write(b"a")
    made.connection.write(b"a")
    await until(lambda: made.told == ["lost"])
    assert isinstance(made.protocol.told[-1], OSError)
    made.connection.write(b"a")
    made.connection.end_response()
    made.connection.close()
    await iterate()
    assert made.told == ["lost"]


# Kept


async def test_a_response_is_complete_and_the_next_request_is_told(made: Made) -> None:
    for request in (b"a", b"b"):
        made.ask(request)
        made.answer(b"answer")
        assert made.received() == b"answer"
    assert made.told == ["idle", "idle"]
    made.client.send(b"c")
    await until(lambda: made.told[2:] == ["next"])
    assert made.protocol.told == [b"a", b"b"]


async def test_a_connection_is_not_idle_before_all_is_delivered(made: Made) -> None:
    made.ask(b"ab", 1)
    made.answer(bytes(BIG))
    await iterate()
    assert made.told == []
    await made.drain(BIG)
    await until(lambda: made.told == ["idle", "next"])


async def test_the_next_request_waits_for_the_end_of_the_last(made: Made) -> None:
    made.ask(b"a")
    made.answer(b"x")
    made.ask(b"b")
    made.client.send(b"c")
    await iterate()
    assert made.told == ["idle"]
    made.answer(b"y")
    await until(lambda: made.told == ["idle", "idle", "next"])
    assert made.protocol.told == [b"a", b"b"]


async def test_the_end_of_a_client_is_seen_while_a_later_request_is_answered(made: Made) -> None:
    made.ask(b"a")
    made.answer(b"x")
    made.ask(b"b")
    made.client.close()
    await until(lambda: made.told == ["idle", "lost"])
    assert made.protocol.told == [b"a", b"b", "eof", "lost"]


async def test_a_connection_is_kept_if_its_owner_keeps_it(made: Made) -> None:
    made.ask(b"a")
    assert made.connection.may_be_kept
    made.may_keep = False
    assert not made.connection.may_be_kept


async def test_an_idle_one_is_released(made: Made) -> None:
    made.ask(b"a")
    made.answer(b"x")
    made.client.send(b"next")
    made.connection.socket.setblocking(False)  # as uvloop does
    assert made.connection.release() is made.connection.socket
    assert made.connection.socket.recv(10) == b"next"
    assert made.connection.socket.getblocking()
    await iterate()
    assert made.protocol.told == [b"a", "lost"]
    assert made.told == ["idle"]  # its owner knows
    made.connection.close()
    made.connection.abort()
    await iterate()
    assert made.told == ["idle"]


async def test_an_idle_one_that_its_protocol_closes_in_time(made: Made) -> None:
    made.ask(b"a")
    made.answer(b"x")
    made.may_give_up = False
    made.connection.close()
    assert not made.connection.is_closing()
    made.may_give_up = True
    made.connection.close()
    assert made.connection.is_closing()
    assert made.received() == b"x"
    assert made.received() == b""
    await until(lambda: made.told == ["idle", "lost"])


# The end


async def test_a_client_may_still_send(made: Made) -> None:
    made.ask(b"ab", 1)
    assert made.connection.has_more_to_read
    made.connection.socket.recv(1)
    assert not made.connection.has_more_to_read
    made.ask(b"c", 2)
    assert made.connection.has_more_to_read
    made.client.send(b"d")
    await until(lambda: made.protocol.told == [b"a", b"c", b"d"])
    assert not made.connection.has_more_to_read
    made.ask(b"c", math.inf)
    assert made.connection.has_more_to_read
    made.client.close()
    await until(lambda: made.told == ["lost"])
    assert not made.connection.has_more_to_read


async def test_what_a_client_sends_does_not_matter_after_a_reset(made: Made) -> None:
    made.ask(b"a", math.inf)
    made.connection.reset()
    assert not made.connection.has_more_to_read


async def test_it_is_closed_when_all_is_sent(made: Made) -> None:
    made.connection.write(bytes(BIG))
    made.connection.close()
    assert made.connection.is_closing()
    made.connection.write(b"too late")
    await iterate()
    assert made.told == []
    await made.drain(BIG)
    await until(lambda: made.told == ["lost"])
    assert made.received() == b""


async def test_closed_while_corked_it_sends_first(made: Made) -> None:
    made.connection.cork()
    made.connection.write(b"a")
    made.connection.close()
    made.connection.uncork()
    made.connection.end_response()
    assert made.received() == b"a"
    assert made.received() == b""
    await until(lambda: made.told == ["lost"])


async def test_it_is_lost_even_when_the_protocol_fails(made: Made) -> None:
    made.protocol.connection_lost = None  # type: ignore[assignment,method-assign]
    failures: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    made.connection.close()
    await until(lambda: made.told == ["lost"])
    assert len(failures) == 1


async def test_a_reset(made: Made) -> None:
    made.connection.reset()
    await until(lambda: made.told == ["lost"])
    assert made.connection.was_reset
    made.connection.socket.close()
    with pytest.raises(ConnectionResetError):
        made.client.recv(1)


async def test_a_reset_of_what_is_closed(made: Made) -> None:
    made.connection.close()
    await iterate()
    made.connection.socket.close()
    made.connection.reset()
    await iterate()
    assert made.told == ["lost"]


# What uvicorn's protocols ask it


async def test_its_socket_is_told(made: Made) -> None:
    assert made.protocol.transport is made.connection
    assert made.connection.get_extra_info("socket") is made.connection.socket
    assert made.connection.get_extra_info("sslcontext") is None
    assert made.connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not made.connection.can_write_eof()


async def test_a_websockets_protocol_takes_over(made: Made) -> None:
    following = Protocol()
    made.ask(b"a", math.inf)
    made.connection.set_protocol(following)
    assert made.connection.get_protocol() is following
    made.client.send(b"b")
    await until(lambda: following.told == [b"b"])
    made.connection.close()
    await until(lambda: made.told == ["lost"])
    assert following.told == [b"b", "lost"]


# The early end


async def test_a_response_goes_on(made: Made) -> None:
    made.connection.end_early()
    assert not made.connection.is_closing()
    assert made.protocol.told == []


@pytest.mark.parametrize("is_begun_later", [False, True])
async def test_a_stream_is_closed(made: Made, *, is_begun_later: bool) -> None:
    steps = [lambda: made.connection.begin(Use.STREAM), made.connection.end_early]
    for step in reversed(steps) if is_begun_later else steps:
        assert not made.connection.is_closing()
        step()
    assert made.connection.is_closing()
    assert made.protocol.told == []


@pytest.mark.parametrize("is_begun_later", [False, True])
async def test_a_websocket_is_shut_down(made: Made, *, is_begun_later: bool) -> None:
    made.connection.write(b"101")
    steps = [lambda: made.connection.begin(Use.WEBSOCKET), made.connection.end_early]
    for step in reversed(steps) if is_begun_later else steps:
        assert made.protocol.told == []
        step()
    assert made.protocol.told == ["shutdown"]
    assert not made.connection.is_closing()


async def test_one_that_is_mute_neither_reads_nor_sends_nor_tells_the_loop(made: Made) -> None:
    made.ask(b"a", 2)
    made.connection.write(b"x" * BIG)  # some of it is left
    loop, number = asyncio.get_running_loop(), made.connection.socket.fileno()
    made.connection.mute()
    made.connection.write(b"y")
    made.connection.resume_reading()
    made.connection.close()
    made.client.send(b"b")
    await iterate(3)
    assert made.protocol.told in ([b"a"], [b"a", "pause"])
    assert made.told == []
    assert loop.remove_reader(number)
    assert loop.remove_writer(number)


async def test_a_websocket_is_not_shut_down_before_its_handshake_is_answered(made: Made) -> None:
    made.ask(b"a")
    made.answer(b"another one")
    made.ask(b"b")
    made.connection.begin(Use.WEBSOCKET)
    made.connection.end_early()
    await iterate(3)
    assert made.protocol.told == [b"a", b"b"]
    made.connection.write(b"101")
    assert made.protocol.told == [b"a", b"b"]
    await iterate(1)
    assert made.protocol.told == [b"a", b"b", "shutdown"]


async def test_a_websocket_that_is_closing_is_not_shut_down(made: Made) -> None:
    made.connection.begin(Use.WEBSOCKET)
    made.connection.close()
    made.connection.end_early()
    assert made.protocol.told == []
