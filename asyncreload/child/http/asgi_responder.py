"""Has requests answered by an ASGI app, in its loop in the main thread."""

from __future__ import annotations

import asyncio
import copy
import math
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from logging import WARNING, LogRecord, getLogger
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from asyncreload.child.debugger import give_interrupts_back
from asyncreload.child.http import interrupted
from asyncreload.child.http.asgi import Exchange
from asyncreload.child.http.asgi_connection import AsgiConnection
from asyncreload.child.http.kept_connections import KeptConnections
from asyncreload.child.http.lingering_close import LingeringClose
from asyncreload.child.http.progress import Progress
from asyncreload.child.http.refusal import RefusedRequestError, refuse
from asyncreload.child.http.request_head import MAX_HEAD, USUAL_HEAD, request_size
from asyncreload.cpython import call_next
from asyncreload.forks import end_if_forked, in_forks_of_app
from asyncreload.sockets import ClientAddress, receive_now, share_of_descriptors

if TYPE_CHECKING:
    from asyncreload.child.http.app_loop import AppLoop
    from asyncreload.child.http.gate import Gate
    from asyncreload.child.http.request_errors import RequestErrors
    from asyncreload.child.http.wsgi import Site
    from asyncreload.child.imports.interface import Receive, Scope, Send

_MAX_CONNECTIONS = 1024
"""That are open at a time; the kernel queues what comes beyond."""
_PROTOCOLS = "uvicorn.protocols.http"
_CUT_OFF_WITHIN = 0.05
"""Seconds that the app's loop gets to give up what is not answered."""
_OURS = b".asyncreload/"
"""In the head of a request that the app may have no part in."""

Pass = Callable[[socket.socket, ClientAddress], None]


class AsgiResponder:
    """Has requests answered in the app's loop, as `Responder` has in threads.

    A connection is kept for another request, in the app's loop. When that has arrived, the files
    are looked at. Whatever is not simple goes to the acceptor, on a kept connection as on a new
    one: a head that is not whole, files that may have changed, a request of our own pages.

    Methods are called in the side thread's loop, those below "in the app's loop" there. What both
    use is a deque, which needs no lock, and what has a lock: a count, and the kept connections.

    app_loop: runs the app.
    present: returns what is the same for all requests by now.
    gate: tells whether the loaded code may answer.
    to_acceptor: passes a connection to the acceptor; called in the app's loop.
    on_free: called in the side thread's loop when another connection may be taken again.
    """

    def __init__(
        self,
        app_loop: AppLoop,
        present: Callable[[], tuple[Site, RequestErrors]],
        gate: Gate,
        to_acceptor: Pass,
        on_free: Callable[[], None],
    ) -> None:
        self._side_loop = asyncio.get_running_loop()
        self._app_loop = app_loop
        self.app_loop: asyncio.AbstractEventLoop = app_loop.loop
        """In which the app runs."""
        self._present = present
        self._gate = gate
        self._to_acceptor = to_acceptor
        self._on_free = on_free
        self._limit = share_of_descriptors(4, _MAX_CONNECTIONS)
        self._config, self._server_state = _uvicorn(app_loop)
        self._handed_over: deque[tuple[socket.socket, ClientAddress]] = deque()
        self._progress = Progress()
        self._lingering = LingeringClose(self._progress.note)
        self._kept = KeptConnections()
        self._lock = Lock()
        self._count = 0  # connections that were taken, and are not closed
        self._calls = 0  # of the app, which may go on when its response is complete
        self._open: set[AsgiConnection] = set()  # changed in the app's loop alone
        self._is_ending = False
        self._process = os.getpid()
        in_forks_of_app(self._on_fork)

    @property
    def free(self) -> int:
        """How many more connections may be taken now."""
        return self._limit - self._count

    @property
    def busy(self) -> int:
        """How many requests are being answered; or how many calls of the app run, if more."""
        answered = self._count - len(self._kept)
        return max(answered, self._calls) + len(self._lingering)

    def start(self, connection: socket.socket, client: ClientAddress) -> bool:
        """Have the request on a connection answered, which belongs to this object from now on."""
        self._change_count(1)
        self._handed_over.append((connection, client))
        self._call_in_app(self._take_over)
        return True

    def refuse(self, connection: socket.socket, error: RefusedRequestError) -> None:
        """Answer with an error: the app has no part in it."""
        refuse(connection, error)
        self._lingering.add(connection)

    def end_early(self) -> list[socket.socket]:
        """End WebSockets and streams, now and from now on.

        Return connections of which the app has no request: it is at work, or they were kept.
        """
        self._is_ending = True
        untouched = []
        with suppress(IndexError):
            while True:
                untouched.append(self._handed_over.popleft()[0])
                self._change_count(-1)
        untouched += [connection for connection, _ in self.end_keeping()]
        self._call_in_app(self._end_early)
        return untouched

    def end_keeping(self) -> list[tuple[socket.socket, ClientAddress]]:
        """Keep no connection any more; return those that were kept, with their clients."""
        kept = []
        for connection in self._kept.close():
            with suppress(OSError):  # no descriptor is left
                # A copy: the loop waits by the other until it hears of this.
                kept.append((connection.socket.dup(), connection.client))
            self._call_in_app(partial(self._leave, connection))
        return kept

    def cut_off(self) -> list[str]:
        """Have requests answered that could not be cancelled, as they wait for a thread, say.

        Return them. A response that has begun tells by its chunks that it is not whole.
        """
        answered: list[str] = []
        claim, is_done = Lock(), Event()

        def cut_off() -> None:
            with claim:
                if not is_done.is_set():
                    given_up = [one for one in self._open if one.cut_off(interrupted.RESPONSE)]
                    answered.extend(one.request for one in given_up)
                    is_done.set()

        if self._open:
            self._call_in_app(cut_off)
            if not is_done.wait(_CUT_OFF_WITHIN):  # it is blocked, or does not run any more
                cut_off()
        return answered

    async def answered(self, seconds: float) -> None:
        """Wait until all is answered, but not longer than `seconds`."""
        await self.quiet(seconds)

    async def quiet(self, seconds: float) -> None:
        """Wait until all is answered and delivered, but not longer than `seconds`."""
        await self._progress.wait_until(lambda: not self.busy, seconds)

    # --- in the app's loop ---------------------------------------------------------------------

    def expect(self) -> None:
        """Count a connection that was accepted; `take` follows."""
        self._change_count(1)

    def take(self, connection: socket.socket, client: ClientAddress) -> None:
        """Have the request on an accepted connection answered, here or by way of the acceptor."""
        if size := self._size_if_fresh(connection):
            self._begin(connection, client, size)
        else:
            self._to_acceptor(connection, client)
            self._end()  # not before: it is always known somewhere

    def _size_if_fresh(self, connection: socket.socket) -> float | None:
        """Return the size of a request that may be answered at once; else None."""
        # First the head, then the look: one that is whole arrived before it.
        data = receive_now(connection, USUAL_HEAD, socket.MSG_PEEK)  # a longer one is passed on
        size = request_size(data) if data and _OURS not in data else None
        return size if size and self._gate.is_surely_fresh() else None

    def _take_over(self) -> None:
        with suppress(IndexError):
            connection, client = self._handed_over.popleft()
            data = receive_now(connection, MAX_HEAD, socket.MSG_PEEK)
            self._begin(connection, client, request_size(data or b"") or math.inf)

    def _begin(self, connection: socket.socket, client: ClientAddress, size: float) -> None:
        ours = AsgiConnection(connection, client, self.app_loop, self)
        self._open.add(ours)
        if self._is_ending:
            ours.end_early()
        ours.receive(size)

    def _on_fork(self) -> None:
        """In a fork of the app's: send nothing, and end when the code that forked awaits something.

        The loop, and all that is ready in it, is the business of the process that was forked from.
        """
        for connection in self._open:
            connection.mute()
        with suppress(RuntimeError):  # it is closed
            call_next(self.app_loop, partial(end_if_forked, self._process))

    def _told_to_end(self) -> bool:
        return self._is_ending

    def _end_early(self) -> None:
        for connection in list(self._open):
            connection.end_early()

    def _leave(self, connection: AsgiConnection) -> None:
        """Forget a kept connection of which somebody else has a copy."""
        self._open.discard(connection)
        connection.release().close()
        self._end()

    # --- in the app's loop, called by connections (Owner) --------------------------------------

    def make_protocol(self, connection: AsgiConnection) -> asyncio.Protocol:
        """Return uvicorn's protocol, which calls an `Exchange` for each request."""

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            site, errors = self._present()
            exchange = Exchange(self._app_loop.app, connection, site, errors, self._told_to_end)
            self._change_count(calls=1)
            try:
                await exchange.run(scope, receive, send)
            finally:
                end_if_forked(self._process)
                give_interrupts_back()  # what was debugged is over
                self._change_count(calls=-1)

        config = copy.copy(self._config)
        config.loaded_app = respond
        make = _protocol_class(config, connection.socket)
        protocol: asyncio.Protocol = make(
            config=config, server_state=self._server_state, app_state=self._app_loop.lifespan_state
        )
        return protocol

    def keeps(self) -> bool:
        """Tell whether there is room for one more kept connection.

        At the end as well: whoever comes next takes it.
        """
        return len(self._kept) < self._limit // 2

    def on_idle(self, connection: AsgiConnection) -> None:
        """Keep a connection whose response was delivered."""
        if self._kept.add(connection):
            self._progress.note()
        else:
            self._pass_on(connection)

    def on_next(self, connection: AsgiConnection) -> None:
        """Have the next request of a kept connection answered, if it is there and may be."""
        if not self._kept.claim(connection):
            return  # it is on its way to somebody else
        if size := self._size_if_fresh(connection.socket):
            connection.receive(size)
        elif receive_now(connection.socket, 1, socket.MSG_PEEK) == b"":
            connection.abort()  # its client has closed it
        else:
            self._pass_on(connection)

    def gives_up(self, connection: AsgiConnection) -> bool:
        """Claim a connection that was idle for too long, unless its next request has arrived."""
        is_idle = not receive_now(connection.socket, 1, socket.MSG_PEEK)
        return is_idle and self._kept.claim(connection)

    def on_lost(self, connection: AsgiConnection) -> None:
        """Close the socket of a connection; but first, read what its client still sends."""
        self._open.discard(connection)
        if connection.has_more_to_read:
            self._call_in_side(self._linger, connection.socket)
        else:
            connection.socket.close()
            self._end()

    def _pass_on(self, connection: AsgiConnection) -> None:
        """Leave a kept connection to the acceptor."""
        self._open.discard(connection)
        self._to_acceptor(connection.release(), connection.client)
        self._end()  # not before: it is always known somewhere

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


def _protocol_class(config: Any, connection: socket.socket) -> Any:
    """Return the class of uvicorn's protocols that answers the request on a connection.

    The one that uses httptools answers in chunks also to HTTP/1.0, where no client expects them.
    """
    chosen = config.http_protocol_class
    if chosen.__module__ != f"{_PROTOCOLS}.httptools_impl":
        return chosen
    data = receive_now(connection, USUAL_HEAD, socket.MSG_PEEK) or b""
    is_old = data.partition(b"\n")[0].rstrip().endswith(b"HTTP/1.0")
    return import_module(f"{_PROTOCOLS}.h11_impl").H11Protocol if is_old else chosen


def _uvicorn(app_loop: AppLoop) -> tuple[Any, Any]:
    """Return the configuration and the state of a server, as uvicorn's protocols want them."""
    config = import_module("uvicorn.config").Config(
        app_loop.app.call,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    getLogger("uvicorn.error").addFilter(_is_of_app)
    return config, import_module("uvicorn.server").ServerState()


def _is_of_app(record: LogRecord) -> bool:
    """Tell whether a record of uvicorn's logger is worth telling: many apps use it for their own.

    uvicorn itself tells of each WebSocket.
    """
    is_uvicorns = f"{os.sep}uvicorn{os.sep}" in record.pathname
    return record.levelno >= WARNING or not is_uvicorns
