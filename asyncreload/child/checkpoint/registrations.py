"""What the project's code has registered to run at the end of the process, or in its forks.

Packages and the standard library register such handlers, too: every app has those of `logging` by
its second module. They are made for a process that ends once, and for its forks; the project's may
remove what the next child needs, or say good-bye to somebody.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of
from asyncreload.cpython import caller, exit_finalizers

_REMOVING = frozenset({"tempfile", "shutil", "os", "posix", "pathlib"})
"""Modules whose functions remove files: a finalizer that calls one is no mere tidying up."""


class Registrations:
    """Notes what the project registers from `install` on."""

    def __init__(self) -> None:
        self._handlers: list[Callable[..., Any]] = []
        self._in_forks: Callable[..., Any] | None = None
        self._harmless: frozenset[weakref.finalize[..., Any]] = frozenset()

    def install(self) -> None:
        """Wrap `atexit.register`, `atexit.unregister` and `os.register_at_fork`, for good."""
        register, unregister, at_fork = atexit.register, atexit.unregister, os.register_at_fork

        def note_handler(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if _is_projects(func) or _is_of_project(caller(1).f_code.co_filename):
                self._handlers.append(func)
            return register(func, *args, **kwargs)

        def forget_handler(func: Callable[..., Any], /) -> None:
            unregister(func)
            self._handlers = [one for one in self._handlers if one != func]

        def note_in_forks(**functions: Any) -> None:
            project = [one for one in functions.values() if _is_projects(one)]
            if project or _is_of_project(caller(1).f_code.co_filename):
                self._in_forks = next(iter(functions.values()), None)
            at_fork(**functions)

        atexit.register, atexit.unregister = note_handler, forget_handler
        os.register_at_fork = note_in_forks
        self._harmless = frozenset(exit_finalizers())

    def obstacle(self) -> str:
        """Return what is in the way of a checkpoint; "" if nothing is."""
        if self._handlers:
            return f"the project has an atexit handler ({_name(self._handlers[0])})"
        if self._in_forks is not None:
            return f"the project has a handler of forks ({_name(self._in_forks)})"
        for finalizer in exit_finalizers():
            if finalizer not in self._harmless and (told := finalizer.peek()):
                function = told[1]
                module = getattr(function, "__module__", None) or ""
                removes = module.partition(".")[0] in _REMOVING
                if removes or _is_projects(function):
                    return f"something is to be removed at the end (by {_name(function)})"
        return ""


def _is_of_project(path: str) -> bool:
    return not path.startswith("<") and kind_of(absolute(path)) is FileKind.PROJECT


def _is_projects(function: object) -> bool:
    """Tell whether a function, or a method of a class, is the project's."""
    plain = getattr(function, "__func__", function)
    while (inner := getattr(plain, "func", None)) is not None:  # functools.partial
        plain = getattr(inner, "__func__", inner)
    return isinstance(plain, FunctionType) and _is_of_project(plain.__code__.co_filename)


def _name(function: object) -> str:
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    return f"{module}.{name}" if name else type(function).__name__
