"""Runs a WSGI app for one request, through wsgiref, and survives whatever the app raises."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import ServerHandler

from asyncreload.child.http.live_injection import ERROR_PAGE, adapt_headers, script_tag
from asyncreload.child.http.request_body import MalformedBodyError
from asyncreload.child.http.response_head import checked_headers, checked_status, has_no_body
from asyncreload.child.pages.navigation import is_navigation

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable
    from wsgiref.headers import Headers
    from wsgiref.simple_server import WSGIRequestHandler
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from _typeshed import OptExcInfo

    from asyncreload.child.http.response_writer import ResponseWriter


class AppHandler(ServerHandler):
    """Runs an app, and answers with an error page if it raises. Used once, in one thread.

    request: gives the environ, and logs the request at the end.
    writer: sends the answer.
    body: the request body, for the app to read.
    multithread: whether the app may be called by another thread meanwhile.
    """

    # wsgiref adds the environment variables of the process. No other server does: HTTP_PROXY and
    # HTTPS would be taken for the client's.
    os_environ = {}  # noqa: RUF012  an instance attribute to the type stubs

    # wsgiref has these; its type stubs do not.
    environ: WSGIEnvironment
    status: str
    headers: Headers
    headers_sent: bool
    bytes_sent: int
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
        # From the environ as it was: the app's own may be changed by middleware.
        self._is_head = self.base_env["REQUEST_METHOD"] == "HEAD"
        self._told_length: int | None = None

    def run(self, application: WSGIApplication) -> None:
        """Have the app answer. Raises nothing."""
        # wsgiref's own hides every broken connection, also the app's to its database.
        try:
            self.setup_environ()
            self.result = application(self.environ, self.start_response)
            self.finish_response()
        except BaseException:  # noqa: BLE001  sys.exit() in an app must not end our thread
            self.handle_error()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info and exc_info[1] and self.headers_sent:
            raise exc_info[1]  # wsgiref's own works only in the handler of that exception
        return super().start_response(checked_status(status), checked_headers(headers), exc_info)

    def write(self, data: bytes) -> None:
        if isinstance(data, bytes):
            if not data:  # the headers may still be replaced: PEP 3333, "The start_response()"
                return
            data = bytes(data)  # wsgiref refuses classes derived from bytes
        super().write(data)

    def client_is_modern(self) -> bool:
        return True  # it is no HTTP/0.9; wsgiref asks the environ, which the app may have emptied

    def set_content_length(self) -> None:
        # Of an answer to HEAD without any body it is not known how long that to GET would be.
        if not has_no_body(self.status) and (self.bytes_sent or not self._is_head):
            super().set_content_length()

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if self.status[0] == "1" or self.status[:3] == "204":
            del self.headers["Content-Length"]  # RFC 9110 forbids it, but not with 304
        length = self.headers["Content-Length"]
        self._told_length = None if length is None else int(length)

    def send_headers(self) -> None:
        super().send_headers()
        length = self.headers["Content-Length"]  # a live page's is adapted
        if self._omits_body:
            self.writer.limit = 0
        elif length is not None:
            self.writer.limit = int(length)

    def finish_content(self) -> None:
        if not self.status:
            raise RuntimeError("the app has returned without a call of start_response")
        if not self.headers_sent and self._omits_body:
            self.send_headers()  # wsgiref would add Content-Length: 0
        super().finish_content()
        self._flush()  # headers without a body, before the app's close(), which may take long
        if not self._omits_body and self._told_length not in {None, self.bytes_sent}:
            self._warn(
                f"the app set Content-Length: {self._told_length}, "
                f"but its body has {self.bytes_sent} bytes"
            )

    @property
    def _omits_body(self) -> bool:
        return self._is_head or has_no_body(self.status)

    def _warn(self, text: str) -> None:
        # Standard error may be a broken pipe, closed, or None.
        with suppress(OSError, ValueError, AttributeError):
            self.get_stderr().write(f"{text}\n")

    def close(self) -> None:
        # The answer is complete: a close() that fails is logged, and nothing more is sent. The
        # client has to wait neither for that nor for the access log.
        try:
            self.writer.finish()
            super().close()
        except BaseException:  # noqa: BLE001  as in `run`
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
                adapt_headers(self.headers, len(self._tag))

    def finish_content(self) -> None:
        # Not behind an empty page, nor behind one that is shorter or longer than its header says.
        super().finish_content()
        is_as_told = self._told_length in {None, self.bytes_sent}
        if self._tag and is_as_told and self.bytes_sent:
            self.write(self._tag)
