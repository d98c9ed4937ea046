"""Runs a WSGI app for one request, through wsgiref, and survives whatever the app raises."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import ServerHandler

from asyncreload.child.http.live_injection import ERROR_PAGE, adapt_headers, script_tag
from asyncreload.child.http.request_body import MalformedBodyError
from asyncreload.child.pages.navigation import is_navigation

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable
    from wsgiref.headers import Headers
    from wsgiref.simple_server import WSGIRequestHandler
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from asyncreload.child.http.response_writer import ResponseWriter


class AppHandler(ServerHandler):
    """Runs an app, and answers with an error page if it raises. Used once, in one thread.

    request: gives the environ, and logs the request at the end.
    writer: sends the answer.
    body: the request body, for the app to read.
    multithread: whether the app may be called by another thread meanwhile.
    """

    # wsgiref shows the app the environment of the process; our variables are not for the app.
    os_environ = {  # noqa: RUF012  an instance attribute to the type stubs
        name: value
        for name, value in ServerHandler.os_environ.items()
        if not name.startswith("ASYNCRELOAD_")
    }

    # wsgiref has these; its type stubs do not.
    environ: WSGIEnvironment
    headers_sent: bool
    result: Iterable[bytes] | None

    def __init__(
        self,
        request: WSGIRequestHandler,
        writer: ResponseWriter,
        body: io.BufferedIOBase,
        *,
        multithread: bool,
    ) -> None:
        super().__init__(
            body,
            cast("Any", writer),
            request.get_stderr(),
            request.get_environ(),
            multithread=multithread,
            multiprocess=False,
        )
        self.request_handler = request
        self.writer = writer

    def run(self, application: WSGIApplication) -> None:
        """Have the app answer.

        Raises nothing but KeyboardInterrupt, and that only in the main thread, which answers when
        the app is not called by several: a reload or Ctrl-C has interrupted it.
        """
        # wsgiref's own hides every broken connection, also the app's to its database.
        try:
            self.setup_environ()
            self.result = application(self.environ, self.start_response)
            self.finish_response()
        except BaseException as exc:  # sys.exit() in an app must not end our thread
            if self._is_interrupt(exc):
                self._answer_interrupted()
                raise
            self.handle_error()

    def send_headers(self) -> None:
        super().send_headers()
        self.writer.drops_body = self.environ["REQUEST_METHOD"] == "HEAD"

    def finish_content(self) -> None:
        super().finish_content()
        self._flush()  # headers without a body, before the app's close(), which may take long

    def close(self) -> None:
        # The answer is complete: a close() that fails is logged, and nothing more is sent. The
        # client has to wait neither for that nor for the access log.
        try:
            self.writer.finish()
            super().close()
        except BaseException as exc:  # as in `run`
            if self._is_interrupt(exc):
                raise
            self.log_exception(sys.exc_info())

    def log_exception(self, exc_info: Any) -> None:
        with suppress(OSError):  # standard error is a broken pipe, but the client gets its answer
            super().log_exception(exc_info)

    def handle_error(self) -> None:
        error = sys.exception()
        if self.writer.client_is_gone and isinstance(error, OSError):
            return
        if isinstance(error, MalformedBodyError):
            self.error_status = "400 Bad Request"
            self.error_body = str(error).encode()
        else:
            self.log_exception(sys.exc_info())
        self._answer_error()

    def _is_interrupt(self, error: BaseException) -> bool:
        return isinstance(error, KeyboardInterrupt) and not self.wsgi_multithread

    def _answer_interrupted(self) -> None:
        self.error_status = "503 Service Unavailable"
        self.error_body = b"Interrupted by a reload, or by the end of the server. Please ask again."
        self._answer_error()

    def _answer_error(self) -> None:
        if self.writer.has_sent:
            return
        self.writer.discard()  # headers that could not be encoded, written in part
        self.headers_sent = False
        self.result = self.error_output(self.environ, self.start_response)
        with suppress(OSError):
            self.finish_response()


class LivePageHandler(AppHandler):
    """Appends a script to pages, by which they reload themselves when the app has changed.

    state: names this process, see `EventStreams`.
    """

    # wsgiref has these; its type stubs do not.
    status: str
    headers: Headers
    bytes_sent: int

    def __init__(
        self,
        request: WSGIRequestHandler,
        writer: ResponseWriter,
        body: io.BufferedIOBase,
        state: str,
        *,
        multithread: bool,
    ) -> None:
        super().__init__(request, writer, body, multithread=multithread)
        self._state = state
        self._first_bytes = b""
        self._tag = b""
        self._content_length: str | None = None
        # From the environ as it was: the app's own may be changed by middleware.
        self._is_navigation = is_navigation(self.base_env)
        if self._is_navigation:
            self.error_headers = [("Content-Type", "text/html; charset=utf-8")]
            self.error_body = ERROR_PAGE

    def write(self, data: bytes) -> None:
        if not self.headers_sent:
            self._first_bytes = data[:2]
        super().write(data)

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if self._is_navigation:
            self._tag = script_tag(self._state, self.status, self.headers, self._first_bytes)
            if self._tag:
                self._content_length = self.headers["Content-Length"]
                adapt_headers(self.headers, len(self._tag))

    def finish_content(self) -> None:
        # Not behind an empty page, nor behind one that is shorter or longer than its header says.
        is_as_told = self._content_length in {None, str(self.bytes_sent)}
        if self._tag and is_as_told and self.bytes_sent:
            self.write(self._tag)
        super().finish_content()
