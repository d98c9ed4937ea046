"""Tells the whole state of the project that it lies in, as JSON: two loads can be compared by it.

It is imported first, and is no part of the state itself.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
ORDER: list[str] = []
"""The modules, as they began to run; one that runs twice is there twice."""
DONE: set[str] = set()
LATER: list[tuple[str, Callable[[], object]]] = []
"""What is called once the load is over, such as an import, each with a name."""

_told = ""


def begin(name: str, milliseconds: int) -> None:
    """Note that a module runs, and let it take some time."""
    ORDER.append(name)
    time.sleep(milliseconds / 1000)


def first(what: str) -> bool:
    """Tell whether that was not asked for before: two modules might load each other for ever."""
    is_first = what not in DONE
    DONE.add(what)
    return is_first


def told() -> str:
    """Return the state after the load, and after all that was to be done later; told once."""
    global _told  # noqa: PLW0603
    if not _told:
        before = _snapshot()
        for name, call in LATER:
            try:
                result = repr(call())
            except Exception as exc:  # noqa: BLE001
                result = f"{type(exc).__name__}: {exc}"
            ORDER.append(f"{name}: {result}")
        _told = json.dumps([before, _snapshot()], indent=1)
    return _told


def _snapshot() -> dict[str, Any]:
    modules = {name: module for name, module in list(sys.modules.items()) if _is_own(module)}
    modules.pop(__name__)
    return {
        "order": list(ORDER),
        "done": sorted(DONE),
        "modules": [[name, *_Teller(name).data(vars(module))] for name, module in modules.items()],
        "path": [entry for entry in sys.path if entry.startswith(HERE) or not os.path.isabs(entry)],
        "variables": {name: os.environ[name] for name in sorted(os.environ) if "APP_" in name},
        "patched": {name: value for name, value in vars(json).items() if "app_" in name},
        "directory": os.getcwd(),
        "random": random.random() if "seeded" in DONE else 0,
    }


def _is_own(module: object) -> bool:
    if type(module) is not ModuleType:
        return False
    places = vars(module).get("__path__") or [vars(module).get("__file__") or ""]
    return any(str(place).startswith(HERE) for place in places)


class _Teller:
    """Tells values. What may be changed is told once, so that what is one object is told as one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []

    def data(self, names: Mapping[str, Any]) -> list[Any]:
        """Tell the variables of a module or class, in their order."""
        kept = {"__all__", "__path__", "__file__", "__package__", "__name__"}
        return [
            [name, self.tell(value)]
            for name, value in names.items()
            if name in kept or not name.startswith("__")
        ]

    def tell(self, value: Any) -> Any:
        """Tell any value."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if (number := self._numbers.get(id(value))) is not None:
            return f"@{number}"
        self._numbers[id(value)] = len(self._numbers)
        self._kept.append(value)
        return [type(value).__name__, *self._parts(value)]

    def _parts(self, value: Any) -> list[Any]:  # noqa: PLR0911  a case each
        match value:
            case dict():
                return [[self.tell(key), self.tell(one)] for key, one in value.items()]
            case list() | tuple():
                return [*map(self.tell, value)]
            case set() | frozenset() | bytes():  # bytes: as numbers
                return sorted(map(repr, value))
            case ModuleType() | type():
                return self._home(value)
            case MethodType():
                return [self.tell(value.__func__), self.tell(value.__self__)]
            case FunctionType():
                return self._function(value)
        if hasattr(value, "cache_info"):
            return [str(value.cache_info())]
        is_own = _is_own(sys.modules.get(type(value).__module__))
        return self.data(vars(value)) if is_own else []

    def _home(self, value: Any) -> list[Any]:
        """Tell a module or a class, whole if it is the project's and not told elsewhere."""
        if isinstance(value, ModuleType):
            is_present = sys.modules.get(value.__name__) is value
            inner = [] if is_present or not _is_own(value) else self.data(vars(value))
            return [value.__name__, is_present, *inner]
        names = [value.__module__, value.__qualname__]
        if not _is_own(sys.modules.get(value.__module__)):
            return names
        bases = [self.tell(base) for base in value.__bases__ if base is not object]
        return [*names, bases, *self.data(vars(value))]

    def _function(self, function: FunctionType) -> list[Any]:
        home = sys.modules.get(function.__module__)
        is_at_home = home is not None and vars(home) is function.__globals__
        cells = [self.tell(cell.cell_contents) for cell in function.__closure__ or ()]
        extras = [self.tell(function.__defaults__), *self.data(function.__dict__)]
        return [function.__module__, function.__qualname__, is_at_home, cells, extras]
