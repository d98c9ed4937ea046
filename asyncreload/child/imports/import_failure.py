"""Tells whether an exception came out of importing the project's code.

A request that imports such code fails as a load does: until a file changes, every import of it
fails again.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from opcode import opmap
from types import FrameType, TracebackType

from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of

_OUR_HOOKS = os.path.dirname(__file__) + os.sep
_IMPORT_SYSTEM = ("<frozen importlib", "<frozen zipimport", importlib.__file__, _OUR_HOOKS)
_IMPORT_NAME = opmap["IMPORT_NAME"]


def is_import_failure(error: BaseException) -> bool:
    """Tell whether an exception, or one that it was raised from, is that of a failed import.

    It is if the import system was running a module of the project's, or could not read or compile
    what a file of the project's imports, or find it in a package of the project's. `raise
    ImportError` in a function is no import, nor is `compile` of what a client has sent.

    Raises nothing, whatever the exception is.
    """
    try:
        return any(
            _is_running_module(frames) or _could_not_load(one, frames)
            for one in _causes(error)
            if (frames := [frame for frame, _ in traceback.walk_tb(one.__traceback__)])
        )
    except (Exception, SystemExit):  # noqa: BLE001  by the exception's own attributes
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Iterate over an exception and its causes. A context is none: it may have been handled."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def _is_running_module(frames: list[FrameType]) -> bool:
    for frame in frames:
        if frame.f_code.co_name == "<module>" and _is_projects(frame.f_code.co_filename):
            # Not for `exec` or `runpy`, which run code in a namespace of the app's.
            spec = frame.f_globals.get("__spec__")
            if getattr(spec, "origin", None) == frame.f_code.co_filename:
                return True
    return False


def _could_not_load(error: BaseException, frames: list[FrameType]) -> bool:
    importing = _without_import_system(frames)
    is_in_project = bool(importing) and _is_projects(importing[-1].f_code.co_filename)
    loading = frames[len(importing) :]
    if isinstance(error, SyntaxError) and error.filename:
        path = str(error.filename)
        # Python leaves out its own frames, but for those beside another loader's.
        is_import = bool(loading) or _is_at_import(error)
        return is_import and path.endswith(".py") and _is_projects(path)
    if isinstance(error, ModuleNotFoundError) and not _is_of_project(error.name):
        return False  # an optional package: the rest of the app can do without
    if isinstance(error, ImportError):
        return is_in_project and error.name is not None  # only the import system names it
    # Such as a source that may not be read, or null bytes in it: that error names no file.
    has_loaded = any(frame.f_code.co_name == "get_code" for frame in loading)
    return is_in_project and (has_loaded or (not loading and _is_at_import(error)))


def _is_of_project(module: object) -> bool:
    """Tell whether a module that was not found would be in a package of the project's."""
    top, dot, _ = str(module).partition(".")
    file: object = getattr(sys.modules.get(top), "__file__", None)
    return bool(dot) and isinstance(file, str) and _is_projects(file)


def _is_at_import(error: BaseException) -> bool:
    """Tell whether an exception came out of an import statement itself."""
    *_, last = _tracebacks(error.__traceback__)
    return last.tb_frame.f_code.co_code[last.tb_lasti] == _IMPORT_NAME


def _tracebacks(last: TracebackType | None) -> Iterator[TracebackType]:
    while last is not None:
        yield last
        last = last.tb_next


def _without_import_system(frames: list[FrameType]) -> list[FrameType]:
    """Return the frames up to the innermost that is not the import system's, nor our hooks'."""
    end = len(frames)
    while end and frames[end - 1].f_code.co_filename.startswith(_IMPORT_SYSTEM):
        end -= 1
    return frames[:end]


def _is_projects(file: str) -> bool:
    return not file.startswith("<") and kind_of(absolute(file)) is FileKind.PROJECT
