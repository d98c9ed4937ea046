"""The data in packages' modules: a project may have set them up before it imports others."""

from __future__ import annotations

import sys
from binascii import crc32
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from operator import eq, is_
from types import FunctionType, ModuleType
from typing import Any

_DATA = frozenset({str, bytes, bool, int, float, complex, type(None)})
_CONTAINERS: tuple[Any, ...] = (dict, list, tuple, set, frozenset)
_OTHER = "..."
"""Stands for what is neither."""
_DEPTH = 2
_MOST = 500
"""How deep into containers, and how far in each."""


class PackageData:
    """Tells, again and again, what modules can have been set up with: data, functions, classes.

    A project that imports a hundred packages one after the other has all of them asked for at each
    import. So only containers are looked into again, of which an element is another one by now, and
    what has come to a name. The objects are kept alive for that, as long as this is.
    """

    def __init__(self) -> None:
        self._modules: dict[str, _Module] = {}

    def find(self, modules: Iterable[str]) -> dict[str, int]:
        """Return stand-ins for what the modules hold now, by "module:name"."""
        found: dict[str, int] = {}
        for name in modules:
            values = _names(name)
            known = self._modules.get(name)
            if known is None or not known.is_of(values):
                known = self._modules[name] = _Module(name, values)
            found |= known.find()
        return found


class _Module:
    """The names of a module, and what stands for their values."""

    def __init__(self, module: str, values: dict[str, Any]) -> None:
        self._values = values
        self._fixed: dict[str, int] = {}
        self._containers: dict[str, _Container] = {}
        for name, value in values.items():
            if name[:2] == "__":
                continue
            if issubclass(type(value), _CONTAINERS):
                self._containers[f"{module}:{name}"] = _Container(value)
            elif (data := _plain(value)) is not _OTHER:
                self._fixed[f"{module}:{name}"] = _stand_in(data)

    def is_of(self, values: dict[str, Any]) -> bool:
        """Tell whether these names stand for the same objects as before."""
        known = self._values
        same_names = len(known) == len(values) and all(map(eq, known, values))
        return same_names and all(map(is_, known.values(), values.values()))

    def find(self) -> dict[str, int]:
        return self._fixed | {key: one.stand_in() for key, one in self._containers.items()}


class _Container:
    """A container; looked into again when its elements are others, or containers themselves."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._elements: list[Any] | None = None
        self._stand_in = 0

    def stand_in(self) -> int:
        elements = [*_elements(self._value)]
        known = self._elements
        if known is None or len(known) != len(elements) or not all(map(is_, known, elements)):
            self._stand_in = _stand_in(_plain(self._value))
            is_flat = not any(issubclass(type(each), _CONTAINERS) for each in elements)
            self._elements = elements if is_flat else None
        return self._stand_in


def _elements(value: Any) -> Iterator[Any]:
    """Return what a container holds, as far in it as we look."""
    kind = type(value)
    if issubclass(kind, dict):
        return islice(chain.from_iterable(dict.items(value)), 2 * _MOST)
    return islice(_base(kind).__iter__(value), _MOST)


def _base(kind: type) -> Any:
    """Return which container a class is made from: its own methods may do something."""
    return next(base for base in _CONTAINERS if issubclass(kind, base))


def _stand_in(data: Any) -> int:
    return crc32(repr(data).encode("utf-8", "surrogatepass"))


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
        items = [*islice(dict.items(value), _MOST)]
        return [(_plain(key, 0), _plain(each, depth - 1)) for key, each in items]
    found = [_plain(each, depth - 1) for each in [*_elements(value)]]
    # The order of a set is another one in each process.
    return sorted(map(repr, found)) if _base(kind) in {set, frozenset} else found
