"""Listens to the import system: whatever it loads, the file's baseline is taken first."""

from __future__ import annotations

import io
import sys
import zipimport
from collections.abc import Callable, Mapping
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from types import CodeType
from typing import IO, Any

from asyncreload.child.files import absolute
from asyncreload.child.signature import Known, remove_late_cache
from asyncreload.child.watch import Watch


def watch_loaders(watch: Watch) -> None:
    """Let every load of code, by whatever finder, take the file's baseline first."""
    _watch_imports(watch)
    _watch_runs(watch)
    _watch_archives(watch)
    _watch_compiled(watch)


def _watch_imports(watch: Watch) -> None:
    """Wrap `SourceFileLoader.get_code`, which finds and reads cache and source, and what it calls.

    `source_to_code` is given the bytes. A finder on `sys.meta_path` would be seen by the app, and
    would miss what `spec_from_file_location` and `runpy` load.
    """
    taken: dict[str, Known] = {}
    compiled: set[str] = set()
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
        if path in compiled:
            compiled.discard(path)
            remove_late_cache(path, known.signature)
        if code is not None:
            watch.after_compile(path, code, known)
        return code

    def path_stats(self: SourceFileLoader, path: str) -> Mapping[str, Any]:
        """Give what the baseline has found, so that nothing is asked for twice.

        Raises OSError for one without a state: Python then leaves caches alone.
        """
        known = taken.get(path)
        if known is None:
            return plain_path_stats(self, path)
        if known.signature is None:
            raise FileNotFoundError(path)
        return {"mtime": known.signature[0] / 1e9, "size": known.signature[2]}

    # What follows the path differs from one Python to the next.
    def source_to_code(
        self: SourceFileLoader, data: Any, path: Any, *more: Any, **options: Any
    ) -> CodeType:
        if isinstance(data, bytes) and isinstance(path, str):
            source = absolute(path)
            watch.was_read(source, data)
            compiled.update({source} & taken.keys())
        return plain_source_to_code(self, data, path, *more, **options)

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    SourceFileLoader.source_to_code = source_to_code  # type: ignore[method-assign,assignment]


def _watch_runs(watch: Watch) -> None:
    """Wrap `io.open_code`, which `runpy` uses; the import system has its own way to it."""
    plain_open_code = io.open_code

    def open_code(path: str) -> IO[bytes]:
        if not isinstance(path, str) or not watch.before_open(absolute(path)):
            return plain_open_code(path)
        with plain_open_code(path) as file:
            data = file.read()
        watch.was_read(absolute(path), data)
        return io.BytesIO(data)

    io.open_code = open_code


def _watch_archives(watch: Watch) -> None:
    plain_read_directory = zipimport._read_directory  # type: ignore[attr-defined]  # noqa: SLF001

    def read_directory(archive: str) -> Any:
        watch.before_open(absolute(archive))
        return plain_read_directory(archive)

    zipimport._read_directory = read_directory  # type: ignore[attr-defined]  # noqa: SLF001


def _watch_compiled(watch: Watch) -> None:
    """Wrap the loads of what has no source, or none that Python would read."""

    def before(plain: Callable[..., Any]) -> Any:
        def load(self: ExtensionFileLoader | SourcelessFileLoader, *arguments: Any) -> Any:
            watch.before_open(absolute(self.path))
            return plain(self, *arguments)

        return load

    for kind, method in (
        (ExtensionFileLoader, "create_module"),
        (SourcelessFileLoader, "get_code"),
    ):
        setattr(kind, method, before(getattr(kind, method)))


def forget_archives() -> None:
    """Have the contents of archives looked up afresh: a standby may have read them long ago."""
    zipimport._zip_directory_cache.clear()  # type: ignore[attr-defined]  # noqa: SLF001
    for place, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[place]
