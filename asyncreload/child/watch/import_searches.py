"""What imports have looked for in the project's directories, and what they found there.

And what `pkgutil.iter_modules` has found: an app may import all modules of a package.

A start from nothing may find another file than a running process did: a `local_settings.py` that
was tried and not found has come, a package stands beside a module of its name now, or an extension
module beside a `.py`. So the names that were looked for count, beside the files that were read.

A directory's own signature changes when an entry comes, goes, or takes the place of another; so
only those that have changed are listed again.
"""

from __future__ import annotations

import os
import site
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from threading import RLock
from types import ModuleType
from typing import NamedTuple

from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.file_kinds import FileKind, kind_of, source_file, spec_of
from asyncreload.child.watch.file_state import UNLISTED, Now, is_lack, is_later, stat_state
from asyncreload.child.watch.polling import Files

_SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)
"""In the order in which Python tries them."""
_CUSTOMIZE = ("sitecustomize", "usercustomize") if site.ENABLE_USER_SITE else ("sitecustomize",)
"""The modules that Python itself tries to import when it starts."""


class Winner(NamedTuple):
    """What an import finds in one directory."""

    path: str
    """The module's file; for a package, its `__init__`. Empty if there is nothing."""
    is_portion: bool = False
    """Whether it is a directory without `__init__`, which any module of its name goes before."""


NOTHING = Winner("")


class _Search(NamedTuple):
    """A search in one directory for a module: its full name, and what was found."""

    name: str
    met: Winner


class _Entry(Enum):
    """What an entry of a directory is."""

    FILE = auto()
    DIRECTORY = auto()
    OTHER = auto()
    """Such as a link that leads nowhere."""


class ImportSearches:
    """Notes the searches of imports, and tells which of them would end in another way now.

    Whatever thread imports calls `note`; the side thread calls `scan_again` and `differing`. Notes
    are kept under a lock, which also makes the version counter of `directories` exact.

    doubt: told, in any thread, each directory that is to be looked at although it may be as it was.
    now: the clock, in ns since the epoch.
    modules: where modules are registered.
    """

    def __init__(
        self,
        baselines: Baselines,
        doubt: Callable[[str], object],
        now: Now = time.time_ns,
        modules: Mapping[str, ModuleType | None] = sys.modules,
    ) -> None:
        self._baselines = baselines
        self._doubt = doubt
        self._now = now
        self._modules = modules
        self._lock = RLock()
        self._searches: dict[str, dict[str, _Search]] = {}
        self._entries: dict[str, dict[str, _Entry]] = {}
        self._differing: dict[tuple[str, str], str] = {}
        self._ignored: dict[tuple[str, str], str] = {}
        self._listed: dict[str, dict[str, str]] = {}
        self._at_start: dict[str, str] = {}
        self._on_path: set[str] = set()
        self.directories: Files = Files()
        """The directories that were searched, and those in them that are or may become packages."""
        self.unlisted: set[str] = set()
        """Directories that could not be listed, for lack of descriptors."""

    def renew_lock(self) -> None:
        """In a fork, where whoever held the lock does not run any more: take another one."""
        self._lock = RLock()

    # --- what is noted -------------------------------------------------------------------------

    def begin(self, path: Iterable[str]) -> None:
        """Note what Python has imported when it started, and may have looked for in the project.

        path: where it has looked, as in `sys.path`.
        """
        for name, module in dict(self._modules).items():
            spec = spec_of(module)
            # Nothing goes before a module that is built in, or frozen.
            if "." not in name and getattr(spec, "has_location", False):
                is_package = spec.submodule_search_locations is not None
                home = os.path.dirname(source_file(module) or "")
                self._at_start[name] = os.path.dirname(home) if is_package else home
        for place in map(_plain, path):
            if os.path.isabs(place) and kind_of(place + os.sep) is FileKind.PROJECT:
                with self._lock:
                    self._add_directory(place, self._now(), tried=_CUSTOMIZE)

    def note(self, directory: str, name: str, met: Winner, began: int) -> None:
        """Note that an import has looked for a module in a directory of the project's.

        name: the full name of the module.
        began: when the search did, in ns since the epoch.
        """
        directory, tail = _plain(directory), name.rpartition(".")[2]
        known = self._searches.get(directory, {}).get(tail)
        if known is not None and known.met == met:
            return
        with self._lock:
            is_top = "." not in name
            if directory not in (self._on_path if is_top else self._searches):
                self._add_directory(directory, began, on_path=is_top)
            if known is not None and not self._baselines.has_led_to_load(met.path):
                return  # whoever looked first has met something else, which counts
            self._searches[directory][tail] = _Search(name, met)
            package = os.path.join(directory, tail)
            # Beside a module, a directory of its name may become a package, and go before it. And
            # a link that leads nowhere may come to lead to one.
            may_become = os.path.isdir if met.path else os.path.islink
            if met.is_portion or may_become(package):
                self._watch(package, began)
            if known is not None or not met.path:
                # Python's own list of the directory can be outdated by a tick of the clock.
                self._entries.pop(directory, None)
                self.directories[directory] = self.directories[directory]._replace(racy=True)
                self._doubt(directory)

    def note_listing(self, directory: str, began: int) -> None:
        """Note that the modules in a directory of the project's are about to be listed."""
        directory = _plain(directory)
        with self._lock:
            if directory not in self._searches:
                self._add_directory(directory, began, on_path=False)
            self._listed.setdefault(directory, self._importable(directory, _entries(directory)))

    def _importable(self, directory: str, entries: Mapping[str, _Entry]) -> dict[str, str]:
        """Return the modules and packages in a directory, each with its file."""
        tails = {name.partition(".")[0] for name in entries} - {"__init__"}
        found = {tail: self._winner(directory, tail, entries) for tail in tails}
        return {tail: one.path for tail, one in found.items() if one.path and not one.is_portion}

    def _add_directory(
        self, directory: str, began: int, *, on_path: bool = True, tried: Iterable[str] = ()
    ) -> None:
        """Watch a directory; if it is on the path, what was imported before counts there, too."""
        self._watch(directory, began)
        searches = self._searches.setdefault(directory, {})
        if on_path:
            self._on_path.add(directory)
            entries = _entries(directory)
            for name in (*self._could_be_hidden(directory), *tried):
                found = self._winner(directory, name, entries)
                searches.setdefault(name, _Search(name, found))

    def _could_be_hidden(self, directory: str) -> list[str]:
        """Return what Python had imported at its start and would find first in that directory."""
        path = [_plain(place) for place in sys.path]
        before = path[: path.index(directory)] if directory in path else path
        return [name for name, home in self._at_start.items() if home not in before]

    def _watch(self, directory: str, began: int) -> None:
        if directory not in self.directories:
            state = stat_state(directory, self._now)
            # What has come since the search began was perhaps not met.
            late = is_later(state, began, self._now())
            self.directories[directory] = state._replace(racy=state.racy or late)

    # --- what would be found now ---------------------------------------------------------------

    def scan_all(self) -> list[str]:
        """Compare all, and return what `differing` does: for a process that has stood by."""
        for directory in list(self._searches):
            self.scan_again(directory)
        return self.differing()

    def scan_again(self, directory: str) -> None:
        """Compare what imports would find there now with what they found."""
        with self._lock:
            # Before the listing: what comes later makes the next signature differ.
            self.directories[directory] = stat_state(directory, self._now)
            try:
                self._compare_again(directory)
            except OSError as exc:
                if not is_lack(exc):
                    raise
                self.directories[directory] = UNLISTED
                self.unlisted.add(directory)

    def _compare_again(self, directory: str) -> None:
        if directory in self._searches:
            self._compare_all(directory)
        above, tail = os.path.split(directory)
        if search := self._searches.get(above, {}).get(tail):
            self._compare(above, tail, search, _list(above))
        if above in self._listed:  # it may have become a package
            self._compare_listing(above, _list(above))

    def _compare_all(self, directory: str) -> None:
        last, entries = self._entries.get(directory), _list(directory)
        self._entries[directory] = entries
        searches = self._searches[directory]
        if last is not None:
            moved = {name for name, _ in last.items() ^ entries.items()}
            tails = [*searches.keys() & {name.partition(".")[0] for name in moved}]
        else:
            stems = {name.partition(".")[0] for name in entries}
            tails = [tail for tail in searches if tail in stems or searches[tail].met.path]
        for tail in tails:
            self._compare(directory, tail, searches[tail], entries)
        if directory in self._listed:
            self._compare_listing(directory, entries)

    def _compare_listing(self, directory: str, entries: Mapping[str, _Entry]) -> None:
        listed = self._listed[directory]
        moved = listed.items() ^ self._importable(directory, entries).items()
        paths = sorted(path for _, path in moved if not self._baselines.patterns.ignores(path))
        self._differing.pop((directory, ""), None)
        if paths:
            self._differing[directory, ""] = paths[0]

    def _compare(
        self, directory: str, tail: str, search: _Search, entries: Mapping[str, _Entry]
    ) -> None:
        met = self._effective(search.name, search.met)
        wins = self._effective(search.name, self._winner(directory, tail, entries))
        path = wins.path or met.path
        self._differing.pop((directory, tail), None)
        self._ignored.pop((directory, tail), None)
        if wins != met:
            is_ignored = self._baselines.patterns.ignores(path)
            found = self._ignored if is_ignored else self._differing
            found[directory, tail] = path

    def _effective(self, name: str, winner: Winner) -> Winner:
        """Return what an import makes of a find: a module that is elsewhere beats a portion."""
        if winner.is_portion and source_file(self._modules.get(name)) is not None:
            return NOTHING
        return winner

    def _winner(self, directory: str, tail: str, entries: Mapping[str, _Entry]) -> Winner:
        """Return what Python would find, looking in the same order."""
        package = os.path.join(directory, tail)
        is_directory = entries.get(tail) is _Entry.DIRECTORY
        if is_directory or entries.get(tail) is _Entry.OTHER:
            self._watch(package, self._now())  # before it is looked into
        if is_directory:
            for suffix in _SUFFIXES:
                init = os.path.join(package, f"__init__{suffix}")
                if os.path.isfile(init):
                    return Winner(init)
        for suffix in _SUFFIXES:
            kind = entries.get(tail + suffix)
            if kind is _Entry.FILE:
                return Winner(package + suffix)
            if kind is _Entry.OTHER:  # that it leads somewhere changes no directory
                self._baselines.take_as_absent(package + suffix)
        return Winner(package, is_portion=True) if is_directory else NOTHING

    def differing(self) -> list[str]:
        """Return what would be found now and was not, or was found and is gone."""
        return list(self._differing.values())

    def found_nowhere(self) -> list[str]:
        """Return the names of modules that imports have looked for in the project in vain.

        And that are not imported. They may be installed all the same.
        """
        with self._lock:
            names = {
                search.name
                for directory in self._on_path
                for search in self._searches.get(directory, {}).values()
                if search.met == NOTHING and "." not in search.name
            }
        return sorted(names - self._modules.keys())

    def ignored(self) -> list[str]:
        """Return the same of what patterns ignore: another load would find it, but none is due."""
        return list(self._ignored.values())

    def differs(self, path: str) -> bool:
        """Tell whether a path is one of those of `differing`."""
        return path in self._differing.values()


def _plain(directory: str) -> str:
    return directory.rstrip(os.sep) or os.sep


def _entries(directory: str) -> dict[str, _Entry]:
    """Return what is in a directory; nothing if it cannot be listed, for whatever reason."""
    try:
        return _list(directory)
    except OSError:
        return {}


def _list(directory: str) -> dict[str, _Entry]:
    """Do the same, but raise OSError when there is no descriptor for it."""
    try:
        with os.scandir(directory) as entries:
            return {entry.name: _kind(entry) for entry in entries}
    except (OSError, ValueError) as exc:
        if is_lack(exc):
            raise
        return {}


def _kind(entry: os.DirEntry[str]) -> _Entry:
    try:
        if entry.is_dir():
            return _Entry.DIRECTORY
        return _Entry.FILE if entry.is_file() else _Entry.OTHER
    except OSError:
        return _Entry.OTHER
