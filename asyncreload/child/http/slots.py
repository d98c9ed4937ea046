"""Limits concurrent requests; a request that blocks on its client gives its slot back meanwhile.

When the client has moved, the request goes on at once, even if that makes more requests than there
are slots: the others may be waiting for a lock that the app took for this one.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from asyncreload.child.http import interrupted
from asyncreload.child.http.response_writer import ResponseWriter
from asyncreload.sockets import share_of_descriptors

_MAX_BLOCKED = 256  # requests; each of them has a thread


class Slot:
    """A request that is being answered. Entered as a context while it blocks on its client.

    The context is entered in the thread that answers the request, or in another thread in which the
    app reads the body. `blocked_since` changes under the lock of `Slots` only.
    """

    def __init__(self, connection: socket.socket, slots: Slots) -> None:
        self._slots = slots
        self.connection = connection
        self.blocked_since: float = math.inf
        """When it blocked for the first time, by the clock of `Slots`."""
        self.is_stream: bool = False
        """Whether its response has begun, and goes on until the client has enough."""
        self.writer: ResponseWriter | None = None
        """To which its response is written, once it is known."""

    def __enter__(self) -> None:
        self._slots.release(self)

    def __exit__(self, *_: object) -> None:
        self._slots.reclaim(self)

    def answer_by(self, writer: ResponseWriter) -> None:
        """Note what the response is written to."""
        self.writer = writer

    def begin_stream(self) -> None:
        """Note that the response has begun, and has no end of its own."""
        self._slots.begin_stream(self)


class Slots:
    """The requests that are being answered, at most `limit` at a time.

    `start` is used in the loop's thread; the other methods in any. A lock guards what they share.

    on_free: called when a slot has become free where none was, in the thread of the request that
        has made it free, without the lock.
    max_blocked: how many requests may block. One more, and the connection of the one that has
        blocked longest is shut down. If it is not given, a quarter of the process's descriptors.
    clock: tells the time in seconds.
    """

    def __init__(
        self,
        limit: int,
        on_free: Callable[[], None],
        *,
        max_blocked: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._on_free = on_free
        self._max_blocked = max_blocked or share_of_descriptors(4, _MAX_BLOCKED)
        self._clock = clock
        self._lock = Lock()
        self._slots: set[Slot] = set()
        self._ends_streams = False
        self._blocked: dict[Slot, None] = {}  # the one that has blocked longest comes first

    def __len__(self) -> int:
        with self._lock:
            return len(self._slots)

    @property
    def free(self) -> int:
        """How many more requests may be answered now.

        Negative when requests went on after others had taken their slots.
        """
        with self._lock:
            return self._count_free()

    def start(self, connection: socket.socket) -> Slot:
        """Occupy a slot for the request on a connection; the caller has seen that one is free."""
        slot = Slot(connection, self)
        with self._lock:
            self._slots.add(slot)
        return slot

    def finish(self, slot: Slot) -> None:
        """Free the slot of an answered request, on which a thread of the app may still block."""
        with self._lock:
            self._slots.discard(slot)
            self._blocked.pop(slot, None)
            has_made_free = self._count_free() == 1
        if has_made_free:
            self._on_free()

    def has_active(self, slow_after: float) -> bool:
        """Tell whether any request is being answered that does not block on a slow client.

        Responses that have no end of their own do not count: nobody can wait for them.

        slow_after: seconds since a request blocked for the first time; then its client is slow.
        """
        since = self._clock() - slow_after
        with self._lock:
            slots = {slot for slot in self._slots if not slot.is_stream}
            slow = sum(slot.blocked_since <= since for slot in slots.intersection(self._blocked))
            return slow < len(slots)

    def release(self, slot: Slot) -> None:
        """Give a slot back while its request blocks on the client.

        Does nothing once the request is finished: then a thread of the app reads its body late.
        """
        with self._lock:
            if slot not in self._slots:
                return
            slot.blocked_since = min(slot.blocked_since, self._clock())
            self._blocked[slot] = None
            if len(self._blocked) > self._max_blocked:
                self._give_up(next(iter(self._blocked)))
            has_made_free = self._count_free() == 1
        if has_made_free:
            self._on_free()

    def reclaim(self, slot: Slot) -> None:
        """Occupy a slot again, even if none is free: the client has moved."""
        with self._lock:
            self._blocked.pop(slot, None)

    def begin_stream(self, slot: Slot) -> None:
        """Note that the response to a request has begun, and has no end of its own."""
        with self._lock:
            slot.is_stream = True
            if self._ends_streams:
                _end_response(slot)

    def end_streams(self) -> None:
        """End responses that have no end of their own, now and from now on.

        Their clients learn it at once, and the app when it writes again.
        """
        with self._lock:
            self._ends_streams = True
            for slot in self._slots:
                if slot.is_stream:
                    _end_response(slot)

    def cut_off(self) -> list[str]:
        """Give all responses up, as the process is about to end; their clients shall notice.

        Return the requests that get a response of ours instead. Those whose response has no end of
        its own were ended before.
        """
        with self._lock:
            writers = [slot.writer for slot in self._slots if slot.writer and not slot.is_stream]
            return [one.request for one in writers if one.cut_off(interrupted.RESPONSE)]

    def _count_free(self) -> int:
        # With one slot, the app need not be thread-safe: it is called only after it has returned.
        blocked = len(self._blocked) if self._limit > 1 else 0
        return self._limit - len(self._slots) + blocked

    def _give_up(self, slot: Slot) -> None:
        """End a connection, and so the blocking. Under the lock: its thread cannot close it now."""
        del self._blocked[slot]
        with suppress(OSError):
            slot.connection.shutdown(socket.SHUT_RDWR)


def _end_response(slot: Slot) -> None:
    with suppress(OSError):  # its client has gone
        slot.connection.shutdown(socket.SHUT_WR)
