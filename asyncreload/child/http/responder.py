"""Has requests answered in worker threads, and closes their connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from asyncreload.child.http.client_io import WhileWaiting
from asyncreload.child.http.lingering_close import LingeringClose
from asyncreload.child.http.slots import Slot, Slots
from asyncreload.child.sockets import ClientAddress, receive_now
from asyncreload.child.worker_threads import Threads

Respond = Callable[[socket.socket, ClientAddress, WhileWaiting], bool]
"""Answers the request on a connection, as `wsgi.answer` does.

It enters the context each time that it has to wait for the client. It returns whether bytes of the
request may be left unread. It is called in a worker thread, must not raise, and does not close the
connection.
"""

_REFUSAL = (
    b"HTTP/1.0 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
)


class Responder:
    """Answers at most `limit` requests at a time, each in a thread.

    Methods are called in the loop's thread. Worker threads run `_answer` and `_notify_free`, which
    change nothing here: they hand what follows to the loop by `call_soon_threadsafe`. What worker
    threads and the loop share is in `Slots`, behind its lock.

    respond: answers a request.
    limit: how many requests may be answered at a time; those that wait for their client do not
        count (see `Slots`).
    threads: the worker threads.
    on_free: called in the loop's thread when a slot may have become free.
    """

    def __init__(
        self, respond: Respond, limit: int, threads: Threads, on_free: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._respond = respond
        self._threads = threads
        self._on_free = on_free
        self._slots = Slots(limit, self._notify_free)
        self._progress = asyncio.Event()  # set when a request is answered or a connection closed
        self._lingering = LingeringClose(self._progress.set)

    @property
    def free(self) -> int:
        """How many more requests may be answered now; may be negative: see `Slots.free`."""
        return self._slots.free

    @property
    def busy(self) -> int:
        """How many requests are being answered, or have their last bytes delivered."""
        return len(self._slots) + len(self._lingering)

    def start(self, connection: socket.socket, client: ClientAddress) -> None:
        """Begin to answer the request on a connection, which belongs to this object from now on."""
        self._threads.run(partial(self._answer, self._slots.start(connection), client))

    def refuse(self, connection: socket.socket, status: HTTPStatus) -> None:
        """Answer with an error, without a thread: the app has no part in it."""
        text = f"{status.phrase}\n".encode()
        with suppress(OSError):
            head = _REFUSAL % (status, status.phrase.encode(), len(text))
            connection.send(head + text, socket.MSG_DONTWAIT)
            connection.shutdown(socket.SHUT_WR)
        self._lingering.add(connection)

    async def answered(self, seconds: float) -> None:
        """Wait until no code of the app answers any more, but not longer than `seconds`.

        A request whose client has kept it waiting for that long already is not waited for.
        """
        await self._wait_until(lambda: not self._slots.has_active(seconds), seconds)

    async def quiet(self, seconds: float) -> None:
        """Wait until all is answered and delivered, but not longer than `seconds`."""
        await self._wait_until(lambda: not self.busy, seconds)

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._progress.clear()
                    await self._progress.wait()

    def _answer(self, slot: Slot, client: ClientAddress) -> None:
        """Answer one request; runs in a worker thread."""
        connection = slot.connection
        unread = self._respond(connection, client, slot)
        # A second request behind the first is never answered, but must not reset the answer.
        unread = unread or bool(receive_now(connection, 1, socket.MSG_PEEK))
        with suppress(OSError):
            # Not close alone: a process that the app forked may hold the connection open.
            connection.shutdown(socket.SHUT_WR)
        if not unread:
            connection.close()
        with suppress(RuntimeError):  # the loop has ended, and with it all interest
            self._loop.call_soon_threadsafe(partial(self._finish, slot, unread=unread))

    def _finish(self, slot: Slot, *, unread: bool) -> None:
        self._slots.finish(slot)
        self._threads.finished()
        if unread:
            self._lingering.add(slot.connection)
        self._progress.set()
        self._on_free()

    def _notify_free(self) -> None:
        """Tell of a free slot; runs in the worker thread whose request has begun to wait."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_free)
