"""Whatever a client sends: an app is told what h11 reads, or the request is refused.

The properties are those that tests/fuzzing feeds with more than there is time for here.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("h11")  # of the extra `asgi`

from tests.fuzzing.http_requests import (
    a_size_that_is_told_is_right,
    is_peeked_at_as_it_is_read,
    is_read_the_same_in_any_pieces,
    is_taken_as_h11_takes_it,
)
from tests.live.wire_requests import REQUESTS

needs_httptools = pytest.mark.skipif(find_spec("httptools") is None, reason="needs httptools")

SHORT = [data for data in REQUESTS.values() if len(data) < 2000]
SMALL = (b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"5", b"\x85", b"\xff")
LARGE = (b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n")
LINES = (b"0\r\n\r\n", b"Host: y\r\n", b"HTTP/1.0", b"GET / HTTP/1.1\r\n", b"X: y\r\n", b"\r\n z")
SPICE = st.sampled_from([*SMALL, *LARGE, *LINES])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that is known to be of interest, with changes somewhere."""
    data = draw(st.sampled_from(SHORT))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.sampled_from([0, 0, 1, 2, 5]))
        data = data[:start] + draw(SPICE | st.binary(max_size=2)) + data[end:]
    return data


@given(requests())
@settings(max_examples=200)
def test_an_app_is_told_what_h11_reads(data: bytes) -> None:
    is_taken_as_h11_takes_it(data)


@given(requests())
@settings(max_examples=100)
def test_a_whole_head_is_read_without_waiting(data: bytes) -> None:
    is_peeked_at_as_it_is_read(data)


@given(requests(), st.binary(max_size=5), st.binary(max_size=5))
@settings(max_examples=100)
def test_pieces_make_no_difference(data: bytes, pieces: bytes, sizes: bytes) -> None:
    is_read_the_same_in_any_pieces(data, pieces, sizes)


@needs_httptools
@given(requests())
@settings(max_examples=100)
def test_a_size_that_is_told_is_right(data: bytes) -> None:
    a_size_that_is_told_is_right(data)


@pytest.mark.parametrize("name", REQUESTS)
def test_each_known_request(name: str) -> None:
    is_taken_as_h11_takes_it(REQUESTS[name])
    is_peeked_at_as_it_is_read(REQUESTS[name][:3000])


@needs_httptools
def test_the_sizes_of_known_requests_are_right() -> None:
    for data in REQUESTS.values():
        a_size_that_is_told_is_right(data)
