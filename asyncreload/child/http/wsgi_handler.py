"""Runs a WSGI app for one request, through wsgiref, and survives whatever the app raises."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import ServerHandler

from asyncreload.child.http.live_injection import adapt_headers, script_tag
from asyncreload.child.http.request_body import MalformedBodyError
from asyncreload.child.pages.navigation import is_navigation

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable
    from wsgiref.headers import Headers
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from asyncreload.child.http.response_writer import ResponseWriter
    from asyncreload.child.http.wsgi import Request

_BODILESS = frozenset({"204", "304"})


class AppHandler(ServerHandler):
    """Runs an app, and answers with an error page if it raises. Used once, in one thread.

    request: gives the environ, reports what the app raises, and logs the request at the end.
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
    status: str
    headers: Headers | None
    bytes_sent: int

    def __init__(
        self,
        request: Request,
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
        self.request_handler = self._request = request
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
        # As the client has asked: middleware may have changed the app's environ.
        self.writer.drops_body = self.base_env["REQUEST_METHOD"] == "HEAD"

    def finish_content(self) -> None:
        if self.headers is None:
            raise AssertionError("the app has returned, and has not called start_response before")
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
        self._request.report(exc_info[1], self.get_stderr())

    def handle_error(self) -> None:
        error = sys.exception()
        assert error  # noqa: S101  for the type checker: it is being handled
        if self.writer.client_is_gone and isinstance(error, OSError):
            return
        page: WSGIApplication
        if isinstance(error, MalformedBodyError):
            self.error_status = "400 Bad Request"
            self.error_body = str(error).encode()
            page = self.error_output
        else:
            page = self._request.report(error, self.get_stderr())
        self._answer_error(page)

    def _is_interrupt(self, error: BaseException) -> bool:
        return isinstance(error, KeyboardInterrupt) and not self.wsgi_multithread

    def _answer_interrupted(self) -> None:
        self.error_status = "503 Service Unavailable"
        self.error_body = b"Interrupted by a reload, or by the end of the server. Please ask again."
        self._answer_error(self.error_output)

    def _answer_error(self, page: WSGIApplication) -> None:
        if self.writer.has_sent:
            self._cut_off()
        else:
            self._answer_instead(page)

    def _answer_instead(self, page: WSGIApplication) -> None:
        """Answer with a page of ours; nothing of the app's answer has been sent."""
        self.writer.discard()  # headers that could not be encoded, written in part
        self.headers_sent = False
        self.headers = None
        # The environ as it came: middleware may have changed the app's.
        self.result = page(dict(self.base_env), self.start_response)
        with suppress(OSError):
            self.finish_response()

    def _cut_off(self) -> None:
        """End a response that has begun so that the client notices if it is not complete."""
        code = self.status.partition(" ")[0]
        if self._is_complete(code):
            self._request.log_request(code)
            return
        if not self._told_length():
            self.writer.reset()
        self._request.log_cut_off(code)

    def _is_complete(self, code: str) -> bool:
        if self.writer.drops_body or code in _BODILESS:
            return True
        length = self._told_length()
        return bool(length) and self.bytes_sent >= int(length)

    def _told_length(self) -> str:
        """Return the length that the client was told, "" if none."""
        length = self.headers["Content-Length"] if self.headers is not None else None
        return length if length and length.isascii() and length.isdecimal() else ""


class LivePageHandler(AppHandler):
    """Appends a script to pages, by which they reload themselves when the app has changed.

    state: names this process, see `EventStreams`.
    """

    headers: Headers

    def __init__(
        self,
        request: Request,
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
