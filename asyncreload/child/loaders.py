"""Listens to the import system: every load of a Python source takes its baseline first."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import IO, Any

from asyncreload.child.files import absolute
from asyncreload.child.signature import Known
from asyncreload.child.watch import Watch


def watch_loaders(watch: Watch) -> None:
    """Let every load of a Python source, by whatever finder, take its baseline first.

    Wraps `SourceFileLoader.get_code`, which finds and reads cache and source, and its
    `source_to_code`, which is given the bytes. A finder on `sys.meta_path` would be seen by the
    app, and would miss what `spec_from_file_location` and `runpy` load.
    """
    taken: dict[str, Known] = {}
    plain_open_code = io.open_code
    plain_path_stats = SourceFileLoader.path_stats
    plain_get_code = SourceFileLoader.get_code
    plain_source_to_code = SourceFileLoader.source_to_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        path = absolute(self.path)
        known = watch.before_read(path, fullname)
        if known is None:
            return plain_get_code(self, fullname)
        taken[path] = known
        try:
            code = plain_get_code(self, fullname)
        finally:
            taken.pop(path, None)
        if code is not None:
            watch.after_compile(path, code, known)
        return code

    def path_stats(self: SourceFileLoader, path: str) -> Mapping[str, Any]:
        """Give what the baseline has found, so that nothing is asked for twice."""
        known = taken.pop(path, None)
        if known is None or known.signature is None:
            return plain_path_stats(self, path)
        return {"mtime": known.signature[0] / 1e9, "size": known.signature[2]}

    # What follows the path differs from one Python to the next.
    def source_to_code(
        self: SourceFileLoader, data: Any, path: Any, *more: Any, **options: Any
    ) -> CodeType:
        if isinstance(data, bytes) and isinstance(path, str):
            watch.was_read(absolute(path), data)
        return plain_source_to_code(self, data, path, *more, **options)

    def open_code(path: str) -> IO[bytes]:
        if isinstance(path, str):
            watch.before_open(absolute(path))
        return plain_open_code(path)

    io.open_code = open_code  # what `runpy` uses; the import system has its own way to it
    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    SourceFileLoader.source_to_code = source_to_code  # type: ignore[method-assign,assignment]
