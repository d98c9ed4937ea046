"""Which files matter, and how closely they are looked at."""

from __future__ import annotations

import os
import site
import sys
from enum import Enum, auto
from functools import lru_cache
from importlib.util import source_from_cache
from typing import Any

_OURS = os.path.abspath(__file__).rsplit(os.sep, 3)[0]


class FileKind(Enum):
    """How closely a file is looked at."""

    PROJECT = auto()
    """The project's: on every tick and before every request."""
    PACKAGE = auto()
    """An installed package's: seldom."""
    IGNORED = auto()
    """The standard library's, and ours."""


def _real(paths: set[str]) -> tuple[str, ...]:
    both = {path for path in paths if path} | {os.path.realpath(path) for path in paths if path}
    return tuple(sorted(path.rstrip(os.sep) + os.sep for path in both))


_PACKAGES = _real({*site.getsitepackages(), site.getusersitepackages()})
# As `sysconfig` has it, which would take a millisecond: sources, and what was compiled.
_SOURCES = os.path.dirname(os.__file__)
_COMPILED = os.path.join(sys.base_exec_prefix, sys.platlibdir, os.path.basename(_SOURCES))
# Which Python looks in first, though it is seldom there.
_ARCHIVE = os.path.join(
    sys.base_prefix, sys.platlibdir, f"python{sys.version_info.major}{sys.version_info.minor}.zip"
)
_STANDARD = _real({_SOURCES, _COMPILED, _ARCHIVE})


@lru_cache(maxsize=4096)
def _kind_of_directory(directory: str) -> FileKind:
    if f"{directory}/".startswith(_OURS + os.sep):
        return FileKind.IGNORED
    if _is_installed(directory):
        # A link from there to a project's directory is one way to install it for changes.
        real = os.path.realpath(directory)
        return FileKind.PACKAGE if _is_installed(real) or _is_standard(real) else FileKind.PROJECT
    return FileKind.IGNORED if _is_standard(directory) else FileKind.PROJECT


def _is_installed(directory: str) -> bool:
    parts = directory.split(os.sep)
    named = "site-packages" in parts or "dist-packages" in parts
    return named or f"{directory}/".startswith(_PACKAGES)


def _is_standard(directory: str) -> bool:
    return f"{directory}/".startswith(_STANDARD)


def absolute(path: str) -> str:
    """Return the path from the root. Not normalized: `link/..` is not what it seems to be."""
    if path.startswith("/"):
        return path
    return os.path.join(os.getcwd(), path.removeprefix("./"))


def kind_of(path: str) -> FileKind:
    """Tell how closely a file is looked at."""
    return _kind_of_directory(path.rpartition("/")[0] or "/")


def source_file(module: object) -> str | None:
    """Return the absolute path of the file that a module was loaded from, the source if it has one.

    None for modules without a file. Nothing is looked up through a module's own `__getattr__`:
    lazy modules would import at that.
    """
    found = _attribute(module, "__file__")
    if not isinstance(found, str) or not found:
        return None
    path = absolute(found)
    if path.endswith((".pyc", ".pyo")):
        path = _source_of_cached(path)
    return path


def spec_of(module: object) -> Any:
    """Return the spec of a module, if it has one; looked up as `source_file` does."""
    return _attribute(module, "__spec__")


def is_importing(module: object) -> bool:
    """Tell whether the import of a module, which is registered already, has not ended yet."""
    return getattr(spec_of(module), "_initializing", False) is True


def _attribute(module: object, name: str) -> Any:
    try:
        return object.__getattribute__(module, "__dict__").get(name)
    except AttributeError:
        return None


def _source_of_cached(path: str) -> str:
    try:
        source = source_from_cache(path)
    except ValueError:
        source = path[:-1]
    return source if os.path.exists(source) else path


def is_below(path: str, directory: str) -> bool:
    """Tell whether a path is a directory, or leads to something in it."""
    return f"{path}/".startswith(directory.rstrip("/") + "/")


def container(path: str) -> str:
    """Return the file that a path leads to: for that of a module in an archive, the archive."""
    above = path
    while not os.path.exists(above) and above != os.path.dirname(above):
        above = os.path.dirname(above)
    return above if os.path.isfile(above) else path
