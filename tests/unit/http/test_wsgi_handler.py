"""What is added to an app's answer, and what is left out of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.http.exchange import GET, SITE, Blocks, body_of, exchange, hello

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HEAD = GET.replace(b"GET", b"HEAD")
PLAIN = [("Content-Type", "text/plain")]


def giving(status: str, blocks: list[bytes], *headers: tuple[str, str]) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [*PLAIN, *headers])
        return blocks

    return app


def length_in(reply: bytes) -> bytes | None:
    for line in reply.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return line.partition(b":")[2].strip()
    return None


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "103 Early Hints"])
@pytest.mark.parametrize("blocks", [[], [b""], [b"hello"], [b"hel", b"lo"]])
def test_a_status_without_a_body_gets_no_length_and_no_body(
    status: str, blocks: list[bytes]
) -> None:
    reply, _ = exchange(giving(status, blocks), GET)
    assert reply.startswith(b"HTTP/1.0 " + status.encode())
    assert length_in(reply) is None
    assert body_of(reply) == b""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "TypeError: the app returned None, not an iterable of bytes"),
        (3, "TypeError: the app returned 3, not an iterable of bytes"),
        ("abc", "TypeError: the app's response has 'a' in it, which is not bytes"),
        ([b"ab", None], "TypeError: the app's response has None in it, which is not bytes"),
    ],
)
@pytest.mark.parametrize("live_state", ["", "7-1"])
def test_what_is_no_response_is_told_as_such(
    given: Any, told: str, live_state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange(giving("200 OK", given), GET, site=SITE.replaced(live_state=live_state))
    assert told in capsys.readouterr().err


def test_the_length_of_304_is_what_the_page_would_have() -> None:
    reply, _ = exchange(giving("304 Not Modified", [], ("Content-Length", "5")), GET)
    assert length_in(reply) == b"5"
    reply, _ = exchange(giving("204 No Content", [], ("Content-Length", "5")), GET)
    assert length_in(reply) is None  # forbidden there


@pytest.mark.parametrize(
    ("blocks", "of_get", "of_head"),
    [([], b"0", None), ([b""], b"0", None), ([b"hello"], b"5", b"5"), ([b"a", b"b"], None, None)],
)
def test_a_length_is_added_where_it_is_known(
    blocks: list[bytes], of_get: bytes | None, of_head: bytes | None
) -> None:
    """An app that gives no body to HEAD may well give one to GET."""
    for request, length in ((GET, of_get), (HEAD, of_head)):
        reply, _ = exchange(giving("200 OK", blocks), request)
        assert length_in(reply) == length


def test_a_body_is_as_long_as_its_length_says(capsys: pytest.CaptureFixture[str]) -> None:
    reply, _ = exchange(giving("200 OK", [b"hello", b"more"], ("Content-Length", "3")), GET)
    assert body_of(reply) == b"hel"
    assert "Content-Length: 3, but its body has 9 bytes" in capsys.readouterr().err


def test_a_body_that_is_too_short_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    app = giving("200 OK", [b"hello"], ("Content-Length", "9"))
    exchange(app, GET)
    assert "Content-Length: 9, but its body has 5 bytes" in capsys.readouterr().err
    exchange(app, HEAD)
    assert "Content-Length" not in capsys.readouterr().err


def test_what_is_written_first_counts_in_no_length() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", list(PLAIN))
        write(b"one ")
        return [b"two"]

    reply, _ = exchange(app, GET)
    assert length_in(reply) is None
    assert body_of(reply) == b"one two"


def test_headers_may_change_until_there_is_a_body(capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(PLAIN))
        yield b""
        try:
            int("none")
        except ValueError:
            start_response("503 Busy", list(PLAIN), sys.exc_info())
        yield b"busy"

    reply, _ = exchange(app, GET)
    assert reply.startswith(b"HTTP/1.0 503 Busy\r\n")
    assert "Traceback" not in capsys.readouterr().err


def test_headers_do_not_change_once_they_were_sent(capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(PLAIN))
        yield b"first"
        try:
            int("while streaming")
        except ValueError:
            error = sys.exc_info()
        start_response("503 Busy", list(PLAIN), error)  # its handler has been left
        yield b"busy"

    reply, _ = exchange(app, GET)
    assert body_of(reply) == b"first"
    assert (
        "ValueError: invalid literal for int() with base 10: 'while streaming'"
        in capsys.readouterr().err
    )


def test_an_answer_belongs_to_the_request_that_came_not_to_the_environ() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.clear()
        environ["REQUEST_METHOD"] = "GET"  # as middleware does, to know how long the page is
        return hello(environ, start_response)

    reply, _ = exchange(app, HEAD)
    assert length_in(reply) == b"5"
    assert body_of(reply) == b""


def test_an_app_may_give_the_same_headers_each_time() -> None:
    headers = list(PLAIN)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return [environ["QUERY_STRING"].encode()]

    for query in (b"a", b"abc"):
        reply, _ = exchange(app, GET.replace(b"/ ", b"/?" + query + b" "))
        assert (length_in(reply), body_of(reply)) == (b"%d" % len(query), query)


@pytest.mark.parametrize("header", [("X", "1\r\nSet-Cookie: a"), ("X\r\nSet-Cookie", "a")])
def test_no_header_begins_another(
    header: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    reply, _ = exchange(giving("200 OK", [b"x"], header), GET)
    assert reply.startswith(b"HTTP/1.0 500 ")
    assert b"Set-Cookie" not in reply
    assert "ValueError" in capsys.readouterr().err


def test_blocks_of_other_classes_are_bytes_as_well() -> None:
    class Data(bytes):
        __slots__ = ()

    reply, _ = exchange(Blocks([Data(b"one"), b"", Data(b"two")]), GET)
    assert body_of(reply) == b"onetwo"
