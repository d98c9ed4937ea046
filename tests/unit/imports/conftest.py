"""What the tests of imports share."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.unit.watching import Project, Watch


@pytest.fixture
def importing(
    project: Project,
    imports: None,
    loaders: Callable[[Watch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """A project whose modules can be imported, under the eyes of its watch."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    sys.path.insert(0, str(project.root))
    loaders(project.watch)
    return project
