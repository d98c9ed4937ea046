"""Takes checkpoints of a load where they are wanted and possible.

The state of a process just before the first changed file is read depends on nothing but what has
not changed. So a fork from before that is a prefix of the real load: to go on from it gives what a
start from nothing gives, in less time. The idea is that of zeus (burke/zeus on GitHub), whose plan
is written by hand.

What would a start from nothing see, do or hold that a load which goes on does not?

- Other bytes of a file that was read, another module found first, another listing of a directory,
  other variables in an environment file: judged by `Validity`.
- Its own threads, connections, locks, timers, child processes, handlers: `obstacles.py` says where
  checkpoints end because of that.
- A directory of the path that was not there, packages that were not: judged by `Validity`, too.
- Random numbers of its own: random_numbers.py draws anew, or as the seed says.
- What does the project do to the world while it is loaded (a table is created, a line is logged)?
  That was done by the load from which the checkpoint is, and is not done again.
- The time, the number of the process, the answer of another program, of the network, of a database,
  of `os.path.exists`: what was taken of these before the checkpoint stays as it was.

For the last two there is `Supervisor.reload()`, which starts from nothing; the README says so.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Collection
from typing import Protocol

from asyncreload.child.checkpoint.obstacles import Obstacles
from asyncreload.child.checkpoint.places import Places
from asyncreload.child.checkpoint.random_numbers import RandomNumbers
from asyncreload.child.checkpoint.registrations import Registrations
from asyncreload.child.checkpoint.validity import Validity
from asyncreload.child.watch.change_scanner import ChangeScanner


class Take(Protocol):
    """Takes a checkpoint here and now.

    Returns in the process that was forked from, and later once more in each process that goes on
    from the checkpoint.
    """

    def __call__(self, place: str) -> None: ...


class Notice(Protocol):
    """Tells why there is no checkpoint."""

    def __call__(self, reason: str, *, is_wanted: bool = False) -> None:
        """Tell a reason; `is_wanted`, if somebody has asked for that checkpoint."""


class CheckpointSession:
    """The checkpoints of one process. Used by the main thread.

    take: takes one.
    notice: tells why there is none at a place; `is_wanted`, if somebody has asked for that one.
    count_loaded: returns how many modules of the project are loaded. Before the first there is
        nothing that a standby has not; if it takes long until the next one has it, that is much.
    """

    def __init__(
        self,
        take: Take,
        obstacles: Obstacles,
        registrations: Registrations,
        validity: Validity,
        scanner: ChangeScanner,
        notice: Notice,
        count_loaded: Callable[[], int],
    ) -> None:
        self._thread = threading.get_ident()
        self._take = take
        self._obstacles = obstacles
        self._registrations = registrations
        self._is_installed = False
        self._validity = validity
        self._inputs = validity.inputs
        self._scanner = scanner
        self._notice = notice
        self._count_loaded = count_loaded
        self._places: Places | None = None
        self._passed: set[str] = set()
        self._told = ""
        self._keep: frozenset[str] = frozenset()
        self._random_numbers = RandomNumbers()

    def begin(
        self,
        before: Collection[str],
        *,
        at_end: bool,
        keep: Collection[str] = (),
        ahead: float = 0.0,
    ) -> None:
        """Note what is wanted in a load that begins, or goes on from here.

        ahead: seconds of imports ahead on which the load begins; 0 if it goes on.
        """
        self._keep = frozenset(keep)
        if before or at_end or keep:
            self._install()
            # In a process that goes on, the modules that are kept were there at the checkpoint.
            keep = {*keep} - self._passed
            self._places = Places(before, at_end=at_end, keep=keep, ahead=ahead)
            self._inputs.is_noting = True
        else:
            self._places = None

    def _install(self) -> None:
        """Be told from now on of what counts; before any code of the project has run."""
        if not self._is_installed:
            self._is_installed = True
            self._registrations.install()
            self._random_numbers.install()
            self._inputs.install()

    def end(self) -> None:
        """Note that the load has ended."""
        self._places = None
        self._inputs.is_noting = False

    def before_file(self, path: str) -> None:
        """Take a checkpoint if one is wanted before this file of the project, which comes next."""
        if self._places is None:
            return
        is_deep = self._places.has_much_ahead or self._count_loaded()
        if threading.get_ident() == self._thread and is_deep:
            self._consider(self._places.before(path))
        if self._scanner.is_ignored(path):  # it has no baseline
            self._inputs.note(path)

    def at_end(self) -> None:
        """Take one if it is wanted at the end of the load."""
        if self._places is not None:
            self._consider(self._places.at_end())

    def refresh(self) -> None:
        """In a process that goes on: have nothing in it that a new process would have anew."""
        importlib.invalidate_caches()
        self._random_numbers.renew()

    def _consider(self, place: str) -> None:
        if not place or self._places is None:
            return
        self._inputs.is_noting = False
        self._passed.add(place)
        if obstacle := self._obstacles.first():
            self._tell(place, obstacle)
        else:
            self._validity.note()
            self._random_numbers.before_fork()
            self._take(place)
        # In a process that goes on, `begin` has been called meanwhile.
        if self._places is not None:
            self._places.passed()
            self._inputs.is_noting = True

    def _tell(self, place: str, obstacle: str) -> None:
        if place in self._keep:
            self._notice(f"{place} is loaded anew at each reload: {obstacle}", is_wanted=True)
        elif obstacle != self._told:
            self._told = obstacle
            self._notice(f"no checkpoint at {place}: {obstacle}")
