"""Which requests are being answered, and which of them wait for their client meanwhile.

The latter take no room from others. When such a client has moved, its request goes on at once,
though more may then be at work than there is room for: the others may be waiting for a lock that
the app took for this one.
"""

from __future__ import annotations

import math
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

_MOST = 256  # that wait for their client; each has a thread


class Slot:
    """A request that is answered; as a context, it waits for its client."""

    def __init__(self, connection: socket.socket, slots: Slots) -> None:
        self._slots = slots
        self.connection = connection
        self.waited_since: float = math.inf
        """When it had to wait for the first time."""

    def __enter__(self) -> None:
        self.waited_since = min(self.waited_since, time.monotonic())
        self._slots.leave(self)

    def __exit__(self, *_: object) -> None:
        self._slots.come_back(self)


class Slots:
    """The requests that are answered, at most `limit` at a time. Begun and ended in one thread.

    on_room: called in any thread when there is room that another's waiting has made.
    """

    def __init__(self, limit: int, on_room: Callable[[], None]) -> None:
        self._limit = limit
        self._on_room = on_room
        self._lock = Lock()
        self._slots: set[Slot] = set()
        self._away: dict[Slot, None] = {}  # who has waited longest comes first
        # A quarter of the descriptors, as there are other uses for them.
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        quarter = descriptors // 4 if descriptors != resource.RLIM_INFINITY else _MOST
        self._most = max(1, min(_MOST, quarter))

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def room(self) -> int:
        """How many more may be answered now; less than none when some have come back."""
        # An app that is not thread-safe is not called while an earlier call has not returned.
        away = len(self._away) if self._limit > 1 else 0
        return self._limit - len(self._slots) + away

    def begin(self, connection: socket.socket) -> Slot:
        """Begin to answer a request."""
        turn = Slot(connection, self)
        self._slots.add(turn)
        return turn

    def end(self, turn: Slot) -> None:
        """Note that a request is answered, though a thread of the app may still read its body."""
        with self._lock:
            self._slots.discard(turn)
            self._away.pop(turn, None)

    def at_work(self, patience: float) -> bool:
        """Tell whether any request is answered that does not wait for a slow client.

        patience: seconds since it was first waited for, after which a client is slow.
        """
        since = time.monotonic() - patience
        with self._lock:
            slow = sum(turn.waited_since <= since for turn in self._away)
        return slow < len(self._slots)

    def leave(self, turn: Slot) -> None:
        """Have a request wait for its client."""
        with self._lock:
            self._away[turn] = None
            if len(self._away) > self._most:
                self._give_up(next(iter(self._away)))
            makes_room = self.room == 1
        if makes_room:
            self._on_room()

    def come_back(self, turn: Slot) -> None:
        """Go on with a request: its client has moved."""
        with self._lock:
            self._away.pop(turn, None)

    def _give_up(self, turn: Slot) -> None:
        """End a connection, and so the waiting. By the lock, its thread does not close it now."""
        del self._away[turn]
        with suppress(OSError):
            turn.connection.shutdown(socket.SHUT_RDWR)
