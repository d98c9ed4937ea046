"""Answers one request, or one WebSocket, with an ASGI app: what is ours around the app's call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from enum import Enum, auto
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from wsgiref.handlers import format_date_time
from wsgiref.headers import Headers

from asyncreload.child.http.access_log import log_access, log_cut_off
from asyncreload.child.http.asgi_connection import Use
from asyncreload.child.http.interrupted import interrupted
from asyncreload.child.http.live_injection import adapt_headers, script_tag
from asyncreload.child.http.response_head import (
    checked_bytes,
    checked_code,
    checked_raw_headers,
    has_no_end,
)
from asyncreload.child.pages.navigation import is_navigation

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from asyncreload.child.http.asgi_connection import AsgiConnection
    from asyncreload.child.http.request_errors import RequestErrors
    from asyncreload.child.http.wsgi import Site
    from asyncreload.child.imports.interface import AsgiApp, Message, Receive, Scope, Send

_INTERRUPT_TOLD: Final = 0.5
"""Seconds from an interrupt until it is known to be the app's own."""
_STEP: Final = 0.01

RawHeaders = list[tuple[bytes, bytes]]

_CLOSE: Final = (b"connection", b"close")

_NOBODYS_PAGE: Final = b"Internal Server Error"
"""By which Starlette answers before it passes an exception on: nobody has written it."""
_CLIENT_GONE: Final = frozenset(
    {"ClientDisconnect", "WebSocketDisconnect", "WebSocketDisconnected"}
)
"""Exceptions of frameworks that say that the client has gone away."""


class _WebSocket(Enum):
    """How far a WebSocket has come."""

    CONNECTING = auto()
    OPEN = auto()
    OVER = auto()
    """The app has closed it, or has answered its handshake by something else."""


class Exchange:
    """One request and its response, or one WebSocket.

    app: answers it.
    connection: on which it came, alone.
    site: what is the same for every request.
    errors: report what the app raises.
    is_ending: tells whether the process is on its way out.
    """

    def __init__(
        self,
        app: AsgiApp,
        connection: AsgiConnection,
        site: Site,
        errors: RequestErrors,
        is_ending: Callable[[], bool],
    ) -> None:
        self._is_ending = is_ending
        self._app = app
        self._connection = connection
        self._site = site
        self._errors = errors
        self._noted = ExitStack()
        self._remark = ""
        self._websocket = _WebSocket.CONNECTING
        self._began = time.perf_counter()
        self._began_at = time.time_ns()

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the app answer. Called by uvicorn's protocol as if this were the app."""
        is_websocket = scope["type"] == "websocket"
        answer = self._open_websocket if is_websocket else self._respond
        line = f"{'WebSocket' if is_websocket else scope['method']} {target_of(scope)}"
        # Ctrl-C while code of ours ran; uvicorn would log it.
        with suppress(KeyboardInterrupt), self._noted:
            self._noted.enter_context(self._site.noted(line))
            self._connection.request = line
            await answer(scope, receive, send, line)

    # --- HTTP ----------------------------------------------------------------------------------

    async def _respond(self, scope: Scope, receive: Receive, send: Send, line: str) -> None:
        state = self._site.live_state
        if state and not is_navigation(environ_of(scope)):
            state = ""
        is_current = scope["http_version"] >= "1.1"
        response = _Response(
            send, self._connection, state, partial(self._on_complete, line), is_current=is_current
        )
        has_heard = False

        async def hear() -> Message:
            nonlocal has_heard
            if has_heard:  # the request, in the usual case: then it waits for the client's end
                self._connection.watch()
            has_heard = True
            return await receive()

        try:
            await self._app.call(scope, hear, response.send)
            await response.finish()
        except GeneratorExit:
            raise
        except BaseException as exc:  # noqa: BLE001  whatever an app raises
            await self._fail(exc, response, scope, line)
            if not response.is_complete:
                # Neither a reload nor the end resets a connection.
                is_delimited = response.is_delimited or bool(self._remark)
                await self._cut_off(is_delimited=is_delimited)
        if response.is_complete:
            return  # its line was written then; what the app has done since is in the background
        has_begun = response.status or self._connection.is_closing()
        is_stream = self._connection.use is Use.STREAM
        is_cut_off = bool(has_begun) and not is_stream
        self._log(line, response.status or "500", cut_off=is_cut_off)

    async def _fail(
        self, error: BaseException, response: _Response, scope: Scope, line: str
    ) -> None:
        """Answer by what an exception means, if the app has sent nothing yet."""
        if await self._is_interrupted(error):
            is_blocking = _has_interrupt(error)
            self._remark = "it blocked the event loop" if is_blocking else "cancelled"
            if response.is_complete and self._site.access_log:
                log_cut_off(f"{line}: what goes on behind its response")
            await response.replace(interrupted, environ_of(scope))
        elif not self._is_of_lost_client(error):
            page = self._errors.report(error, line, self._began_at)
            await response.replace(page, environ_of(scope))

    def _on_complete(self, line: str, response: _Response) -> None:
        """Write the line of a response; what the app does from now on is in the background."""
        self._noted.close()
        self._log(line, response.status or "500")

    async def _is_interrupted(self, error: BaseException) -> bool:
        """Tell whether an exception is how the end of this process ends a request."""
        if isinstance(error, asyncio.CancelledError):
            return self._is_ending()
        return _has_interrupt(error) and await self._is_told_to_end()

    async def _is_told_to_end(self) -> bool:
        """Tell whether the app was interrupted as it kept its loop from ending, or by Ctrl-C.

        What Ctrl-C means for this process, the supervisor tells a moment later. Else the exception
        is the app's own.
        """
        told_by = time.monotonic() + _INTERRUPT_TOLD
        while not self._is_ending() and time.monotonic() < told_by:  # noqa: ASYNC110  of another thread
            await asyncio.sleep(_STEP)
        return self._is_ending()

    def _is_of_lost_client(self, error: BaseException) -> bool:
        """Tell whether an exception says no more than that the connection has ended."""
        # A reload closes all WebSockets: where the app tells one of another, it may meet that.
        is_websocket = self._connection.use is Use.WEBSOCKET
        if not (self._connection.is_closing() or (is_websocket and self._is_ending())):
            return False
        is_of_client = isinstance(error, OSError | asyncio.CancelledError)
        return is_of_client or type(error).__name__ in _CLIENT_GONE

    async def _cut_off(self, *, is_delimited: bool) -> None:
        """End a response that has begun so that the client notices that it is not complete."""
        if is_delimited:
            self._connection.close()
        else:
            self._connection.reset()
        await self._connection.lost.wait()  # else uvicorn would find fault with it, too

    # --- WebSocket -----------------------------------------------------------------------------

    async def _open_websocket(self, scope: Scope, receive: Receive, send: Send, line: str) -> None:
        async def send_and_note(message: Message) -> None:
            await send(message)
            self._note_sent(message, line)

        try:
            await self._app.call(scope, receive, send_and_note)
        except GeneratorExit:
            raise
        except BaseException as exc:  # noqa: BLE001  whatever an app raises
            can_answer = "websocket.http.response" in scope.get("extensions", {})
            if _has_interrupt(exc):  # as in `_respond`
                await self._fail_websocket(send_and_note, 503, 1012, can_answer=can_answer)
            elif not self._is_of_lost_client(exc):
                self._errors.report(exc, line, self._began_at)
                await self._fail_websocket(send_and_note, 500, 1011, can_answer=can_answer)

    def _note_sent(self, message: Message, line: str) -> None:
        kind, before = message["type"], self._websocket
        if kind == "websocket.accept":
            self._websocket = _WebSocket.OPEN
            self._connection.begin(Use.WEBSOCKET)
        elif kind in {"websocket.close", "websocket.http.response.start"}:
            self._websocket = _WebSocket.OVER
        if before is _WebSocket.CONNECTING and self._websocket is not before:
            statuses = {"websocket.accept": "101", "websocket.close": "403"}
            self._log(line, statuses.get(kind) or str(int(message["status"])))

    async def _fail_websocket(
        self, send: Send, status: int, code: int, *, can_answer: bool
    ) -> None:
        """End a WebSocket with this code; or its handshake with this status."""
        if self._websocket is _WebSocket.OPEN:
            if not self._connection.is_closing():
                await send({"type": "websocket.close", "code": code})
        elif self._websocket is _WebSocket.CONNECTING and can_answer:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            start = {"type": "websocket.http.response.start", "status": status, "headers": headers}
            await send(start)
            text = HTTPStatus(status).phrase.encode()
            await send({"type": "websocket.http.response.body", "body": text})
        elif self._websocket is _WebSocket.CONNECTING:
            await send({"type": "websocket.close"})  # an old uvicorn answers this with 403

    def _log(self, line: str, status: str, *, cut_off: bool = False) -> None:
        if self._site.access_log:
            remark = "cut off" if cut_off else self._remark
            log_access(line, status, time.perf_counter() - self._began, remark)


def _has_interrupt(error: BaseException) -> bool:
    """Tell whether an exception is KeyboardInterrupt, or a group in which one is.

    Where a framework calls what answers in a task group of its own, as Starlette's
    `BaseHTTPMiddleware` does, the interrupt comes with what that makes of it.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    return isinstance(error, KeyboardInterrupt)


class _Response:
    """What the app sends for one request, on its way to the client.

    The head is held until the body begins: a live page's gets longer, and another one takes the
    place of a page that nobody has written.

    live_state: if a script is to be appended to a page: the state that names this process.
    on_complete: called when the last of it has been sent.
    is_current: whether the client speaks HTTP/1.1. It then gets chunks where no length is told, and
        its connection may be kept.
    """

    def __init__(
        self,
        send: Send,
        connection: AsgiConnection,
        live_state: str,
        on_complete: Callable[[_Response], None],
        *,
        is_current: bool,
    ) -> None:
        self._on_complete = on_complete
        self._send = send
        self._is_current = is_current
        self._connection = connection
        self._live_state = live_state
        self._held: list[Message] = []
        self._tag = b""
        self._sent = 0
        self._told_length: int | None = None
        self._has_begun = False
        self._is_told = False
        self.is_complete: bool = False
        """Whether the app has sent the last of it."""
        self.status: str = ""
        """The code, once the app has begun."""

    @property
    def is_delimited(self) -> bool:
        """Whether the client can tell that it is not complete: by its length, or its chunks."""
        return self._told_length is not None or not self._has_begun or self._is_current

    async def send(self, message: Message) -> None:
        """Send a message of the app's, or hold it back for a while."""
        if message["type"] == "http.response.start" and not self._held and not self._has_begun:
            await self._begin(message)
        elif message["type"] == "http.response.body" and not self.is_complete:
            await self._send_body(message)
        else:
            await self.release(message)

    async def release(self, *following: Message) -> None:
        """Send what is held back, and what follows it, in one piece."""
        self._has_begun = self._has_begun or bool(self._held)
        messages, self._held = [*self._held, *following], []
        if not messages:
            return
        self._connection.cork()
        try:
            for message in messages:
                await self._send(message)
        finally:
            self._connection.uncork()
        last = messages[-1]
        if last["type"] == "http.response.body" and not last.get("more_body"):
            self.is_complete = True  # not before: it may be shorter than its header says
            self._connection.end_response()
            if not self._is_told:  # an app may send more, in vain
                self._is_told = True
                self._on_complete(self)

    async def finish(self) -> None:
        """Send what is held: the app has returned.

        Raises RuntimeError if it has sent nothing, to a client that waits.
        """
        await self.release()
        if not self.status and not self._connection.is_closing():
            raise RuntimeError("the app has returned without sending http.response.start")

    async def replace(self, page: WSGIApplication, environ: WSGIEnvironment) -> None:
        """Send a page of ours in the place of the app's; of that, nothing may have been sent."""
        if self._has_begun:
            return
        told: list[tuple[str, RawHeaders]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            told.append((status[:3], raw))

        body = b"".join(page(environ, start_response))
        [(self.status, headers)] = told
        start = {"type": "http.response.start", "status": int(self.status)}
        self._held = [start | {"headers": [*headers, *_own_headers(), _CLOSE]}]
        await self.release({"type": "http.response.body", "body": body})

    async def _begin(self, message: Message) -> None:
        """Hold the head, with our headers.

        That of a stream is sent: a client may wait for it long before the first event.
        """
        headers: RawHeaders = checked_raw_headers(message.get("headers", ()))
        status = checked_code(message["status"])
        self.status = str(status)
        told = {name.lower(): value for name, value in headers}
        length = told.get(b"content-length", b"")
        self._told_length = int(length) if length.isdigit() else None
        is_stream = has_no_end(told.get(b"content-type", b"").decode("latin-1"))
        if is_stream or not (self._is_current and self._connection.may_be_kept):
            headers = [pair for pair in headers if pair[0].lower() != b"connection"]
            headers.append(_CLOSE)
        own = [pair for pair in _own_headers() if pair[0] not in told]
        self._held.append({**message, "status": status, "headers": [*headers, *own]})
        if is_stream:
            await self.release()
            self._connection.begin(Use.STREAM)

    async def _send_body(self, message: Message) -> None:
        body = checked_bytes("body", message.get("body", b""))
        more = message.get("more_body", False)
        if self._held:
            if self.status == "500" and body == _NOBODYS_PAGE and not more:
                self._held.append(message)  # the exception may come behind it
                self.is_complete = True
                return
            if self._live_state and (body or not more):
                self._tag = self._make_tag(self._held[0], body)
        self._sent += len(body)
        # Not behind a page that is shorter or longer than its header says.
        if self._tag and not more and self._told_length in {None, self._sent}:
            message = {**message, "body": body + self._tag}
        await self.release(message)

    def _make_tag(self, start: Message, body: bytes) -> bytes:
        pairs = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in start["headers"]]
        headers = Headers(pairs)
        tag = script_tag(self._live_state, self.status, headers, body[:2])
        if tag:
            adapt_headers(headers, len(tag))
            start["headers"] = [
                (n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()
            ]
        return tag


def _own_headers() -> Iterable[tuple[bytes, bytes]]:
    return [(b"date", _date(int(time.time()))), (b"server", b"uvicorn")]


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return format_date_time(second).encode()


def target_of(scope: Scope) -> str:
    """Return what a request asks for: path and query, as they were sent."""
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


def environ_of(scope: Scope) -> WSGIEnvironment:
    """Return of a request what our pages want to know, as a WSGI environ."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "PATH_INFO": scope["path"],
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
    }
    for name, value in scope["headers"]:
        key = f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
