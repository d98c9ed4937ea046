"""What must hold of any bytes that a client sends: the same as h11 takes them for, or a refusal."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from typing import TYPE_CHECKING, Any

import h11

from asyncreload.child.http.client_io import open_reader
from asyncreload.child.http.request_body import MalformedBodyError
from asyncreload.child.http.request_head import _has_empty_line, request_size
from asyncreload.child.http.response_writer import ResponseWriter
from asyncreload.child.http.wsgi import TERSE_ERRORS, Request, Site

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SITE = Site("localhost", 8000, threads=1, access_log=False)
CLIENT = ("127.0.0.1", 54321)
_MAX_REST = 65536
_ONLY_H11_MINDS = re.compile(rb"(?:^|\n)[0-9A-Fa-f]+[ \t]+;")
"""A blank behind the size of a chunk: RFC 9112, 7.1.1, has it."""


class Wire:
    """A connection, as far as a request needs one: gives bytes in pieces, and keeps the answer.

    pieces: how many bytes each read may return, over and over; all if it is not given.
    """

    def __init__(self, data: bytes, pieces: bytes = b"") -> None:
        self.data = data
        self.pieces = pieces or b"\0"
        self.reads = 0
        self.place = 0
        self.asked_for_more = False
        """Whether all had been read, and more was asked for: a live client would be waited for."""
        self.sent = b""

    def recv_into(self, buffer: WriteableBuffer, size: int, flags: int) -> int:
        into = memoryview(buffer).cast("B")
        most = self.pieces[self.reads % len(self.pieces)] or len(into)
        self.reads += 1
        piece = self.data[self.place : self.place + min(most, len(into))]
        into[: len(piece)] = piece
        self.place += len(piece)
        self.asked_for_more |= not piece
        return len(piece)

    def recv(self, size: int, flags: int) -> bytes:
        return self.data[:size]

    def send(self, data: bytes, flags: int) -> int:
        self.sent += bytes(data)
        return len(data)


@dataclass
class Taken:
    """What a parser takes a request for."""

    outcome: str
    """refused: by its head; malformed: by its body; part: more is waited for; whole."""
    method: str = ""
    target: str = ""
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    rest: bytes = b""
    """What is behind a whole request."""


def ours(data: bytes, pieces: bytes = b"", sizes: bytes = b"") -> tuple[Taken, Request]:
    """Read a request as `wsgi.answer` does, and its body as an app may.

    pieces: how many bytes arrive at a time.
    sizes: how many bytes the app asks for at a time; all at once if it is not given.
    """
    wire: Any = Wire(data, pieces)
    reader = open_reader(wire, nullcontext())
    writer = ResponseWriter(wire, nullcontext())
    request = Request(reader, writer, CLIENT, SITE, TERSE_ERRORS)
    if not request.read_head():
        return Taken("refused" if writer._unsent else "part"), request
    assert request.body
    environ = request.environ
    taken = Taken(
        "whole",
        environ["REQUEST_METHOD"],
        environ["REQUEST_URI"],
        environ["SERVER_PROTOCOL"],
    )
    body = io.BufferedReader(request.body)
    parts = []
    try:
        for size in cycle(sizes or [-1]):
            parts.append(body.read(size + 1 if sizes else -1))
            if not parts[-1]:
                break
    except MalformedBodyError:
        return Taken("malformed"), request
    except ConnectionResetError:
        taken.outcome = "part"
        return taken, request
    taken.body = b"".join(parts)
    taken.rest = reader.read(_MAX_REST)
    return taken, request


def of_h11(data: bytes) -> Taken:
    """Read a request with h11."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    parser.receive_data(data)
    taken = Taken("part")
    try:
        while True:
            match parser.next_event():
                case h11.Request() as request:
                    taken.method = request.method.decode("latin-1")
                    taken.target = request.target.decode("latin-1")
                    taken.version = f"HTTP/{request.http_version.decode()}"
                    taken.headers = tuple(
                        (name.decode("latin-1"), value.decode("latin-1"))
                        for name, value in request.headers
                    )
                case h11.Data() as piece:
                    taken.body += bytes(piece.data)
                case h11.EndOfMessage():
                    taken.outcome = "whole"
                    taken.rest = bytes(parser.trailing_data[0])
                    return taken
                case _:
                    return taken
    except h11.RemoteProtocolError:
        return Taken("malformed" if taken.method else "refused")


def is_taken_as_h11_takes_it(data: bytes) -> None:
    """Check that what an app is told of a request is what h11 reads, to the byte; or a refusal."""
    mine, request = ours(data)
    if mine.outcome in {"refused", "malformed"}:
        return
    given = data.removeprefix(b"\r\n")
    if not mine.method:  # the client has gone without a word
        assert not given
        return
    theirs = of_h11(given)
    if is_what_only_h11_minds(given, request, theirs, mine):
        return
    for name in ("outcome", "method", "target", "version"):
        assert getattr(mine, name) == getattr(theirs, name), name
    if mine.outcome == "whole":
        assert mine.body == theirs.body
        assert mine.rest == theirs.rest[:_MAX_REST]
    told = {k: v for k, v in request.environ.items() if k.startswith(("HTTP_", "CONTENT_"))}
    assert {**told, **variables(theirs)} == told
    assert told.keys() - variables(theirs).keys() <= {"HTTP_HOST", "HTTP_TRANSFER_ENCODING"}


def is_what_only_h11_minds(data: bytes, request: Request, theirs: Taken, mine: Taken) -> bool:
    """Tell whether there is a known reason for which h11 refuses what we take."""
    head, _, body = data.partition(b"\r\n\r\n")
    if theirs.outcome == "malformed":  # part of it may become malformed here, too
        return mine.outcome == "part" or bool(_ONLY_H11_MINDS.search(body))
    line = head.partition(b"\r\n")[0]
    is_without_host = "HTTP_HOST" not in request.environ or not mine.target.startswith(("/", "*"))
    return theirs.outcome == "refused" and (is_without_host or not line.isascii())


def variables(theirs: Taken) -> dict[str, str]:
    """Return what an app is to be told of headers; but for what the target or h11 changes."""
    told: dict[str, str] = {}
    for name, value in theirs.headers:
        key = name.upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        if "_" not in name:
            told[key] = f"{told[key]},{value}" if key in told else value
    told.pop("HTTP_TRANSFER_ENCODING", None)
    if not theirs.target.startswith(("/", "*")):
        told.pop("HTTP_HOST", None)
    return told


def is_peeked_at_as_it_is_read(data: bytes) -> None:
    """Check that a head which the peek calls whole is read without waiting, and no other is."""
    found = next(
        (end for end in range(len(data) + 1) if _has_empty_line(bytearray(data), end)), None
    )
    wire: Any = Wire(data if found is None else data[:found])
    reader = open_reader(wire, nullcontext())
    writer = ResponseWriter(wire, nullcontext())
    request = Request(reader, writer, CLIENT, SITE, TERSE_ERRORS)
    is_read = request.read_head()
    if found is None:
        assert not is_read
    else:
        assert not wire.asked_for_more
        assert not is_read or not reader.read(1)


def is_read_the_same_in_any_pieces(data: bytes, pieces: bytes, sizes: bytes) -> None:
    """Check that it makes no difference how bytes arrive, nor how the app reads the body."""
    whole, first = ours(data)
    pieced, second = ours(data, pieces, sizes)
    assert whole == pieced, (whole, pieced)
    assert first.environ == second.environ


def a_size_that_is_told_is_right(data: bytes) -> None:
    """Check that to uvicorn's parsers, too, a request is as long as we say, or none at all."""
    size = request_size(data)
    if size is None or size > len(data):  # as an infinite one is
        return
    theirs = of_h11(data)
    rest = data[int(size) :]
    assert theirs.outcome == "refused" or (theirs.outcome, theirs.rest) == ("whole", rest), theirs
    httptools: Any = import_module("httptools")  # not every machine has it
    noted = _Noted()
    parser = httptools.HttpRequestParser(noted)
    try:
        parser.feed_data(data[: int(size)])
    except httptools.HttpParserUpgrade:
        raise AssertionError("upgrade") from None
    except httptools.HttpParserError:
        return
    assert noted.ends == 1, noted.ends


class _Noted:
    ends = 0

    def on_message_complete(self) -> None:
        self.ends += 1
