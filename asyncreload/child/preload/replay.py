"""Imports ahead, in a standby, what the last child imported from outside the project.

An app that is loaded after a replay must behave as after a cold start. So only that is imported
ahead which was imported under the same conditions, and where that cannot be known, nothing is:

- The order is that of the last load. Before a module is imported, `os.environ` is made what it was
  when the last child imported it; it is put back afterwards. Path, arguments and `__main__` are
  those of the app.
- What else a project may have set up before it imports a package (warnings, logging, finders, the
  current directory, data in other packages) is compared before each import; from the first
  mismatch on, nothing is imported.
- No project code is loaded: its sources are refused (session.py). A package that asks for it, or
  fails in another way, is left out of the next standby; this one is thrown away.
- When the project does something else now before its last import, or when the conditions after the
  load differ from those of the recording, the child is replaced by a cold one.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from asyncreload.child.imports.search_path import hidden_modules, module_names, put_first
from asyncreload.child.preload.fingerprint import data_of, fingerprint
from asyncreload.child.preload.recorder import aliases, difference, merged
from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.protocol import Data, Preload, Preloaded


def replay(preload: Preload, boot: frozenset[str], refused: Callable[[], int]) -> Preloaded:
    """Import what was recorded, in silence; return what came of it.

    boot: the modules that we need ourselves.
    refused: returns how often project code was asked for so far. Some packages cope when they do
        not get it, and are not the same after that.
    """
    sys.argv = list(preload.argv)
    put_first(preload.root)
    failed: list[str] = []
    mismatches: Data = {}
    stopped = ""
    with _silence(), _environment() as packages_own:
        for name in preload.modules:
            _set_variables(preload.changes.get(name, {}))
            if name in sys.modules:
                continue
            if name in preload.settings and not _is_as_it_was(name, preload, mismatches):
                stopped = name
                break
            before, environ = refused(), dict(os.environ)
            if not _is_imported(name) or refused() > before:
                failed.append(name)
            packages_own.update(difference(environ, os.environ))
    return Preloaded(tuple(failed), _fits(preload, stopped, boot), stopped, mismatches)


def _is_as_it_was(name: str, preload: Preload, mismatches: Data) -> bool:
    """Tell whether a package that the project imports would find what it found then.

    Data that differ for the first time are added to `mismatches`, and do not count yet. The next
    standby finds the same if the project had changed them, and something else if they are others
    in each process, as times and keys are.
    """
    if fingerprint(name) != preload.settings[name]:
        return False
    names = [*preload.data]
    before = names[: names.index(name)]
    known = {
        key: value
        for key, value in merged(preload.data, name).items()
        if key.partition(":")[0] in sys.modules
    }
    for key, now in difference(known, data_of(before)).items():
        if key not in preload.mismatches:
            mismatches[key] = now
        elif preload.mismatches[key] == now:
            return False
    return True


def _fits(preload: Preload, stopped: str, boot: frozenset[str]) -> bool:
    """Tell whether a replay has left in `sys.modules` what the recorded load did.

    Else the project has put it there, and packages that were imported after that have met it.
    """
    modules = preload.modules
    rest = modules[modules.index(stopped) :] if stopped else ()
    left_off = sum(name not in sys.modules for name in rest)
    met = {name for name, later in preload.final.get("aliases", {}).items() if later > left_off}
    return met <= {*aliases(boot)}


def _is_imported(name: str) -> bool:
    try:
        importlib.import_module(name)
    except BaseException:  # noqa: BLE001  some call sys.exit; all are told to the parent
        return False
    return True


def is_shadowed(preload: Preload) -> bool:
    """Tell whether a file of the project now has the name of a module that was met in a replay."""
    replayed = {name.partition(".")[0] for name in preload.modules}
    for place in sys.path:
        if kind_of(os.path.join(place, "")) is FileKind.PROJECT:
            sys.path_importer_cache.pop(place, None)  # filled by the replay, and maybe outdated
            if module_names(place, replayed):
                return True
    return bool(hidden_modules())


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
