"""The registry of a project: its modules write to it while they are imported."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import telling  # type: ignore[import-not-found]  # it lies beside this file

telling.begin(__name__, 6)
VERSION = 0
COUNT = 0
NAMES: dict[str, object] = {}
CLASSES: list[str] = []

F = TypeVar("F", bound=Callable[..., Any])


def register(function: F) -> F:
    """Decorate a function: it is known by its name from now on."""
    NAMES[f"{function.__module__}.{function.__qualname__}"] = function
    return function


def traced(function: F) -> Callable[..., Any]:
    """Decorate a function with another one around it."""
    number = len(NAMES)

    def inner(*arguments: Any) -> Any:
        return number, function(*arguments)

    return inner


@cache
def numbered(name: str) -> int:
    """Return a number for a name: the next one, if it has none yet."""
    return COUNT + len(name)


class Base:
    """Knows the classes that are derived from it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        CLASSES.append(f"{cls.__module__}.{cls.__qualname__} {VERSION}")
