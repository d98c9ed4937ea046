"""What a test is given as the answer of an app."""

from __future__ import annotations

import pytest

from asyncreload.testing import Answer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_an_answer_is_read_until_the_end_of_the_connection() -> None:
    answer = Answer.parse(b"HTTP/1.0 404 Not Found\r\nX-Name:  one \r\n\r\nno\r\n\r\nsuch page")
    assert answer == Answer(404, {"x-name": "one"}, b"no\r\n\r\nsuch page")


def test_headers_that_come_twice_are_in_the_list() -> None:
    answer = Answer.parse(b"HTTP/1.0 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n")
    assert answer.header_list == (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    assert answer.headers["set-cookie"] == "b=2"


def test_a_header_is_found_by_its_name_in_any_case() -> None:
    headers = Answer.parse(b"HTTP/1.0 200 OK\r\nX-Version: 1\r\n\r\n").headers
    assert headers["X-Version"] == headers["x-version"] == "1"
    assert "X-VERSION" in headers
    assert headers.get("X-Other") is None
    assert dict(headers) == {"x-version": "1"}
    assert repr(headers) == "{'x-version': '1'}"


def test_a_text_is_in_the_character_set_that_it_names() -> None:
    head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain{}\r\n\r\né"
    for charset, named in (("utf-8", ""), ("latin-1", '; charset="ISO-8859-1"')):
        assert Answer.parse(head.format(named).encode(charset)).text == "é"
    assert Answer.parse("HTTP/1.0 200 OK\r\n\r\né".encode()).text == "é"


def test_an_answer_in_chunks_is_put_together() -> None:
    """As an ASGI app gives one whose length it does not tell."""
    answer = Answer.parse(CHUNKED + b"5\r\nfirst\r\nA;name=x\r\n\r\nsecond\r\n\r\n0\r\n\r\n")
    assert answer.text == "first\r\nsecond\r\n"
    assert Answer.parse(CHUNKED + b"0\r\n\r\n").text == ""
    assert Answer.parse(CHUNKED).text == ""  # to a HEAD


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirs",
        CHUNKED + b"5\r\nfirst\r\n",
        CHUNKED + b"5\r\nfir",
        CHUNKED + b"5",
    ],
)
def test_an_answer_that_was_cut_off_is_none(data: bytes) -> None:
    with pytest.raises(ConnectionError, match="cut off after"):
        Answer.parse(data)
