"""The response as a file: what is written leaves when it is flushed, in one piece."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from asyncreload.child.http.response_writer import ResponseWriter
from asyncreload.sockets import receive_now

Opened = tuple[ResponseWriter, socket.socket]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """A writer, and the client's end of its connection."""
    server, client = socket.socketpair()
    with server, client:
        yield ResponseWriter(server, nullcontext()), client


def test_what_is_written_is_sent_when_it_is_flushed(opened: Opened) -> None:
    writer, client = opened
    assert (writer.write(b"head"), writer.write(b""), writer.write(b"body")) == (4, 0, 4)
    assert receive_now(client, 100) is None
    assert not writer.has_sent
    writer.flush()
    assert receive_now(client, 100) == b"headbody"
    assert writer.has_sent


def test_what_is_discarded_is_not_sent(opened: Opened) -> None:
    writer, client = opened
    writer.write(b"half")
    writer.limit = 0
    writer.discard()
    writer.write(b"error")
    writer.flush()
    assert receive_now(client, 100) == b"error"


def test_what_is_beyond_the_limit_is_dropped_but_counted(opened: Opened) -> None:
    writer, client = opened
    writer.write(b"head")
    writer.limit = 6
    assert [writer.write(b"body") for _ in range(3)] == [4, 4, 4]
    writer.flush()
    assert receive_now(client, 100) == b"headbodybo"


def test_the_end_is_told_once_all_is_sent(opened: Opened) -> None:
    writer, client = opened
    writer.write(b"all")
    writer.finish()
    assert receive_now(client, 100) == b"all"
    assert receive_now(client, 100) == b""


def test_continue_is_sent_once_and_only_if_it_is_expected(opened: Opened) -> None:
    writer, client = opened
    writer.send_continue()
    assert receive_now(client, 100) is None
    writer.expects_continue = True
    writer.send_continue()
    writer.send_continue()
    assert receive_now(client, 100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not writer.has_sent


def test_continue_is_not_sent_once_the_response_has_begun(opened: Opened) -> None:
    writer, client = opened
    writer.expects_continue = True
    writer.write(b"response")
    writer.flush()
    writer.send_continue()
    assert receive_now(client, 100) == b"response"


def test_a_client_that_is_gone_is_noted_and_an_error_of_the_app_is_not(opened: Opened) -> None:
    writer, client = opened
    with pytest.raises(ValueError, match="app"), writer:
        raise ValueError("the app's")
    assert not writer.client_is_gone
    client.close()
    writer.write(b"response")
    with pytest.raises(BrokenPipeError):
        writer.flush()
    assert writer.client_is_gone


@pytest.mark.parametrize("has_written", [False, True])
def test_a_client_that_has_got_nothing_gets_something_else(
    opened: Opened, *, has_written: bool
) -> None:
    writer, client = opened
    if has_written:
        writer.write(b"unsent")
    writer.cut_off(b"instead")
    assert receive_now(client, 100) == b"instead"
    assert receive_now(client, 100) == b""
    writer.write(b"late")
    with pytest.raises(BrokenPipeError):
        writer.flush()


def test_a_response_whose_end_is_that_of_the_connection_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        client.settimeout(10)
        writer = ResponseWriter(server, nullcontext())
        writer.write(b"half")
        writer.flush()
        assert client.recv(100) == b"half"
        writer.cut_off(b"instead")
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(100)


@pytest.mark.parametrize("limit", [0, 100])
def test_a_response_whose_length_is_told_is_left_alone(opened: Opened, limit: int) -> None:
    writer, client = opened
    writer.write(b"half")
    writer.limit = limit
    writer.flush()
    writer.cut_off(b"instead")
    assert receive_now(client, 100) == b"half"
    assert receive_now(client, 100) is None


def test_a_response_that_has_ended_is_left_alone(opened: Opened) -> None:
    writer, client = opened
    writer.write(b"all")
    writer.finish()
    writer.cut_off(b"instead")
    assert receive_now(client, 100) == b"all"
    assert receive_now(client, 100) == b""
