"""Where checkpoints are taken: just before files that are likely to be edited, and at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping
from types import ModuleType

from asyncreload.child.watch.file_kinds import is_importing

END = "the end of the load"
"""The last place: all that requests import later lies behind it."""
WORTH = 0.005
"""Seconds of loading since the last place from which a checkpoint is worth its cost: a fork takes
some milliseconds."""
WORTH_AHEAD = 0.5
"""Seconds of imports ahead from which one is, too: who saves again before the next process has made
them would wait for that."""


class Places:
    """Tells at which points of one load a checkpoint is to be taken. Called by the main thread.

    before: the files before which one is wanted.
    at_end: whether one is wanted at the end.
    keep: names of modules right behind which one is always taken.
    ahead: seconds that this process has spent on imports ahead.
    clock: seconds.
    """

    def __init__(
        self,
        before: Collection[str],
        *,
        at_end: bool,
        keep: Collection[str] = (),
        ahead: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        modules: Mapping[str, ModuleType | None] = sys.modules,
    ) -> None:
        self._before = set(before)
        self._at_end = at_end
        self._keep = set(keep)
        self._clock = clock
        self._modules = modules
        self._ahead = ahead
        self._since = clock()

    @property
    def has_much_ahead(self) -> bool:
        """Whether the imports ahead alone are worth a checkpoint, and there was none yet."""
        return self._ahead >= WORTH_AHEAD

    def before(self, path: str) -> str:
        """Return the name of the place just before a file is read; "" if there is none."""
        if kept := self._kept():
            return kept
        if path in self._before:
            self._before.discard(path)
            return path if self._is_worth_it() else ""
        return ""

    def at_end(self) -> str:
        """Return the name of the place at the end of the load; "" if there is none."""
        if kept := self._kept():
            return kept
        return END if self._at_end and self._is_worth_it() else ""

    def passed(self) -> None:
        """Note that a checkpoint was taken here, or that the load goes on from one."""
        self._ahead = 0.0
        self._since = self._clock()

    def _is_worth_it(self) -> bool:
        return self._clock() - self._since >= WORTH or self.has_much_ahead

    def _kept(self) -> str:
        """Return the name of a module to be kept that is loaded by now, once."""
        for name in self._keep:
            module = self._modules.get(name)
            if module is not None and not is_importing(module):
                self._keep.discard(name)
                return name
        return ""
