"""Answers one question: which files differ from what was loaded.

A look finds suspects by their signatures, at the price of a stat each or less. A comparison reads
the suspects and tells which of them have other bytes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from asyncreload.child.helper_thread import hop
from asyncreload.child.watch.baselines import Baselines, Changed
from asyncreload.child.watch.directory_scanner import DirectoryScanner
from asyncreload.child.watch.file_kinds import FileKind, container, kind_of
from asyncreload.child.watch.file_state import FileState, read_state, signature_at
from asyncreload.child.watch.filesystems import is_local
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.import_searches import ImportSearches
from asyncreload.child.watch.opened_files import OpenedFiles
from asyncreload.child.watch.pace import Pace
from asyncreload.child.watch.polling import Looks, Polling
from asyncreload.child.watch.unmatched import unmatched

if TYPE_CHECKING:
    from asyncreload.child.watch.inotify import Events

_Events: type[Events] | None
try:  # at boot, which a standby has done long before it is needed
    _Events = import_module("asyncreload.child.watch.inotify").Events
except ImportError:
    _Events = None

SCANNED_AT_ONCE = 300
"""How many files and directories are gone through before the first request if a framework asks for
them: some milliseconds' work."""
DIRECTORIES_AT_ONCE = 30
"""And of how many directories, if as many are named: to go through more takes longer."""
READ_BEFORE_LOAD = 200
"""How many files of the patterns are read before a load: some milliseconds' work."""
READ_AT_ONCE = 3
"""How many suspects may be read without a hop to a thread: so many are saved by hand."""
SMALL_FILE = 65_536
"""Bytes: the reading of a larger file is left to a thread."""


class Clock(Protocol):
    """The clocks of the module `time` that are used here."""

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch."""

    def thread_time(self) -> float:
        """Return the seconds of CPU that this thread has used."""


class ChangeScanner:
    """Looks at files and compares them with their baselines.

    Used by one thread at a time: the side thread, its helper, or under the monitor's lock the main
    thread. `watch_patterns` is called by that one, too, before anybody looks.

    modules: where modules are registered; `sys.modules`, but for tests.
    """

    def __init__(
        self,
        baselines: Baselines,
        clock: Clock = time,
        modules: Mapping[str, ModuleType | None] = sys.modules,
    ) -> None:
        self._baselines = baselines
        self._clock = clock
        self._found: dict[str, FileState] = {}
        self._directories = DirectoryScanner(Patterns(), baselines.take, baselines.take_as_absent)
        self._polling = Polling()
        self._looks: Looks = self._polling
        self.searches: ImportSearches = ImportSearches(
            baselines, self.doubt, clock.time_ns, modules
        )
        """What imports have looked for in the project's directories."""
        self.opened: OpenedFiles = OpenedFiles(clock.time_ns)
        """The files of the project that were opened, but for code."""
        self._asked: Patterns = Patterns()
        self._absent: list[str] = []
        self._are_many = False
        self._in_project: int | None = None
        self._in_packages: tuple[Patterns, int] | None = None
        self._packages_due = self._sweep_due = 0.0
        self.cost: float = 0.0
        """Seconds of CPU that the last look at the project took."""
        self.whole_cost: float = 0.0
        """The same with the look at the packages that may have come with it."""

    # --- what is watched beside the modules ----------------------------------------------------

    def watch_patterns(self, patterns: Patterns) -> None:
        """Watch what the patterns ask for as well, as it is now; and nothing that they ignore.

        Called again, it forgets how that was before, but for what was loaded since.
        """
        self._asked = patterns
        self._watch(patterns)

    def watch_again(self) -> None:
        """In a process that goes on from a checkpoint: watch what patterns ask for, as it is."""
        all_ = self._baselines.patterns
        if not self._are_many:
            self._watch(all_)
            return
        now = self._clock.time_ns()
        self._watch(self._asked)
        self._baselines.patterns = all_
        for path in filter(all_.refreshes, self.opened.paths()):
            self._take_wanted(path)
        self._in_project = now

    def _watch(self, patterns: Patterns) -> None:
        self._baselines.patterns = patterns
        self._baselines.forget_wanted()
        self._scan_directories(patterns, self._take_wanted)

    def unmatched(self, watch: Sequence[str], refresh: Sequence[str]) -> list[str]:
        """Return those patterns, as they were given, that no file fits."""
        patterns = self._baselines.patterns
        both = zip(
            (*watch, *refresh),
            (*patterns.watch[: len(watch)], *patterns.refresh[: len(refresh)]),
            strict=True,
        )
        return unmatched(both, list(self._baselines.project))

    def _take_wanted(self, path: str) -> None:
        project = self._baselines.project
        if path not in project:
            # If there are many, the others are read when there is time.
            self._baselines.take_wanted(path, reads=len(project) < READ_BEFORE_LOAD)

    def watch_for_refresh(self, texts: Sequence[str], since: int) -> None:
        """Watch what these patterns ask for as well; it needs no reload when it changes.

        If there are many files, those that are named one by one or were opened are watched at once,
        and the rest when there is time: see `complete`.

        texts: absolute.
        since: when the load began, in ns since the epoch; what changed later counts as changed.
        """
        of_kind: dict[FileKind, list[str]] = {kind: [] for kind in FileKind}
        for text in texts:
            of_kind[kind_of(text)].append(text)
        known = self._baselines.patterns
        if added := Patterns.of([], [], os.sep, of_kind[FileKind.PROJECT]).refresh:
            self._baselines.patterns = known.replaced(refresh=(*known.refresh, *added))

            def take(path: str) -> None:
                self._baselines.take_for_refresh(path, since)

            directories = {one.root for one in added if one.parts}
            self._are_many = self._are_many or len(directories) > DIRECTORIES_AT_ONCE
            if self._are_many or not self._scan_few(self._baselines.patterns, take):
                self._are_many = True
                self._in_project = since
                for path in (one.root for one in added if not one.parts):
                    if not os.path.isdir(path):
                        take(path)
        if in_packages := of_kind[FileKind.PACKAGE]:
            wanted = Patterns.of([], [], os.sep, in_packages).replaced(ignore=known.ignore)
            self._in_packages = (wanted, since)

    def take_opened(self) -> None:
        """Watch what was opened since the last time, as far as patterns ask for it.

        To be called before a look that must not miss it; not needed when nothing is incomplete.
        """
        if self._in_project is None:
            return
        near: dict[str, Patterns] = {}
        for path, opened_at in self.opened.new():
            if (directory := os.path.dirname(path)) not in near:
                near[directory] = self._baselines.patterns.above(directory)
            if near[directory].refreshes(path):
                self._baselines.take_opened(path, opened_at)

    def is_incomplete(self) -> bool:
        """Tell whether there are files that patterns ask for, and that are not watched yet."""
        return self._in_project is not None or self._in_packages is not None

    def complete(self, looking: AbstractContextManager[object]) -> None:
        """Watch all files that patterns ask for. It takes its time.

        looking: entered for what must not be done while another thread looks.
        """
        if self._in_project is not None:
            self._complete_project(self._in_project, looking)
        if self._in_packages is not None:
            (patterns, moment), self._in_packages = self._in_packages, None

            def take(path: str) -> None:
                self._baselines.take_for_refresh(path, moment, FileKind.PACKAGE)

            DirectoryScanner(patterns, take, take).scan_all()

    def _complete_project(self, since: int, looking: AbstractContextManager[object]) -> None:
        with looking:
            self.take_opened()
        baselines = self._baselines
        scanner = DirectoryScanner(
            baselines.patterns,
            lambda path: baselines.take_for_refresh(path, since),
            baselines.take_as_absent,
        )
        scanner.scan_all()
        with looking:
            self.take_opened()
            self._directories, self._in_project = scanner, None
            # Only now: from the listing on, their directories tell of those that come.
            baselines.forget_absent()
            self._looks.begin_afresh()

    def watch_what_may_mend(
        self, root: str, paths: Iterable[str], since: int, changed: Changed
    ) -> None:
        """After a failed load: watch all Python files below `root`, and `paths`.

        since: when the load began, in ns since the epoch; what came later counts as changed.
        changed: the files whose change has led to this load, and how they were found then.
        """

        def take(path: str) -> None:
            self._baselines.take_unless_known(path, since, changed)

        self.watch_files(paths, since, changed)
        patterns = self._baselines.patterns
        python = Patterns.of(["*.py"], [], root).watch
        self._scan_directories(patterns.replaced(watch=(*patterns.watch, *python)), take)

    def watch_files(self, paths: Iterable[str], since: int, changed: Changed) -> None:
        """Watch files that an error names; `since` and `changed` as above."""
        for path in map(container, paths):
            self._baselines.take_unless_known(path, since, changed)

    def _scan_directories(self, patterns: Patterns, take: Callable[[str], None]) -> None:
        scanner = DirectoryScanner(patterns, take, self._baselines.take_as_absent)
        scanner.scan_all()
        self._directories = scanner
        self._in_project = None

    def _scan_few(self, patterns: Patterns, take: Callable[[str], None]) -> bool:
        """Do the same if there are few files and directories; tell whether it was done."""
        found: list[str] = []
        appeared = self._baselines.take_as_absent
        scanner = DirectoryScanner(patterns, found.append, appeared, SCANNED_AT_ONCE)
        scanner.scan_all()
        if not scanner.is_whole:
            return False
        for path in found:
            take(path)
        self._directories = scanner
        return True

    # --- how it is looked ----------------------------------------------------------------------

    def use_events(self, root: str) -> Events | None:
        """Have the kernel tell of changes from now on; return by what, or None if it cannot.

        Raises `LimitError` when the kernel does not for this user.
        """
        if _Events is None:
            return None
        baselines = self._baselines
        events = _Events({root, *baselines.package_directories, *baselines.patterns.roots})
        self._looks = events
        return events

    def descriptors(self) -> list[int]:
        """Return what the looks have open that are made while the app is loaded."""
        return self._polling.descriptors()

    def use_polling(self) -> None:
        """Look at each file by itself again."""
        self._looks.close()
        self._looks = self._polling

    def begin_afresh(self) -> None:
        """Look at all again: a look was broken off, and what it has learned may be lost."""
        self._looks.begin_afresh()

    def make_cheaper(self) -> bool:
        """Have the kernel watch some more of the files; tell whether it watches all of them.

        Raises `LimitError` when the kernel watches no more; call `use_polling` then.
        """
        baselines = self._baselines
        kinds = (
            baselines.project,
            self._directories.directories,
            self.searches.directories,
            baselines.packages,
            baselines.package_directories,
        )
        free = [self._looks.tend(files) for files in kinds]
        return all(free)

    def doubt(self, path: str) -> None:
        """Have a file looked at, as something else is known of it now. Called by any thread."""
        self._looks.doubt(path)

    # --- looks ---------------------------------------------------------------------------------

    def look(self) -> list[str]:
        """Return the project's files that may have changed. Nothing is read.

        Also directories that could not be listed: see `are_unknown`.

        For what must not be missed: before a request, and while a save is waited for.
        """
        self._looks.listen()
        self._directories.unlisted.clear()
        self.searches.unlisted.clear()
        for directory in self._looks.look_on(self._directories.directories):
            self._directories.scan_again(directory)
        for directory in self._looks.look_on(self.searches.directories):
            self.searches.scan_again(directory)
        suspects = self._looks.look_on(self._baselines.project) + self.searches.differing()
        return suspects + list(self._directories.unlisted | self.searches.unlisted)

    def look_at_all(self, now: float) -> list[str]:
        """Look at the project and, when it is time for that, at the packages too.

        now: seconds, by a clock that only goes forward.
        """
        began = self._clock.thread_time()
        suspects = self.look()
        self.cost = self._clock.thread_time() - began
        is_polling = self._looks is self._polling
        if now >= self._packages_due or not is_polling:
            before = self._clock.thread_time()
            suspects += self._looks.look(self._baselines.packages)
            suspects += self._moved_package_directories()
            self._packages_due = now + Pace.PACKAGES.pause(self._clock.thread_time() - before)
        if now >= self._sweep_due and not is_polling:
            before = self._clock.thread_time()
            suspects += self._polling.look(self._baselines.project)
            self._sweep_due = now + Pace.SWEEP.pause(self._clock.thread_time() - before)
        self.whole_cost = self._clock.thread_time() - began
        return suspects

    def moved_packages(self) -> list[str]:
        """Return the directories in which packages have come or gone. A look for once."""
        return self._polling.look(self._baselines.package_directories)

    def installed(self) -> list[str]:
        """Return the files of modules that the app has done without, and that are there by now."""
        specs = map(_spec, self._absent)
        return [spec.origin for spec in specs if spec is not None and spec.origin]

    def note_absent(self) -> None:
        """After a load: note which modules the app has looked for that are not installed."""
        names = self.searches.found_nowhere()
        self._absent = [name for name in names if _spec(name) is None]

    def _moved_package_directories(self) -> list[str]:
        """Return the same, but each change once."""
        directories = self._baselines.package_directories
        moved = self._looks.look(directories)
        for directory in moved:
            directories[directory] = FileState(signature_at(directory))
        return moved

    # --- comparisons ---------------------------------------------------------------------------

    def compare_now(self, suspects: list[str]) -> list[str]:
        """Do what `compare` does, here and at once."""
        states = self._read_states(suspects)
        return [path for path, state in states.items() if self._differs(path, state)]

    async def compare(self, suspects: list[str]) -> list[str]:
        """Return those whose bytes differ from what was loaded; the others are known from now on.

        Of the directories of packages, all: they have no bytes.
        """
        if len(suspects) <= READ_AT_ONCE and all(map(_is_quick, suspects)):
            states = self._read_states(suspects)
        else:
            states = await hop(self._read_states, suspects)
        return [path for path, state in states.items() if self._differs(path, state)]

    def _read_states(self, paths: list[str]) -> dict[str, FileState]:
        # One hop to a thread for all of them: one for each file costs more than the reading.
        return {path: read_state(path, self._clock.time_ns) for path in paths}

    def _differs(self, path: str, state: FileState) -> bool:
        if self.is_package_directory(path):
            return True
        if self._is_unlisted(path):
            self._found[path] = state
            return True
        if not (self.searches.differs(path) or self._baselines.differs(path, state)):
            return False
        self._found[path] = state
        return True

    def are_unknown(self, paths: Iterable[str]) -> bool:
        """Tell whether nothing is known of any of those that `compare` has returned.

        The process was out of descriptors or memory, so their bytes could not be read.
        """
        return all(
            self._is_unlisted(path) or (path in self._found and self._found[path].is_unread)
            for path in paths
        )

    def _is_unlisted(self, path: str) -> bool:
        return path in self._directories.unlisted or path in self.searches.unlisted

    def found(self, paths: Iterable[str]) -> dict[str, list[Any]]:
        """Return how files were when they were found to have changed, as JSON."""
        return {path: self._found.get(path, FileState(None)).to_json() for path in paths}

    def states(self, paths: Iterable[str]) -> dict[str, FileState]:
        """Return the states in which changed files were found just now."""
        return {path: self._found[path] for path in paths}

    def accept(self, states: Mapping[str, FileState]) -> None:
        """Take changed files as known in these states. They may have been saved again since."""
        for path, state in states.items():
            self._baselines.accept(path, state)

    # --- what a path is ------------------------------------------------------------------------

    def is_package(self, path: str) -> bool:
        """Tell whether a file is an installed package's, or a directory of packages."""
        return path in self._baselines.packages or self.is_package_directory(path)

    def is_package_directory(self, path: str) -> bool:
        """Tell whether packages are installed in a directory."""
        return path in self._baselines.package_directories

    def may_need_no_reload(self, path: str) -> bool:
        """Tell whether the app may see to a file's changes: not if a pattern wants a reload."""
        is_file = not self.is_package_directory(path)
        return is_file and not self._baselines.patterns.reloads(path)

    def is_ignored(self, path: str) -> bool:
        """Tell whether a pattern says that nothing is to be made of a file's changes."""
        return self._baselines.patterns.ignores(path)

    def is_watched_for_refresh(self, path: str) -> bool:
        """Tell whether a pattern says that a file needs no reload when it changes."""
        return self._baselines.patterns.refreshes(path)

    def is_asked_for(self, path: str) -> bool:
        """Tell whether a pattern asks for a file."""
        return self._baselines.patterns.wants(path)


def _is_quick(path: str) -> bool:
    """Tell whether to read a file takes less than the hop to a thread and back."""
    try:
        size = os.path.getsize(path)
    except (OSError, ValueError):
        size = 0
    return size <= SMALL_FILE and is_local(os.path.dirname(path))


def _spec(name: str) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name)
    except Exception:  # noqa: BLE001  of a path hook of somebody's
        return None
