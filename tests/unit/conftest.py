"""What several unit tests need: global state of the interpreter, put back after a test."""

from __future__ import annotations

import io
import sys
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING

import pytest

from asyncreload.child.loaders import watch_loaders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncreload.child.watch import Watch

_WRAPPED = ("get_code", "path_stats", "source_to_code")


@pytest.fixture
def loaders() -> Iterator[Callable[[Watch], None]]:
    """`watch_loaders`, undone after the test."""
    before = {name: vars(SourceFileLoader).get(name) for name in _WRAPPED}
    open_code = io.open_code
    yield watch_loaders
    io.open_code = open_code
    for name, value in before.items():
        if value is not None:
            setattr(SourceFileLoader, name, value)
        elif name in vars(SourceFileLoader):
            delattr(SourceFileLoader, name)


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is imported, and wherever from, is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    modules = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(modules)
