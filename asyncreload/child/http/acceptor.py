"""Takes requests, once the files have been checked: where the way of a request begins."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from asyncreload.child.http.request_head import PendingHeads
from asyncreload.sockets import (
    ACCEPTS_AGAIN,
    ACCEPTS_AT_ONCE,
    OUT_OF_RESOURCES,
    ClientAddress,
    accept,
    set_low_water_mark,
)

if TYPE_CHECKING:
    from asyncreload.child.http.asgi_responder import AsgiResponder
    from asyncreload.child.http.gate import Gate
    from asyncreload.child.http.refusal import RefusedRequestError
    from asyncreload.child.http.responder import Responder
    from asyncreload.child.pages.event_stream import EventStreams
    from asyncreload.lobby import Lobby


class _State(Enum):
    """Whether connections are accepted from the listening socket."""

    WAITING_FOR_SLOT = "not now: the kernel queues them until a slot is free"
    ACCEPTING = "yes"
    PAUSED = "not now: the process is out of descriptors or memory"
    CLOSED = "no more"


class Acceptor:
    """Takes requests from the listening socket and the lobby, and has them answered.

    This is the way of a request. Those for an ASGI app take a shorter way if all goes well, that
    is, if the head comes whole and no file may have changed: then steps 1 to 3 are done in the
    app's own loop, by `AsgiListener` and `AsgiResponder`. Else the connection comes here.

    1. *Accepted.* A connection is accepted while one more request may be answered (`Slots` for
       WSGI, a limit of connections for ASGI). Until then the kernel queues it, so it is not
       refused.
    2. *Head complete.* `PendingHeads` waits, without a thread, until the head of the request has
       arrived: its request line and headers. It peeks at the bytes and leaves them in the kernel,
       so another process can still read the whole request.
    3. *Files checked.* `Gate` tells which of the project's files may have changed (`check`; in the
       app's loop `is_surely_fresh`). In a child, that is `ChangeMonitor`. The check covers the
       requests that were complete when it began; one that comes later needs another check. No
       answer is therefore older than the files were when the request had arrived.
    4. *Answered.* Requests for the event stream, by which open pages learn of reloads, are taken
       over by `EventStreams`. For each other one, `Responder` takes a slot and starts a thread
       (`RequestThreads`), in which `wsgi.answer` reads the request and runs the app through
       wsgiref. With one slot, that is the main thread. For an ASGI app, `AsgiResponder` hands it
       to the app's loop: there `AsgiConnection` reads it, uvicorn's protocol parses it, and
       `Exchange` in asgi.py runs the app.
    5. *Kept*, by `AsgiResponder` alone: the connection waits for another request, for which all
       begins again with step 2.
    6. *Closed.* If the client still sends, `LingeringClose` reads that first, so that the answer
       is not lost.

    When files may have changed, `Gate.stale` reads them and decides, while requests wait. If none
    has changed, or those that have need no reload, the requests go on with step 4. Else the gate
    starts a reload. `Shutdown` (in lifecycle/) closes the front end, and `close` here puts all
    connections that wait into the `Lobby`. The next child takes them from there, and begins with
    step 2. While a debugger holds the reload they wait here. `resume` goes on with step 3: when a
    request has arrived, a check is over, a slot is free again, or a reload that was held is not
    needed any more.

    All methods are called in the side thread's loop.

    streams: takes over the connections that ask for the event stream; None if there is none.
    accepts: whether it takes connections from the listening socket itself. If not, somebody else
        does, and passes some of them to `take`: `AsgiListener`.
    """

    def __init__(
        self,
        listener: socket.socket,
        lobby: Lobby,
        gate: Gate,
        responder: Responder | AsgiResponder,
        streams: EventStreams | None = None,
        *,
        accepts: bool = True,
    ) -> None:
        self._accepts = accepts
        self._hands_over = False
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._lobby = lobby
        self._gate = gate
        self._responder: Responder | AsgiResponder = responder
        self._streams = streams
        self._state = _State.WAITING_FOR_SLOT
        self._pending = PendingHeads(self._on_complete, self._on_refused)
        self._ready: deque[tuple[socket.socket, ClientAddress]] = deque()
        self._checking: asyncio.Task[None] | None = None  # while files are read

    def start(self) -> None:
        """Begin to take requests. None is answered before the loop's next iteration."""
        self._accept_if_free()
        self._loop.add_reader(self._lobby.exit.fileno(), self._on_lobby)

    def close(self, *, hand_over: bool) -> None:
        """Take no more requests; leave those that wait to the next child, or close them."""
        if self._state is _State.CLOSED:
            return
        self._stop_accepting(_State.CLOSED)
        self._hands_over = hand_over
        self._loop.remove_reader(self._lobby.exit.fileno())
        if self._checking is not None:
            self._checking.cancel()
        # Complete requests come first: they are the first to be answered by the next child.
        waiting = self._responder.end_early()
        waiting += [connection for connection, _ in self._ready]
        waiting += self._pending.release_all()
        self._ready.clear()
        self._part_with(waiting)

    def take(self, connection: socket.socket, client: ClientAddress) -> None:
        """Take a connection that somebody else has accepted."""
        if self._state is _State.CLOSED:
            self._part_with([connection])
            return
        self._receive(connection, client)
        self.resume()

    def _part_with(self, connections: list[socket.socket]) -> None:
        if self._hands_over:
            self._lobby.put(connections)
        for connection in connections:
            connection.close()

    def respond_by(self, responder: Responder) -> None:
        """Have another one answer the requests that follow, and accept them here."""
        self._responder = responder
        self._accepts = True
        self.resume()

    def resume(self) -> None:
        """Check the files for the requests that wait, and answer as many as there are slots for."""
        if self._checking is None and self._ready and self._responder.free > 0:
            covered = len(self._ready)
            if suspects := self._gate.check():
                self._checking = self._loop.create_task(self._confirm(suspects, covered))
            else:
                self._dispatch(covered)
        self._accept_if_free()

    # --- take --------------------------------------------------------------------------------

    def _accept_if_free(self) -> None:
        is_free = self._accepts and self._responder.free > len(self._ready)
        if is_free and self._state is _State.WAITING_FOR_SLOT:
            self._state = _State.ACCEPTING
            # By number, here and below: see `PendingHeads.hold_if_incomplete`.
            self._loop.add_reader(self._listener.fileno(), self._on_listener)
        elif not is_free and self._state is _State.ACCEPTING:
            self._stop_accepting(_State.WAITING_FOR_SLOT)

    def _stop_accepting(self, state: _State) -> None:
        if self._state is _State.ACCEPTING:
            self._loop.remove_reader(self._listener.fileno())
        self._state = state

    def _on_listener(self) -> None:
        for _ in range(min(ACCEPTS_AT_ONCE, self._responder.free - len(self._ready))):
            try:
                connection, client = accept(self._listener)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as exc:
                if exc.errno in OUT_OF_RESOURCES:
                    self._stop_accepting(_State.PAUSED)
                    self._loop.call_later(ACCEPTS_AGAIN, self._end_pause)
                    break
                continue  # the client gave up before its connection was accepted
            self._receive(connection, client)
        self.resume()

    def _end_pause(self) -> None:
        if self._state is _State.PAUSED:
            self._state = _State.WAITING_FOR_SLOT
            self._accept_if_free()

    def _on_lobby(self) -> None:
        for connection in self._lobby.take():
            try:
                client: ClientAddress = connection.getpeername()
            except OSError:  # the client is gone
                connection.close()
                continue
            set_low_water_mark(connection, 1)  # the last child has raised it for half a head
            self._receive(connection, client)
        self.resume()

    def _receive(self, connection: socket.socket, client: ClientAddress) -> None:
        if not self._pending.hold_if_incomplete(connection, client):
            self._ready.append((connection, client))

    def _on_complete(self, connection: socket.socket, client: ClientAddress) -> None:
        self._ready.append((connection, client))
        self.resume()

    def _on_refused(self, connection: socket.socket, error: RefusedRequestError) -> None:
        self._responder.refuse(connection, error)  # no file decides about that answer

    # --- answer ------------------------------------------------------------------------------

    async def _confirm(self, suspects: list[str], covered: int) -> None:
        try:
            stale = await self._gate.stale(suspects)
        finally:
            self._checking = None
        if not stale and self._state is not _State.CLOSED:
            self._dispatch(covered)
            self.resume()

    def _dispatch(self, covered: int) -> None:
        """Have the first `covered` requests answered, as far as there are slots for them."""
        while covered and self._responder.free > 0:
            covered -= 1
            connection, client = self._ready.popleft()
            if self._streams is not None and self._streams.take_over(connection, client):
                continue
            if not self._responder.start(connection, client):
                self._ready.appendleft((connection, client))  # it waits, first of all
