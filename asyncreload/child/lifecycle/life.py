"""Where this process is in its life: its phase, and what it loads. All services know it."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING

from asyncreload.phase import Phase

if TYPE_CHECKING:
    from asyncreload.child.lifecycle.load import Load


class Life:
    """The life of this process. A process that goes on from a checkpoint begins another."""

    def __init__(self) -> None:
        self._phase = Phase.BOOTING
        self._lock = Lock()
        self.go_heard: asyncio.Event = asyncio.Event()
        """Set once it is our turn: this process stands by no more, but is at work."""
        self.load: Load | None = None
        """What is loaded; set by the main thread, before it enters the phase of loading."""

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self._phase

    def advance(self, phase: Phase) -> bool:
        """Enter a phase, unless a later one is reached; return whether it is the present one.

        May be called by any thread.
        """
        with self._lock:
            if phase.value > self._phase.value:
                self._phase = phase
            return self._phase is phase
