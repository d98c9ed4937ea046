"""What is not clearly valid in the head of a request is refused, and nothing is repaired."""

from __future__ import annotations

import io
from http import HTTPStatus
from typing import Any

import pytest

from asyncreload.child.http.head_parser import (
    RequestHead,
    Target,
    parse_target,
    read_head,
)
from asyncreload.child.http.refusal import RefusedRequestError


def parse(data: bytes) -> RequestHead:
    reader: Any = io.BufferedReader(io.BytesIO(data))
    return read_head(reader.readline(), reader)


def parse_header(header: bytes) -> RequestHead:
    return parse(b"GET / HTTP/1.1\r\n" + header + b"\r\n\r\n")


def target_of(target: str, method: str = "GET") -> Target:
    return parse_target(RequestHead(method, target, "HTTP/1.1", ()))


def test_what_is_behind_the_head_is_left() -> None:
    reader: Any = io.BufferedReader(io.BytesIO(b"Host: x\r\nA:b \r\n\r\nbody"))
    head = read_head(b"POST /a?b HTTP/1.0\r\n", reader)
    assert head == RequestHead("POST", "/a?b", "HTTP/1.0", (("Host", "x"), ("A", "b")))
    assert reader.read() == b"body"


def test_values_are_found_by_their_names_in_any_case() -> None:
    head = parse_header(b"X-A: 1\r\nx-a:2\r\nX-B: 3")
    assert head.get_all("X-a") == ["1", "2"]
    assert head.get_all("X-C") == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"X:", ""),
        (b"X: \t a\tb \t", "a\tb"),
        (b"X: \xc3\xa0", "\xc3\xa0"),  # the last byte is a blank to str.strip()
        (b"X: \x85a\xa0", "\x85a\xa0"),
        (b"X: a:b", "a:b"),
    ],
)
def test_a_value_loses_the_blanks_of_http_and_no_others(header: bytes, value: str) -> None:
    assert parse_header(header).headers == (("X", value),)


@pytest.mark.parametrize(
    "line",
    [
        b"get / HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET\t/ HTTP/1.1\r\n",
        b"GET /\x0b HTTP/1.1\r\n",
        b"GET /\x00 HTTP/1.1\r\n",
        b"GET /\r HTTP/1.1\r\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.10\r\n",
        b"GET / http/1.1\r\n",
        b"GET /\r\n",
    ],
)
def test_a_request_line_is_refused(line: bytes) -> None:
    with pytest.raises(RefusedRequestError, match="the request line") as caught:
        parse(line + b"\r\n")
    assert caught.value.status is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "header",
    [
        b"X : 1",  # a front server may have taken X for another header
        b"X\t: 1",
        b" X: 1",
        b"X: 1\r\n folded",
        b"X: 1\r\n ",
        b"X: a\nTransfer-Encoding: chunked",
        b"X: a\rTransfer-Encoding: chunked",
        b"X: a\x00",
        b"X: a\x7f",
        b"X: \x0bchunked",
        b"X",
        b": 1",
        b"X A: 1",
        b"X\xdf: 1",  # "ß" becomes "SS" in capitals
    ],
)
def test_a_header_is_refused(header: bytes) -> None:
    with pytest.raises(RefusedRequestError, match="the header line") as caught:
        parse_header(header)
    assert caught.value.status is HTTPStatus.BAD_REQUEST


def test_a_head_that_is_cut_off_is_refused() -> None:
    for data in (b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        with pytest.raises(RefusedRequestError):
            parse(data)


@pytest.mark.parametrize("name", [b"Host", b"Content-Type"])
def test_one_that_is_given_once_is_refused_twice(name: bytes) -> None:
    with pytest.raises(RefusedRequestError, match="only once"):
        parse_header(name + b": a\r\n" + name.lower() + b": a")


@pytest.mark.parametrize(
    ("target", "parsed"),
    [
        ("/", Target(None, "/", "")),
        ("/a%2F?b?c#d?e", Target(None, "/a%2F", "b?c")),
        ("//a//b", Target(None, "//a//b", "")),
        ("/http://x/", Target(None, "/http://x/", "")),
        ("http://x.example:80/a?b", Target("x.example:80", "/a", "b")),
        ("http://user:pass@x.example", Target("x.example", "/", "")),
        ("http://x.example?a", Target("x.example", "/", "a")),
        ("https://[::1]:80/", Target("[::1]:80", "/", "")),
    ],
)
def test_a_target_is_a_path_or_the_url_of_one(target: str, parsed: Target) -> None:
    assert target_of(target) == parsed


def test_a_target_may_be_the_whole_server() -> None:
    assert target_of("*", "OPTIONS") == Target(None, "*", "")


@pytest.mark.parametrize(
    "target", ["*", "a", "?a", "#a", "http:/a", "http:///a", "http://[/a", "http://a]b/", "x:80"]
)
def test_others_are_refused(target: str) -> None:
    with pytest.raises(RefusedRequestError, match="neither a path"):
        target_of(target)
