"""Tells each request's environ, and gives each kind of answer: for a comparison of servers.

Any path tells the environ and the body, as JSON. `/give/NAME` calls the function of that name.
Each answer that comes from here has the header X-App.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Callable[[Any], object]]
App = Callable[[Environ, Start], Any]

APP = ("X-App", "1")
PLAIN = [APP, ("Content-Type", "text/plain")]


def app(environ: Environ, start_response: Start) -> Any:
    path = environ.get("PATH_INFO", "")
    if path.startswith("/give/"):
        return GIVEN[path[6:]](environ, start_response)
    if path.startswith("/unread"):
        body = ""
    else:
        try:
            body = environ["wsgi.input"].read().decode("latin-1")
        except OSError as exc:
            body = f"{type(exc).__name__}"
    told: Environ = {
        name: value for name, value in environ.items() if isinstance(value, str | int | tuple)
    }
    told["others"] = sorted(environ.keys() - told.keys())
    start_response("200 OK", [APP, ("Content-Type", "application/json")])
    return [json.dumps({"environ": told, "body": body}).encode()]


GIVEN: dict[str, App] = {}


def given(function: App) -> App:
    GIVEN[function.__name__] = function
    return function


def answer(name: str, status: str, headers: Iterable[Any] = (), body: Iterable[Any] = ()) -> None:
    def give(environ: Environ, start_response: Start) -> Any:
        start_response(status, [APP, *headers])
        return list(body)

    GIVEN[name] = give


TEXT = ("Content-Type", "text/plain")
for number in (
    "103 Early Hints",
    "200 OK",
    "201 Created",
    "204 No Content",
    "205 Reset Content",
    "304 Not Modified",
):
    code = number[:3]
    answer(f"{code}_empty", number)
    answer(f"{code}_empty_block", number, body=[b""])
    answer(f"{code}_body", number, [TEXT], [b"hello"])
    answer(f"{code}_blocks", number, [TEXT], [b"hel", b"", b"lo"])
    answer(f"{code}_length", number, [TEXT, ("Content-Length", "5")], [b"hello"])
    answer(f"{code}_length_alone", number, [TEXT, ("Content-Length", "5")])
answer("404_body", "404 Not Found", [TEXT], [b"none"])
answer("599_body", "599 Own", [TEXT], [b"own"])
answer("phrase_empty", "200 ", [TEXT], [b"x"])
answer("phrase_absent", "200", [TEXT], [b"x"])
answer("phrase_latin", "200 Très bien", [TEXT], [b"x"])
answer("phrase_wide", "200 \u4e2d", [TEXT], [b"x"])
answer("status_short", "20 OK", [TEXT], [b"x"])
answer("status_text", "fine", [TEXT], [b"x"])
answer("status_line_end", "200 OK\r\nX-Injected: 1", [TEXT], [b"x"])
answer("header_line_end", "200 OK", [("X-A", "1\r\nX-Injected: 1")], [b"x"])
answer("header_lf", "200 OK", [("X-A", "1\nX-Injected: 1")], [b"x"])
answer("header_cr", "200 OK", [("X-A", "1\rX-Injected: 1")], [b"x"])
answer("header_nul", "200 OK", [("X-A", "1\x00")], [b"x"])
answer("header_tab", "200 OK", [("X-A", "1\t2")], [b"x"])
answer("header_latin", "200 OK", [("X-A", "\xe9")], [b"x"])
answer("header_wide", "200 OK", [("X-A", "\u4e2d")], [b"x"])
answer("header_empty", "200 OK", [("X-A", "")], [b"x"])
answer("header_blanks", "200 OK", [("X-A", "  1  ")], [b"x"])
answer("header_twice", "200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], [b"x"])
answer("header_case", "200 OK", [("x-a-b", "1")], [b"x"])
answer("header_name_blank", "200 OK", [("X A", "1")], [b"x"])
answer("header_name_colon", "200 OK", [("X:A", "1")], [b"x"])
answer("header_name_empty", "200 OK", [("", "1")], [b"x"])
answer("header_name_line_end", "200 OK", [("X\r\nInjected", "1")], [b"x"])
answer("header_connection", "200 OK", [("Connection", "close")], [b"x"])
answer("header_transfer", "200 OK", [("Transfer-Encoding", "chunked")], [b"x"])
answer("header_server", "200 OK", [("Server", "mine"), ("Date", "never")], [b"x"])
answer("header_bytes", "200 OK", [(b"X-A", b"1")], [b"x"])
answer("header_number", "200 OK", [("X-A", 1)], [b"x"])
answer("length_long", "200 OK", [("Content-Length", "9")], [b"hello"])
answer("length_short", "200 OK", [("Content-Length", "3")], [b"hello", b"more"])
answer("length_zero", "200 OK", [("Content-Length", "0")], [b"hello"])
answer("length_text", "200 OK", [("Content-Length", "five")], [b"hello"])
answer("length_negative", "200 OK", [("Content-Length", "-1")], [b"hello"])
answer("length_blocks", "200 OK", [("Content-Length", "5")], [b"hel", b"lo"])
answer("large", "200 OK", [TEXT], [b"x" * 300_000])
answer("large_blocks", "200 OK", [TEXT], [b"x" * 100_000] * 3)
answer("block_str", "200 OK", [TEXT], ["text"])
answer("block_str_second", "200 OK", [TEXT], [b"first", "text"])
answer("block_bytearray", "200 OK", [TEXT], [bytearray(b"x")])
answer("block_none", "200 OK", [TEXT], [None])
answer("block_subclass", "200 OK", [TEXT], [type("Sub", (bytes,), {})(b"sub")])


class Closing:
    """An iterable with a `close`."""

    def __init__(self, blocks: list[bytes]) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.blocks)

    def close(self) -> None:
        pass


@given
def closing(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    return Closing([b"a", b"b"])


@given
def close_fails(environ: Environ, start_response: Start) -> Any:
    class Fails(Closing):
        def close(self) -> None:
            raise ValueError("close")

    start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
    return Fails([b"a", b"b"])


@given
def generator(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    yield b""
    yield b"a"
    yield b"b"


@given
def generator_empty(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    yield from ()


@given
def generator_starts_late(environ: Environ, start_response: Start) -> Any:
    yield b""
    start_response("200 OK", PLAIN[:])
    yield b"late"


@given
def generator_fails_at_once(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    raise ValueError
    yield


@given
def generator_changes_its_mind(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    yield b""
    try:
        int("")
    except ValueError:
        start_response("503 Busy", PLAIN[:], sys.exc_info())
    yield b"busy"


@given
def generator_cannot_change_its_mind(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", [*PLAIN, ("Content-Length", "9")])
    yield b"first"
    try:
        int("")
    except ValueError:
        start_response("503 Busy", PLAIN[:], sys.exc_info())
    yield b"busy"


@given
def raises(environ: Environ, start_response: Start) -> Any:
    raise ValueError


@given
def raises_after_start(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    raise ValueError


@given
def returns_none(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])


@given
def returns_str(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    return "text"


@given
def returns_bytes(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    return b"bytes"


@given
def returns_tuple(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    return (b"tuple",)


@given
def returns_without_start(environ: Environ, start_response: Start) -> Any:
    return [b"x"]


@given
def returns_nothing_without_start(environ: Environ, start_response: Start) -> Any:
    return []


@given
def starts_twice(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    start_response("201 Created", PLAIN[:])
    return [b"x"]


@given
def starts_twice_with_exc_info(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", [*PLAIN, ("X-First", "1")])
    try:
        int("")
    except ValueError:
        start_response("503 Busy", PLAIN[:], sys.exc_info())
    return [b"busy"]


@given
def starts_with_exc_info(environ: Environ, start_response: Start) -> Any:
    try:
        int("")
    except ValueError:
        start_response("503 Busy", PLAIN[:], sys.exc_info())
    return [b"busy"]


@given
def starts_with_bytes(environ: Environ, start_response: Start) -> Any:
    start_response(b"200 OK", PLAIN[:])
    return [b"x"]


@given
def headers_tuple(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", tuple(PLAIN))
    return [b"x"]


@given
def headers_generator(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", (pair for pair in PLAIN))
    return [b"x"]


@given
def headers_lists(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", [list(pair) for pair in PLAIN])
    return [b"x"]


@given
def headers_kept(environ: Environ, start_response: Start) -> Any:
    """Use the same list each time, as an app with a constant does."""
    start_response("200 OK", PLAIN)
    return [environ["QUERY_STRING"].encode()]


@given
def str_subclasses(environ: Environ, start_response: Start) -> Any:
    sub = type("Sub", (str,), {})
    start_response(sub("200 OK"), [APP, (sub("X-A"), sub("1"))])
    return [b"x"]


@given
def writes(environ: Environ, start_response: Start) -> Any:
    write = start_response("200 OK", PLAIN[:])
    write(b"one ")
    write(b"")
    write(b"two ")
    return [b"three"]


@given
def writes_alone(environ: Environ, start_response: Start) -> Any:
    write = start_response("200 OK", PLAIN[:])
    write(b"one")
    return []


@given
def writes_str(environ: Environ, start_response: Start) -> Any:
    write = start_response("200 OK", PLAIN[:])
    write("one")
    return []


@given
def writes_beyond_length(environ: Environ, start_response: Start) -> Any:
    write = start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    write(b"one ")
    write(b"two ")
    return [b"three"]


@given
def file(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"of a file"))


@given
def file_blocks(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 1000), 10)


@given
def file_length(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"of a file"))


@given
def file_real(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN[:])
    return environ["wsgi.file_wrapper"](Path(__file__).open("rb"))


@given
def method_changed(environ: Environ, start_response: Start) -> Any:
    """Change the environ, as middleware does."""
    environ["REQUEST_METHOD"] = "GET"
    start_response("200 OK", PLAIN[:])
    return [b"of a GET"]


@given
def environ_cleared(environ: Environ, start_response: Start) -> Any:
    environ.clear()
    start_response("200 OK", PLAIN[:])
    return [b"cleared"]


@given
def reads_bytewise(environ: Environ, start_response: Start) -> Any:
    body = environ["wsgi.input"]
    read = [body.read(1), body.read(0), body.readline(), body.readline(2), body.read()]
    start_response("200 OK", PLAIN[:])
    return [repr(read).encode()]


@given
def reads_lines(environ: Environ, start_response: Start) -> Any:
    lines = list(environ["wsgi.input"])
    start_response("200 OK", PLAIN[:])
    return [repr(lines).encode()]


@given
def reads_beyond(environ: Environ, start_response: Start) -> Any:
    body = environ["wsgi.input"]
    read = [body.read(1000), body.read(1000), body.read(), body.readline()]
    start_response("200 OK", PLAIN[:])
    return [repr(read).encode()]
