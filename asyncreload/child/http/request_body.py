"""The request body: how long it is, and reading it to its end and no further.

wsgiref leaves to a front server what a development server does not have: the end of `wsgi.input`,
chunked requests and `Expect: 100-continue`.
"""

from __future__ import annotations

import io
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NoReturn

from asyncreload.child.http.head_parser import HEADER_LINE, MAX_LINE
from asyncreload.child.http.refusal import RefusedRequestError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from asyncreload.child.http.head_parser import RequestHead
    from asyncreload.child.http.response_writer import ResponseWriter

_MAX_TRAILERS: Final = 100  # http.client has this limit for headers
# They would tell of a message that has been read: gunicorn and h11 refuse them as well.
_NEVER_TRAILERS: Final = frozenset({b"content-length", b"transfer-encoding", b"host"})
_LENGTH: Final = re.compile("[0-9]{1,18}")  # int() would take "+1", "1_0" and other scripts' digits
# In an extension, behind the semicolon, neither LF without CR nor CR alone: where another server
# sees the end of the line there, the next chunk begins elsewhere.
_CHUNK_SIZE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-][\t\x20-\x7e\x80-\xff]*)?\r\n"
)


class MalformedBodyError(ValueError):
    """A chunked request body breaks the rules. If the app does not catch it, the answer is 400."""


def body_length(head: RequestHead) -> int | None:
    """Return how many bytes the body has, None if it is chunked.

    Raises RefusedRequestError for headers that are invalid or contradict each other: servers that
    understand them differently could be made to disagree about where the next request begins.
    """
    lengths = head.get_all("Content-Length")
    encodings = head.get_all("Transfer-Encoding")
    if encodings and lengths:
        _refuse("Content-Length and Transfer-Encoding must not be sent together")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        _refuse(f"Content-Length is {', '.join(lengths)!r}; send one number of bytes")
    if not encodings:
        return int(lengths[0]) if lengths else 0
    if head.version < "HTTP/1.1":
        _refuse(f"Transfer-Encoding must not be sent in {head.version}; send HTTP/1.1")
    if [name.lower() for name in encodings] != ["chunked"]:
        _refuse(
            f"Transfer-Encoding is {', '.join(encodings)!r}; only chunked is supported",
            HTTPStatus.NOT_IMPLEMENTED,
        )
    return None


def _refuse(reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> NoReturn:
    raise RefusedRequestError(status, reason)


class RequestBody(io.RawIOBase):
    """The request body as a file: it ends where the request does, not where the connection does.

    Like other files without a buffer it is not safe to be read by several threads at once; the
    `io.BufferedReader` that the app gets around it has a lock.

    reader: reads from the connection; the head of the request has been read.
    writer: sends `100 Continue`, and notes errors of the connection.
    length: the number of bytes, None if the body is chunked.
    """

    def __init__(
        self, reader: io.BufferedReader, writer: ResponseWriter, length: int | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._is_chunked = length is None
        self._left = length or 0  # bytes of the body, or of the chunk
        self._is_first_chunk = True
        self._error = ""  # why the body is malformed
        self.has_ended: bool = length == 0
        """Whether all of it was read."""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read what has arrived, or wait for it; return the number of bytes, 0 at the end.

        Raises MalformedBodyError, again each time, and OSError when the client goes away.
        """
        if self._error:
            raise MalformedBodyError(self._error)
        if self.has_ended:
            return 0
        self._writer.send_continue()
        with self._writer:
            if self._is_chunked and not self._left:
                self._begin_chunk()
                if self.has_ended:
                    return 0
            size = self._reader.readinto1(memoryview(buffer)[: self._left])
            if not size:
                self._fail_cut_off()
        self._left -= size
        self.has_ended = not self._left and not self._is_chunked
        return size

    def _begin_chunk(self) -> None:
        if not self._is_first_chunk and self._read_line() != b"\r\n":
            self._fail_malformed("a chunk is longer than its size says")
        self._is_first_chunk = False
        found = _CHUNK_SIZE.fullmatch(self._read_line())
        if not found:
            self._fail_malformed("a chunk has no valid size")
        self._left = int(found[1], 16)
        if not self._left:
            self._skip_trailers()
            self.has_ended = True

    def _skip_trailers(self) -> None:
        for _ in range(_MAX_TRAILERS + 1):
            line = self._read_line()
            if line == b"\r\n":
                return
            found = HEADER_LINE.fullmatch(line)
            if not found:
                self._fail_malformed("a trailer is not NAME: VALUE and CR LF")
            if found[1].lower() in _NEVER_TRAILERS:
                self._fail_malformed(f"{found[1].decode()} must not be sent as a trailer")
        self._fail_malformed("there are too many trailers")

    def _read_line(self) -> bytes:
        line = self._reader.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            self._fail_malformed("a line is too long")
        if not line.endswith(b"\n"):
            self._fail_cut_off()
        if not line.endswith(b"\r\n"):
            self._fail_malformed("a line ends with LF, without CR")
        return line

    def _fail_cut_off(self) -> NoReturn:
        raise ConnectionResetError("the client closed the connection inside the request body")

    def _fail_malformed(self, reason: str) -> NoReturn:
        self._error = f"malformed chunked request body: {reason}"
        raise MalformedBodyError(self._error)
