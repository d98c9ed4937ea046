"""The events of a supervisor: they are logged, and kept for whoever iterates over them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

from asyncreload.events import Crashed, Event, Failed, Starting, Stopped

log: logging.Logger = logging.getLogger("asyncreload")

MOST = 256
"""How many events are kept for readers that are behind; the oldest are dropped."""


class EventLog:
    """What happens, in its order. Telling never waits, and nobody has to read.

    It knows no readers, only the last events: so a reader that is gone costs nothing.
    """

    def __init__(self) -> None:
        self._recent: deque[Event] = deque(maxlen=MOST)
        self._told = 0
        self._moved = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether `Stopped` was told, which is the last event."""
        return bool(self._recent) and isinstance(self._recent[-1], Stopped)

    @property
    def recent(self) -> list[Event]:
        """The last events that were told."""
        return list(self._recent)

    def tell(self, event: Event) -> None:
        """Tell the log and the readers."""
        self._recent.append(event)
        self._told += 1
        self.wake()
        bad = isinstance(event, Failed | Crashed)
        log.log(logging.ERROR if bad else logging.INFO, "%s", event, extra={"event": event})

    def wake(self) -> None:
        """Wake those who wait for a step, be it an event or not."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def step(self, most: float | None = None) -> None:
        """Wait until something happens, or for `most` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most):
                await self._moved.wait()

    def read(self) -> AsyncIterator[Event]:
        """Return an iterator over the events from now on; they are kept for it from now on, too."""
        return _Reader(self)

    def place(self) -> int:
        """Return where a reader begins: with what comes, or with the first or last event."""
        at_edge = self._told > 0 and isinstance(self._recent[-1], Starting | Stopped)
        return self._told - at_edge

    def at(self, place: int) -> tuple[int, Event] | None:
        """Return the event at a place, or the oldest after it; None when it is yet to come."""
        place = max(place, self._told - len(self._recent))
        if place == self._told:
            return None
        return place, self._recent[place - self._told]


class _Reader(AsyncIterator[Event]):
    """One reader's place in the log."""

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._place = event_log.place()

    async def __anext__(self) -> Event:
        while (found := self._event_log.at(self._place)) is None:
            if self._event_log.has_ended:
                raise StopAsyncIteration
            await self._event_log.step()
        place, event = found
        self._place = place + 1
        return event
