"""Imports ahead, in a standby, what the last child imported from outside the project.

An app that is loaded after a replay must behave as after a cold start. So a package is imported
ahead only under the conditions under which the project imported it:

- The order is that of the last load. Path, arguments and `__main__` are those of the app. Before a
  module is imported, `os.environ` is made what it was then, and so is what else the project had set
  up (logging, warnings, the import path: reproduction.py). All is put back afterwards.
- What cannot be made what it was (import hooks, modules put in the place of others, data in other
  packages) is compared before each import; from the first mismatch on, nothing is imported.
- No project code is loaded: its sources are refused. A package that asks for it, that fails in
  another way, or that changes what the project had set up, is left out of the next standby, and so
  is what needs it; this standby is thrown away.
- When the project has other import statements now, or does something else before the last one that
  loads a package (import_prefix.py), or when the conditions after the load differ from those of the
  recording, the child is replaced by a cold one.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from asyncreload.child.imports.search_path import put_first
from asyncreload.child.preload.conditions import LOGGERS
from asyncreload.child.preload.package_data import PackageData, make_lazy
from asyncreload.child.preload.patches import Patches
from asyncreload.child.preload.recorder import ALIASES, PATCHES, Aliases, difference, merged
from asyncreload.child.preload.refusal import RefusingObserver
from asyncreload.child.preload.reproduction import Reproduction
from asyncreload.cpython import spare_loggers
from asyncreload.protocol import Data, Preload, Preloaded


def replay(
    preload: Preload,
    boot: frozenset[str],
    observer: RefusingObserver,
    tell: Callable[[str], None] = lambda _: None,
) -> Preloaded:
    """Import what was recorded, in silence; return what came of it.

    boot: the modules that we need ourselves.
    observer: observes the imports.
    tell: is told each module before it is imported: the process may die of it.
    """
    sys.argv = list(preload.argv)
    put_first(preload.root)
    observer.leave_out(preload.left_out)
    loggers = {*logging.root.manager.loggerDict}
    with _silence(), _environment() as packages_own:
        preloaded = _Replay(preload, boot, observer, tell, packages_own).run()
    _spare_new_loggers(preload, loggers)
    return preloaded


class _Replay:
    """The imports, one after the other. The parameters are those of `replay`.

    packages_own: is given the changes to the environment that packages have made.
    """

    def __init__(
        self,
        preload: Preload,
        boot: frozenset[str],
        observer: RefusingObserver,
        tell: Callable[[str], None],
        packages_own: dict[str, str | None],
    ) -> None:
        self._preload = preload
        self._aliases = Aliases(boot)
        self._patches = Patches()
        self._package_data = PackageData()
        self._observer = observer
        self._tell = tell
        self._packages_own = packages_own
        self._reproduction = Reproduction()
        self._last = ""
        """Which module the project has imported under the present conditions."""
        self._failed: list[str] = []
        self._mismatches: Data = {}

    def run(self) -> Preloaded:
        """Import all, up to what would find something else than it had found."""
        stopped = reason = ""
        for name in self._preload.modules:
            _set_variables(self._preload.changes.get(name, {}))
            if name in sys.modules:
                continue
            if name in self._preload.settings and (reason := self._enter(name)):
                stopped = name
                break
            self._import(name)
        self._leave()
        failed = tuple(dict.fromkeys(self._failed))
        return Preloaded(failed, stopped, reason, self._mismatches)

    def _enter(self, name: str) -> str:
        """Make the conditions those of a module; return what cannot be what it was, if anything."""
        self._leave()
        self._last = name
        preload = self._preload
        wanted = dict(preload.conditions[preload.settings[name]])
        met = {alias for alias in wanted.pop(ALIASES) if _is_nobodys(alias)}
        if lacking := met - self._aliases.find():
            return f"the module {min(lacking)} in sys.modules"
        patched: set[str] = {*wanted.pop(PATCHES)}
        if patched and (lacking := patched - self._patches.find()):
            return min(lacking)
        return self._differing_data(name) or self._reproduction.enter(wanted)

    def _leave(self) -> None:
        if self._reproduction.leave():
            self._failed.append(self._last)

    def _import(self, name: str) -> None:
        self._tell(name)
        environ, failed = dict(os.environ), len(self._failed)
        handlers = [*logging.root.handlers]
        self._observer.begin()
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001  some call sys.exit; all are told to the parent
            self._failed.append(name)
        # Some cope with what they do not get, and are not the same after that.
        lacking = self._observer.failed() & {*self._preload.modules}
        if lacking or self._observer.has_refused:
            self._failed += [name, *sorted(lacking)]
        if handlers != logging.root.handlers and "logging.config" in self._preload.modules:
            # The project's configuration may come before this in the load, and take away after it
            # what is added here: so this is imported when it is its turn.
            self._failed.append(name)
            logging.root.handlers[:] = handlers
        self._observer.leave_out(self._failed[failed:])
        self._packages_own.update(difference(environ, os.environ))

    def _differing_data(self, name: str) -> str:
        """Return what the project has set up in a package before it imports a module, if anything.

        Data that differ for the first time are added to the mismatches, and do not count yet. The
        next standby finds the same if the project had changed them, and something else if they are
        others in each process, as times and keys are.
        """
        names = [*self._preload.data]
        before = names[: names.index(name)]
        known = {
            key: value
            for key, value in merged(self._preload.data, name).items()
            if key.partition(":")[0] in sys.modules
        }
        found = self._package_data.find(before)
        if [key for key in known if known[key] and key not in found and make_lazy(key)]:
            found = self._package_data.find(before)
        for key, now in difference(known, found).items():
            if key not in self._preload.mismatches:
                self._mismatches[key] = now
            elif self._preload.mismatches[key] == now:
                return key.replace(":", ".")
        return ""


def _is_nobodys(alias: str) -> bool:
    """Tell whether no package that is yet to be imported, or left out, can have made an alias."""
    parent = alias.rpartition(".")[0]
    return not parent or parent in sys.modules


def _spare_new_loggers(preload: Preload, loggers: set[str]) -> None:
    """Have the project's configuration not disable loggers that it had not found in the load."""
    if "logging.config" in preload.modules:
        importlib.import_module("logging.config")
    states = preload.final.get(LOGGERS, {})
    new = {*logging.root.manager.loggerDict} - loggers
    spare_loggers({name for name in new if name not in states or not states[name][1]})


@contextmanager
def _environment() -> Iterator[dict[str, str | None]]:
    """Put the environment back at the end, but for the changes that are noted in what it gives."""
    before = dict(os.environ)
    kept: dict[str, str | None] = {}
    try:
        yield kept
    finally:
        _set_variables(difference(os.environ, before))
        _set_variables(kept)
        time.tzset()  # a package may have been imported in the app's time zone


def _set_variables(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _silence() -> Iterator[None]:
    """Send what is printed nowhere, at the descriptors: the stream objects stay what they are."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    saved = [(fd, os.dup(fd)) for fd in (1, 2)]
    for fd, _ in saved:
        os.dup2(nowhere, fd)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        for fd, copy in saved:
            os.dup2(copy, fd)
            os.close(copy)
        os.close(nowhere)
