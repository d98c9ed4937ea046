"""Whether a file of the project now has the name of a package that was imported ahead."""

from __future__ import annotations

import os
import sys
from importlib.machinery import all_suffixes

from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.protocol import Preload


def is_shadowed(preload: Preload) -> bool:
    """Tell whether a file of the project now has the name of a package that was replayed."""
    replayed = {name.partition(".")[0] for name in preload.modules}
    for place in _places_in_front(preload.final.get("import path", sys.path)):
        sys.path_importer_cache.pop(place, None)  # filled by the replay, and maybe outdated
        suspects = [each for each in _entries(place) if each.partition(".")[0] in replayed]
        if any(_module_name(place, entry) in replayed for entry in suspects):
            return True
    return False


def _places_in_front(path: list[str]) -> list[str]:
    """Return the project's directories on the import path, up to the last one of packages."""
    of_project = [kind_of(os.path.join(place, "")) is FileKind.PROJECT for place in path]
    while of_project and of_project[-1]:
        of_project.pop()
    return [place for place, is_one in zip(path, of_project, strict=False) if is_one]


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _module_name(directory: str, entry: str) -> str | None:
    """Return the name under which a directory entry can be imported."""
    suffixes = all_suffixes()
    for suffix in suffixes:
        if entry.endswith(suffix):
            return entry.removesuffix(suffix)
    inits = (os.path.join(directory, entry, f"__init__{suffix}") for suffix in suffixes)
    return entry if "." not in entry and any(map(os.path.exists, inits)) else None
