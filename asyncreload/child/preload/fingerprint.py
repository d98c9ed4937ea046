"""The conditions under which a package is imported, and a load comes to its end.

What a project sets up before it imports a package, the package may notice. A replay stands for a
load only as far as these conditions are the same.
"""

from __future__ import annotations

import _locale
import builtins
import logging
import os
import sys
import warnings
from binascii import crc32
from collections.abc import Iterable
from socket import getdefaulttimeout
from types import FunctionType
from typing import Any

from asyncreload.child.watch.file_state import digest

_PATCHERS = ("gevent.monkey", "eventlet.patcher")
"""Modules that change the interpreter for those that are imported after them."""
_DATA = frozenset({str, bytes, bool, int, float, complex, type(None)})
_CONTAINERS: tuple[Any, ...] = (dict, list, tuple, set, frozenset)
_OTHER = "..."
"""Stands for what is neither."""
_DEPTH = 2
_MOST = 500
"""How deep into containers, and how far in each."""


def snapshot(root: str) -> dict[str, Any]:
    """Return what must be the same after two loads for the one to have stood for the other."""
    path = sys.path[1:] if sys.path[:1] == [root] else sys.path
    return {
        "environ": dict(os.environ),
        "path": list(path),
        "setting": fingerprint(),
        "loggers": _loggers(),
        "patched": [name for name in _PATCHERS if name in sys.modules],
    }


def fingerprint(name: str = "") -> str:
    """Return a stand-in for what a package of that name may look at while it is imported."""
    filters = [
        (action, _pattern(message), str(category), _pattern(module), line)
        for action, message, category, module, line in warnings.filters
    ]
    kinds = [*map(_kind, sys.meta_path), *map(_kind, sys.path_hooks)]
    finders = [kind for kind in kinds if not kind.startswith("asyncreload.")]  # `load` has one
    root, manager = logging.root, logging.root.manager
    logs = (
        manager.disable,
        str(logging.getLoggerClass()),
        str(logging.getLogRecordFactory()),
        _state(root),
        _loggers(name.partition(".")[0]),
    )
    interpreter = (
        sorted(vars(builtins)),
        _kind(sys.stdout),
        _kind(sys.stderr),
        _locale.setlocale(_locale.LC_ALL),
        getdefaulttimeout(),
    )
    return digest(_bytes((filters, logs, finders, sys.path, os.getcwd(), interpreter))).hex()


def data_of(modules: Iterable[str]) -> dict[str, int]:
    """Return stand-ins for what modules can have been set up with: their data and functions."""
    found = {}
    for module in modules:
        try:
            names = object.__getattribute__(sys.modules.get(module), "__dict__")
        except AttributeError:
            continue
        for name, value in list(names.items()):
            if name[:2] != "__" and (data := _plain(value)) is not _OTHER:
                found[f"{module}:{name}"] = crc32(_bytes(data))
    return found


def _bytes(told: object) -> bytes:
    return repr(told).encode("utf-8", "surrogatepass")


def _pattern(pattern: Any) -> str:
    return getattr(pattern, "pattern", None) or str(pattern)


def _kind(thing: object) -> str:
    # Not `isinstance`, here and below: a lazy object would answer for what it stands for, and
    # make that for it.
    kind = thing if issubclass(type(thing), type) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"  # type: ignore[attr-defined]  # a class


def _loggers(package: str | None = None) -> dict[str, Any]:
    """Return the loggers, all or a package's, that are not as they are made.

    A package does not look at other packages' loggers while it is imported. But a project may
    configure all those that there are by then, which after a replay are more.
    """
    named = logging.root.manager.loggerDict.items()
    states = {
        name: _state(logger)
        for name, logger in sorted(named)
        if isinstance(logger, logging.Logger)
        and (package is None or name.partition(".")[0] == package)
    }
    return {name: state for name, state in states.items() if state != [0, False, True, 0]}


def _state(logger: logging.Logger) -> list[Any]:
    return [logger.level, logger.disabled, logger.propagate, len(logger.handlers)]


def _plain(value: Any, depth: int = _DEPTH) -> Any:
    """Return what a value is as far as it is data, or a function."""
    kind = type(value)
    if kind in _DATA:
        return value
    if kind is FunctionType:
        return value.__qualname__, value.__module__
    if not depth or not issubclass(kind, _CONTAINERS):
        return _OTHER
    # By the methods of the base class: those of another class may do something.
    if issubclass(kind, dict):
        items = list(dict.items(value))[:_MOST]
        return [(_plain(key, 0), _plain(each, depth - 1)) for key, each in items]
    base = next(base for base in _CONTAINERS if issubclass(kind, base))
    found = [_plain(each, depth - 1) for each in list(base.__iter__(value))[:_MOST]]
    # The order of a set is another one in each process.
    return sorted(map(repr, found)) if base in {set, frozenset} else found
