"""Runs a WSGI app for one request, through wsgiref, and survives whatever the app raises."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from wsgiref.handlers import SimpleHandler

from asyncreload.child.http.environ import SERVER_SOFTWARE
from asyncreload.child.http.interrupted import interrupted
from asyncreload.child.http.live_injection import adapt_headers, script_tag
from asyncreload.child.http.request_body import MalformedBodyError
from asyncreload.child.http.response_head import (
    checked_headers,
    checked_status,
    has_no_body,
    has_no_end,
    without_connection,
)
from asyncreload.child.http.wsgi_call import call
from asyncreload.child.pages.navigation import is_navigation
from asyncreload.style import shown

if TYPE_CHECKING:
    import io
    import socket
    from collections.abc import Callable, Iterable
    from wsgiref.headers import Headers
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from _typeshed import OptExcInfo

    from asyncreload.child.http.response_writer import ResponseWriter
    from asyncreload.child.http.wsgi import Request


_SOCKET = "werkzeug.socket"


class AppHandler(SimpleHandler):
    """Runs an app, and answers with an error page if it raises. Used once, in one thread.

    request: gives the environ, reports what the app raises, and logs the request at the end.
    writer: sends the answer.
    body: the request body, for the app to read.
    multithread: whether the app may be called by another thread meanwhile.
    """

    server_software: str | None = SERVER_SOFTWARE

    # wsgiref adds the environment variables of the process. No other server does: HTTP_PROXY and
    # HTTPS would be taken for the client's.
    os_environ: dict[str, str] = {}  # noqa: RUF012  an instance attribute to the type stubs

    # wsgiref has these; its type stubs do not.
    environ: WSGIEnvironment
    status: str
    headers: Headers
    headers_sent: bool
    error_status: str
    error_body: bytes
    bytes_sent: int
    result: Iterable[bytes] | None

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
            sys.stderr,
            request.environ,
            multithread=multithread,
            multiprocess=False,
        )
        self._request = request
        self.writer = writer
        # From the environ as it was: the app's own may be changed by middleware.
        self._is_head = self.base_env["REQUEST_METHOD"] == "HEAD"
        self._upgraded: socket.socket | None = None
        if upgrade := self.base_env.get("HTTP_UPGRADE"):
            # Who asks for a WebSocket takes an answer by HTTP/1.0 for that of something else, and
            # does not try again. Such as the report's, while the load of an ASGI app fails.
            self.http_version = "1.1"
            if upgrade.lower() == "websocket":
                self._upgraded = self._hand_out_socket()
        self._told_length: int | None = None
        self._is_stream = False

    def run(self, application: WSGIApplication) -> None:
        """Have the app answer.

        Raises nothing but KeyboardInterrupt, and that only in the main thread, which answers when
        the app is not called by several: a reload or Ctrl-C has interrupted it.
        """
        # wsgiref's own hides every broken connection, also the app's to its database.
        try:
            self._run(application)
        except KeyboardInterrupt:
            self._answer_interrupted()
            raise

    def _run(self, application: WSGIApplication) -> None:
        try:
            self.setup_environ()
            self.result = call(application, self.environ, self.start_response)
            if self._has_taken_over(self.result):
                self._end_taken_over()
                return
            self._begin_stream()
            self.finish_response()
        except BaseException as exc:  # sys.exit() in an app must not end our thread
            if self._is_interrupt(exc):
                raise
            if self._has_taken_over(exc):
                self._end_taken_over()
            else:
                self.handle_error()  # which may be interrupted as well
        finally:
            if self._upgraded is not None:
                self._upgraded.close()

    def _hand_out_socket(self) -> socket.socket | None:
        """Give an app that is asked for a WebSocket what it needs to speak that itself.

        As Werkzeug's server does, for the package simple-websocket, and so for Flask-Sock and
        Flask-SocketIO. At a reload it ends as an event stream does.
        """
        try:
            copy = self.writer.copy_socket()
        except OSError:
            return None
        self._request.environ[_SOCKET] = copy
        self._request.on_stream()
        return copy

    def _has_taken_over(self, end: object) -> bool:
        """Tell whether the app has spoken on the connection itself, by how its call has ended.

        Flask-Sock raises ConnectionError, as there is no response; engineio returns none.
        """
        is_none = isinstance(end, ConnectionError) or (isinstance(end, list | tuple) and not end)
        return self._upgraded is not None and self.status is None and is_none

    def _end_taken_over(self) -> None:
        self.writer.finish()
        self._request.log("101")

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info and exc_info[1] and self.headers_sent:
            raise exc_info[1]  # wsgiref's own works only in the handler of that exception
        # wsgiref refuses what is of the connection. Examples of event streams ask to keep it alive.
        headers = without_connection(checked_headers(headers))
        return super().start_response(checked_status(status), headers, exc_info)

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"the app's response has {shown(data)} in it, which is not bytes")
        if data:  # else the headers may still be replaced: PEP 3333, "The start_response()"
            super().write(bytes(data))  # wsgiref refuses classes derived from bytes
            if self._is_stream:
                self._request.on_stream()

    def _begin_stream(self) -> None:
        """Send the head of a response that has no end: its first event may be long in coming.

        Else a reload could not end it. One whose length is known is no such response.
        """
        is_known = not self.status or self.headers_sent or hasattr(self.result, "__len__")
        if is_known or self._omits_body or not has_no_end(self.headers["Content-Type"] or ""):
            return
        self.send_headers()
        self._flush()
        self._request.on_stream()

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
        if self.http_version != "1.0":
            self.headers["Connection"] = "close"
        length = self.headers["Content-Length"]
        self._told_length = None if length is None else int(length)

    def send_headers(self) -> None:
        super().send_headers()
        length = self.headers["Content-Length"]  # a live page's is adapted
        if self._omits_body:
            self.writer.limit = 0
        elif length is not None:
            self.writer.limit = int(length)
        self._is_stream = has_no_end(self.headers["Content-Type"] or "")

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
            try:
                self._request.log(self.status.partition(" ")[0])
            finally:
                super().close()
        except BaseException as exc:  # as in `run`
            if self._is_interrupt(exc):
                raise
            self.log_exception(sys.exc_info())

    def log_exception(self, exc_info: Any) -> None:
        self._request.report(exc_info[1])

    def handle_error(self) -> None:
        error = sys.exception()
        assert error  # noqa: S101  for the type checker: it is being handled
        if self.writer.client_is_gone and isinstance(error, OSError):
            self._log_abandoned()
            return
        page: WSGIApplication
        if isinstance(error, MalformedBodyError):
            self.error_status = "400 Bad Request"
            self.error_body = str(error).encode()
            page = self.error_output
        else:
            page = self._request.report(error)
        self._answer_error(page)

    def _log_abandoned(self) -> None:
        """Log a response for which the client has not waited; a stream has no other end."""
        if self.status is not None:  # else the client has not sent the whole request
            log = self._request.log if self._is_stream else self._request.log_cut_off
            log(self.status.partition(" ")[0])

    def _is_interrupt(self, error: BaseException) -> bool:
        return isinstance(error, KeyboardInterrupt) and not self.wsgi_multithread

    def _answer_interrupted(self) -> None:
        if not self.writer.has_sent:
            self._answer_instead(interrupted)
        elif self.status is not None:  # wsgiref forgets it once the response has been logged
            # Not reset, as for an error: a reload resets no connection.
            self._request.log_cut_off(self.status.partition(" ")[0])

    def _answer_error(self, page: WSGIApplication) -> None:
        if self.writer.has_sent:
            self._cut_off()
        else:
            self._answer_instead(page)

    def _answer_instead(self, page: WSGIApplication) -> None:
        """Answer with a page of ours; nothing of the app's answer has been sent."""
        self.writer.discard()  # headers that could not be encoded, written in part
        self.headers_sent = False
        self.headers = None  # type: ignore[assignment]  # by which wsgiref knows of none
        # The environ as it came: middleware may have changed the app's.
        self.result = page(dict(self.base_env), self.start_response)
        with suppress(OSError):
            self.finish_response()

    def _cut_off(self) -> None:
        """End a response that has begun so that the client notices if it is not complete."""
        code = self.status.partition(" ")[0]
        length = self._told_length
        if self._omits_body or (length is not None and self.bytes_sent >= length):
            self._request.log(code)
            return
        if length is None:
            self.writer.reset()
        self._request.log_cut_off(code)


class LivePageHandler(AppHandler):
    """Appends a script to pages, by which they reload themselves when the app has changed.

    state: names this process, see `EventStreams`.
    """

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
        # From the environ as it was: the app's own may be changed by middleware.
        self._is_navigation = is_navigation(self.base_env)

    def write(self, data: bytes) -> None:
        if not self.headers_sent and isinstance(data, bytes):
            self._first_bytes = data[:2]
        super().write(data)

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if self._is_navigation:
            self._tag = script_tag(self._state, self.status, self.headers, self._first_bytes)
            if self._tag:
                adapt_headers(self.headers, len(self._tag))

    def finish_content(self) -> None:
        # Not behind a page that is shorter or longer than its header says.
        super().finish_content()
        if self._tag and self._told_length in {None, self.bytes_sent}:
            self.write(self._tag)
