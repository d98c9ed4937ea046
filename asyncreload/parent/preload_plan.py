"""What the next process is to import ahead, learned from the children before it. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from asyncreload.protocol import Data, Preload, Preloaded
from asyncreload.style import duration

log: logging.Logger = logging.getLogger("asyncreload")

MOST_WRONG = 2
"""After so many replays in a row that led to conditions of their own, an app has no more."""


class PreloadPlan:
    """The packages that a standby imports, and what it should know of the project's files.

    A replay is the import of the packages that the last child imported, in the same order and
    under the same conditions. It may turn out wrong: the child then starts cold. That counts when
    the conditions after the load are others with a replay than without, or others each time. It
    does not when an edit has made the difference: the next replay will fit. One that merely takes
    long is not wrong.

    What is not imported ahead any more is told once, with the reason.

    replays: whether there are to be any.
    """

    def __init__(self, *, replays: bool) -> None:
        self._replays = replays
        self._failed: frozenset[str] = frozenset()
        self._mismatches: Data = {}
        self._wrong_in_a_row = 0
        self._found: Mapping[str, Any] = {}
        """The conditions that the last replay led to, if it was wrong for them."""
        self._told: set[str] = set()
        self.cold_load: float = 0.0
        """Seconds that the last load took for which nothing was imported ahead."""
        self._warm_load: float | None = None
        self.preload: Preload | None = None
        """What to import; None when that is not known, or nothing is to be imported."""
        self.has_booted: bool = False
        """Whether any process has."""
        self.known_files: dict[str, Any] = {}
        """How the last child saw the project's files."""

    def learn(self, preload: Preload) -> bool:
        """Take note of what a child has imported; tell whether a standby should differ now."""
        if not self._replays:
            return False
        if preload.obstacle:
            self._tell(f"nothing is imported ahead: {preload.obstacle}")
        if self._found and self._found.items() <= preload.final.items():
            self._wrong_in_a_row -= 1  # without a replay it has come to the same
        self._found = {}
        preload = self._without_failures(preload)
        if preload.is_like(self.preload):
            return False
        self.preload = preload
        return True

    def forget(self) -> None:
        """Have nothing imported ahead until a child has told again what it imports."""
        log.debug("standby: what it imported ahead may be outdated; the next one starts cold")
        self.preload, self._mismatches, self._warm_load = None, {}, None

    def was_wrong(self, reason: str, found: Mapping[str, Any]) -> None:
        """Note that a replay could not stand for a cold start.

        found: the conditions after its load that were not those of the load replayed.
        """
        self._found = found
        self._wrong_in_a_row += bool(found)
        if found and self._wrong_in_a_row == MOST_WRONG and self._replays:
            self._replays = False
            self._tell(f"nothing is imported ahead any more, as it did not fit: {reason}")
        else:
            log.debug("starting cold: %s", reason)
        self.forget()

    def was_right(self, seconds: float) -> None:
        """Note that an app was loaded on top of a replay, and how long that took."""
        self._wrong_in_a_row = 0
        self._warm_load = seconds

    def expected_load(self, replay: float) -> float:
        """Return how many seconds a load takes on top of a replay that has taken so many.

        As long as the last one, or, if there was none, what is left of a load from nothing.
        """
        left = max(0.0, self.cold_load - replay)
        return left if self._warm_load is None else self._warm_load

    def accepts(self, pid: int, preloaded: Preloaded | None) -> bool:
        """Learn from how a replay ended; tell whether the process can be used.

        preloaded: None when the process has died, but not of an import.
        """
        preload = self.preload
        if preload is None or preloaded is None:  # forgotten meanwhile, or dead
            return False
        self._log_outcome(pid, preload, preloaded)
        self._failed |= {*preloaded.failed}
        self._mismatches = self._mismatches | preloaded.mismatches
        self.preload = self._without_failures(preload)
        return not (preloaded.failed or preloaded.mismatches)

    def _log_outcome(self, pid: int, preload: Preload, preloaded: Preloaded) -> None:
        if preloaded.failed:
            log.debug("standby: left out from now on: %s", ", ".join(preloaded.failed))
        elif preloaded.mismatches:
            log.debug("standby: %d data differ; comparing once more", len(preloaded.mismatches))
        elif preloaded.stopped:
            log.debug("standby: process %d leaves off before %s", pid, preloaded.stopped)
            rest = len(preload.modules) - preload.modules.index(preloaded.stopped)
            more = f" and {rest - 1} modules after it are" if rest > 1 else " is"
            self._tell(
                f"{preloaded.stopped}{more} not imported ahead, "
                f"as the app sets up something else before it: {preloaded.reason}"
            )
        else:
            log.debug("standby: process %d has imported %d modules", pid, len(preload.modules))

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            cost = f"; a load from nothing takes {duration(self.cold_load)}" * bool(self.cold_load)
            log.warning("starting cold: %s%s", what, cost)

    def _without_failures(self, preload: Preload) -> Preload:
        return preload.replaced(
            modules=tuple(each for each in preload.modules if not self._is_left_out(each)),
            left_out=tuple(sorted(self._failed)),
            mismatches=self._mismatches,
        )

    def _is_left_out(self, module: str) -> bool:
        return any(f"{module}.".startswith(f"{failed}.") for failed in self._failed)
