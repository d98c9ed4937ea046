"""What the next process is to import ahead, learned from the children before it. No I/O."""

from __future__ import annotations

import logging
from typing import Any

from asyncreload.protocol import Data, Preload, Preloaded

log: logging.Logger = logging.getLogger("asyncreload")

MOST_WRONG = 2
"""After so many replays in a row that could not stand for a cold start, an app has no more."""


class PreloadPlan:
    """The packages that a standby imports, and what it should know of the project's files.

    A replay is the import of the packages that the last child imported, in the same order and
    under the same conditions. It may turn out wrong (the child then starts cold), which counts;
    one that merely takes long is not wrong.

    replays: whether there are to be any.
    """

    def __init__(self, *, replays: bool) -> None:
        self._replays = replays
        self._failed: set[str] = set()
        self._mismatches: Data = {}
        self._wrong_in_a_row = 0
        self.preload: Preload | None = None
        """What to import; None when that is not known, or nothing is to be imported."""
        self.known_files: dict[str, Any] = {}
        """How the last child saw the project's files."""

    def learn(self, preload: Preload) -> bool:
        """Take note of what a child has imported; tell whether a standby should differ now."""
        if not self._replays:
            return False
        preload = self._without_failures(preload)
        if preload.is_like(self.preload):
            return False
        self.preload = preload
        return True

    def forget(self) -> None:
        """Have nothing imported ahead until a child has told again what it imports."""
        log.debug("standby: what it imported ahead may be outdated; the next one starts cold")
        self.preload, self._mismatches = None, {}

    def was_wrong(self) -> None:
        """Note that a replay could not stand for a cold start."""
        log.debug("standby: what it imported ahead did not fit")
        self._wrong_in_a_row += 1
        self._replays = self._replays and self._wrong_in_a_row < MOST_WRONG
        self.forget()

    def was_right(self) -> None:
        """Note that an app was loaded on top of a replay."""
        self._wrong_in_a_row = 0

    def switch_off(self) -> None:
        """Have nothing imported ahead from now on."""
        log.debug("standby: nothing is imported ahead from now on")
        self.preload, self._replays = None, False

    def accepts(self, pid: int, preloaded: Preloaded | None) -> bool:
        """Learn from how a replay ended; tell whether the process can be used.

        preloaded: None when the process has died of it.
        """
        preload = self.preload
        if preload is None:  # forgotten meanwhile
            return False
        usable = preloaded is not None and (
            preloaded.fits or preloaded.failed or preloaded.mismatches
        )
        if preloaded is None or not usable:
            log.debug("standby: process %d did not survive its imports, or differs", pid)
            self.switch_off()
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
        else:
            log.debug("standby: process %d has imported %d modules", pid, len(preload.modules))

    def _without_failures(self, preload: Preload) -> Preload:
        kept = tuple(name for name in preload.modules if name not in self._failed)
        return preload.replaced(modules=kept, mismatches=self._mismatches)
