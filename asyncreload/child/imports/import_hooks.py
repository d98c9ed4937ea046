"""Wraps what loads code: whatever is imported, and by whichever finder, has a baseline before."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from types import CodeType
from typing import IO, Any, cast

from asyncreload.child.imports.import_observer import Code, ImportObserver
from asyncreload.child.imports.pyc_cache import (
    is_young,
    read_cache,
    remove_cache,
    remove_late_cache,
    remove_racy_cache,
)
from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of
from asyncreload.child.watch.file_state import FileState, Now
from asyncreload.cpython import ReadDirectory, as_import_system, wrap_archive_reader
from asyncreload.forks import in_forks_of_app

EDITED_LATELY = 86_400_000_000_000
"""Nanoseconds: a package that was edited so recently may have a cache that is outdated."""


class ImportHooks:
    """Takes the baseline of each file that is about to be loaded, and tells the observer.

    The hooks wrap `SourceFileLoader.get_code`, which finds and reads cache and source, and what it
    calls: `get_data` reads either of them, `source_to_code` is given the bytes of the source. A
    finder on `sys.meta_path` would be seen by the app, and would miss what
    `spec_from_file_location` and `runpy` load. Like the import system, the hooks are in no
    traceback.

    Called by whatever thread imports. What is noted of a load is kept by its path, and the import
    system loads a module in one thread at a time.

    observer: returns the present observer.
    now: the clock, in ns since the epoch.
    """

    def __init__(
        self,
        baselines: Baselines,
        observer: Callable[[], ImportObserver],
        now: Now = time.time_ns,
    ) -> None:
        self._baselines = baselines
        self._observer = observer
        self._now = now
        self._taken: dict[str, FileState] = {}
        self._caches: dict[str, bytes] = {}
        self._compiled: set[str] = set()
        self.defines_del: bool = False
        """Whether a class of the project's may have a method `__del__`."""

    def install(self) -> None:
        """Wrap the loaders, from now on and for good."""
        self._get_code: Callable[..., CodeType | None] = self._wrap("get_code", self.get_code)
        self._get_data: Callable[..., bytes] = self._wrap("get_data", self.get_data)
        self._path_stats: Callable[..., Any] = self._wrap("path_stats", self.path_stats)
        self._compile: Callable[..., CodeType] = self._wrap("source_to_code", self.source_to_code)
        self._reads = SourceFileLoader.get_data
        self._wrap_open_code()
        wrap_archive_reader(self._watched_archive)
        self._wrap_compiled(ExtensionFileLoader, "create_module")
        self._wrap_compiled(SourcelessFileLoader, "get_code")
        in_forks_of_app(self._baselines.renew_lock)

    def _wrap(self, name: str, around: Callable[..., Any]) -> Any:
        """Put a method in the place of a loader's, and return that."""

        @as_import_system
        def method(*arguments: Any, **options: Any) -> Any:
            return around(*arguments, **options)

        plain = getattr(SourceFileLoader, name)
        setattr(SourceFileLoader, name, method)
        return plain

    # --- modules that have a source ------------------------------------------------------------

    @as_import_system
    def get_code(self, loader: SourceFileLoader, fullname: str) -> CodeType | None:
        """Take the baseline of a source, load it, and tell the observer before and after."""
        path = absolute(loader.path)
        # A loader of the app's may read caches in its own way.
        is_refused = type(loader).get_data is self._reads
        state = self.before_source(path, fullname, drop_cache=not is_refused)
        if state is None:
            return self._get_code(loader, fullname)
        self._taken[path] = state
        try:
            code = self._get_code(loader, fullname)
        finally:
            self._taken.pop(path, None)
            cache = self._caches.pop(path, None)
        if path in self._compiled:
            self._compiled.discard(path)
            remove_late_cache(path, state.signature)
            cache = None
        if code is not None:
            # Of the two, bytes give the collector of garbage nothing to do.
            self.after_compile(path, cache or code, state)
        return code

    def read_source(self, path: str) -> tuple[bytes, FileState | None]:
        """Read a source as a loader does; return its bytes, and the baseline of a project's.

        For a script, which no loader reads. `after_compile` is to be called before it is run.
        Raises OSError.
        """
        state = self.before_source(path)
        with open(path, "rb") as file:
            source = file.read()
        self._baselines.was_read(path, source)
        return source, state

    def after_compile(self, path: str, code: Code, state: FileState) -> None:
        """Tell the observer of a project's source that is compiled and about to be run."""
        self.defines_del = self.defines_del or _names_del(code)
        self._observer().after_compile(path, code, state)

    def before_source(
        self, path: str, name: str = "", *, drop_cache: bool = True
    ) -> FileState | None:
        """Take the baseline of a source that is about to be loaded; drop a racy cache of it.

        Return that of a project's source, without a signature if its cache is not to be used.
        drop_cache: whether the loader would use such a cache, if the source is a project's.
        Raises ImportError when the observer refuses it.
        """
        kind = kind_of(path)
        if kind is FileKind.IGNORED:
            return None
        if kind is FileKind.PACKAGE:
            state = self._baselines.take(path, kind)
            if state.signature and self._now() - state.signature[1] < EDITED_LATELY:
                remove_racy_cache(path, state.signature)
            self._observer().before_module(path, name, kind)
            return None
        self._observer().before_module(path, name, kind)  # first: what is refused is not watched
        state = self._baselines.take(path, kind)
        if drop_cache and state.signature and not remove_racy_cache(path, state.signature):
            return state._replace(signature=None)
        return state

    @as_import_system
    def path_stats(self, loader: SourceFileLoader, path: str) -> Mapping[str, Any]:
        """Give what the baseline has found, so that nothing is asked for twice.

        Raises OSError for one without a state, or so young that the next load could not rely on
        what is written now: Python then leaves caches alone.
        """
        state = self._taken.get(path)
        if state is None:
            return cast("Mapping[str, Any]", self._path_stats(loader, path))
        if state.signature is None:
            raise FileNotFoundError(path)
        if is_young(state.signature, self._now()):
            remove_cache(path)
            raise FileNotFoundError(path)
        return {"mtime": state.signature[0] / 1e9, "size": state.signature[2]}

    @as_import_system
    def get_data(self, loader: SourceFileLoader, path: str) -> bytes:
        """Refuse a cache that Python might take for current when it is not."""
        source = absolute(loader.path)
        state = self._taken.get(source)
        if state is None or state.signature is None or not path.endswith(".pyc"):
            return self._get_data(loader, path)
        self._caches[source] = data = read_cache(path, state.signature)
        return data

    # What follows the path differs from one Python to the next.
    @as_import_system
    def source_to_code(
        self, loader: SourceFileLoader, data: Any, path: Any, *more: Any, **options: Any
    ) -> CodeType:
        """Note the very bytes that are compiled."""
        if isinstance(data, bytes) and isinstance(path, str):
            source = absolute(path)
            self._baselines.was_read(source, data)
            if source in self._taken:
                self._compiled.add(source)
        return self._compile(loader, data, path, *more, **options)

    # --- other code ----------------------------------------------------------------------------

    def before_other_code(self, path: str) -> bool:
        """Take the baseline of a project's file that is about to be read as code.

        Return whether it is one, and is watched.
        """
        if kind_of(path) is not FileKind.PROJECT:
            return False
        if not self._observer().before_other_code(path):
            return False
        self._baselines.take(path)
        return True

    def _wrap_open_code(self) -> None:
        """Wrap `io.open_code`, which `runpy` uses; the import system has its own way to it."""
        plain = io.open_code

        def open_code(path: str) -> IO[bytes]:
            if not isinstance(path, str) or not self.before_other_code(absolute(path)):
                return plain(path)
            with plain(path) as file:
                data = file.read()
            self._baselines.was_read(absolute(path), data)
            return io.BytesIO(data)

        io.open_code = open_code

    def _watched_archive(self, plain: ReadDirectory) -> ReadDirectory:
        def read_directory(archive: str) -> Any:
            self.before_other_code(absolute(archive))
            return plain(archive)

        return read_directory

    def _wrap_compiled(self, loader: type, method: str) -> None:
        """Wrap the load of what has no source, or none that Python would read."""
        plain = getattr(loader, method)

        @as_import_system
        def load(itself: ExtensionFileLoader | SourcelessFileLoader, *arguments: Any) -> Any:
            self.before_other_code(absolute(itself.path))
            return plain(itself, *arguments)

        setattr(loader, method, load)


def _names_del(code: Code) -> bool:
    """Tell whether code, or the bytes of its cache, names `__del__` anywhere."""
    if isinstance(code, bytes):
        return b"__del__" in code
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return "__del__" in code.co_names or any(map(_names_del, inner))
