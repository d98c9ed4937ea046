"""How long a request is: told by its head where that is beyond doubt."""

from __future__ import annotations

import math

import pytest

from asyncreload.child.http.request_head import request_size

HEAD = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"


def with_header(line: bytes, method: bytes = b"POST") -> bytes:
    return HEAD.replace(b"GET", method).replace(b"Host", line + b"\r\nHost")


@pytest.mark.parametrize("data", [b"", HEAD[:-1], HEAD[:-2], b"x" * 100])
def test_of_a_head_that_is_not_whole_no_size_is_known(data: bytes) -> None:
    assert request_size(data) is None


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (HEAD, 0),
        (HEAD.replace(b"GET", b"POST"), 0),
        (HEAD.replace(b"1.1", b"1.0"), 0),
        (with_header(b"Upgrade-Insecure-Requests: 1", b"GET"), 0),
        (with_header(b"X: 1, content-length: 5"), 0),
        (with_header(b"Content-Length: 5"), 5),
        (with_header(b"content-length:5"), 5),
        (with_header(b"CONTENT-LENGTH: \t 0012 ", b"DELETE"), 12),
        (with_header(b"Content-Length: 5", b"GET"), 5),
    ],
)
def test_the_size_of_a_request(head: bytes, body: int) -> None:
    for following in (b"", HEAD, b"Content-Length: 9\r\n\r\n"):
        assert request_size(head + following) == len(head) + body


@pytest.mark.parametrize(
    "head",
    [
        with_header(b"Transfer-Encoding: chunked"),
        with_header(b"transfer-encoding : chunked"),
        with_header(b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        with_header(b"Content-Length: 5\r\nContent-Length: 5"),
        with_header(b"Content-Length : 5"),
        with_header(b"Content-Length: 5, 5"),
        with_header(b"Content-Length: +5"),
        with_header(b"Content-Length: 5_0"),
        with_header(b"Content-Length:"),
        with_header(b"Content-Length:\r\n 5"),
        with_header(b"Content-Length: 5\r\n 6"),
        with_header(b"Content-Length: " + b"9" * 19),
        with_header(b"Upgrade: websocket", b"GET"),
        with_header(b"Expect: 100-continue\r\nContent-Length: 5"),
        HEAD.replace(b"GET", b"CONNECT"),
        HEAD.replace(b"GET", b"get"),
        HEAD.replace(b"1.1", b"2.0"),
        HEAD.replace(b"/a?b", b"/\xc3\xa4"),
        HEAD.replace(b"/a?b", b"/a b"),
        HEAD.replace(b"\r\n", b"\n"),
        b"\r\n\r\n",
        b"\r\n" + HEAD,
    ],
)
def test_what_is_not_plain_has_no_end(head: bytes) -> None:
    assert request_size(head) == math.inf
