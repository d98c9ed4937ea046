"""What several unit tests need: global state of the interpreter, put back after a test."""

from __future__ import annotations

import io
import sys
import zipimport
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.imports.import_hooks import install_import_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from asyncreload.child.watch.watch import Watch

_WRAPPED: list[tuple[Any, str]] = [
    (io, "open_code"),
    (zipimport, "_read_directory"),
    (ExtensionFileLoader, "create_module"),
    (SourcelessFileLoader, "get_code"),
    (SourceFileLoader, "get_code"),
    (SourceFileLoader, "path_stats"),
    (SourceFileLoader, "get_data"),
    (SourceFileLoader, "source_to_code"),
]


@contextmanager
def _restored_loaders() -> Iterator[None]:
    before = [vars(owner).get(name) for owner, name in _WRAPPED]
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
    """`install_import_hooks`, undone after the test."""
    with _restored_loaders():
        yield install_import_hooks


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is imported, and wherever from, is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    modules = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(modules)
