"""The request body ends where the request does, by its length or by its chunks."""

from __future__ import annotations

import io
import socket
import threading
from contextlib import nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest

from asyncreload.child.http.head_parser import RequestHead
from asyncreload.child.http.refusal import RefusedRequestError
from asyncreload.child.http.request_body import MalformedBodyError, RequestBody, body_length
from asyncreload.child.http.response_writer import ResponseWriter
from tests.unit.http.exchange import (
    DEADLINE,
    GET,
    Keeper,
    answering,
    body_of,
    chunked,
    exchange,
    hello,
    post,
    read_all,
    receive,
    tcp_pair,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


def head_of(*headers: tuple[str, str], version: str = "HTTP/1.1") -> RequestHead:
    return RequestHead("POST", "/", version, headers)


class TestLength:
    @pytest.mark.parametrize(
        ("pairs", "length"),
        [
            ((), 0),
            ((("Content-Length", "0"),), 0),
            ((("content-length", "017"),), 17),
            ((("Transfer-Encoding", "chunked"),), None),
            ((("transfer-encoding", "Chunked"),), None),
        ],
    )
    def test_is_told_by_the_headers(
        self, pairs: tuple[tuple[str, str], ...], length: int | None
    ) -> None:
        assert body_length(head_of(*pairs)) == length

    @pytest.mark.parametrize(
        ("pairs", "status"),
        [
            ((("Content-Length", "1"), ("Transfer-Encoding", "chunked")), HTTPStatus.BAD_REQUEST),
            ((("Content-Length", "1"), ("Content-Length", "2")), HTTPStatus.BAD_REQUEST),
            ((("Content-Length", "1"), ("content-length", "1")), HTTPStatus.BAD_REQUEST),
            ((("Content-Length", "+1"),), HTTPStatus.BAD_REQUEST),
            ((("Content-Length", ""),), HTTPStatus.BAD_REQUEST),
            ((("Transfer-Encoding", "gzip"),), HTTPStatus.NOT_IMPLEMENTED),
            ((("Transfer-Encoding", "chunked, gzip"),), HTTPStatus.NOT_IMPLEMENTED),
        ],
    )
    def test_is_not_guessed(self, pairs: tuple[tuple[str, str], ...], status: HTTPStatus) -> None:
        with pytest.raises(RefusedRequestError) as caught:
            body_length(head_of(*pairs))
        assert caught.value.status is status
        assert str(caught.value)

    def test_chunks_are_not_for_http_10(self) -> None:
        """Servers differ on them: one would take for a second request what is the body."""
        with pytest.raises(RefusedRequestError, match="Transfer-Encoding must not be sent"):
            body_length(head_of(("Transfer-Encoding", "chunked"), version="HTTP/1.0"))


class TestAlone:
    """The body by itself: without a request, and without an app."""

    def test_what_is_behind_it_is_left(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            source: Any = io.BufferedReader(io.BytesIO(b"3\r\nabc\r\n0\r\n\r\nGET /"))
            writer = ResponseWriter(ours, nullcontext())
            body = RequestBody(source, writer, None)
            assert not body.has_ended
            assert io.BufferedReader(body).read() == b"abc"
            assert body.has_ended
            assert source.read() == b"GET /"

    def test_a_broken_connection_is_noted(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            source: Any = io.BufferedReader(io.BytesIO(b"ab"))
            writer = ResponseWriter(ours, nullcontext())
            body = RequestBody(source, writer, 3)
            with pytest.raises(ConnectionResetError):
                io.BufferedReader(body).read()
            assert writer.client_is_gone
            assert not body.has_ended


class TestBody:
    def test_ends_where_the_request_does(self) -> None:
        keeper = Keeper(lambda environ: [environ["wsgi.input"].read(size) for size in (2, 9, 9)])
        reply, unread = exchange(validator(keeper), post(b"hello", b"Content-Length: 5"))
        assert keeper.seen == [b"he", b"llo", b""]
        assert keeper.environ["CONTENT_LENGTH"] == "5"
        assert body_of(reply) == b"hello"
        assert unread is False

    def test_lines(self) -> None:
        def look(environ: WSGIEnvironment) -> list[Any]:
            body = environ["wsgi.input"]
            return [body.readline(), body.readline(2), next(iter(body)), body.readlines()]

        keeper = Keeper(look)
        exchange(keeper, post(b"one\ntwo\nthree\nfour", b"Content-Length: 18"))
        assert keeper.seen == [b"one\n", b"tw", b"o\n", [b"three\n", b"four"]]

    def test_no_length_is_no_body(self) -> None:
        keeper = Keeper(lambda environ: environ["wsgi.input"].read())
        _, unread = exchange(keeper, GET)
        assert keeper.seen == b""
        assert unread is False

    def test_large(self) -> None:
        data = bytes(range(256)) * 20_000
        keeper = Keeper(read_all)
        _, unread = exchange(
            validator(keeper), post(data, b"Content-Length: %d" % len(data)), connect=tcp_pair
        )
        assert keeper.seen == data
        assert unread is False

    def test_streamed(self) -> None:
        parts: list[bytes] = []
        came = threading.Event()

        def look(environ: WSGIEnvironment) -> None:
            parts.append(environ["wsgi.input"].read(3))
            came.set()
            parts.append(environ["wsgi.input"].read(3))

        with answering(Keeper(look)) as (browser, unread):
            browser.sendall(post(b"one", b"Content-Length: 6"))
            assert came.wait(DEADLINE)
            browser.sendall(b"two")
            receive(browser)
        assert parts == [b"one", b"two"]
        assert unread == [False]

    def test_unread(self) -> None:
        body = b"x" * 100_000
        reply, unread = exchange(hello, post(body, b"Content-Length: 1000000"), connect=tcp_pair)
        assert body_of(reply) == b"hello"
        assert unread is True

    def test_kept_after_the_request(self) -> None:
        keeper = Keeper()
        exchange(keeper, post(b"abc", b"Content-Length: 3"))
        with pytest.raises(ValueError, match="closed"):
            keeper.environ["wsgi.input"].read(1)


class TestChunked:
    def test_is_decoded(self) -> None:
        keeper = Keeper(read_all)
        chunks = b'5;name="v"\r\nhello\r\nA ;n\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n'
        _, unread = exchange(validator(keeper), chunked(chunks))
        assert keeper.seen == b"hello0123456789"
        assert keeper.environ["wsgi.input_terminated"] is True
        assert "CONTENT_LENGTH" not in keeper.environ
        assert unread is False

    def test_is_decoded_on_the_fly(self) -> None:
        came = threading.Event()

        def look(environ: WSGIEnvironment) -> list[bytes]:
            first = environ["wsgi.input"].readline()
            came.set()
            return [first, environ["wsgi.input"].read()]

        keeper = Keeper(look)
        with answering(keeper) as (browser, _):
            browser.sendall(chunked(b"4\r\none\n\r\n"))
            assert came.wait(DEADLINE)
            browser.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
            receive(browser)
        assert keeper.seen == [b"one\n", b"two"]

    def test_large(self) -> None:
        data = bytes(range(256)) * 5_000
        pieces = [data[start : start + 10_001] for start in range(0, len(data), 10_001)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        keeper = Keeper(read_all)
        exchange(keeper, chunked(body + b"0\r\n\r\n"))
        assert keeper.seen == data

    @pytest.mark.parametrize(
        "body",
        [
            b"zz\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"\r\n",
            b"3\r\nhello\r\n0\r\n\r\n",
            b"1" * 70_000,
            b"1" * 16 + b"\r\n",
            b"0\r\n" + b"a: b\r\n" * 200 + b"\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5;\r\nhello\r\n0\r\n\r\n",
            b"0\r\na: b\n\r\n",
            b"0\r\na b\r\n\r\n",
            b"0\r\na : b\r\n\r\n",
            b"0\r\na: b\r\n folded\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
            b"0\r\ncontent-length: 9\r\n\r\n",
            b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"0\r\nHost: x\r\n\r\n",
            b"0\r\n\n",
        ],
    )
    def test_malformed(self, body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
        def look(environ: WSGIEnvironment) -> list[str]:
            flaws = []
            for _ in range(2):  # it does not recover
                with pytest.raises(MalformedBodyError) as caught:
                    environ["wsgi.input"].read()
                flaws.append(str(caught.value))
            return flaws

        keeper = Keeper(look)
        reply, unread = exchange(keeper, chunked(body))
        assert len(set(keeper.seen)) == 1
        assert body_of(reply) == b"hello"
        assert unread is True
        assert "Traceback" not in capsys.readouterr().err

    def test_malformed_and_not_caught(self, capsys: pytest.CaptureFixture[str]) -> None:
        reply, unread = exchange(Keeper(read_all), chunked(b"zz\r\n"))
        assert reply.startswith(b"HTTP/1.0 400 Bad Request\r\n")
        assert body_of(reply) == b"malformed chunked request body: a chunk has no valid size"
        assert unread is True
        assert "Traceback" not in capsys.readouterr().err


class TestExpect:
    CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
    EXPECT = b"Expect: 100-Continue"

    def test_is_met_when_the_app_reads(self) -> None:
        keeper = Keeper(read_all)
        with answering(validator(keeper)) as (browser, unread):
            browser.sendall(post(b"", b"Content-Length: 4", self.EXPECT))
            assert browser.recv(1000) == self.CONTINUE
            browser.sendall(b"body")
            assert receive(browser).startswith(b"HTTP/1.0 200 OK\r\n")
        assert keeper.seen == b"body"
        assert unread == [False]

    def test_chunked(self) -> None:
        keeper = Keeper(read_all)
        with answering(keeper) as (browser, _):
            browser.sendall(post(b"", b"Transfer-Encoding: chunked", self.EXPECT))
            assert browser.recv(1000) == self.CONTINUE
            browser.sendall(b"4\r\nbody\r\n0\r\n\r\n")
            receive(browser)
        assert keeper.seen == b"body"

    def test_never_when_it_does_not(self) -> None:
        reply, unread = exchange(hello, post(b"", b"Content-Length: 4", self.EXPECT))
        assert reply.startswith(b"HTTP/1.0 200 OK\r\n")
        assert unread is True

    def test_not_after_the_answer_began(self) -> None:
        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [])
            yield b"got:"
            yield environ["wsgi.input"].read()

        reply, _ = exchange(app, post(b"body", b"Content-Length: 4", self.EXPECT))
        assert body_of(reply) == b"got:body"

    def test_not_for_http_10(self) -> None:
        request = b"POST / HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody"
        reply, _ = exchange(Keeper(read_all), request)
        assert reply.startswith(b"HTTP/1.0 200 OK\r\n")
