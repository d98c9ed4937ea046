"""The replay: a standby imports what the last child imported from outside the project.

An app that is loaded after a replay must behave as after a cold start. So only that is replayed
which ran under the same conditions, and where that cannot be known, nothing is:

- The order is that of the last load. Before a module is imported, `os.environ` is made what it was
  when the last child imported it; it is put back afterwards. Path, arguments and `__main__` are
  those of the app.
- What else a project may have set up before it imports a package (warnings, logging, finders, the
  current directory, other packages) is compared before each import; from the first difference on,
  nothing is replayed.
- No project code is loaded: its sources are refused (see `Watch.before_read`). A package that asks
  for it, or fails in another way, is left out of the next standby; this one is thrown away.
- When the project does something else now before its last import, or when the conditions after the
  load differ from those of the recording, the child is replaced by a cold one.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.machinery import all_suffixes
from types import FrameType
from typing import Any, TypeVar

from asyncreload.child.preload.fingerprint import data_of, setting
from asyncreload.child.preload.import_prefix import import_prefix
from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of, source_file
from asyncreload.child.watch.file_state import FileState, Signature
from asyncreload.child.watch.watch import Code
from asyncreload.cpython import caller
from asyncreload.protocol import Data, Preload

T = TypeVar("T")


class Recorder:
    """Notes, in the child that loads, what a standby needs to know."""

    def __init__(self) -> None:
        self.boot: frozenset[str] = frozenset(sys.modules)
        self.path: tuple[str, ...] = tuple(sys.path)
        self.argv: list[str] = []
        self.preload: Preload | None = None
        """What was replayed in this process."""
        self.stopped = ""
        """The module at which that came to an end, if there was a difference."""
        self.mismatches: Data = {}
        """What was different, and may be different in each process."""
        self.settings: dict[str, str] = {}
        self.data: dict[str, Data] = {}
        self.changes: dict[str, dict[str, str | None]] = {}
        self.import_prefixes: dict[str, str] = {}
        self.order: dict[str, int] = {}
        """When the load of each module began: `sys.modules` tells only when it ended."""
        self.states: dict[str, Signature | None] = {}
        self._codes: dict[str, Code] = {}
        self._last = dict(os.environ)

    def before_import(self, name: str) -> None:
        """Note under which conditions the project imports a package's module."""
        self.order.setdefault(name, len(self.order))
        # What a package imports while it is imported itself is the package's own affair.
        if not _is_projects(caller(1)):
            return
        self.settings[name] = setting(name)
        if name not in self.data:  # else a standby has more by now than the project had then
            self.data[name] = _difference(_merged(self.data), data_of(self.data))
        now = dict(os.environ)
        if now != self._last:
            self.changes[name] = _difference(self._last, now)
            self._last = now

    def note(self, path: str, code: Code, known: FileState) -> None:
        """Note what a file of the project does before its last import; later, there is time."""
        self._codes[path] = code
        if known.racy:
            self.states.pop(path, None)
        else:
            self.states[path] = known.signature

    def is_as_before(self, path: str, code: Code, known: FileState) -> bool:
        """Note that, and tell whether it is what was recorded for the replay."""
        self.note(path, code, known)
        if self.preload is None:
            return True
        then = self.preload.import_prefixes.get(path)
        if then is not None and tuple(self.preload.states.get(path) or ()) == known.signature:
            self.import_prefixes[path] = then
            del self._codes[path]
        else:
            self._catch_up()
        return self.import_prefixes[path] == then

    def _catch_up(self) -> None:
        while self._codes:
            path, code = self._codes.popitem()
            self.import_prefixes[path] = import_prefix(code)

    def write(self, root: str, final: Mapping[str, Any]) -> Preload:
        """Return the recipe for the next standby; an empty one when in doubt."""
        if final["patched"] or final["path"] != list(self.path):
            return Preload(root)
        self._catch_up()
        states = {
            path: self.states.get(path) for path, each in self.import_prefixes.items() if each
        }
        late = len(self.order)
        modules = sorted(
            (name for name in list(sys.modules) if self._is_foreign(name)),
            key=lambda name: self.order.get(name, late),
        )
        return Preload(
            root,
            tuple(self.argv),
            tuple(modules),
            settings=self.settings,
            data=self.data,
            changes=self.changes,
            final=dict(final) | {"aliases": _placed(aliases(self.boot), {*modules})},
            states=states,
            import_prefixes=dict(self.import_prefixes),
        )

    def _is_foreign(self, name: str) -> bool:
        module = sys.modules.get(name)
        if name in self.boot or _name_of(module) != name:
            return False
        path = source_file(module)
        return path is not None and kind_of(path) is not FileKind.PROJECT


def aliases(boot: frozenset[str]) -> set[str]:
    """Return the names under which something stands in `sys.modules` that is not that module."""
    return {
        name
        for name, module in list(sys.modules.items())
        if name not in boot
        and name not in {"__main__", "__mp_main__"}
        and _name_of(module) != name
        and not ((path := source_file(module)) and kind_of(path) is FileKind.PROJECT)
    }


def _placed(found: set[str], modules: set[str]) -> dict[str, int]:
    """Return of each alias how many modules had been loaded after it came."""
    later = 0
    placed = {}
    for name in reversed(list(sys.modules)):  # in the order in which their loads ended
        if name in found:
            placed[name] = later
        later += name in modules
    return placed


def fits(recorder: Recorder) -> bool:
    """Tell whether a replay has left in `sys.modules` what the recorded load did.

    Else the project has put it there, and packages that were imported after that have met it.
    """
    if recorder.preload is None:
        return True
    modules, stopped = recorder.preload.modules, recorder.stopped
    rest = modules[modules.index(stopped) :] if stopped else ()
    left_off = sum(name not in sys.modules for name in rest)
    met = {name for name, later in recorder.preload.final["aliases"].items() if later > left_off}
    return met <= {*aliases(recorder.boot)}


def _name_of(module: object) -> str | None:
    try:
        spec = object.__getattribute__(module, "__dict__").get("__spec__")
    except AttributeError:
        return None
    return getattr(spec, "name", None)


def _is_projects(frame: FrameType | None) -> bool:
    """Tell whether the innermost frame that is not the import system's is the project's."""
    while frame is not None:
        kind = _kind_of_code(frame.f_code.co_filename)
        if kind is not FileKind.IGNORED:
            return kind is FileKind.PROJECT
        frame = frame.f_back
    return True


@lru_cache(maxsize=1024)
def _kind_of_code(file: str) -> FileKind:
    return FileKind.IGNORED if file.startswith("<frozen importlib") else kind_of(absolute(file))


def _difference(old: Mapping[str, T | None], new: Mapping[str, T]) -> dict[str, T | None]:
    return {name: new.get(name) for name in {*old, *new} if old.get(name) != new.get(name)}


def replay(preload: Preload, recorder: Recorder, refused: Callable[[], int]) -> list[str]:
    """Import what the recipe names, in silence; return the modules that failed.

    refused: how often project code was asked for so far. Some packages cope when they do not get
    it, and are not the same after that.
    """
    recorder.preload = preload
    recorder.settings, recorder.changes = dict(preload.settings), dict(preload.changes)
    recorder.data = dict(preload.data)
    recorder.order = {name: place for place, name in enumerate(preload.modules)}
    sys.argv = list(preload.argv)
    if not sys.flags.safe_path:
        sys.path.insert(0, preload.root)
    failed = []
    with _silence(), _environment() as packages_own:
        for name in preload.modules:
            _apply(preload.changes.get(name, {}))
            if name in sys.modules:
                continue
            if name in preload.settings and not _is_as_it_was(name, preload, recorder):
                recorder.stopped = name
                break
            before, environ = refused(), dict(os.environ)
            if not _is_imported(name) or refused() > before:
                failed.append(name)
            packages_own.update(_difference(environ, os.environ))
    return failed


def _is_as_it_was(name: str, preload: Preload, recorder: Recorder) -> bool:
    """Tell whether a package that the project imports would find what it found then.

    What differs in the data for the first time is noted, and no difference yet. The next standby
    finds the same if the project had changed it, and something else if it is another in each
    process, as times and keys are.
    """
    if setting(name) != preload.settings[name]:
        return False
    names = [*preload.data]
    before = names[: names.index(name)]
    known = {
        key: each
        for key, each in _merged(preload.data, name).items()
        if key.partition(":")[0] in sys.modules
    }
    for key, now in _difference(known, data_of(before)).items():
        if key not in preload.mismatches:
            recorder.mismatches[key] = now
        elif preload.mismatches[key] == now:
            return False
    return True


def _merged(data: Mapping[str, Data], last: str = "") -> Data:
    """Return what was known when a module was imported, or at last."""
    known: Data = {}
    for name, changes in data.items():
        known |= changes
        if name == last:
            break
    return known


def _is_imported(name: str) -> bool:
    try:
        importlib.import_module(name)
    except BaseException:  # noqa: BLE001  some call sys.exit; all are told to the parent
        return False
    return True


def is_shadowed(recorder: Recorder) -> bool:
    """Tell whether a file of the project now has the name of a package that was replayed."""
    if recorder.preload is None:
        return False
    replayed = {name.partition(".")[0] for name in recorder.preload.modules}
    for place in sys.path:
        if kind_of(os.path.join(place, "")) is FileKind.PROJECT:
            sys.path_importer_cache.pop(place, None)  # filled by the replay, and maybe outdated
            suspects = [each for each in _entries(place) if each.partition(".")[0] in replayed]
            if any(_module_name(place, entry) in replayed for entry in suspects):
                return True
    return False


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _module_name(directory: str, entry: str) -> str | None:
    """Return the name under which a directory entry can be imported."""
    suffixes = all_suffixes()
    for suffix in suffixes:
        if entry.endswith(suffix):
            return entry.removesuffix(suffix)
    inits = (os.path.join(directory, entry, f"__init__{suffix}") for suffix in suffixes)
    return entry if "." not in entry and any(map(os.path.exists, inits)) else None


@contextmanager
def _environment() -> Iterator[dict[str, str | None]]:
    """Put the environment back at the end, but for the changes that are noted in what it gives."""
    before = dict(os.environ)
    kept: dict[str, str | None] = {}
    try:
        yield kept
    finally:
        _apply(_difference(os.environ, before))
        _apply(kept)


def _apply(changes: Mapping[str, str | None]) -> None:
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
