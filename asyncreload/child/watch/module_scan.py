"""Finds modules that no import hook has seen: an app may have loaders of its own."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from itertools import takewhile
from operator import is_, itemgetter
from types import ModuleType
from weakref import ref

from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.file_kinds import (
    FileKind,
    container,
    is_importing,
    kind_of,
    source_file,
    spec_of,
)
from asyncreload.child.watch.file_state import read_state

_Identity = tuple[int, str | None]
_OURS = __name__.partition(".")[0]


class ModuleScan:
    """Goes through the modules that have come since the last scan.

    `scan_ahead` is called by the main thread, before there is a load; `take_packages` by the helper
    thread, the rest by the side thread. The main thread and requests may import meanwhile.

    modules: where modules are registered; `sys.modules`, but for tests.
    """

    def __init__(
        self, baselines: Baselines, modules: Mapping[str, ModuleType | None] = sys.modules
    ) -> None:
        self._baselines = baselines
        self._modules = modules
        # What we need ourselves is not the app's.
        ours = list(dict(modules).items())
        self._seen = {name: _identity(module) for name, module in ours}
        self._last = self._newest()
        self._leading: list[Callable[[], object]] = [_reference(module) for _, module in ours]
        self._packages: deque[str] = deque()
        self.ran_at_start: tuple[str, ...] = self._project_files_at_start()
        """The project's files that Python has run before anything of ours.

        They were imported by `sitecustomize`, say, or by a line of a `.pth` file.
        """
        self._states_at_start = {path: read_state(path) for path in self.ran_at_start}

    def _project_files_at_start(self) -> tuple[str, ...]:
        before_us = takewhile(lambda name: name != _OURS, list(self._modules))
        paths = {_file_of(self._modules.get(name)) for name in before_us}
        found = {path for path in paths if path and kind_of(path) is FileKind.PROJECT}
        return tuple(sorted(map(container, found)))

    def take_start(self, process_began: Callable[[], int]) -> list[str]:
        """Take the baselines of those files.

        Return which of them have other bytes by now than when this scan was made: a process that
        has stood by meanwhile is of no use any more.
        process_began: returns when that was, in ns since the epoch.
        """
        for path in self.ran_at_start:
            self._baselines.take_at_start(path, process_began())
        states = self._states_at_start.items()
        return [path for path, state in states if read_state(path).digest != state.digest]

    def is_behind(self) -> bool:
        """Tell whether there is something to be taken in: `scan` or `take_packages` does that."""
        return bool(self._packages) or self._has_moved()

    def scan(self, *, is_loading: bool = False) -> None:
        """Take baselines of the project's files of new modules, where the import hooks took none.

        How such a file was when it was loaded is not known: one that changed after the load had
        begun counts as changed. Cheap when no module has come: called before each request.

        is_loading: whether the main thread imports meanwhile. Then modules whose import has not
            ended are left for later: their files may not have been read yet, and a baseline would
            say so. Later, too, an import may never end, as that of an app which runs itself.
        """
        self._scan(is_importing if is_loading else _never)

    def scan_ahead(self) -> None:
        """Do for packages that a standby has imported what `scan` would do after the load.

        To ask each of 150 modules for its file takes milliseconds. Files of the project are left to
        `scan`: it is not known yet when their load begins.
        """
        self._scan(_is_of_project)

    def _scan(self, is_left_for_later: Callable[[ModuleType | None], bool]) -> None:
        if not self._has_moved():
            return
        self._last = self._newest()  # before: what comes meanwhile is for the next scan
        seen, modules = self._begin_scan()
        for name, module in modules:
            identity = _identity(module)
            is_new = self._seen.get(name) != identity
            if is_new and is_left_for_later(module):
                continue
            seen[name] = identity
            if len(self._leading) == len(seen) - 1:
                self._leading.append(_reference(module))
            if is_new:
                self._take(module)
        self._seen = seen

    def _begin_scan(self) -> tuple[dict[str, _Identity], list[tuple[str, ModuleType | None]]]:
        """Return what is known of the modules that need no look, and the others.

        As a rule all that were there at the last scan still are, in the same order, and new ones
        follow them: to ask each for its file would take milliseconds.
        """
        modules = list(dict(self._modules).items())
        known = [reference() for reference in self._leading]
        if len(known) == len(self._seen) and len(known) <= len(modules):
            leading = map(itemgetter(1), modules)
            if all(map(is_, known, leading)):
                return self._seen, modules[len(known) :]
        self._leading.clear()
        return {}, modules

    def take_packages(self) -> None:
        """Take baselines of the files of packages that the scans have found."""
        while self._packages:
            path = self._packages.popleft()
            if not self._baselines.is_watched(path):
                self._baselines.take_late(path, FileKind.PACKAGE)

    def _has_moved(self) -> bool:
        return len(self._modules) != len(self._seen) or self._newest() != self._last

    def _newest(self) -> tuple[str, _Identity] | None:
        """Return the module that was registered last."""
        try:
            name = next(reversed(self._modules), "")  # type: ignore[arg-type]  # a dict
        except RuntimeError:  # others are registered at this moment
            return None
        return name, _identity(self._modules.get(name))

    def _take(self, module: ModuleType | None) -> None:
        path = _file_of(module)
        if path is None or self._baselines.is_watched(path):
            return
        kind = kind_of(path)
        if kind is FileKind.IGNORED:
            return
        path = container(path)
        if self._baselines.is_watched(path) or self._baselines.patterns.ignores(path):
            return
        if kind is FileKind.PACKAGE:
            self._packages.append(path)
        else:
            self._baselines.take_late(path, kind)


def _never(_module: ModuleType | None) -> bool:
    return False


def _is_of_project(module: ModuleType | None) -> bool:
    path = _file_of(module)
    return path is not None and kind_of(path) is FileKind.PROJECT


def _reference(module: object) -> Callable[[], object]:
    """Return what gives a module as long as it is there: another may get its number after it."""
    try:
        return ref(module)
    except TypeError:  # whatever was registered in the place of a module
        return lambda: module


def _identity(module: object) -> _Identity:
    """Return what tells modules apart: one that is gone may leave its number to the next."""
    return id(module), source_file(module)


def _file_of(module: object) -> str | None:
    """Return the file of a module, also of one whose loader has told it to the spec alone."""
    if path := source_file(module):
        return path
    origin = getattr(spec_of(module), "origin", None)
    is_file = isinstance(origin, str) and os.path.isabs(origin) and os.path.isfile(origin)
    return origin if is_file else None
