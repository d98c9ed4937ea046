"""Accept, look, answer.

A request is answered only after a look at the files that began when its head was there. That is
what makes every answer fresh, however seldom the files are polled.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from asyncreload.child.http.client_io import Away
from asyncreload.child.http.request_head import Client, PendingHeads, wake_at
from asyncreload.child.http.slots import Slot, Slots
from asyncreload.child.pages.event_stream import EventStreams
from asyncreload.child.receive import receive_now
from asyncreload.child.worker_threads import Threads
from asyncreload.cpython import accept

_Socket = socket.socket  # before an app makes it another one, as gevent does
Respond = Callable[[socket.socket, Client, Away], bool]
"""Answers one request, away while its client is slow; returns whether unread bytes may remain."""

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.1
_LINGER = 2.0
_MOST_LINGERING = 128
_FDS_A_MESSAGE = 32  # few, as they are taken over in turns with requests that are answered
_CONNECTIONS, _TO_CLOSE = b"c", b"x"  # what a message in the lobby carries
_DRAIN_CHUNK = 65536
_MOST_ACCEPTED = 64  # at a time, so that others have their turn in a flood
_REFUSAL = (
    b"HTTP/1.0 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
)


class Acceptor:
    """Takes connections from the listening socket and from the lobby. Lives in the loop's thread.

    look: returns the files that may have changed, at the price of a stat each.
    confirm: returns those of them that did.
    on_stale: called with them; it closes the server, or calls `resume` when they are of no account.
    streams: takes over the connections that ask for the event stream, at no cost of a thread.
    """

    def __init__(
        self,
        listener: socket.socket,
        lobby: Lobby,
        look: Callable[[], list[str]],
        confirm: Callable[[list[str]], Coroutine[Any, Any, list[str]]],
        on_stale: Callable[[list[str]], None],
        streams: EventStreams | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._lobby = lobby
        self._look = look
        self._confirm = confirm
        self._on_stale = on_stale
        self._streams = streams
        self._threads = Threads()
        self._slots = Slots(1, self._wake)
        self._respond: Respond | None = None
        self._accepting = False
        self._paused = False
        self._waiting = PendingHeads(self._on_complete, self._refuse)
        self._ready: deque[tuple[socket.socket, Client]] = deque()
        self._checking: asyncio.Task[None] | None = None
        self._lingering: dict[socket.socket, asyncio.TimerHandle] = {}
        self._done = asyncio.Event()  # one that was answered, or its last bytes delivered

    # --- open and close ----------------------------------------------------------------------

    def open(self, respond: Respond, threads: int) -> None:
        """Begin to take requests; `respond` answers at most `threads` of them at a time."""
        self._respond = respond
        self._slots = Slots(threads, self._wake)
        # Nobody is answered before the loop's next turn: the parent is told first that we serve.
        self._accept_if_room()
        self._loop.add_reader(self._lobby.exit.fileno(), self._on_lobby)

    def close(self, *, hand_over: bool) -> None:
        """Take no more requests; leave those that wait to the next child, or close them."""
        if self._respond is None:
            return
        self._respond = None
        self._stop_accepting()
        self._loop.remove_reader(self._lobby.exit.fileno())
        if self._checking is not None:
            self._checking.cancel()
        # Those that have asked come first: they are the first to be answered by the next child.
        waiting = [*(connection for connection, _ in self._ready), *self._waiting.leave()]
        self._ready.clear()
        if hand_over:
            self._lobby.put(waiting)
        for connection in waiting:
            connection.close()
        if self._streams is not None:
            self._streams.close()

    def leave(self, descriptor: int) -> None:
        """Have the next child close a descriptor of ours: see `Lobby.leave`."""
        self._lobby.leave(descriptor)

    def resume(self) -> None:
        """Look again, for the sake of requests that were held because something had changed."""
        self._pump()

    @property
    def busy(self) -> int:
        """How many requests are being answered, or their last bytes delivered."""
        return len(self._slots) + len(self._lingering)

    async def answered(self, seconds: float) -> None:
        """Wait until no code of the app answers any more, but not longer than `seconds`.

        Those are not waited for whose client has kept them waiting as long already.
        """
        await self._until(lambda: not self._slots.at_work(seconds), seconds)

    async def quiet(self, seconds: float) -> None:
        """Wait until all is answered and delivered, but not longer than `seconds`."""
        await self._until(lambda: not self.busy, seconds)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._done.clear()
                    await self._done.wait()

    # --- take --------------------------------------------------------------------------------

    def _accept_if_room(self) -> None:
        room = self._slots.room > len(self._ready)
        room = room and self._respond is not None and not self._paused
        if room and not self._accepting:
            self._accepting = True
            # By number, here and below: see `PendingHeads.has_come`.
            self._loop.add_reader(self._listener.fileno(), self._on_listener)
        elif not room:
            self._stop_accepting()

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def _on_listener(self) -> None:
        for _ in range(min(_MOST_ACCEPTED, self._slots.room - len(self._ready))):
            try:
                connection, client = _accept(self._listener)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as exc:
                if exc.errno in _OUT_OF_RESOURCES:
                    self._paused = True
                    self._loop.call_later(_PAUSE, self._end_pause)
                    break
                continue  # the client gave up before it was taken
            self._receive(connection, client)
        self._pump()

    def _end_pause(self) -> None:
        self._paused = False
        self._accept_if_room()

    def _on_lobby(self) -> None:
        for connection in self._lobby.take():
            try:
                client = connection.getpeername()
            except OSError:  # gone meanwhile
                connection.close()
                continue
            wake_at(connection, 1)  # as it was, if its head had come in part
            self._receive(connection, client)
        self._pump()

    def _receive(self, connection: socket.socket, client: Client) -> None:
        if connection.gettimeout() is not None:
            connection.settimeout(None)  # the app has set a default timeout
        if self._waiting.has_come(connection, client):
            self._ready.append((connection, client))

    def _on_complete(self, connection: socket.socket, client: Client) -> None:
        self._ready.append((connection, client))
        self._pump()

    def _refuse(self, connection: socket.socket, status: HTTPStatus) -> None:
        """Answer without a thread, and without a look: it has nothing to do with the app."""
        text = f"{status.phrase}\n".encode()
        with suppress(OSError):
            head = _REFUSAL % (status, status.phrase.encode(), len(text))
            connection.send(head + text, socket.MSG_DONTWAIT)
            connection.shutdown(socket.SHUT_WR)
        self._linger(connection)

    # --- look --------------------------------------------------------------------------------

    def _pump(self) -> None:
        if self._checking is None and self._ready and self._slots.room > 0:
            # Whoever is ready by now is covered by this look; who comes later needs another.
            covered = len(self._ready)
            if suspects := self._look():
                self._checking = self._loop.create_task(self._check(suspects, covered))
            else:
                self._dispatch(covered)
        self._accept_if_room()

    async def _check(self, suspects: list[str], covered: int) -> None:
        changed = await self._confirm(suspects)
        self._checking = None
        if changed:
            self._on_stale(changed)
        else:
            self._dispatch(covered)
            self._pump()

    # --- answer ------------------------------------------------------------------------------

    def _dispatch(self, covered: int) -> None:
        if self._respond is None:
            return
        while covered and self._slots.room > 0:
            covered -= 1
            connection, client = self._ready.popleft()
            if self._streams is not None and self._streams.takes(connection, client):
                continue
            self._threads.run(
                partial(self._answer, self._respond, self._slots.begin(connection), client)
            )

    def _answer(self, respond: Respond, turn: Slot, client: Client) -> None:
        """Answer one request, in an executor thread."""
        connection = turn.connection
        unread = respond(connection, client, turn)
        # What is pipelined behind a request is never answered, but must not reset the answer.
        unread = unread or bool(receive_now(connection, 1, socket.MSG_PEEK))
        with suppress(OSError):
            # Not close alone: a process that the app forked may hold the connection open.
            connection.shutdown(socket.SHUT_WR)
        if not unread:
            connection.close()
        with suppress(RuntimeError):  # the loop has ended, and with it all interest
            self._loop.call_soon_threadsafe(partial(self._answered, turn, unread=unread))

    def _answered(self, turn: Slot, *, unread: bool) -> None:
        self._slots.end(turn)
        self._threads.finished()
        if unread:
            self._linger(turn.connection)
        self._done.set()
        self._pump()

    def _wake(self) -> None:
        """Take more requests; called by a thread whose waiting has made room."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._pump)

    # --- linger ------------------------------------------------------------------------------

    def _linger(self, connection: socket.socket) -> None:
        """Read what the client still sends: closing before would reset it, answer and all."""
        if len(self._lingering) >= _MOST_LINGERING:
            self._end_linger(next(iter(self._lingering)))
        handle = self._loop.call_later(_LINGER, self._end_linger, connection)
        self._lingering[connection] = handle
        self._loop.add_reader(connection, self._drain, connection)

    def _drain(self, connection: socket.socket) -> None:
        if receive_now(connection, _DRAIN_CHUNK) == b"":
            self._end_linger(connection)

    def _end_linger(self, connection: socket.socket) -> None:
        self._lingering.pop(connection).cancel()
        self._loop.remove_reader(connection)
        connection.close()
        self._done.set()


def _accept(listener: socket.socket) -> tuple[socket.socket, Client]:
    descriptor, client = accept(listener)
    return _Socket(listener.family, listener.type, listener.proto, descriptor), client


class Lobby:
    """Where connections wait that were opened early and have no first byte yet, across a reload.

    A socket pair that every child inherits: what one puts in, the next takes out, whoever dies.
    """

    def __init__(self, entrance: socket.socket, exit_: socket.socket) -> None:
        self.entrance = entrance
        self.exit = exit_
        entrance.setblocking(False)
        exit_.setblocking(False)

    def put(self, connections: list[socket.socket]) -> None:
        """Leave connections to the next child. One that does not fit in is dropped."""
        for start in range(0, len(connections), _FDS_A_MESSAGE):
            batch = [connection.fileno() for connection in connections[start:][:_FDS_A_MESSAGE]]
            with suppress(OSError):
                socket.send_fds(self.entrance, [_CONNECTIONS], batch)

    def leave(self, descriptor: int) -> None:
        """Have the next child close a descriptor.

        Whoever closes an inotify queue as the last one waits some 10 ms in the kernel, and at its
        end every process would.
        """
        with suppress(OSError):
            socket.send_fds(self.entrance, [_TO_CLOSE], [descriptor])

    def take(self) -> list[socket.socket]:
        """Return connections that wait, at most one message of them; none when nobody does."""
        try:
            what, descriptors, _, _ = socket.recv_fds(self.exit, 1, _FDS_A_MESSAGE)
        except OSError:
            return []
        if what == _TO_CLOSE:
            for descriptor in descriptors:
                start_new_thread(os.close, (descriptor,))
            return []
        taken = [_Socket(fileno=descriptor) for descriptor in descriptors]
        for connection in taken:
            connection.set_inheritable(False)
        return taken
