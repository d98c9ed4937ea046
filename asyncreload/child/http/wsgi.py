"""Answers one request on an accepted connection, with wsgiref."""

from __future__ import annotations

import io
import socket
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler

from asyncreload.child.http.client_io import WhileWaiting, open_reader
from asyncreload.child.http.request_body import MAX_LINE, FramingError, RequestBody, body_length
from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.response_writer import ResponseWriter
from asyncreload.child.http.wsgi_handler import AppHandler, LivePageHandler
from asyncreload.child.sockets import ClientAddress
from asyncreload.frozen_data import FrozenData
from asyncreload.style import access_line

if TYPE_CHECKING:
    from wsgiref.types import ErrorStream, WSGIApplication, WSGIEnvironment

TERSE_ERRORS = RequestErrors("", live=False)
"""Shows clients no details of an error."""


class Site(FrozenData):
    """What is the same for every request: the server's name and port, and how it serves."""

    host: str
    port: int
    threads: int
    """How many requests may be answered at a time."""
    access_log: bool = True
    live_state: str = ""
    """If pages are to reload themselves: the state that names this process. Else empty."""


def answer(
    connection: socket.socket,
    client: ClientAddress,
    while_waiting: WhileWaiting,
    *,
    app: WSGIApplication,
    site: Site,
    errors: RequestErrors = TERSE_ERRORS,
) -> bool:
    """Answer the one request on `connection`; closing it is the caller's.

    It is closed here only to cut off a response that the app could not complete.

    while_waiting: a context that is entered each time that the client has to be waited for.

    Return whether bytes of the request may be left unread. Then the caller has to read them before
    it closes the connection: a plain close would reset it, and the client might lose the answer.

    Nothing is raised, whatever the client does: it gets an error page, or nothing when it went
    away. What the app raises is told to `errors`, and answered with the page that they give. May be
    called in several threads at once: each call has objects of its own, and changes neither `app`
    nor `site`.
    """
    with open_reader(connection, while_waiting) as reader:
        request = Request(reader, ResponseWriter(connection, while_waiting), client, site, errors)
        # An OSError here is the connection's: the client went away. The app's are caught inside.
        with suppress(OSError), request.writer:
            if connection.family != socket.AF_UNIX:
                # Else a second block waits until the client has acknowledged the first: 40 ms.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if request.read_head():
                request.run(app)
            request.writer.flush()
    return request.has_unread


class Request(WSGIRequestHandler):
    """One request: reads and checks its head, then runs the app, and logs it.

    The base class does all that in its constructor, for a server; here there is none.
    """

    def __init__(
        self,
        reader: io.BufferedReader,
        writer: ResponseWriter,
        client: ClientAddress,
        site: Site,
        errors: RequestErrors,
    ) -> None:
        self.client_address = client if isinstance(client, tuple) else (client,)
        self.rfile = reader
        self.writer = writer
        self.wfile = cast("io.BufferedIOBase", writer)
        self.site = site
        self.errors = errors
        self.server = cast("Any", SimpleNamespace(base_environ=_base_environ(site)))
        self.body: RequestBody | None = None
        self._is_empty = False  # the client has sent nothing at all
        self._began = 0.0
        self._began_at = 0

    @property
    def has_unread(self) -> bool:
        """Whether bytes of the request may be left on the connection."""
        if self.writer.was_reset:
            return False
        return not (self._is_empty or (self.body and self.body.has_ended))

    def read_head(self) -> bool:
        """Read the head; tell whether there is a request for the app.

        If not, the client has its error page. Raises OSError when the connection breaks.
        """
        self.raw_requestline = self.rfile.readline(MAX_LINE + 1)
        self._began, self._began_at = time.perf_counter(), time.time_ns()
        self._is_empty = not self.raw_requestline
        if len(self.raw_requestline) > MAX_LINE:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return False
        try:
            if not self.parse_request():
                return False
            # HTTP/0.9 has no headers: for that, newer Pythons leave a plain dictionary.
            self.headers = self.headers or self.MessageClass()
            self._open_body()
        except FramingError as exc:
            self.send_error(exc.status, str(exc))
            return False
        except OSError:
            raise
        except Exception:  # noqa: BLE001  the parser of headers, one for mail, fails on garbage
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        return True

    def _open_body(self) -> None:
        length = body_length(self.headers)
        self.body = RequestBody(cast("io.BufferedReader", self.rfile), self.writer, length)
        self.writer.expects_continue = (
            self.headers.get("Expect", "").lower() == "100-continue"
            and self.request_version >= "HTTP/1.1"
        )

    def run(self, app: WSGIApplication) -> None:
        """Have the app answer, after `read_head` has returned True."""
        assert self.body  # noqa: S101  for the type checker: `read_head` has made it
        body = io.BufferedReader(self.body)
        multithread = self.site.threads > 1
        handler: AppHandler
        if state := self.site.live_state:
            handler = LivePageHandler(self, self.writer, body, state, multithread=multithread)
        else:
            handler = AppHandler(self, self.writer, body, multithread=multithread)
        handler.run(app)

    def report(self, error: BaseException, stderr: ErrorStream) -> WSGIApplication:
        """Report what the app has raised; return what answers in its place."""
        return self.errors.report(error, self._line, self._began_at, stderr)

    def get_environ(self) -> WSGIEnvironment:
        environ = super().get_environ()
        environ["wsgi.input_terminated"] = True
        return environ

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del size
        self._log(str(code.value if isinstance(code, HTTPStatus) else code))

    def log_cut_off(self, code: str) -> None:
        """Log a request whose response has ended before it was complete."""
        self._log(code, cut_off=True)

    @property
    def _line(self) -> str:
        # Without the version; but what is no valid request is told as it came.
        return f"{self.command} {self.path}" if self.command else self.requestline

    def _log(self, status: str, *, cut_off: bool = False) -> None:
        if self.site.access_log:
            seconds = time.perf_counter() - self._began
            # Standard error may be a broken pipe, closed, or None.
            with suppress(OSError, ValueError, AttributeError):
                line = access_line(self._line, status, seconds, sys.stderr, cut_off=cut_off)
                sys.stderr.write(line)

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  the base class has it so
        """Log nothing: `log_request` tells the status of an error page as well."""


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
