"""The replay: a standby imports what the last child imported from outside the project.

An app that is loaded after a replay must behave as after a cold start. So only that is replayed
which ran under the same conditions, and where that cannot be known, nothing is:

- The order is that of the last load. Before a module is imported, `os.environ` is made what it was
  when the last child imported it; it is put back afterwards.
- What else a project may have set up before it imported a package (warnings, logging, the current
  directory) is compared before each import; from the first difference on, nothing is replayed.
- No project code is loaded: its sources are refused (see `Watch.before_read`). A package that
  needs it, or fails in another way, is left out of the next standby; this one is thrown away.
- After the load the conditions are compared with those of the recording. When they differ, the
  child is replaced by a cold one.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from asyncreload.child.files import Heat, heat, source_file
from asyncreload.child.watch import digest
from asyncreload.protocol import Recipe

_PATCHERS = ("gevent.monkey", "eventlet.patcher")
"""Modules that change the interpreter for those that are imported after them."""


def setting() -> str:
    """Return a stand-in for what a package may look at while it is imported."""
    root = logging.getLogger()
    filters = [
        (action, _pattern(message), str(category), _pattern(module), line)
        for action, message, category, module, line in warnings.filters
    ]
    handlers = [type(handler).__name__ for handler in root.handlers]
    return digest(
        repr((filters, root.level, root.manager.disable, handlers, os.getcwd())).encode()
    ).hex()


def _pattern(pattern: Any) -> str:
    return getattr(pattern, "pattern", None) or str(pattern)


def conditions(root: str) -> dict[str, Any]:
    """Return what must be the same after two loads for the one to have stood for the other."""
    path = sys.path[1:] if sys.path[:1] == [root] else sys.path
    return {
        "environ": dict(os.environ),
        "path": list(path),
        "finders": [_kind(finder) for finder in sys.meta_path],
        "hooks": [_kind(hook) for hook in sys.path_hooks],
        "setting": setting(),
    }


def _kind(thing: object) -> str:
    kind = thing if isinstance(thing, type) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


@dataclass(slots=True)
class Recorder:
    """Notes, in the child that loads, what a standby needs to know."""

    boot: frozenset[str] = field(default_factory=lambda: frozenset(sys.modules))
    path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    recipe: Recipe | None = None
    """What was replayed in this process."""
    settings: dict[str, str] = field(default_factory=dict)
    changes: dict[str, dict[str, str | None]] = field(default_factory=dict)
    _last: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def before_import(self, name: str) -> None:
        """Note under which conditions a package's module is about to be loaded."""
        self.settings[name] = setting()
        now = dict(os.environ)
        if now != self._last:
            self.changes[name] = _difference(self._last, now)
            self._last = now

    def write(self, root: str, final: Mapping[str, Any]) -> Recipe:
        """Return the recipe for the next standby; an empty one when in doubt."""
        if any(name in sys.modules for name in _PATCHERS) or final["path"] != list(self.path):
            return Recipe(root)
        modules = [name for name in list(sys.modules) if self._is_foreign(name)]
        return Recipe(root, tuple(modules), self.settings, self.changes, dict(final))

    def _is_foreign(self, name: str) -> bool:
        if name in self.boot or name in {"__main__", "__mp_main__"}:
            return False
        module = sys.modules.get(name)
        spec = getattr(module, "__dict__", {}).get("__spec__")
        if getattr(spec, "name", None) != name:  # an alias, or not made by the import system
            return False
        path = source_file(module)
        return path is not None and heat(path) is not Heat.HOT


def _difference(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str | None]:
    return {name: new.get(name) for name in {*old, *new} if old.get(name) != new.get(name)}


def replay(recipe: Recipe, recorder: Recorder) -> list[str]:
    """Import what the recipe names, in silence; return the modules that failed."""
    recorder.recipe = recipe
    recorder.settings, recorder.changes = dict(recipe.settings), dict(recipe.changes)
    failed = []
    with _silence(), _environment():
        for name in recipe.modules:
            _apply(recipe.changes.get(name, {}))
            if name in sys.modules:
                continue
            if recipe.settings.get(name, setting()) != setting():
                break
            try:
                importlib.import_module(name)
            except BaseException:  # noqa: BLE001  some call sys.exit; all are told to the parent
                failed.append(name)
    return failed


def is_shadowed(root: str, recorder: Recorder) -> bool:
    """Tell whether a file of the project now has the name of a package that was replayed."""
    if recorder.recipe is None:
        return False
    replayed = {name.partition(".")[0] for name in recorder.recipe.modules}
    try:
        entries = os.listdir(root)
    except OSError:
        return False
    return any(
        entry.partition(".")[0] in replayed
        and ("." in entry or os.path.exists(os.path.join(root, entry, "__init__.py")))
        for entry in entries
    )


@contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        _apply(_difference(os.environ, before))


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
