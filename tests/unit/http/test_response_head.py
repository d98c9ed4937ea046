"""What an app gives to `start_response` is sent as it is, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreload.child.http.response_head import (
    checked_headers,
    checked_raw_headers,
    checked_status,
    has_no_body,
)


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def test_text_of_other_classes_becomes_plain() -> None:
    """A framework's classes of text are, for wsgiref, not text."""
    assert type(checked_status(Text("200 OK"))) is str
    assert checked_status(Text("200 OK")) == "200 OK"
    ((name, value),) = checked_headers([(Text("X"), Text("1"))])
    assert (type(name), name, type(value), value) == (str, "X", str, "1")


def test_what_is_no_text_is_left_to_wsgiref_which_refuses_it() -> None:
    wrong: Any = [(b"X", 1)]
    assert checked_headers(wrong) == wrong


def test_a_code_alone_gets_the_blank_behind_it() -> None:
    assert checked_status("200") == "200 "


@pytest.mark.parametrize("status", ["", "20", "2000", "OK", "200OK", "\xb2\xb2\xb2 OK", "000 x"])
def test_a_status_begins_with_a_code(status: str) -> None:
    with pytest.raises(ValueError, match="three digits"):
        checked_status(status)


def test_headers_are_copied() -> None:
    """An app may pass the same list each time, and wsgiref adds Content-Length to its list."""
    headers = [("X", "1")]
    assert checked_headers(headers) == headers
    assert checked_headers(headers) is not headers
    assert checked_headers(iter(headers)) == headers


@pytest.mark.parametrize("text", ["1\r\nX: 2", "1\nX: 2", "1\r", "1\x00", "1\x7f", "中"])
def test_what_would_be_sent_as_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the status is"):
        checked_status(f"200 {text}")
    with pytest.raises(ValueError, match="the header X-A is"):
        checked_headers([("X-A", text)])


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "X\xe9"])
def test_names_are_tokens(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a header"):
        checked_headers([(name, "1")])


@pytest.mark.parametrize("length", ["", "-1", "+1", "five", "1.0", "1, 1"])
def test_a_length_is_a_number_of_bytes(length: str) -> None:
    with pytest.raises(ValueError, match="the header Content-Length is"):
        checked_headers([("content-length", length)])


def test_some_statuses_have_no_body() -> None:
    with_none = ["100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"]
    assert all(map(has_no_body, with_none))
    assert not any(map(has_no_body, ["200 OK", "205 Reset Content", "404 Not Found"]))


RAW = st.binary(max_size=3) | st.sampled_from([b"x-a", b"Content-length", b"5", b"a:b", b"x\n"])


@given(st.lists(st.tuples(RAW, RAW)))
def test_raw_headers_are_judged_like_texts(headers: list[tuple[bytes, bytes]]) -> None:
    """A short way is taken where a header is a usual one."""
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    try:
        checked_headers(texts)
    except ValueError:
        with pytest.raises(ValueError):
            checked_raw_headers(headers)
    else:
        assert checked_raw_headers(headers) == headers
