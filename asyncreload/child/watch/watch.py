"""What the files were when they were loaded, and which of them are different now.

Freshness rests on three rules:

1. A file's baseline is taken just *before* its loader reads it. A save during the import makes
   it differ from the baseline, so no save is lost.
2. A file is the same as long as its signature is. When that differs, a digest of the bytes
   decides, so `touch` is no change.
3. A signature that proves nothing (signature.py) is not trusted: the digest decides.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import CodeType
from typing import TYPE_CHECKING, Any

from asyncreload.child.watch.directory_scanner import DirectoryScanner
from asyncreload.child.watch.file_kinds import FileKind, container, kind_of, source_file
from asyncreload.child.watch.file_state import (
    ABSENT,
    MIXED,
    FileState,
    digest,
    digest_of,
    is_later,
    read_state,
    remove_racy_cache,
    signature_at,
    stat_state,
)
from asyncreload.child.watch.filesystems import is_local
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.polling import Files, Looks, Polling
from asyncreload.child.worker_threads import hop

if TYPE_CHECKING:
    from asyncreload.child.watch.inotify import Events

_Events: type[Events] | None
try:  # at boot, which a standby has done long before it is needed
    _Events = import_module("asyncreload.child.watch.inotify").Events
except ImportError:
    _Events = None

Code = CodeType | bytes
"""The code of a module, or the `.pyc` that it is in."""
Blamed = Mapping[str, Sequence[Any]]
"""Files whose change has led to a load, and how they were found then, as it is told."""

FEW = 200
"""Files of the patterns that are read before a load: some milliseconds' work."""
LATELY = 86_400_000_000_000
"""Nanoseconds: a package that was edited so recently may have a cache that is outdated."""
COLD_BUDGET = 0.0005
"""The share of a core that looking at packages may cost."""
COLD_SOONEST, COLD_LATEST = 2.0, 5.0
"""Seconds between two looks at packages."""
SWEEP_BUDGET = 0.0001
"""The share of a core that looking at everything may cost, where else only events lead to it."""
SWEEP, RAREST_SWEEP = 30.0, 60.0
"""Seconds between two of these looks."""
LEARNED_AT_A_TIME = 50
"""How many digests are learned at a time: about two milliseconds' work."""
AT_ONCE = 3
"""Suspects that may be read without a hop to a thread: so many are saved by hand."""
SMALL = 65_536
"""Bytes: the reading of a larger file is left to a thread."""


def _ignore(*_: object) -> None:
    """Do nothing."""


class Watch:
    """The files that the app was loaded from. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._hot = Files()
        self._cold = Files()
        self._changed: dict[str, FileState] = {}
        self._read_before: dict[str, FileState] = {}
        self._patterns = Patterns()
        self._directories = DirectoryScanner(self._patterns, self._has_appeared)
        self._polling = Polling()
        self._looks: Looks = self._polling
        self.since: int | None = None
        """When the load began, in ns since the epoch; None before that."""
        self.blamed: Blamed = {}
        """The files whose change has led to this load, as they were found."""
        self.on_growth: Callable[[], object] = _ignore
        """Called when there is one more file to be watched."""
        self._seen = set(sys.modules)  # what we need ourselves is not the app's
        self._cold_due = self._sweep_due = 0.0
        self.before_package: Callable[[str], None] = _ignore
        """Told the name of each package's module that is about to be loaded."""
        self.after_compile: Callable[[str, Code, FileState], None] = _ignore
        """Told path, code and state of each of the project's modules that is about to be run."""
        self.refuses_project = False
        self.refused: int = 0
        """How often the project's code was refused."""
        self.cost: float = 0.0
        """Seconds of CPU that the last survey took."""
        self._news = False
        self._places = Files(
            {
                place: FileState(signature_at(place))
                for place in sys.path
                if kind_of(place + os.sep) is FileKind.PACKAGE
            }
        )
        self._unlearned: deque[str] = deque()

    # --- baselines ---------------------------------------------------------------------------

    def look_for(self, patterns: Patterns) -> None:
        """Watch what the patterns ask for as well, as it is now; and nothing that they ignore."""
        self._patterns = patterns
        self._directories = DirectoryScanner(patterns, self._note)
        self._directories.plant()
        self._directories.found = self._has_appeared

    def _note(self, path: str) -> None:
        if path not in self._hot:
            # If there are many, the others are read when there is time.
            self._take_in(path, FileKind.PROJECT, reads=len(self._hot) < FEW)

    def _has_appeared(self, path: str) -> None:
        """Watch a file as one that was not there: that it is now makes it differ."""
        self._hot.setdefault(path, FileState(None, digest=ABSENT))

    def before_open(self, path: str) -> bool:
        """Take the baseline of a file that is about to be read as code, but not imported.

        Tell whether it is the project's.
        """
        watched = kind_of(path) is FileKind.PROJECT and not self.refuses_project
        if watched:
            self._take_in(path, FileKind.PROJECT)
        return watched

    def before_read(
        self, path: str, name: str = "", *, drop_cache: bool = True
    ) -> FileState | None:
        """Take the baseline of a source that is about to be loaded; drop a racy cache of it.

        Return that of a project's source, without a signature if its cache is not to be used.
        drop_cache: whether the loader would use such a cache, if the source is a project's.
        Raises ImportError for one in a standby: it would be old before it is used.
        """
        kind = kind_of(path)
        if kind is FileKind.PROJECT:
            if self.refuses_project:
                self.refused += 1
                raise ImportError(f"{path} belongs to the project: a standby does not load it")
            known = self._take_in(path, kind)
            if drop_cache and known.signature and not remove_racy_cache(path, known.signature):
                return known._replace(signature=None)
            return known
        if kind is FileKind.PACKAGE:
            known = self._take_in(path, kind)
            if known.signature and time.time_ns() - known.signature[1] < LATELY:
                remove_racy_cache(path, known.signature)
            self.before_package(name)
        return None

    def _take_in(self, path: str, kind: FileKind, *, reads: bool = False) -> FileState:
        files = self._hot if kind is FileKind.PROJECT else self._cold
        known = self._by_status(path)
        # A save in the same instant as a racy state differs by its bytes alone.
        if known.racy or (reads and known.digest is None):
            known = read_state(path)
        if not self._patterns.ignores(path):
            before = files.get(path)
            files[path] = known if before is None else _both(path, before, known)
            self._looks.doubt(path)  # another thread may have taken it in just before
            if files[path].digest is None:
                if kind is FileKind.PROJECT:
                    self._unlearned.appendleft(path)  # those are learned first
                else:
                    self._unlearned.append(path)
            self.on_growth()
        return known

    def _by_status(self, path: str) -> FileState:
        """Return what a stat tells of a file, and the digest if it was read in that state."""
        known, before = stat_state(path), self._read_before.get(path)
        return before if before is not None and before.signature == known.signature else known

    def take(self, path: str) -> None:
        """Take the baseline of a plain file that is about to be read; it need not exist."""
        self._take_in(path, FileKind.PROJECT)

    def was_read(self, path: str, data: bytes) -> None:
        """Note the very bytes that were loaded."""
        files = self._hot if path in self._hot else self._cold
        if known := files.get(path):
            read = digest(data)
            files[path] = known._replace(digest=read) if known.digest in {None, read} else MIXED

    def trust(self, files: Mapping[str, Sequence[Any]]) -> None:
        """Take the digests of files from a predecessor, for as long as they are as it saw them.

        Else they are not known until they have been read again, and a `touch` is a change.
        """
        heard = {path: FileState.heard(told) for path, told in files.items()}
        self._read_before = {
            path: known
            for path, known in heard.items()
            # Later bytes may have the signature of a racy state, too.
            if known.signature and known.digest and not known.racy
        }

    def adopt(self, files: Mapping[str, Sequence[Any]]) -> None:
        """Watch files that a predecessor has loaded, from the state on that it saw.

        Else a save between its death and now would not be one.
        """
        for path, told in files.items():
            self._hot[path] = FileState.heard(told)
            self._unlearned.append(path)

    def has_learned(self) -> bool:
        """Tell once that more digests are known than before, and none is to be learned any more."""
        news = self._news and not self._unlearned
        self._news = self._news and not news
        return news

    def is_behind(self) -> bool:
        """Tell whether there is something for `catch_up`."""
        return bool(self._unlearned) or len(sys.modules) != len(self._seen)

    def catch_up(self) -> None:
        """Take in what came another way than through `before_read`; learn some digests."""
        self.rescan()
        self.learn()

    def learn(self) -> None:
        """Read the digests that the load did not give, while the signature still vouches."""
        for _ in range(min(len(self._unlearned), LEARNED_AT_A_TIME)):
            path = self._unlearned.popleft()
            files = self._hot if path in self._hot else self._cold
            known = files[path]
            if known.digest is not None or known.racy:
                continue
            learned = digest_of(path, known.signature)
            # Whoever loads the file meanwhile knows better what was loaded.
            if learned and files.get(path) is known:
                files[path] = known._replace(digest=learned)
                self._news = True

    def rescan(self) -> None:
        """Take in modules that came another way than through `before_read`.

        How their files were when they were loaded is not known: one that changed after the load
        had begun is a change, but for those that are blamed for this load.
        """
        names = set(sys.modules)
        for name in names - self._seen:
            path = source_file(sys.modules.get(name))
            if path is None or path in self._hot or path in self._cold:
                continue
            path = container(path)
            if (
                (kind := kind_of(path)) is FileKind.IGNORED
                or path in self._hot
                or path in self._cold
            ):
                continue
            if self._patterns.ignores(path):
                continue
            known = self._take_in(path, kind)
            late = is_later(known, self.since) and not _is_blamed(path, self.blamed)
            if kind is FileKind.PROJECT and late:
                self._hot[path] = FileState(None, digest=ABSENT)
        self._seen = names

    def widen(self, root: str, mending: Iterable[str], since: int, blamed: Blamed) -> None:
        """Watch every Python file under `root`, and `mending`: after a failed load any may mend it.

        One that came or changed after `since` (ns) and was not read by the load is a change; but
        not one of those that are `blamed` for this load: an app that writes such a file whenever
        it is loaded must not be loaded for ever. One that was blamed for its absence is.
        """

        def note(path: str) -> None:
            if path not in self._hot:
                known = self._by_status(path)
                late = is_later(known, since) and not _is_blamed(path, blamed)
                self._hot[path] = FileState(None, digest=ABSENT) if late else known

        for path in map(container, mending):
            note(path)
        python = Patterns.of(["*.py"], [], root).watch
        directory_scanner = DirectoryScanner(
            self._patterns.replaced(watch=(*self._patterns.watch, *python)), note
        )
        directory_scanner.plant()
        directory_scanner.found = self._has_appeared
        self._directories = directory_scanner

    # --- looks -------------------------------------------------------------------------------

    def use_events(self, root: str) -> Events | None:
        """Be told of changes by the kernel from now on, and return by whom; None if it cannot.

        Raises `LimitError` when the kernel does not for this user.
        """
        if _Events is None:
            return None
        events = _Events({root, *self._places, *self._patterns.roots})
        self._looks = events
        return events

    def use_polling(self) -> None:
        """Look at each file by itself again."""
        self._looks.close()
        self._looks = self._polling

    def look(self) -> list[str]:
        """Return the project files that may have changed. Nothing is read."""
        for directory in self._looks.look(self._directories.directories):
            self._directories.walk_on(directory)
        return self._looks.look(self._hot)

    def look_at_all(self, now: float) -> list[str]:
        """Look, and seldom at the packages too. Return the suspects."""
        began = time.thread_time()
        suspects = self.look()
        if now >= self._cold_due or self._looks is not self._polling:
            before = time.thread_time()
            suspects += self._looks.look(self._cold)
            suspects += self._moved_places()
            self._cold_due = now + _pause(before, COLD_BUDGET, COLD_SOONEST, COLD_LATEST)
        if now >= self._sweep_due and self._looks is not self._polling:
            before = time.thread_time()
            suspects += self._polling.look(self._hot)
            self._sweep_due = now + _pause(before, SWEEP_BUDGET, SWEEP, RAREST_SWEEP)
        self.cost = time.thread_time() - began
        return suspects

    def tend(self) -> bool:
        """Make looks cheaper; tell whether nothing has to be looked at before something is heard.

        Raises `LimitError` when the kernel watches no more; call `use_polling` then.
        """
        all_files = (self._hot, self._directories.directories, self._cold, self._places)
        free = [self._looks.tend(files) for files in all_files]
        return all(free)

    def _moved_places(self) -> list[str]:
        """Return the directories of packages in which something was installed or removed."""
        moved = self._looks.look(self._places)
        for place in moved:
            self._places[place] = FileState(signature_at(place))
        return moved

    async def confirm(self, suspects: list[str]) -> list[str]:
        """Return those whose bytes differ from what was loaded; take note of the others.

        Of the directories of packages, all: there are no bytes to tell.
        """
        if len(suspects) <= AT_ONCE and all(map(_is_quick, suspects)):
            states = _read_states(suspects)
        else:
            states = await hop(_read_states, suspects)
        return [path for path, now in states.items() if self._differs(path, now)]

    def _differs(self, path: str, now: FileState) -> bool:
        files = self._cold if path in self._cold else self._hot
        if path in self._places:
            return True
        before = files.get(path)
        if before is None:
            self._changed[path] = now
            return now.digest != ABSENT
        if before.digest is None:  # not learned yet: the signature alone can tell
            differs = before.signature != now.signature
        else:
            differs = before.digest != now.digest
        if differs:
            self._changed[path] = now
        else:  # bytes that were read after the state was taken are not those of that state
            files[path] = now if before.digest else now._replace(digest=None)
        return differs

    # --- what there is -----------------------------------------------------------------------

    def files(self) -> dict[str, list[Any]]:
        """Return the project files that are watched, as they were when they were loaded."""
        return {path: known.tell() for path, known in list(self._hot.items())}

    def changes(self, paths: Iterable[str]) -> dict[str, list[Any]]:
        """Return how files were when they were found to have changed."""
        return {path: self._changed.get(path, FileState(None)).tell() for path in paths}

    def is_package(self, path: str) -> bool:
        """Tell whether a file is an installed package's."""
        return path in self._cold or path in self._places

    def is_asked_for(self, path: str) -> bool:
        """Tell whether a pattern asks for a file."""
        return self._patterns.wants(path)

    def is_place(self, path: str) -> bool:
        """Tell whether this is a directory of packages."""
        return path in self._places

    def count(self) -> int:
        """Return how many files are watched, packages included."""
        return len(self._hot) + len(self._cold)


def _pause(began: float, budget: float, soonest: float, latest: float) -> float:
    """Return the seconds until work is repeated that began then, by the CPU's clock."""
    cost = time.thread_time() - began
    return min(max(cost / budget, soonest), latest)


def _is_quick(path: str) -> bool:
    """Tell whether to read a file takes less than the hop to a thread and back."""
    try:
        size = os.path.getsize(path)
    except (OSError, ValueError):
        size = 0
    return size <= SMALL and is_local(os.path.dirname(path))


def _both(path: str, before: FileState, known: FileState) -> FileState:
    """Return the baseline of a file that is taken in once more: what was loaded before counts."""
    unchanged = known.signature == before.signature and not (known.racy or before.racy)
    if unchanged and before.digest:
        return before
    if unchanged:
        learned = digest_of(path, before.signature)
        return before._replace(digest=learned) if learned else MIXED
    now = known if known.digest else read_state(path)
    # What it is now need not be what was found just before.
    is_same = now.signature == known.signature and now.digest == before.digest
    return now if is_same else MIXED


def _is_blamed(path: str, blamed: Blamed) -> bool:
    return path in blamed and FileState.heard(blamed[path]).digest != ABSENT


def _read_states(paths: list[str]) -> dict[str, FileState]:
    # One hop to a thread for all of them: one for each file costs more than the reading.
    return {path: read_state(path) for path in paths}
