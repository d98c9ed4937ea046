"""Has requests answered by workers, and closes their connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from asyncreload.child.http.lingering_close import LingeringClose
from asyncreload.child.http.progress import Progress
from asyncreload.child.http.refusal import RefusedRequestError, refuse
from asyncreload.child.http.slots import Slot, Slots
from asyncreload.child.http.thread_pool import Job
from asyncreload.sockets import ClientAddress, receive_now

Respond = Callable[[socket.socket, ClientAddress, Slot], bool]
"""Answers the request on a connection, as `wsgi.answer` does.

It enters the slot as a context each time that it has to wait for the client, and tells it of a
response that has no end of its own. It shuts the sending side down, and returns whether bytes of
the request may be left unread. It is called by a worker, raises nothing but KeyboardInterrupt, and
that in the main thread alone, and does not close the connection.
"""

_NO_WORKER = 0.1
"""Seconds until a worker is asked for again when none could be had."""


class Workers(Protocol):
    """Runs jobs outside the loop: in threads of their own, or in the main thread."""

    def run(self, job: Job) -> bool:
        """Have a job run, at once; return False when no thread can be had for it now."""


class Responder:
    """Answers at most `limit` requests at a time, each by a worker.

    Methods are called in the loop's thread. Workers run `_answer` and what that calls. What they
    share with the loop is in `Slots`, behind its lock. The loop is woken only where something
    waits for the end of the request: see `Progress`.

    respond: answers a request.
    limit: how many requests may be answered at a time; those that wait for their client do not
        count (see `Slots`).
    workers: run what answers a request.
    on_free: called in the loop's thread when a slot may have become free.
    """

    def __init__(
        self, respond: Respond, limit: int, workers: Workers, on_free: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._respond = respond
        self._workers = workers
        self._lacks_workers = False
        self._on_free = on_free
        self._slots = Slots(limit, partial(self._call_in_loop, on_free))
        self._progress = Progress()
        self._lingering = LingeringClose(self._progress.note)

    @property
    def free(self) -> int:
        """How many more requests may be answered now; may be negative: see `Slots.free`.

        0 while no worker can be had.
        """
        return 0 if self._lacks_workers else self._slots.free

    @property
    def busy(self) -> int:
        """How many requests are being answered, or have their last bytes delivered."""
        return len(self._slots) + len(self._lingering)

    def start(self, connection: socket.socket, client: ClientAddress) -> bool:
        """Begin to answer the request on a connection, which belongs to this object from now on.

        Return False when no worker can be had: then the connection stays the caller's, and
        `on_free` is called when it is time to try again.
        """
        slot = self._slots.start(connection)
        if self._workers.run(partial(self._answer, slot, client)):
            return True
        self._slots.finish(slot)
        if not self._lacks_workers:
            self._lacks_workers = True
            self._loop.call_later(_NO_WORKER, self._ask_for_workers)
        return False

    def refuse(self, connection: socket.socket, error: RefusedRequestError) -> None:
        """Answer with an error, without a thread: the app has no part in it."""
        refuse(connection, error)
        self._lingering.add(connection)

    def end_early(self) -> list[socket.socket]:
        """End event streams, now and from now on; the other requests that were taken go on.

        Return no connection: each is answered in a thread.
        """
        self._slots.end_streams()
        return []

    def end_keeping(self) -> list[tuple[socket.socket, ClientAddress]]:
        """Return no connection: each serves one request."""
        return []

    def cut_off(self) -> list[str]:
        """Give up what is not answered: see `Slots.cut_off`."""
        return self._slots.cut_off()

    async def answered(self, seconds: float) -> None:
        """Wait until no code of the app answers any more, but not longer than `seconds`.

        A request whose client has kept it waiting for that long already is not waited for.
        """
        await self._progress.wait_until(lambda: not self._slots.has_active(seconds), seconds)

    async def quiet(self, seconds: float) -> None:
        """Wait until all is answered and delivered, but not longer than `seconds`."""
        await self._progress.wait_until(lambda: not self.busy, seconds)

    def _answer(self, slot: Slot, client: ClientAddress) -> None:
        """Answer one request; run by a worker."""
        unread = True
        try:
            unread = self._respond(slot.connection, client, slot)
        finally:  # a reload, or Ctrl-C, may interrupt the main thread
            self._end_answer(slot, unread=unread)

    def _end_answer(self, slot: Slot, *, unread: bool) -> None:
        connection = slot.connection
        # A second request behind the first is never answered, but must not reset the answer.
        if unread or receive_now(connection, 1, socket.MSG_PEEK):
            with suppress(OSError):  # an interrupted one has not been shut down
                connection.shutdown(socket.SHUT_WR)
            self._call_in_loop(partial(self._linger, slot))
            return
        connection.close()
        self._slots.finish(slot)
        self._progress.note()

    def _linger(self, slot: Slot) -> None:
        self._lingering.add(slot.connection)  # first: it is never seen in neither
        self._slots.finish(slot)
        self._progress.note()

    def _ask_for_workers(self) -> None:
        self._lacks_workers = False
        self._on_free()

    def _call_in_loop(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it all interest
            self._loop.call_soon_threadsafe(function)
