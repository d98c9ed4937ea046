"""Notes what imports look for in the project's directories, found or not."""

from __future__ import annotations

import os
import pkgutil
import time
from collections.abc import Iterator
from functools import wraps
from importlib.machinery import FileFinder, ModuleSpec
from types import ModuleType

from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.child.watch.file_state import Now
from asyncreload.child.watch.import_searches import NOTHING, ImportSearches, Winner
from asyncreload.forks import in_forks_of_app


def install_search_hook(searches: ImportSearches, now: Now = time.time_ns) -> None:
    """Wrap `FileFinder.find_spec`, which looks for a module in one directory of the path.

    And what `pkgutil` lists the modules in a directory by: an app may import all that are there.

    now: the clock, in ns since the epoch.
    """
    plain = FileFinder.find_spec

    def find_spec(
        finder: FileFinder, fullname: str, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if kind_of(finder.path + os.sep) is not FileKind.PROJECT:
            return plain(finder, fullname, target)
        began = now()
        spec = plain(finder, fullname, target)
        searches.note(finder.path, fullname, _met(spec), began)
        return spec

    plain_list = pkgutil.iter_importer_modules  # type: ignore[attr-defined]

    @wraps(plain_list)  # with its attributes, by which others register finders of their own
    def iter_modules(finder: object, prefix: str = "") -> Iterator[tuple[str, bool]]:
        path = finder.path if isinstance(finder, FileFinder) else None
        if path is not None and kind_of(path + os.sep) is FileKind.PROJECT:
            searches.note_listing(path, now())
        found: Iterator[tuple[str, bool]] = plain_list(finder, prefix)
        return found

    pkgutil.iter_importer_modules = iter_modules  # type: ignore[attr-defined]
    FileFinder.find_spec = find_spec  # type: ignore[method-assign, assignment]  # typeshed has it in a base
    in_forks_of_app(searches.renew_lock)


def _met(spec: ModuleSpec | None) -> Winner:
    if spec is None:
        return NOTHING
    if spec.loader is None and spec.submodule_search_locations:
        return Winner(next(iter(spec.submodule_search_locations)), is_portion=True)
    return Winner(spec.origin or "")
