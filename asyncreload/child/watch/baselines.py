"""How each file was when it was loaded: the baseline with which later states are compared.

Freshness rests on three rules:

1. A baseline is taken just *before* the loader reads the file. A save during the import makes the
   file differ from its baseline, so no save is lost.
2. A file is the same as long as its signature is. When that differs, a digest of the bytes
   decides, so a `touch` is no change.
3. A signature that proves nothing (file_state.py) is not trusted: the digest decides.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from threading import RLock
from typing import Any

from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.child.watch.file_state import (
    ABSENT,
    MIXED,
    FileState,
    Now,
    digest,
    digest_of,
    is_later,
    read_state,
    signature_at,
    stat_state,
)
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.polling import Files

Changed = Mapping[str, Sequence[Any]]
"""Files whose change has led to a load, and how they were found then, as JSON."""

LEARNED_AT_A_TIME = 50
"""How many digests are read at a time: about two milliseconds' work."""


class Baselines:
    """The states in which the app's files were loaded.

    The main thread takes baselines while it imports; the side thread and its helper compare them
    and add digests. What reads and then writes an entry does so under one lock, which also makes
    the version counters of `Files` exact. Readers take no lock: an entry is replaced as a whole.
    The lock is reentrant, as a signal handler or a finalizer of the app's may import something at
    any instant, also while its own thread holds the lock.

    on_growth: called, in any thread, with each file of which a baseline was taken.
    now: the clock, in ns since the epoch.
    """

    def __init__(
        self,
        on_growth: Callable[[str], object] = lambda _path: None,
        now: Now = time.time_ns,
        search_path: Iterable[str] | None = None,
    ) -> None:
        self._on_growth = on_growth
        self._now = now
        self._lock = RLock()
        self._read_before: dict[str, FileState] = {}
        self._unlearned: deque[str] = deque()
        self._has_news = False
        self._wanted: set[str] = set()
        self._load_began: int | None = None
        self._changed: Changed = {}
        self._late_before: frozenset[str] = frozenset()
        self._late: set[str] = set()
        self.patterns: Patterns = Patterns()
        """What is watched beside the modules, and what is not watched at all."""
        self.project: Files = Files()
        """The project's files: looked at before every request."""
        self.packages: Files = Files()
        """Files of installed packages: looked at seldom."""
        places = sys.path if search_path is None else search_path
        self.package_directories: Files = Files(
            {
                place: FileState(signature_at(place))
                for place in places
                if kind_of(place + os.sep) is FileKind.PACKAGE
            }
        )
        """Directories in which packages are installed; they change when one comes or goes."""

    def begin_load(self, since: int, changed: Changed, late: Iterable[str] = ()) -> None:
        """Note when the load begins, in ns since the epoch, and which changes have led to it.

        late: those of them that were written after the load before had begun.
        """
        self._load_began, self._changed, self._late_before = since, changed, frozenset(late)

    def renew_lock(self) -> None:
        """In a fork, where whoever held the lock does not run any more: take another one."""
        self._lock = RLock()

    # --- baselines that are taken --------------------------------------------------------------

    def take(
        self, path: str, kind: FileKind = FileKind.PROJECT, *, reads: bool = False
    ) -> FileState:
        """Take the baseline of a file that is about to be read; it need not exist.

        reads: whether its bytes are read now; else that is left to `learn`.
        """
        files = self._files_of(kind)
        self._wanted.discard(path)
        state = self.state_of(path)
        # A save in the same instant as a racy state differs by its bytes alone.
        if state.racy or (reads and state.digest is None):
            state = read_state(path, self._now)
        if self.patterns.ignores(path):
            return state
        # A racy state whose bytes could not be read would not differ from the next one.
        is_known = not (state.racy and state.is_unread)
        baseline = self._put(files, path, state if is_known else MIXED)
        if baseline.digest is None:
            # Those of the project are learned first.
            if kind is FileKind.PROJECT:
                self._unlearned.appendleft(path)
            else:
                self._unlearned.append(path)
        self._on_growth(path)
        return state

    def take_wanted(self, path: str, *, reads: bool) -> None:
        """Take the baseline of a file that a pattern asks for, and that nobody has loaded yet."""
        self.take(path, reads=reads)
        self._wanted.add(path)

    def forget_wanted(self) -> None:
        """Forget how files were that patterns ask for, and that nobody has loaded."""
        forgotten = self._wanted & self.project.keys()
        self.forget(forgotten)
        self._wanted -= forgotten

    def forget(self, paths: AbstractSet[str]) -> None:
        """Forget how files of the project were: nobody has loaded them."""
        with self._lock:
            for path in paths:
                self.project.forget(path)
        self._unlearned = deque(path for path in self._unlearned if path not in paths)

    def loaded(self) -> list[str]:
        """Return the project's files that were loaded, or looked for; not what patterns ask for."""
        return [path for path in self.project if path not in self._wanted]

    def _put(self, files: Files, path: str, state: FileState) -> FileState:
        """Make a state the baseline of a file, as far as it can be; return what became of it."""
        while True:
            before = files.get(path)
            # Outside the lock, as a file may be read.
            baseline = state if before is None else self._merged(path, before, state)
            with self._lock:
                if files.get(path) is before:
                    files[path] = baseline
                    return baseline

    def take_as_absent(self, path: str) -> None:
        """Watch a file that a pattern asks for as one that was not there: now it differs."""
        with self._lock:
            if path not in self.project:
                self.project[path] = FileState(None, digest=ABSENT)
                self._wanted.add(path)

    def take_for_refresh(self, path: str, since: int, kind: FileKind = FileKind.PROJECT) -> None:
        """Watch a file that is not loaded, but may have been read; as changed if that is newer.

        since: when the load began, in ns since the epoch.
        """
        if path not in (files := self._files_of(kind)):
            self.take_unless_known(path, since, {}, files)
            self._wanted.add(path)

    def take_opened(self, path: str, since: int) -> None:
        """Watch a file that was opened at a moment (ns), or was to be; as changed if it is newer.

        If it is not there, it was not there then, unless something has gone from its directory.
        """
        if path in self.project:
            return
        may_be_gone = not os.path.lexists(path) and is_later(
            stat_state(os.path.dirname(path)), since, self._now()
        )
        self.take_for_refresh(path, since)
        if may_be_gone:
            self.accept(path, MIXED)

    def forget_absent(self) -> None:
        """Forget files that are asked for, were not there, and are not there now."""
        known = self.project
        absent = {
            path
            for path in list(self._wanted)  # an import may take one out meanwhile
            if path in known and known[path].signature is None and not os.path.lexists(path)
        }
        self.forget(absent)
        self._wanted -= absent

    def wanted_since(self, moment: int) -> list[str]:
        """Return the files that patterns alone ask for, and that have changed since a moment.

        moment: in ns since the epoch.
        """
        now = self._now()
        states = {path: self._files_with(path).get(path) for path in list(self._wanted)}
        return [path for path, state in states.items() if state and is_later(state, moment, now)]

    def accept(self, path: str, state: FileState) -> None:
        """Take a file as known in a state from now on."""
        with self._lock:
            self._files_with(path)[path] = state

    def take_unless_known(
        self, path: str, since: int, changed: Changed, files: Files | None = None
    ) -> None:
        """Take the baseline of a file that was not loaded, but whose change may mend the load.

        One that came or changed after `since` (ns) counts as changed already, unless `changed`, by
        which files have led to this load, tells that it was so then.

        files: the project's, if not given.
        """
        files = self.project if files is None else files
        if path in files:
            return
        state = self.state_of(path)
        late = is_later(state, since, self._now()) and self._is_news(path, changed)
        if late:
            self._late.add(path)
        with self._lock:
            files.setdefault(path, FileState(None, digest=ABSENT) if late else state)

    def take_late(self, path: str, kind: FileKind) -> None:
        """Take the baseline of a file that was loaded already, in a state that nobody knows.

        If it changed after the load had begun, it counts as changed.
        """
        state = self.take(path, kind)
        late = is_later(state, self._load_began, self._now())
        if kind is FileKind.PROJECT and late and self._is_news(path, self._changed):
            self._late.add(path)
            with self._lock:
                self.project[path] = FileState(None, digest=ABSENT)

    def take_at_start(self, path: str, since: int) -> None:
        """Take the baseline of a file that Python had loaded before this process could watch.

        since: when the process began, in ns since the epoch. If the file changed after that, it
        counts as changed, unless it is as it was when its change led to this load.
        """
        state = self.take(path, reads=True)
        if self.patterns.ignores(path):
            return
        told = self._changed.get(path)
        led_here = told is not None and FileState.from_json(told).digest == state.digest
        if is_later(state, since, self._now()) and not led_here:
            with self._lock:
                self.project[path] = FileState(None, digest=ABSENT)

    def was_read(self, path: str, data: bytes) -> None:
        """Note the very bytes that were loaded."""
        loaded = digest(data)
        with self._lock:
            files = self._files_with(path)
            if state := files.get(path):
                is_same = state.digest in {None, loaded}
                files[path] = state._replace(digest=loaded) if is_same else MIXED

    def has_led_to_load(self, path: str) -> bool:
        """Tell whether a file's change, which was found before, is the reason for this load."""
        return _has_led_to_load(path, self._changed)

    def _is_news(self, path: str, changed: Changed) -> bool:
        """Tell whether a file that was written since the load began is not what has led to it.

        An app that writes such a file whenever it is loaded must not be loaded for ever. So of one
        that was written in two loads in a row, the second time does not count.
        """
        if not _has_led_to_load(path, changed):
            return True
        told = FileState.from_json(changed[path]).digest
        if told is None or path in self._late_before:
            return False
        return read_state(path, self._now).digest != told

    def late(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Return those of which a baseline was taken after they were written in this load."""
        return tuple(path for path in paths if path in self._late)

    def is_loaded(self, path: str) -> bool:
        """Tell whether a file has a baseline for another reason than a pattern that asks for it."""
        return self.is_watched(path) and path not in self._wanted

    def is_in_use(self, path: str) -> bool:
        """Tell whether a file was loaded, and not once more with other bytes."""
        return self.is_loaded(path) and self._files_with(path)[path] != MIXED

    def is_watched(self, path: str) -> bool:
        """Tell whether there is a baseline of a file."""
        return path in self.project or path in self.packages

    # --- baselines of the process before -------------------------------------------------------

    def trust(self, files: Mapping[str, Sequence[Any]]) -> None:
        """Take the digests of files from the process before, while they are as that saw them.

        Else their bytes are not known until they have been read, and a `touch` is a change.
        """
        told = {path: FileState.from_json(fields) for path, fields in files.items()}
        self._read_before = {
            path: state
            for path, state in told.items()
            # Later bytes may have the signature of a racy state, too.
            if state.signature and state.digest and not state.racy
        }
        with self._lock:  # what was loaded already, in a process that goes on from a checkpoint
            for path, state in self._read_before.items():
                known = self.project.get(path)
                is_unlearned = known is not None and known.digest is None and not known.racy
                if known is not None and is_unlearned and known.signature == state.signature:
                    self.project[path] = state

    def adopt(self, files: Mapping[str, Sequence[Any]]) -> None:
        """Watch files that a process before has loaded, from the state on that it saw.

        Else a save between its death and now would not be one.
        """
        with self._lock:
            for path, fields in files.items():
                self.project[path] = FileState.from_json(fields)
                self._unlearned.append(path)

    def state_of(self, path: str) -> FileState:
        """Return what a stat tells of a file, and the digest if its bytes are known."""
        state, before = stat_state(path, self._now), self._read_before.get(path)
        return before if before is not None and before.signature == state.signature else state

    # --- digests -------------------------------------------------------------------------------

    def learn(self) -> None:
        """Read some of the digests that the load did not give, while the signatures vouch."""
        for _ in range(min(len(self._unlearned), LEARNED_AT_A_TIME)):
            path = self._unlearned.popleft()
            files = self._files_with(path)
            state = files[path]
            if state.digest is not None or state.racy:
                continue
            learned = digest_of(path, state.signature, self._now)
            if learned is None and state.is_unread and signature_at(path) == state.signature:
                self._unlearned.append(path)  # there was no descriptor; later there may be one
                return
            with self._lock:
                # Whoever loads the file meanwhile knows better what was loaded.
                if learned and files.get(path) is state:
                    files[path] = state._replace(digest=learned)
                    self._has_news = True

    def is_learning(self) -> bool:
        """Tell whether there are digests to be read."""
        return bool(self._unlearned)

    def has_learned(self) -> bool:
        """Tell once that more digests are known than before, and none is left to be read."""
        news = self._has_news and not self._unlearned
        self._has_news = self._has_news and not news
        return news

    # --- comparing -----------------------------------------------------------------------------

    def differs(self, path: str, state: FileState) -> bool:
        """Tell whether a file in this state has other bytes than were loaded.

        One that has not is known in this state from now on.
        """
        with self._lock:
            files = self._files_with(path)
            before = files.get(path)
            if before is None:
                return state.digest != ABSENT
            if before.digest is None:  # not read yet: the signature alone can tell
                differs = before.signature != state.signature
            else:
                differs = before.digest != state.digest
            if not differs:
                # Bytes that were read after the state was taken are not those of that state.
                files[path] = state if before.digest else state._replace(digest=None)
            return differs

    def to_json(self) -> dict[str, list[Any]]:
        """Return the project's files, as they were when they were loaded."""
        return {path: state.to_json() for path, state in list(self.project.items())}

    def __len__(self) -> int:
        """Return how many files are watched, packages included."""
        return len(self.project) + len(self.packages)

    def _files_of(self, kind: FileKind) -> Files:
        return self.project if kind is FileKind.PROJECT else self.packages

    def _files_with(self, path: str) -> Files:
        return self.packages if path in self.packages else self.project

    def _merged(self, path: str, before: FileState, state: FileState) -> FileState:
        """Return the baseline of a file that is taken once more: what was loaded before counts."""
        unchanged = state.signature == before.signature and not (state.racy or before.racy)
        if unchanged and before.digest:
            return before
        if unchanged:
            learned = digest_of(path, before.signature, self._now)
            return before._replace(digest=learned) if learned else MIXED
        now = state if state.digest else read_state(path, self._now)
        # What it is now need not be what was found just before.
        is_same = now.signature == state.signature and now.digest == before.digest
        return now if is_same else MIXED


def _has_led_to_load(path: str, changed: Changed) -> bool:
    # A file whose absence has led to the load, and that is there now, is news.
    return path in changed and FileState.from_json(changed[path]).digest != ABSENT
