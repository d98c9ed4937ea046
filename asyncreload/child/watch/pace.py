"""How long to wait between two looks at files, so that looking costs no more than a small share.

A look costs the more CPU, the more files there are. So the pause after it is a multiple of what it
has cost, within limits.
"""

from __future__ import annotations

from enum import Enum

UNASKED_AFTER = 5.0
"""Seconds without a request after which nobody waits for what a background look finds: the next
request leads to a look itself."""


class Pace(Enum):
    """The share of a core that looks of a kind may cost; the limits of the pause, in seconds."""

    LOADING = 0.03, 0.5, 1.0
    """Looks while the app is loaded, by the clock: time that the load has not, as Python runs one
    thread at a time. What they find, the look before the first request would find, too; but a load
    may never end, or take long."""
    FIRST_REQUESTS = 0.03, 0.0, 0.3
    """Looks beside the first requests after a load, by the clock as well."""
    ASKED = 0.0012, 0.0, 5.0
    """Looks at the project in the background."""
    UNASKED = 0.0006, 0.0, 5.0
    """The same, while nobody waits for what they find."""
    PACKAGES = 0.0005, 2.0, 5.0
    """Looks at the packages."""
    SWEEP = 0.0001, 30.0, 60.0
    """Looks at every file of the project, where events of the kernel tell of changes."""

    @property
    def soonest(self) -> float:
        """The shortest pause, in seconds."""
        return self.value[1]

    def pause(self, cost: float) -> float:
        """Return the seconds until the next look, after one that took so many.

        cost: seconds of CPU; by the clock, where that is said.
        """
        budget, soonest, latest = self.value
        return min(max(cost / budget, soonest), latest)
