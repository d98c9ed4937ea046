"""Takes checkpoints of a load where they are wanted and possible, and judges one that goes on.

The state of a process just before the first changed file is read depends on nothing but what has
not changed. So a fork from before that is a prefix of the real load: to go on from it gives what a
start from nothing gives, in less time. The idea is that of zeus (burke/zeus on GitHub), whose plan
is written by hand.

What would a start from nothing see, do or hold that a load which goes on does not?

- Other bytes of a file that was read, another module found first, another listing of a directory,
  other variables in an environment file: judged by `unfit`.
- Its own threads, connections, locks, timers, child processes, handlers: `limits.py` says where
  checkpoints end because of that.
- Random numbers of its own: `random` seeds itself in a fork, numpy is seeded anew here.
- What does the project do to the world while it is loaded (a table is created, a line is logged)?
  That was done by the load from which the checkpoint is, and is not done again.
- The time, the number of the process, the answer of another program, of the network, of a database,
  of `os.path.exists`: what was taken of these before the checkpoint stays as it was.

For the last two there is `Supervisor.reload()`, which starts from nothing; the README says so.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Collection
from typing import Protocol

from asyncreload.child.checkpoint.inputs import Inputs
from asyncreload.child.checkpoint.limits import Limits
from asyncreload.child.checkpoint.places import Places
from asyncreload.child.watch.change_scanner import ChangeScanner


class Take(Protocol):
    """Takes a checkpoint here and now.

    Returns in the process that was forked from, and later once more in each process that goes on
    from the checkpoint.
    """

    def __call__(self, place: str, coming: str) -> None:
        """Take it; `coming` is the file that is about to be read, if there is one."""


class CheckpointSession:
    """The checkpoints of one process. Used by the main thread.

    take: takes one.
    notice: tells a reason to who wants to know all.
    """

    def __init__(
        self,
        take: Take,
        limits: Limits,
        inputs: Inputs,
        scanner: ChangeScanner,
        notice: Callable[[str], None],
    ) -> None:
        self._thread = threading.get_ident()
        self._take = take
        self._limits = limits
        self.inputs: Inputs = inputs
        """What the load has read, beside modules."""
        self._scanner = scanner
        self._notice = notice
        self._places: Places | None = None
        self._passed: set[str] = set()
        self._told = ""

    def begin(self, before: Collection[str], *, at_end: bool, keep: Collection[str] = ()) -> None:
        """Note what is wanted in a load that begins, or goes on from here."""
        if before or at_end or keep:
            # In a process that goes on, the modules that are kept were there at the checkpoint.
            keep = {*keep} - self._passed
            self._places = Places(before, at_end=at_end, keep=keep)
            self.inputs.is_noting = True
        else:
            self._places = None

    def end(self) -> None:
        """Note that the load has ended."""
        self._places = None
        self.inputs.is_noting = False

    def before_file(self, path: str) -> None:
        """Take a checkpoint if one is wanted before this file of the project, which comes next."""
        if self._places is not None and threading.get_ident() == self._thread:
            self._consider(self._places.before(path), path)

    def at_end(self) -> None:
        """Take one if it is wanted at the end of the load."""
        if self._places is not None:
            self._consider(self._places.at_end())

    def unfit(self) -> str:
        """Return what has changed since the checkpoint that this process goes on from.

        "" if nothing has. Otherwise a load from here would not be what a start from nothing is.
        """
        if path := self.inputs.differing():
            return path
        return next(iter(self._scanner.compare_now(self._scanner.look())), "")

    def refresh(self) -> None:
        """In a process that goes on: have nothing in it that a new process would have anew."""
        importlib.invalidate_caches()
        if (numpy_random := sys.modules.get("numpy.random")) is not None:
            numpy_random.seed()

    def _consider(self, place: str, coming: str = "") -> None:
        if not place or self._places is None:
            return
        self.inputs.is_noting = False
        self._passed.add(place)
        if obstacle := self._limits.obstacle():
            if obstacle != self._told:
                self._told = obstacle
                self._notice(f"no checkpoint at {place}: {obstacle}")
        else:
            self._take(place, coming)
        # In a process that goes on, `begin` has been called meanwhile.
        if self._places is not None:
            self._places.passed()
            self.inputs.is_noting = True
