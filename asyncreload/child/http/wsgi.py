"""Answers one request on an accepted connection, with wsgiref.

wsgiref leaves three things to a front server which a development server does not have: the end of
`wsgi.input`, chunked requests and `Expect: 100-continue`. They are added here. Everything else
is wsgiref's own, but for the look of the access log.
"""

from __future__ import annotations

import io
import re
import socket
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler

from asyncreload.child.http.client_io import Away, reader, send
from asyncreload.child.http.live_injection import ERROR_PAGE, adapt, tag
from asyncreload.child.pages.navigation import is_navigation
from asyncreload.frozen_data import FrozenData
from asyncreload.style import access_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from wsgiref.headers import Headers
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from _typeshed import WriteableBuffer

_LONGEST_LINE: Final = 65536  # http.server's limit for the request line and each header
_MOST_TRAILERS: Final = 100  # http.client's limit for headers
_LENGTH: Final = re.compile("[0-9]{1,18}")  # int() would take "+1", "1_0" and other scripts' digits
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?\r?\n", re.DOTALL)


class Site(FrozenData):
    """What is the same for every request: the server's name and port, and how it serves."""

    host: str
    port: int
    threads: int
    access_log: bool = True
    live: str = ""
    """Where pages are to load themselves again: the state of this process, as it is told them."""


class MalformedBodyError(ValueError):
    """The client's chunked request body breaks the rules; an app that lets it pass answers 400."""


def answer(
    connection: socket.socket,
    client: tuple[Any, ...] | str,
    away: Away,
    *,
    app: WSGIApplication,
    site: Site,
) -> bool:
    """Answer the one request on `connection`; closing it is the caller's.

    away: entered each time that the client has to be waited for.

    Return whether unread bytes of the request may remain, so that the caller must close lingeringly
    (a plain close would reset the connection, and the client might lose the answer). Whatever a
    client does, nothing is raised: it gets an error page, or is left alone when it went away.
    """
    with reader(connection, away) as source:
        request = _Request(source, _Peer(connection, away), client, site)
        # An error of the connection: the client went away. The app's own are dealt with inside.
        with suppress(OSError), request.peer:
            if connection.family != socket.AF_UNIX:
                # Else a second block waits until the client has acknowledged the first: 40 ms.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if request.read_head():
                request.run(app)
            request.peer.flush()
    return request.unread


class _Peer:
    """The client as a file to write to: what is written leaves in one send when it is flushed.

    As a context manager it guards the work on the connection, and remembers if that failed: so a
    client that went away is told from an app whose own connections (a database's) break.
    """

    def __init__(self, connection: socket.socket, away: Away) -> None:
        self._connection = connection
        self._away = away
        self._unsent: list[bytes] = []
        self.gone = False
        self.started = False  # some of the answer was sent and cannot be taken back
        self.muted = False  # what is written now is a body that must not be sent
        self.awaits_continue = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            self.gone = True

    def write(self, data: bytes) -> int:
        if data and not self.muted:
            self._unsent.append(data)
        return len(data)

    def flush(self) -> None:
        if self._unsent:
            data = b"".join(self._unsent)  # a single block is not copied
            self._unsent.clear()
            self.started = True
            with self:
                send(self._connection, data, self._away)

    def end(self) -> None:
        """Let the client know at once that the answer is complete."""
        self.flush()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def take_back(self) -> None:
        """Forget what was written and not sent."""
        self._unsent.clear()
        self.muted = False

    def invite(self) -> None:
        """Tell a client that waits for it to send the body; once the answer began, it is late."""
        if self.awaits_continue and not self.started:
            self.awaits_continue = False
            with self:
                send(self._connection, b"HTTP/1.1 100 Continue\r\n\r\n", self._away)


class _Body(io.RawIOBase):
    """The request body: ends where the request does, not where the connection does."""

    def __init__(self, reader: io.BufferedReader, peer: _Peer, length: int | None) -> None:
        """Without a `length` it is chunked."""
        self._reader = reader
        self._peer = peer
        self._chunked = length is None
        self._left = length or 0  # of the body, or of the chunk
        self._first = True
        self._flaw = ""
        self.ended = length == 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self._flaw:
            raise MalformedBodyError(self._flaw)
        if self.ended:
            return 0
        self._peer.invite()
        with self._peer:
            if self._chunked and not self._left:
                self._next_chunk()
                if self.ended:
                    return 0
            size = self._reader.readinto1(memoryview(buffer)[: self._left])
            if not size:
                self._cut_off()
        self._left -= size
        self.ended = not self._left and not self._chunked
        return size

    def _next_chunk(self) -> None:
        if not self._first and self._line() not in (b"\r\n", b"\n"):
            self._malformed("a chunk is longer than its size says")
        self._first = False
        found = _CHUNK.fullmatch(self._line())
        if not found:
            self._malformed("a chunk has no valid size")
        self._left = int(found[1], 16)
        if not self._left:
            self._skip_trailers()
            self.ended = True

    def _skip_trailers(self) -> None:
        for _ in range(_MOST_TRAILERS + 1):
            if self._line() in (b"\r\n", b"\n"):
                return
        self._malformed("there are too many trailers")

    def _line(self) -> bytes:
        line = self._reader.readline(_LONGEST_LINE)
        if len(line) == _LONGEST_LINE:
            self._malformed("a line is too long")
        if not line.endswith(b"\n"):
            self._cut_off()
        return line

    def _cut_off(self) -> NoReturn:
        raise ConnectionResetError("the client closed the connection inside the request body")

    def _malformed(self, flaw: str) -> NoReturn:
        self._flaw = f"malformed chunked request body: {flaw}"
        raise MalformedBodyError(self._flaw)


class _Request(WSGIRequestHandler):
    """One request: its head is read and judged, then the app runs."""

    # The base class answers in its constructor, through a server; here there is none.
    def __init__(
        self,
        reader: io.BufferedReader,
        peer: _Peer,
        client: tuple[Any, ...] | str,
        site: Site,
    ) -> None:
        self.client_address = client if isinstance(client, tuple) else (client,)
        self.rfile = reader
        self.peer = peer
        self.wfile = cast("io.BufferedIOBase", self.peer)
        self.site = site
        self.server = cast("Any", SimpleNamespace(base_environ=_base_environ(site)))
        self.body: _Body | None = None
        self._silent = False
        self._began = 0.0

    @property
    def unread(self) -> bool:
        """Whether bytes of the request may be left on the connection."""
        return not (self._silent or (self.body and self.body.ended))

    def read_head(self) -> bool:
        """Whether there is a request for the app; if not, the client has its error page."""
        self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
        self._began = time.perf_counter()
        self._silent = not self.raw_requestline
        if len(self.raw_requestline) > _LONGEST_LINE:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return False
        try:
            if not self.parse_request():
                return False
            # Of HTTP/0.9, which has none, newer Pythons say so by a plain dictionary.
            self.headers = self.headers or self.MessageClass()
            return self._find_body()
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - the headers' parser, one for mail, trips over garbage
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False

    def _find_body(self) -> bool:
        lengths = {length.strip() for length in self.headers.get_all("Content-Length", [])}
        encodings = self.headers.get_all("Transfer-Encoding")
        if encodings and lengths:
            self.send_error(HTTPStatus.BAD_REQUEST, "Content-Length and Transfer-Encoding")
            return False
        if encodings and [name.strip().lower() for name in encodings] != ["chunked"]:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED, "Unknown Transfer-Encoding")
            return False
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            self.send_error(HTTPStatus.BAD_REQUEST, "Invalid Content-Length")
            return False
        length = None if encodings else int(lengths.pop()) if lengths else 0
        self.body = _Body(cast("io.BufferedReader", self.rfile), self.peer, length)
        self.peer.awaits_continue = (
            self.headers.get("Expect", "").lower() == "100-continue"
            and self.request_version >= "HTTP/1.1"
        )
        return True

    def run(self, app: WSGIApplication) -> None:
        """Have the app answer; `read_head` said that it can."""
        assert self.body  # noqa: S101
        handler = _LiveHandler if self.site.live else _Handler
        handler(self, io.BufferedReader(self.body)).run(app)

    def get_environ(self) -> WSGIEnvironment:
        environ = super().get_environ()
        environ["wsgi.input_terminated"] = True
        return environ

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del size
        if self.site.access_log:
            # Without the version; what was no request is told as it came.
            request = f"{self.command} {self.path}" if self.command else self.requestline
            status = str(code.value if isinstance(code, HTTPStatus) else code)
            seconds = time.perf_counter() - self._began
            # Nobody reads it any more; or it is closed.
            with suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(access_line(request, status, seconds, sys.stderr))

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: `log_request` tells the status of an error page as well."""


class _Handler(ServerHandler):
    """Runs the app, and outlives whatever it raises."""

    # wsgiref shows the app the environment as it found it; our markers are not the app's business.
    os_environ = {  # noqa: RUF012  an instance attribute to the type stubs
        name: value
        for name, value in ServerHandler.os_environ.items()
        if not name.startswith("ASYNCRELOAD_")
    }

    # wsgiref has these; its type stubs do not.
    environ: WSGIEnvironment
    headers_sent: bool
    result: Iterable[bytes] | None

    def __init__(self, request: _Request, body: io.BufferedReader) -> None:
        super().__init__(
            body,
            cast("Any", request.peer),
            request.get_stderr(),
            request.get_environ(),
            multithread=request.site.threads > 1,
            multiprocess=False,
        )
        self.request_handler = request
        self.peer = request.peer

    def run(self, application: WSGIApplication) -> None:
        # wsgiref's own hides every broken connection, the app's to its database too.
        try:
            self.setup_environ()
            self.result = application(self.environ, self.start_response)
            self.finish_response()
        except BaseException:  # noqa: BLE001 - sys.exit() in an app must not end our thread
            self.handle_error()

    def send_headers(self) -> None:
        super().send_headers()
        self.peer.muted = self.environ["REQUEST_METHOD"] == "HEAD"

    def finish_content(self) -> None:
        super().finish_content()
        self._flush()  # headers without a body; the app's close() may take its time

    def close(self) -> None:
        # The answer is complete: a close() that fails is told, and nothing more is sent. The client
        # need not wait for that, nor for the line in the log.
        try:
            self.peer.end()
            super().close()
        except BaseException:  # noqa: BLE001
            self.log_exception(sys.exc_info())

    def log_exception(self, exc_info: Any) -> None:
        with suppress(OSError):  # nobody reads it any more, but the client is owed an answer
            super().log_exception(exc_info)

    def handle_error(self) -> None:
        error = sys.exception()
        if self.peer.gone and isinstance(error, OSError):
            return
        if isinstance(error, MalformedBodyError):
            self.error_status = "400 Bad Request"
            self.error_body = str(error).encode()
        else:
            self.log_exception(sys.exc_info())
        if self.peer.started:
            return
        self.peer.take_back()  # headers that could not be encoded, half written
        self.headers_sent = False
        self.result = self.error_output(self.environ, self.start_response)
        with suppress(OSError):
            self.finish_response()


class _LiveHandler(_Handler):
    """Adds the script to pages by which they load themselves again."""

    # wsgiref has these; its type stubs do not.
    status: str
    headers: Headers
    bytes_sent: int

    def __init__(self, request: _Request, body: io.BufferedReader) -> None:
        super().__init__(request, body)
        self._first = b""
        self._tag = b""
        self._length: str | None = None
        # Not by the app's environ: in that, middleware writes.
        self._is_navigation = is_navigation(self.base_env)
        if self._is_navigation:
            self.error_headers = [("Content-Type", "text/html; charset=utf-8")]
            self.error_body = ERROR_PAGE

    def write(self, data: bytes) -> None:
        if not self.headers_sent:
            self._first = data[:2]
        super().write(data)

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if self._is_navigation:
            state = self.request_handler.site.live
            self._tag = tag(state, self.status, self.headers, self._first)
            if self._tag:
                self._length = self.headers["Content-Length"]
                adapt(self.headers, len(self._tag))

    def finish_content(self) -> None:
        # Not behind a page that is shorter or longer than it said.
        if self._tag and self._length in {None, str(self.bytes_sent)} and self.bytes_sent:
            self.write(self._tag)
        super().finish_content()


def _base_environ(site: Site) -> dict[str, str]:
    # What WSGIServer.setup_environ gives, without its getfqdn(), which asks the DNS.
    return {
        "SERVER_NAME": site.host,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PORT": str(site.port),
        "REMOTE_HOST": "",
        "CONTENT_LENGTH": "",
        "SCRIPT_NAME": "",
    }
