"""What the unit tests of `watch`, `imports` and `preload` share: a project, its watch, a clock."""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import mmap
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

import pytest

from asyncreload.child.imports.import_hooks import ImportHooks
from asyncreload.child.imports.import_observer import ImportObserver
from asyncreload.child.imports.search_hook import install_search_hook
from asyncreload.child.watch import change_scanner, file_state
from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.change_scanner import ChangeScanner
from asyncreload.child.watch.file_state import Signature
from asyncreload.child.watch.module_scan import ModuleScan

_libc = ctypes.CDLL(None, use_errno=True)
_MS_SYNC = 4
P = ParamSpec("P")
T = TypeVar("T")
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
"""Both in nanoseconds."""


class Clock:
    """The clock that a watch is given: the machine's, or one that stands still at `start`.

    start: ns since the epoch.
    """

    def __init__(self, start: int | None = None) -> None:
        self._start = start
        self._ahead = 0
        self._used = 0.0
        self.cost: float = 0.0
        """Seconds of CPU that pass from one question for them to the next."""

    def stand_still(self, at: int = 1_700_000_000 * SECOND) -> None:
        self._start = at
        self._ahead = 0

    def advance(self, nanoseconds: int) -> None:
        self._ahead += nanoseconds

    def time_ns(self) -> int:
        return (time.time_ns() if self._start is None else self._start) + self._ahead

    def thread_time(self) -> float:
        self._used += self.cost
        return self._used


class ModulesNamed(Mapping[str, ModuleType | None]):
    """Those of this process's modules that have certain names: a scan of all takes milliseconds."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __getitem__(self, name: str) -> ModuleType | None:
        if name not in self._names:
            raise KeyError(name)
        return sys.modules[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in sys.modules)

    def __reversed__(self) -> Iterator[str]:
        return (name for name in reversed(self._names) if name in sys.modules)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Watch:
    """Baselines, and what takes them and compares them, put together as the agent does it.

    observer: who observes imports; nobody, if it is not given.
    modules, search_path: `sys.modules` and `sys.path`, if not given.
    """

    def __init__(
        self,
        observer: Callable[[], ImportObserver] = ImportObserver,
        clock: change_scanner.Clock = time,
        modules: Mapping[str, ModuleType | None] = sys.modules,
        search_path: Iterable[str] | None = None,
    ) -> None:
        self.baselines = Baselines(self._on_new_file, clock.time_ns, search_path)
        self.scanner = ChangeScanner(self.baselines, clock, modules)
        self.modules = ModuleScan(self.baselines, modules)
        self.hooks = ImportHooks(self.baselines, observer, clock.time_ns)

    def _on_new_file(self, path: str) -> None:
        self.scanner.doubt(path)

    def install_hooks(self) -> None:
        """Hook into all that imports."""
        self.hooks.install()
        install_search_hook(self.scanner.searches)

    def catch_up(self) -> None:
        """Do what the change monitor and its thread do."""
        self.modules.scan()
        self.modules.take_packages()
        self.baselines.learn()

    def changed(self) -> list[str]:
        """Look, and compare what is suspected; return the files that have changed."""
        return asyncio.run(self.scanner.compare(self.scanner.look()))


class Project:
    """Files that were loaded, and a watch over them. No module is registered, but in `modules`."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self.modules: dict[str, ModuleType | None] = {}
        self.observer = ImportObserver()
        self.watch: Watch
        self.new_watch()

    def new_watch(self, search_path: Iterable[str] = ()) -> Watch:
        """Have the files watched by another process from now on, which has loaded none of them."""
        self.watch = Watch(lambda: self.observer, self.clock, self.modules, search_path)
        return self.watch

    def path(self, name: str) -> str:
        return str(self.root / name)

    def write(self, name: str, data: bytes = b"x = 1\n") -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def load(self, name: str, data: bytes = b"x = 1\n") -> str:
        """Write a file, and do to it what a loader does."""
        path = self.write(name, data)
        self.watch.hooks.before_source(path)
        self.watch.baselines.was_read(path, data)
        return path

    def register(self, name: str, path: str | None) -> None:
        """Register a module that no loader has loaded."""
        module = ModuleType(name)
        if path:
            module.__file__ = path
        self.modules[name] = module

    def changed(self) -> list[str]:
        """Return what a look and a comparison say; by name."""
        return sorted(os.path.relpath(path, self.root) for path in self.watch.changed())

    def suspects(self) -> list[str]:
        """Return what a look says; by name."""
        return sorted(os.path.relpath(path, self.root) for path in self.watch.scanner.look())

    def watched(self) -> list[str]:
        """Return the paths of the project's files that are watched."""
        return sorted(self.watch.baselines.to_json())


class Disk:
    """What may be done to the files below a directory, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def do(self, what: str, name: str, data: bytes) -> None:
        """Do something to a file or directory, if that is possible as things are."""
        with suppress(OSError):
            getattr(self, what)(self.root / name, data)

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def replace(self, path: Path, data: bytes) -> None:
        other = path.with_name(".other")
        other.write_bytes(data)
        other.replace(path)

    def delete(self, path: Path, _: bytes) -> None:
        path.unlink()

    def touch(self, path: Path, _: bytes) -> None:
        path.touch()


class SharedMapping:
    """A shared mapping of a file through which is written; no descriptor is left of it.

    descriptor: of the file; is closed. (Python's own mappings keep a copy open.)
    """

    def __init__(self, descriptor: int) -> None:
        _libc.mmap.restype = ctypes.c_void_p
        status, shared = os.fstat(descriptor), mmap.PROT_READ | mmap.PROT_WRITE
        size = ctypes.c_size_t(status.st_size)
        offset = ctypes.c_long(0)
        self._at = _libc.mmap(None, size, shared, mmap.MAP_SHARED, descriptor, offset)
        os.close(descriptor)
        self.inode = status.st_ino
        assert self._at != ctypes.c_void_p(-1).value

    def write(self, data: bytes) -> None:
        """Write one byte. The kernel notes that in the file's times."""
        page, size = ctypes.c_void_p(self._at), ctypes.c_size_t(1)
        assert not _libc.msync(page, size, _MS_SYNC)  # else only the first time
        ctypes.memmove(self._at, data, 1)

    def close(self) -> None:
        _libc.munmap(ctypes.c_void_p(self._at), ctypes.c_size_t(1))


def other_bytes(path: str, data: bytes) -> None:
    """Write in place and set the modification time back: only the change time tells.

    Repeated until the file system's clock has ticked, which it does within 10 ms.
    """
    before = os.stat(path)
    while os.stat(path).st_ctime_ns == before.st_ctime_ns:
        Path(path).write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def save_after_next_stat(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Have a file saved between the next look at its state and whatever follows that look."""
    plain = file_state.signature_of

    def then_save(status: os.stat_result) -> Signature:
        found = plain(status)
        monkeypatch.setattr(file_state, "signature_of", plain)
        other_bytes(path, b"x = 2\n")
        return found

    monkeypatch.setattr(file_state, "signature_of", then_save)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Have this process out of descriptors meanwhile: nothing can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def import_again(name: str) -> ModuleType:
    """Import a module as a process does that has not imported it yet."""
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return importlib.import_module(name)


async def run_here(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Stand for `hop`, without a thread."""
    return function(*args, **kwargs)
