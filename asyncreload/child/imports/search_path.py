"""Where an app's imports are looked for: the project's directory first, as under plain Python.

A child has modules loaded for itself that plain Python does not load at its start, such as the
standard library's `resource`. While one of them stands in `sys.modules`, the project's
`resource.py` would never be found. So a child forgets those that the project has a file for: the
app's import then finds the project's, while our own code goes on with the one that it holds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.machinery import BuiltinImporter, FrozenImporter, all_suffixes
from itertools import takewhile

from asyncreload.boot import LOADED_AT_START
from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of

_KEPT = LOADED_AT_START | {"asyncreload"}
"""What plain Python has loaded as well, and ourselves: the app's `run` is to be ours."""


def put_first(root: str) -> None:
    """Look for modules in the project's directory first; forget those of ours that it hides.

    To be called when `sys.argv` is the app's.
    """
    if not sys.flags.safe_path and sys.path[:1] != [root]:
        sys.path.insert(0, root)
    forget_hidden_modules()


def forget_hidden_modules() -> None:
    """Forget modules of ours in whose place the app's imports would find others."""
    hidden = hidden_modules()
    for name in list(sys.modules):
        if name.partition(".")[0] in hidden:
            del sys.modules[name]


def hidden_modules() -> set[str]:
    """Return the names of our modules in whose place an import would find another file.

    The file that `sys.argv` names hides nothing: it is run, and not imported by its name.
    """
    loaded = {name for name in list(sys.modules) if "." not in name} - _KEPT
    app = os.path.splitext(absolute("".join(sys.argv[:1])))[0]
    hidden = set()
    for place in takewhile(_precedes_standard_library, sys.path):
        found = module_names(place, loaded)
        loaded -= found
        hidden |= {name for name in found if not _is_from(place, name)} - {
            name for name in found if os.path.join(place, name) == app
        }
    return {name for name in hidden if not _is_built_in(name)}


def module_names(directory: str, among: Iterable[str]) -> set[str]:
    """Return those of the names under which a module or package can be imported from there."""
    wanted = set(among)
    try:
        entries = os.listdir(directory)
    except OSError:
        return set()
    entries = [entry for entry in entries if entry.partition(".")[0] in wanted]
    return wanted.intersection(_module_name(directory, entry) for entry in entries)


def _module_name(directory: str, entry: str) -> str:
    """Return the name under which a directory entry can be imported; "" if it cannot."""
    suffixes = all_suffixes()
    for suffix in suffixes:
        if entry.endswith(suffix):
            return entry.removesuffix(suffix)
    inits = (os.path.join(directory, entry, f"__init__{suffix}") for suffix in suffixes)
    return entry if "." not in entry and any(map(os.path.exists, inits)) else ""


def _precedes_standard_library(place: str) -> bool:
    return kind_of(os.path.join(place, "")) is not FileKind.IGNORED


def _is_from(place: str, name: str) -> bool:
    """Tell whether a loaded module is the one that is found at a place."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and file.startswith(os.path.join(place, name))


def _is_built_in(name: str) -> bool:
    """Tell whether Python finds a module before it looks at any path."""
    return any(finder.find_spec(name) for finder in (BuiltinImporter, FrozenImporter))
