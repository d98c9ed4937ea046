"""The data in packages' modules: a project may have set them up before it imports others."""

from __future__ import annotations

import sys
from binascii import crc32
from collections.abc import Iterable
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any

_DATA = frozenset({str, bytes, bool, int, float, complex, type(None)})
_CONTAINERS: tuple[Any, ...] = (dict, list, tuple, set, frozenset)
_OTHER = "..."
"""Stands for what is neither."""
_DEPTH = 2
_MOST = 500
"""How deep into containers, and how far in each."""


def data_of(modules: Iterable[str]) -> dict[str, int]:
    """Return stand-ins for what modules can have been set up with: data, functions, classes."""
    found = {}
    for module in modules:
        for name, value in _names(module).items():
            if name[:2] != "__" and (data := _plain(value)) is not _OTHER:
                told = repr(data).encode("utf-8", "surrogatepass")
                found[f"{module}:{name}"] = crc32(told)
    return found


def make_lazy(key: str) -> bool:
    """Make a name that a module makes when it is first asked for; tell whether it does.

    pydantic's do: the project had asked for it. What it finds then is what the project has found.
    key: "module:name", which is not there.
    """
    module, _, name = key.partition(":")
    makes_names = "__getattr__" in _names(module)
    kind = type(sys.modules.get(module))
    if not makes_names and (kind is ModuleType or not hasattr(kind, "__getattr__")):
        return False
    with suppress(Exception):
        getattr(sys.modules[module], name)
    return name in _names(module)


def _names(module: str) -> dict[str, Any]:
    try:
        return dict(object.__getattribute__(sys.modules.get(module), "__dict__"))
    except AttributeError:
        return {}


def _plain(value: Any, depth: int = _DEPTH) -> Any:
    """Return what a value is as far as it is data, a function or a class."""
    kind = type(value)
    if kind in _DATA:
        return value
    if kind is FunctionType:
        return value.__qualname__, value.__module__
    if issubclass(kind, type):  # not by its own attributes: a metaclass may do something then
        names = ("__qualname__", "__module__")
        return tuple(str(type.__getattribute__(value, name)) for name in names)
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
