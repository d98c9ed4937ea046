"""What was done to a server of the soak, and what came of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

AFTERMATH = 3.0
"""Seconds after a blow in which what it hit may still be cut off."""
HALF = 0.25
"""Seconds: a save that takes longer, as on a busy machine, may be met when half is written."""
HELD = 10.0
"""Seconds after a save in which a WebSocket or an event stream of the old code may go on."""

Span = tuple[float, float]


@dataclass
class Journal:
    """Used by several threads."""

    name: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    saved: int = 1
    broken: set[int] = field(default_factory=set)
    saves: list[float] = field(default_factory=list)
    writing: float | None = None
    halves: list[Span] = field(default_factory=list)
    blows: list[Span] = field(default_factory=list)
    strikes: list[float] = field(default_factory=list)
    """When a process was hit that may have been loading the app, so that this has failed."""
    downs: list[Span] = field(default_factory=list)
    """When there was no supervisor."""
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def fail(self, what: str) -> None:
        with self.lock:
            self.wrong.append(f"{time.strftime('%H:%M:%S')} {self.name}: {what}")
            if len(self.wrong) < 50:
                print(self.wrong[-1], flush=True)

    # --- saves -----------------------------------------------------------------------------------

    def begin(self) -> None:
        self.writing = time.monotonic()

    def end(self, number: int) -> None:
        """Note that a save has returned."""
        began, now = self.writing or 0.0, time.monotonic()
        if now - began > HALF:
            self.halves.append((began, now))
        self.saves.append(now)
        self.saved, self.writing = number, None

    def is_broken_since(self, number: int) -> bool:
        """Tell whether a version that does not load was saved, this one or a later one."""
        return any(one >= number for one in list(self.broken))

    def met_half(self, began: float, ended: float) -> bool:
        """Tell whether a save took so long meanwhile that half of it could be met."""
        writing = self.writing
        half = self.halves[-20:] + ([(writing, ended)] if writing else [])
        return any(end - begin > HALF and begin < ended and began < end for begin, end in half)

    def saves_between(self, began: float, ended: float) -> int:
        # One may have been seen that is noted only in a moment.
        under_way = self.writing is not None
        return under_way + sum(began - 0.5 <= one <= ended for one in self.saves[-2000:])

    def is_held(self, began: float, now: float) -> bool:
        """Tell whether what was begun should have been ended long ago by a save."""
        first = next((one for one in self.saves if one > began), now)
        return now - first > HELD and not self.was_hit(first, now)

    # --- blows -----------------------------------------------------------------------------------

    def was_hit(self, began: float, ended: float) -> bool:
        """Tell whether a process was killed or stopped meanwhile, or shortly before."""
        return any(begin < ended and began < end + AFTERMATH for begin, end in list(self.blows))

    def was_struck_unmended(self, began: float) -> bool:
        """Tell whether a load may have failed by a blow after the last save: none is repeated."""
        last = max((one for one in self.saves[-2000:] if one < began - AFTERMATH), default=0.0)
        return any(one > last for one in self.strikes)

    def was_down(self, began: float, ended: float) -> bool:
        """Tell whether there was no supervisor at some moment meanwhile."""
        return any(begin < ended and began < end for begin, end in list(self.downs))
