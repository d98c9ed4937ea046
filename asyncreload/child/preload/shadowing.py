"""Whether a file of the project has the name of a module that was met in a replay."""

from __future__ import annotations

import os
import sys

from asyncreload.child.imports.search_path import hidden_modules, module_names
from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.protocol import Preload


def is_shadowed(preload: Preload) -> bool:
    """Tell whether a file of the project now has the name of a module that was met in a replay."""
    replayed = {name.partition(".")[0] for name in preload.modules}
    for place in _places_in_front(preload.final.get("import path", sys.path)):
        sys.path_importer_cache.pop(place, None)  # filled by the replay, and maybe outdated
        if module_names(place, replayed):
            return True
    return bool(hidden_modules())


def _places_in_front(path: list[str]) -> list[str]:
    """Return the project's directories on the import path, up to the last one of packages."""
    of_project = [kind_of(os.path.join(place, "")) is FileKind.PROJECT for place in path]
    while of_project and of_project[-1]:
        of_project.pop()
    return [place for place, is_one in zip(path, of_project, strict=False) if is_one]
