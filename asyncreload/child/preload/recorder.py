"""Records, in the child that loads, what the next standby may import ahead."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import FrameType
from typing import TypeVar

from asyncreload.child.imports.import_observer import Code
from asyncreload.child.preload.conditions import Conditions, patcher, read_conditions
from asyncreload.child.preload.import_prefix import NO_IMPORTS, ImportPrefix, import_prefix
from asyncreload.child.preload.package_data import PackageData
from asyncreload.child.preload.patches import Patches
from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of, source_file
from asyncreload.child.watch.file_state import FileState, Signature
from asyncreload.cpython import caller
from asyncreload.protocol import Data, Preload

T = TypeVar("T")

ALIASES = "modules put under other names"
PATCHES = "names of the standard library that were put in the place of others"


class Recorder:
    """Notes which packages are imported, in which order, and under which conditions.

    Called by whatever thread imports; written out by the side thread's helper. Each note is one
    entry of a dictionary, and a module is imported by one thread at a time.
    """

    def __init__(self) -> None:
        self.boot: frozenset[str] = frozenset(sys.modules)
        """The modules that we need ourselves."""
        self._aliases = Aliases(self.boot)
        self._patches = Patches()
        self._argv: tuple[str, ...] = ()
        self._replayed: Preload | None = None
        self._conditions: list[Conditions] = []
        self._settings: dict[str, int] = {}
        self._data: dict[str, Data] = {}
        self._package_data = PackageData()
        self._last_data: dict[str, int] = {}
        self._changes: dict[str, dict[str, str | None]] = {}
        self._recorded: dict[str, ImportPrefix] = {}
        """What stands for the project's files in the load that is replayed."""
        self._import_prefixes: dict[str, ImportPrefix] = {}
        self._is_loading = True
        self._loads: dict[str, set[int]] = {}
        """Where the code of each of the project's files was when packages were loaded."""
        # When the load of each module began: `sys.modules` tells only when it ended.
        self._order: dict[str, int] = {}
        self._states: dict[str, Signature | None] = {}
        self._codes: dict[str, Code] = {}
        self._environ = dict(os.environ)

    def start_from(self, preload: Preload) -> None:
        """Take over the notes of which this process replays the imports."""
        self._replayed = preload
        self._conditions = list(preload.conditions)
        self._settings = dict(preload.settings)
        self._changes = dict(preload.changes)
        self._data = dict(preload.data)
        known = merged(preload.data)
        self._last_data = {key: data for key, data in known.items() if data is not None}
        self._recorded = {
            path: ImportPrefix(*prefix) for path, prefix in preload.import_prefixes.items()
        }
        self._order = {name: place for place, name in enumerate(preload.modules)}

    def note_own(self, names: Iterable[str]) -> None:
        """Note that we need these modules ourselves, too."""
        self.boot |= {*names}
        self._aliases.ignore(names)

    def note_arguments(self, argv: list[str]) -> None:
        """Note the arguments that the app is started with."""
        self._argv = tuple(argv)

    def before_import(self, name: str) -> None:
        """Note under which conditions the project imports a package's module."""
        self._order.setdefault(name, len(self._order))
        # What a package imports while it is imported itself is the package's own affair.
        frame = caller(1)
        if not _is_projects(frame):
            return
        if self._is_loading:
            self._note_load(frame)
        if name not in self._settings:  # else a standby has more by now than the project had then
            self._note_conditions(name)
            self._note_data(name)
        now = dict(os.environ)
        if now != self._environ:
            self._changes[name] = difference(self._environ, now)
            self._environ = now

    def _note_conditions(self, name: str) -> None:
        found = read_conditions()
        found |= {ALIASES: sorted(self._aliases.find()), PATCHES: sorted(self._patches.find())}
        if found not in self._conditions[-1:]:
            self._conditions.append(found)
        self._settings[name] = len(self._conditions) - 1

    def _note_data(self, name: str) -> None:
        """Note what the project has changed in packages since the last import."""
        before, now = self._last_data, self._package_data.find([*self._data])
        gone = dict.fromkeys(before.keys() - now.keys())
        self._data[name] = gone | dict(now.items() - before.items())
        self._last_data = now
        if not self._is_loading:
            self._package_data = PackageData()  # what it keeps alive may be large

    def _note_load(self, frame: FrameType | None) -> None:
        """Note where the project's modules are that are being loaded: a package is loaded there."""
        while frame is not None:
            code = frame.f_code
            if code.co_name == "<module>" and _kind_of_code(code.co_filename) is FileKind.PROJECT:
                self._loads.setdefault(_key(code.co_filename), set()).add(frame.f_lasti)
            frame = frame.f_back

    def end_load(self) -> None:
        """Note that the load has ended: a script that serves is still at its last statement."""
        self._is_loading = False

    def after_compile(self, path: str, code: Code, state: FileState) -> None:
        """Note the code of a project's file: what it does before its imports counts."""
        self._import_prefixes.pop(path, None)
        self._codes[path] = code  # it is looked into later, when there is time
        if state.racy:
            self._states.pop(path, None)
        else:
            self._states[path] = state.signature

    def is_as_before(self, path: str, code: Code, state: FileState) -> bool:
        """Note a file's code; tell whether it does the same before its imports as recorded.

        Without a replay there is nothing that it would have to fit.
        """
        self.after_compile(path, code, state)
        if self._replayed is None:
            return True
        # A file that is new does nothing before an import of its own if it has none.
        then = self._recorded.get(path, NO_IMPORTS)
        is_same = (
            path in self._recorded
            and tuple(self._replayed.states.get(path) or ()) == state.signature
        )
        if not is_same and import_prefix(code, then.size) != then:
            return False
        self._import_prefixes[path] = then
        return True

    def mismatches(self, final: Conditions) -> list[str]:
        """Return which conditions after the load are not those of the load that was replayed."""
        if self._replayed is None:
            return []
        # What requests had imported later was imported ahead with the rest.
        then = (self._replayed.final, self._replayed.later)
        return [name for name in final if final[name] not in [each.get(name) for each in then]]

    def to_preload(self, root: str, final: Conditions, later: Conditions) -> Preload:
        """Return what the next standby is to import; nothing when in doubt.

        final: the conditions after the load.
        later: those of now.
        """
        if found := patcher():
            return Preload(root, obstacle=f"{found} changes Python for all that is imported later")
        self._work_off_codes()
        prefixes = self._import_prefixes
        importing = [path for path, prefix in prefixes.items() if prefix != NO_IMPORTS]
        late = len(self._order)
        modules = sorted(
            (name for name in list(sys.modules) if self._is_foreign(name)),
            key=lambda name: self._order.get(name, late),
        )
        return Preload(
            root,
            self._argv,
            tuple(modules),
            conditions=tuple(self._conditions),
            settings=self._settings,
            data=self._data,
            changes=self._changes,
            final=final,
            later=later,
            states={path: self._states.get(path) for path in importing},
            import_prefixes={path: [*prefix] for path, prefix in prefixes.items()},
        )

    def _work_off_codes(self) -> None:
        while self._codes:
            path, code = self._codes.popitem()
            loads = self._loads.get(_key(path), ())
            if loads or path not in self._import_prefixes:
                then = self._recorded.get(path, NO_IMPORTS)
                self._import_prefixes[path] = import_prefix(code, then.size, loads)

    def _is_foreign(self, name: str) -> bool:
        module = sys.modules.get(name)
        if name in self.boot or _name_of(module) != name:
            return False
        if not {*_parents(name)} <= sys.modules.keys():  # the rest of a package that has failed
            return False
        path = source_file(module)
        return path is not None and kind_of(path) is not FileKind.PROJECT


class Aliases:
    """Finds the names under which something stands in `sys.modules` that is not that module.

    boot: the names that do not count.
    """

    def __init__(self, boot: frozenset[str]) -> None:
        self._boot = boot
        self._genuine: dict[str, int] = {}
        """Of the modules that are what their name says, the `id`: each is looked into once."""

    def ignore(self, names: Iterable[str]) -> None:
        """Have these not count, either."""
        self._boot |= {*names}

    def find(self) -> set[str]:
        """Return the names that there are now."""
        modules = dict(sys.modules)  # other threads may import meanwhile
        if [*map(id, map(modules.get, self._genuine))] != [*self._genuine.values()]:
            self._genuine = {}  # one is gone, or another one
        found = set()
        for name in modules.keys() - self._genuine.keys() - self._boot:
            if self._is_alias(name, modules[name]):
                found.add(name)
            else:
                self._genuine[name] = id(modules[name])
        return found

    def _is_alias(self, name: str, module: object) -> bool:
        if name in {"__main__", "__mp_main__"} or _name_of(module) == name:
            return False
        path = source_file(module)
        return path is None or kind_of(path) is not FileKind.PROJECT


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


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


def _key(file: str) -> str:
    """Return what stands for a file, by whatever spelling: a script has that of the command."""
    return os.path.normpath(absolute(file))


@lru_cache(maxsize=1024)
def _kind_of_code(file: str) -> FileKind:
    return FileKind.IGNORED if file.startswith("<frozen importlib") else kind_of(absolute(file))


def difference(old: Mapping[str, T | None], new: Mapping[str, T]) -> dict[str, T | None]:
    """Return what has another value now; None for what is not there any more."""
    return {name: new.get(name) for name in {*old, *new} if old.get(name) != new.get(name)}


def merged(data: Mapping[str, Data], last: str = "") -> Data:
    """Return what was known when a module was imported, or at last."""
    known: Data = {}
    for name, changes in data.items():
        known |= changes
        if name == last:
            break
    return known
