"""Has requests answered by an ASGI app, in its loop in the main thread."""

from __future__ import annotations

import asyncio
import copy
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any

from asyncreload.child.http.asgi import Exchange
from asyncreload.child.http.asgi_connection import AsgiConnection
from asyncreload.child.http.lingering_close import LingeringClose
from asyncreload.child.http.progress import Progress
from asyncreload.child.http.refusal import RefusedRequestError, refuse
from asyncreload.child.sockets import ClientAddress, receive_now, share_of_descriptors

if TYPE_CHECKING:
    from asyncreload.child.http.app_loop import AppLoop
    from asyncreload.child.http.request_errors import RequestErrors
    from asyncreload.child.http.wsgi import Site
    from asyncreload.child.imports.interface import AsgiCallable, Receive, Scope, Send

_MAX_CONNECTIONS = 1024
"""That are open at a time; the kernel queues what comes beyond. Each takes two descriptors."""


class AsgiResponder:
    """Hands connections over to the app's loop, as `Responder` does to threads.

    Methods are called in the side thread's loop, those below "in the app's loop" there. What both
    use is a deque, which needs no lock, and a count, which has one.

    app_loop: runs the app.
    present: returns what is the same for all requests by now.
    on_free: called in the side thread's loop when another connection may be taken again.
    """

    def __init__(
        self,
        app_loop: AppLoop,
        present: Callable[[], tuple[Site, RequestErrors]],
        on_free: Callable[[], None],
    ) -> None:
        self._side_loop = asyncio.get_running_loop()
        self._app_loop = app_loop
        self.app_loop: asyncio.AbstractEventLoop = app_loop.loop
        """In which the app runs."""
        self._present = present
        self._on_free = on_free
        self._limit = share_of_descriptors(4, _MAX_CONNECTIONS)
        self._config, self._server_state = _uvicorn(app_loop)
        self._handed_over: deque[socket.socket] = deque()
        self._progress = Progress()
        self._lingering = LingeringClose(self._progress.note)
        self._lock = Lock()
        self._count = 0  # connections that were taken, and are not closed
        self._calls = 0  # of the app, which may go on when its response is complete
        self._open: set[AsgiConnection] = set()  # changed in the app's loop alone
        self._is_ending = False

    @property
    def free(self) -> int:
        """How many more connections may be taken now."""
        return self._limit - self._count

    @property
    def busy(self) -> int:
        """How many connections are open; or how many calls of the app run, if these are more."""
        return max(self._count, self._calls) + len(self._lingering)

    def start(self, connection: socket.socket, client: ClientAddress) -> bool:
        """Have the request on a connection answered, which belongs to this object from now on."""
        del client  # uvicorn asks the socket
        self._change_count(1)
        self._handed_over.append(connection)
        self._call_in_app(self._take)
        return True

    def refuse(self, connection: socket.socket, error: RefusedRequestError) -> None:
        """Answer with an error: the app has no part in it."""
        refuse(connection, error)
        self._lingering.add(connection)

    def end_early(self) -> list[socket.socket]:
        """End WebSockets and streams, now and from now on.

        Return connections with a request that the app has not been told of, as it is at work.
        """
        self._is_ending = True
        untouched = []
        with suppress(IndexError):
            while True:
                untouched.append(self._handed_over.popleft())
                self._change_count(-1)
        self._call_in_app(self._end_early)
        return untouched

    async def answered(self, seconds: float) -> None:
        """Wait until all is answered, but not longer than `seconds`."""
        await self.quiet(seconds)

    async def quiet(self, seconds: float) -> None:
        """Wait until all is answered and delivered, but not longer than `seconds`."""
        await self._progress.wait_until(lambda: not self.busy, seconds)

    # --- in the app's loop ---------------------------------------------------------------------

    def start_here(self, connection: socket.socket, *, is_all: bool) -> None:
        """Do what `start` does, in the app's loop.

        is_all: whether the whole request has arrived: then nothing is left to be read at the end.
        """
        self._change_count(1)
        self._begin(connection, is_all=is_all)

    def _take(self) -> None:
        with suppress(IndexError):
            self._begin(self._handed_over.popleft(), is_all=False)

    def _begin(self, connection: socket.socket, *, is_all: bool) -> None:
        task = self.app_loop.create_task(self._connect(connection, is_all=is_all))
        task.add_done_callback(_raise)

    async def _connect(self, connection: socket.socket, *, is_all: bool) -> None:
        ours = AsgiConnection(connection, self._make_protocol, self._on_lost, is_all=is_all)
        self._open.add(ours)
        try:
            # A copy stays open after the transport's: see `AsgiConnection`.
            given = connection if is_all else connection.dup()
            await self.app_loop.connect_accepted_socket(lambda: ours, given)
        except OSError:  # no descriptor is left, or the client is gone
            self._on_lost(ours)

    def _make_protocol(self, connection: AsgiConnection) -> asyncio.Protocol:
        if self._is_ending:
            connection.end_early()
        app, is_ending = self._app_loop.app, lambda: self._is_ending
        exchange = Exchange(app, connection, *self._present(), is_ending)
        config = copy.copy(self._config)
        config.loaded_app = self._counting(exchange.run)
        protocol: asyncio.Protocol = config.http_protocol_class(
            config=config, server_state=self._server_state, app_state=self._app_loop.lifespan_state
        )
        return protocol

    def _counting(self, call: AsgiCallable) -> AsgiCallable:
        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self._change_count(calls=1)
            try:
                await call(scope, receive, send)
            finally:
                self._change_count(calls=-1)

        return counted

    def _end_early(self) -> None:
        for connection in list(self._open):
            connection.end_early()

    def _on_lost(self, ours: AsgiConnection) -> None:
        self._open.discard(ours)
        connection = ours.socket
        if not ours.was_reset:
            with suppress(OSError):
                # Not a close alone: a process that the app forked may hold the connection open.
                connection.shutdown(socket.SHUT_WR)
        if ours.is_all:
            self._end()  # the transport closes its only copy next
        elif not ours.was_reset and receive_now(connection, 1, socket.MSG_PEEK):
            self._call_in_side(self._linger, connection)
        else:
            connection.close()
            self._end()

    # --- both ----------------------------------------------------------------------------------

    def _linger(self, connection: socket.socket) -> None:
        self._lingering.add(connection)  # first: it is never seen in neither
        self._end()

    def _end(self) -> None:
        if self._change_count(-1) >= self._limit:  # it was full
            self._call_in_side(self._on_free)

    def _change_count(self, connections: int = 0, calls: int = 0) -> int:
        """Return how many connections there were before."""
        with self._lock:
            before = self._count
            self._count += connections
            self._calls += calls
        self._progress.note()
        return before

    def _call_in_app(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self.app_loop.call_soon_threadsafe(function)

    def _call_in_side(self, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):
            self._side_loop.call_soon_threadsafe(function, *arguments)


def _uvicorn(app_loop: AppLoop) -> tuple[Any, Any]:
    """Return the configuration and the state of a server, as uvicorn's protocols want them."""
    config = import_module("uvicorn.config").Config(
        app_loop.app.call,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="warning",  # it would tell of each WebSocket where the app logs what it likes
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    return config, import_module("uvicorn.server").ServerState()


def _raise(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.result()
