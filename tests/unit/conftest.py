"""What several unit tests need: global state of the interpreter, put back after a test."""

from __future__ import annotations

import io
import os
import pkgutil
import sys
import zipimport
from contextlib import contextmanager
from importlib.machinery import (
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.watch import file_state, polling
from tests.unit.watching import HOUR, Clock, Project, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from asyncreload.child.watch.file_state import Signature

_WRAPPED: list[tuple[Any, str]] = [
    (io, "open_code"),
    (zipimport, "_read_directory"),
    (ExtensionFileLoader, "create_module"),
    (SourcelessFileLoader, "get_code"),
    (FileFinder, "find_spec"),
    (pkgutil, "iter_importer_modules"),
    (SourceFileLoader, "get_code"),
    (SourceFileLoader, "path_stats"),
    (SourceFileLoader, "get_data"),
    (SourceFileLoader, "source_to_code"),
    (os, "register_at_fork"),
]


@contextmanager
def _restored_loaders() -> Iterator[None]:
    before = [vars(owner).get(name) for owner, name in _WRAPPED]
    # What is to be called in forks would be kept for ever: nothing can take it back.
    os.register_at_fork = lambda **_: None
    try:
        yield
    finally:
        for (owner, name), value in zip(_WRAPPED, before, strict=True):
            if value is not None:
                setattr(owner, name, value)
            elif name in vars(owner):
                delattr(owner, name)


@pytest.fixture
def restored_loaders() -> Callable[[], AbstractContextManager[None]]:
    """The loaders are put back after a `with` block."""
    return _restored_loaders


@pytest.fixture
def loaders() -> Iterator[Callable[[Watch], None]]:
    """Installs a watch's import hooks, which is undone after the test."""
    with _restored_loaders():
        yield lambda watch: watch.install_hooks()


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is imported, and wherever from, is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    modules, finders = dict(sys.modules), dict(sys.path_importer_cache)
    yield
    sys.path_importer_cache.clear()
    sys.path_importer_cache.update(finders)
    sys.modules.clear()
    sys.modules.update(modules)


@pytest.fixture
def clock() -> Clock:
    """The clock of `project`: the machine's, but for what a test does to it."""
    return Clock()


@pytest.fixture
def project(tmp_path: Path, clock: Clock) -> Project:
    """An empty project, and a watch over it."""
    return Project(tmp_path, clock)


@pytest.fixture
def an_hour_later(clock: Clock) -> None:
    """All files are an hour old to the watch of `project`: their signatures tell all changes."""
    clock.advance(HOUR)


@pytest.fixture
def coarse(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A file system whose clock stands still: all writes have equal signatures."""
    clock.stand_still()
    stuck = clock.time_ns()

    def stand_still(status: os.stat_result) -> Signature:
        return (stuck, stuck, status.st_size, 0)

    monkeypatch.setattr(file_state, "signature_of", stand_still)
    monkeypatch.setattr(polling, "_statx", None)  # it is not asked what the system says
    return clock
