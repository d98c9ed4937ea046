"""Listens to the import system: every load of a Python source takes its baseline first."""

from __future__ import annotations

import io
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import IO, Any

from asyncreload.child.files import absolute
from asyncreload.child.watch import Watch


def watch_loaders(watch: Watch) -> None:
    """Let every load of a Python source, by whatever finder, take its baseline first.

    Wraps `SourceFileLoader.get_code`, which finds and reads cache and source, and its
    `source_to_code`, which is given the bytes. A finder on `sys.meta_path` would be seen by the
    app, and would miss what `spec_from_file_location` and `runpy` load.
    """
    plain_open_code = io.open_code
    plain_get_code = SourceFileLoader.get_code
    plain_source_to_code = SourceFileLoader.source_to_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        path = absolute(self.path)
        watch.before_read(path, fullname)
        code = plain_get_code(self, fullname)
        if code is not None:
            watch.was_compiled(path, code)
        return code

    def source_to_code(
        self: SourceFileLoader, data: Any, path: Any, *, _optimize: int = -1
    ) -> CodeType:
        if isinstance(data, bytes) and isinstance(path, str):
            watch.was_read(absolute(path), data)
        return plain_source_to_code(self, data, path, _optimize=_optimize)

    def open_code(path: str) -> IO[bytes]:
        if isinstance(path, str):
            watch.before_open(absolute(path))
        return plain_open_code(path)

    io.open_code = open_code  # what `runpy` uses; the import system has its own way to it
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    SourceFileLoader.source_to_code = source_to_code  # type: ignore[method-assign,assignment]
