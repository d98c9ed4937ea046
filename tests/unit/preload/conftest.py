"""What the tests of `preload` share."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.preload.child_runs import ChildRun
from tests.unit.watching import Watch


@pytest.fixture
def interpreter(imports: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Imports, environment, filters and loggers are put back after each test."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    environ, root = dict(os.environ), logging.getLogger()
    level, handlers, disable = root.level, list(root.handlers), root.manager.disable
    with warnings.catch_warnings():
        yield
    os.environ.clear()
    os.environ.update(environ)
    root.setLevel(level)
    root.handlers[:] = handlers
    root.manager.disable = disable


@pytest.fixture
def child(tmp_path: Path, interpreter: None, loaders: Callable[[Watch], None]) -> ChildRun:
    """A child whose imports are watched."""
    run = ChildRun(tmp_path)
    loaders(run.watch)
    return run
