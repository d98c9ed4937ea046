"""Whatever an app gives to `start_response`: a client reads the answer that it means, or 500."""

from __future__ import annotations

import io
import string
from contextlib import nullcontext, redirect_stderr
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.wsgi import Site, answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

h11: Any = pytest.importorskip("h11")  # of the extra `asgi`

DIGITS = string.digits
TOKENS = string.ascii_letters + DIGITS + "!#$%&'*+-.^_`|~"
CLIENT = ("127.0.0.1", 54321)
NAVIGATION = (
    b"GET / HTTP/1.1\r\nHost: x\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
)
LETTERS = "\r\n\t\0\x7f\x85\xff:;,'\"<>& aZ0\u0662\u4e2d\ud800"
BITS = st.sampled_from([*LETTERS, "\r\n\r\n", "\r\nX: y", "</"])
TEXTS = st.lists(BITS, max_size=4).map("".join) | st.text(max_size=6)
CODES = st.sampled_from(["200", "204", "304", "404", "500", "\xb2\xb2\xb2", "2", "0200", "", "abc"])
STATUSES = st.builds("{}{}".format, CODES, st.sampled_from(["", " ", " OK", "\r\nX: y"]) | TEXTS)
USUAL = (
    "Content-Type",
    "X-App",
    "content-length",
    "Date",
    "Server",
    "Set-Cookie",
    "ETag",
    "X\r\nY",
)
OF_PAGES = ("Content-Security-Policy", "Cache-Control", "Content-Encoding")
NAMES = st.sampled_from([*USUAL, *OF_PAGES])
LENGTHS = ("5", "0", "99999", "-1", "1_0", "\u0665")
POLICIES = ("script-src 'nonce-abc'", "script-src 'nonce-a\" onload=x'", "default-src 'self', *")
VALUES = st.sampled_from(["text/html", "text/html; charset=utf-16", *LENGTHS, *POLICIES])
PAIRS = st.tuples(NAMES | TEXTS, VALUES | TEXTS)
BODIES = st.lists(st.sampled_from([b"", b"hello", b"\xff\xfe", b"<p>x", b"\r\n\r\n"]), max_size=3)


class Client:
    """The connection to a client that has sent a request, and reads all of the answer."""

    def __init__(self, request: bytes) -> None:
        self.request = io.BytesIO(request)
        self.received = b""
        self.was_reset = False

    def recv_into(self, buffer: Any, size: int, flags: int) -> int:
        return self.request.readinto(buffer)

    def send(self, data: bytes, flags: int) -> int:
        self.received += bytes(data)
        return len(data)

    def shutdown(self, how: int) -> None: ...
    def setsockopt(self, *option: object) -> None: ...

    def close(self) -> None:
        self.was_reset = True  # nobody else closes it here


def read(received: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Read an answer as a client does. Raises what h11 does when it is none, or more than one."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(received)
    parser.receive_data(b"")
    response = parser.next_event()
    assert isinstance(response, h11.Response), response
    body = b""
    while isinstance(event := parser.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return response.status_code, list(response.headers), body


@given(STATUSES, st.lists(PAIRS, max_size=3), BODIES, st.booleans())
@settings(max_examples=300, deadline=None)
@example("\xb2\xb2\xb2 OK", [], [b"x"], False)
def test_any_answer_is_sent_as_it_is_meant_or_as_an_error(
    status: str,
    headers: list[tuple[str, str]],
    blocks: list[bytes],
    is_live: bool,  # noqa: FBT001  hypothesis gives it by position
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, headers)
        return blocks

    client: Any = Client(NAVIGATION + b"\r\n")
    site = Site("x", 80, threads=2, access_log=False, live_state="7-1" if is_live else "")
    errors = RequestErrors("7-1", live=is_live)
    with redirect_stderr(io.StringIO()):
        answer(client, CLIENT, nullcontext(), app=app, site=site, errors=errors)
    assert client.received
    sent = client.received.partition(b"\r\n\r\n")[0].split(b"\r\n")
    body = b"".join(blocks)
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    try:
        code, told, read_body = read(client.received)
    except h11.RemoteProtocolError:
        # The app has said another length than it has sent, or two.
        assert set(lengths) - {str(len(body))}
        return
    names = {name for name, _ in told}
    again = sum(line.lower().startswith(b"content-length:") for line in sent) - 1
    assert len(told) == len(sent) - 1 - max(0, again)  # h11 makes one of those that agree
    is_error = b"x-content-type-options" in names
    assert is_error is not is_valid(status, headers)
    if is_error:
        assert code == 500
        return
    assert str(code) == status[:3]
    own = {b"date", b"server", b"content-length", b"vary"}
    assert names <= own | {name.lower().encode() for name, _ in headers}
    if code not in {204, 304} and not lengths:
        assert read_body.startswith(body)


def is_valid(status: str, headers: list[tuple[str, str]]) -> bool:
    """Whether an answer may be sent, letter by letter."""
    has_code = len(status) > 2 and status[0] in "123456789" and {*status[1:3]} <= {*DIGITS}
    return (
        has_code
        and status[3:4] in {"", " "}
        and is_text(status)
        and all(name and {*name} <= {*TOKENS} and is_text(value) for name, value in headers)
        and all(is_length(value) for name, value in headers if name.lower() == "content-length")
    )


def is_text(value: str) -> bool:
    return all(
        letter == "\t" or " " <= letter <= "~" or "\x80" <= letter <= "\xff" for letter in value
    )


def is_length(value: str) -> bool:
    return 0 < len(value) < 19 and {*value} <= {*DIGITS}
