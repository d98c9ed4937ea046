"""Listens to the import system: whatever it loads, the file's baseline is taken first."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from types import CodeType
from typing import IO, Any, cast

from asyncreload.child.watch.file_kinds import absolute
from asyncreload.child.watch.file_state import (
    FileState,
    is_young,
    read_cache,
    remove_cache,
    remove_late_cache,
)
from asyncreload.child.watch.watch import Watch
from asyncreload.cpython import ReadDirectory, wrap_archive_reader


def install_import_hooks(watch: Watch) -> None:
    """Let every load of code, by whatever finder, take the file's baseline first."""
    _Imports(watch)
    _watch_runs(watch)
    _watch_archives(watch)
    _watch_compiled(watch)


class _Imports:
    """Wraps `SourceFileLoader.get_code`, which finds and reads cache and source, and what it calls.

    `get_data` reads either of them, `source_to_code` is given the bytes of the source. A finder on
    `sys.meta_path` would be seen by the app, and would miss what `spec_from_file_location` and
    `runpy` load.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._taken: dict[str, FileState] = {}
        self._caches: dict[str, bytes] = {}
        self._compiled: set[str] = set()
        self._get_code: Callable[..., CodeType | None] = self._wrap("get_code", self.get_code)
        self._get_data: Callable[..., bytes] = self._wrap("get_data", self.get_data)
        self._path_stats: Callable[..., Any] = self._wrap("path_stats", self.path_stats)
        self._compile: Callable[..., CodeType] = self._wrap("source_to_code", self.source_to_code)
        self._reads = SourceFileLoader.get_data

    def _wrap(self, name: str, around: Callable[..., Any]) -> Any:
        """Put a method in the place of a loader's, and return that."""

        def method(*arguments: Any, **options: Any) -> Any:
            return around(*arguments, **options)

        plain = getattr(SourceFileLoader, name)
        setattr(SourceFileLoader, name, method)
        return plain

    def get_code(self, loader: SourceFileLoader, fullname: str) -> CodeType | None:
        path = absolute(loader.path)
        # A loader of the app's may read caches in its own way.
        is_refused = type(loader).get_data is self._reads
        known = self._watch.before_read(path, fullname, drop_cache=not is_refused)
        if known is None:
            return self._get_code(loader, fullname)
        self._taken[path] = known
        try:
            code = self._get_code(loader, fullname)
        finally:
            self._taken.pop(path, None)
            cache = self._caches.pop(path, None)
        if path in self._compiled:
            self._compiled.discard(path)
            remove_late_cache(path, known.signature)
            cache = None
        if code is not None:
            # Of the two, bytes give the collector of garbage nothing to do.
            self._watch.after_compile(path, cache or code, known)
        return code

    def path_stats(self, loader: SourceFileLoader, path: str) -> Mapping[str, Any]:
        """Give what the baseline has found, so that nothing is asked for twice.

        Raises OSError for one without a state, or so young that the next load could not rely on
        what is written now: Python then leaves caches alone.
        """
        known = self._taken.get(path)
        if known is None:
            return cast("Mapping[str, Any]", self._path_stats(loader, path))
        if known.signature is None:
            raise FileNotFoundError(path)
        if is_young(known.signature):
            remove_cache(path)
            raise FileNotFoundError(path)
        return {"mtime": known.signature[0] / 1e9, "size": known.signature[2]}

    def get_data(self, loader: SourceFileLoader, path: str) -> bytes:
        """Refuse a cache that Python might take for current when it is not."""
        source = absolute(loader.path)
        known = self._taken.get(source)
        if known is None or known.signature is None or not path.endswith(".pyc"):
            return self._get_data(loader, path)
        self._caches[source] = data = read_cache(path, known.signature)
        return data

    # What follows the path differs from one Python to the next.
    def source_to_code(
        self, loader: SourceFileLoader, data: Any, path: Any, *more: Any, **options: Any
    ) -> CodeType:
        if isinstance(data, bytes) and isinstance(path, str):
            source = absolute(path)
            self._watch.was_read(source, data)
            self._compiled.update({source} & self._taken.keys())
        return self._compile(loader, data, path, *more, **options)


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
    def watched(plain: ReadDirectory) -> ReadDirectory:
        def read_directory(archive: str) -> Any:
            watch.before_open(absolute(archive))
            return plain(archive)

        return read_directory

    wrap_archive_reader(watched)


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
