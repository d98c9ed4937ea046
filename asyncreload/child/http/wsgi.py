"""Answers one request on an accepted connection, with wsgiref."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from typing import TYPE_CHECKING

from asyncreload.child.http.access_log import log_access
from asyncreload.child.http.client_io import WhileWaiting, open_reader
from asyncreload.child.http.environ import make_environ
from asyncreload.child.http.head_parser import (
    MAX_LINE,
    parse_target,
    read_head,
)
from asyncreload.child.http.refusal import RefusedRequestError, refusal
from asyncreload.child.http.request_body import RequestBody, body_length
from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.response_writer import ResponseWriter
from asyncreload.child.http.wsgi_handler import AppHandler, LivePageHandler
from asyncreload.frozen_data import FrozenData
from asyncreload.sockets import ClientAddress

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from asyncreload.child.http.head_parser import RequestHead

Noted = Callable[[str], AbstractContextManager[object]]
"""Notes a request, as in "GET /cart", while the context is open."""

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
    noted: Noted = nullcontext
    """Notes what is answered."""


def answer(  # noqa: PLR0913  but for the first three, each is given by name
    connection: socket.socket,
    client: ClientAddress,
    while_waiting: WhileWaiting,
    *,
    app: WSGIApplication,
    site: Site,
    errors: RequestErrors = TERSE_ERRORS,
    on_begun: Callable[[ResponseWriter], None] = lambda _: None,
    on_stream: Callable[[], None] = lambda: None,
) -> bool:
    """Answer the one request on `connection`, and tell the client that the answer has ended.

    Closing it is the caller's; it is closed here only to cut off a response that the app could not
    complete.

    while_waiting: a context that is entered each time that the client has to be waited for.
    on_begun: called with what the response will be written to, before the request is read.
    on_stream: called, perhaps again and again, when a response that has no end of its own has
        begun, such as an event stream. Then the connection may be shut down for sending.

    Return whether bytes of the request may be left unread. Then the caller has to read them before
    it closes the connection: a plain close would reset it, and the client might lose the answer.

    Nothing is raised, whatever the client does: it gets an error page, or nothing when it went
    away. What the app raises is told to `errors`, and answered with the page that they give. May be
    called in several threads at once: each call has objects of its own, and changes neither `app`
    nor `site`.
    """
    with open_reader(connection, while_waiting) as reader:
        writer = ResponseWriter(connection, while_waiting)
        on_begun(writer)
        request = Request(reader, writer, client, site, errors, on_stream)
        # An OSError here is the connection's: the client went away. The app's are caught inside.
        with suppress(OSError), request.writer:
            if request.read_head():
                request.run(app)
        with suppress(OSError):
            request.writer.finish()
    return request.has_unread


class Request:
    """One request: reads its head, then runs the app, and logs it."""

    def __init__(
        self,
        reader: io.BufferedReader,
        writer: ResponseWriter,
        client: ClientAddress,
        site: Site,
        errors: RequestErrors,
        on_stream: Callable[[], None] = lambda: None,
    ) -> None:
        self._reader = reader
        self.writer = writer
        self.site = site
        self.errors = errors
        self.client = client
        self.on_stream = on_stream
        self._noted = ExitStack()
        self._line = ""
        """What is logged of it: method and target, or the first line of what is no request."""
        self.environ: WSGIEnvironment = {}
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
        first_line = self._reader.readline(MAX_LINE + 1)
        self._began, self._began_at = time.perf_counter(), time.time_ns()
        self._is_empty = not first_line
        if first_line == b"\r\n":  # some clients send one more line end behind a body
            first_line = self._reader.readline(MAX_LINE + 1)
        if not first_line:
            return False
        self._line = first_line.decode("latin-1").rstrip("\r\n")
        try:
            head = read_head(first_line, self._reader)
            target = parse_target(head)
            length = body_length(head)
        except RefusedRequestError as exc:
            self._log(str(exc.status.value))
            self.writer.write(refusal(exc))
            return False
        server = (self.site.host, self.site.port)
        self.environ = make_environ(head, target, self.client, server)
        self._line = self.writer.request = f"{head.method} {head.target}"
        self.body = RequestBody(self._reader, self.writer, length)
        self.writer.expects_continue = _expects_continue(head)
        return True

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
        with self._noted:
            self._noted.enter_context(self.site.noted(self._line))
            handler.run(app)

    def report(self, error: BaseException) -> WSGIApplication:
        """Report what the app has raised; return what answers in its place."""
        return self.errors.report(error, self._line, self._began_at)

    def log(self, code: str) -> None:
        """Log a request that was answered, with the status of its answer, such as "200"."""
        self._log(code)

    def log_cut_off(self, code: str) -> None:
        """Log a request whose response has ended before it was complete."""
        self._log(code, cut_off=True)

    def _log(self, status: str, *, cut_off: bool = False) -> None:
        self._noted.close()  # first: to write the line takes as long as the next request
        if self.site.access_log:
            seconds = time.perf_counter() - self._began
            log_access(self._line, status, seconds, "cut off" if cut_off else "")


def _expects_continue(head: RequestHead) -> bool:
    expectations = [text.lower() for text in head.get_all("Expect")]
    return expectations == ["100-continue"] and head.version >= "HTTP/1.1"
