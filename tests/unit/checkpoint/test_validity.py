"""A load may go on from a checkpoint while all is as it was then."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload.child.checkpoint import validity as module
from asyncreload.child.checkpoint.validity import Validity


class Bench:
    """Stands for the inputs and the scanner, which find what a test says."""

    def __init__(self) -> None:
        self.read = ""
        self.suspects: list[str] = []
        self.changed: list[str] = []
        self.ignored: list[str] = []
        self.moved: list[str] = []
        self.searches = SimpleNamespace(ignored=lambda: self.ignored)
        inputs = SimpleNamespace(differing=lambda: self.read)
        self.validity = Validity(cast("Any", inputs), cast("Any", self))

    def moved_packages(self) -> list[str]:
        return self.moved

    def look(self) -> list[str]:
        return self.suspects

    def compare_now(self, suspects: list[str]) -> list[str]:
        return [path for path in self.changed if path in suspects]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench()


def test_nothing_differs_while_nothing_has_changed(bench: Bench) -> None:
    bench.validity.note()
    assert bench.validity.differing() == ""
    bench.suspects = ["touched.py"]
    assert bench.validity.differing() == ""


def test_a_file_of_the_project_may_have_changed(bench: Bench) -> None:
    bench.suspects, bench.changed = ["touched.py", "views.py"], ["views.py"]
    assert bench.validity.differing() == "views.py"


def test_or_what_else_was_read(bench: Bench) -> None:
    bench.read = "settings.toml"
    assert bench.validity.differing() == "settings.toml"


@pytest.mark.parametrize("kind", ["ignored", "moved"])
def test_or_what_imports_find(bench: Bench, kind: str) -> None:
    setattr(bench, kind, ["/packages/library"])
    assert bench.validity.differing() == "/packages/library"


def test_or_a_directory_of_the_path_has_come(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "plugins"
    monkeypatch.setattr(sys, "path", [*sys.path, str(plugins)])
    bench.validity.note()
    assert bench.validity.differing() == ""
    plugins.mkdir()
    assert bench.validity.differing() == str(plugins)


def test_or_one_that_was_on_the_path_when_something_was_looked_for(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "plugins"
    monkeypatch.setitem(sys.path_importer_cache, str(plugins), None)
    bench.validity.note()
    plugins.mkdir()
    assert bench.validity.differing() == str(plugins)


def test_or_the_current_directory_is_gone(bench: Bench, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    os.chdir(here)
    bench.validity.note()
    os.chdir(tmp_path)
    assert bench.validity.differing() == ""
    assert Path.cwd() == here  # the one of that name
    os.chdir(tmp_path)
    here.rmdir()
    assert bench.validity.differing() == str(here)


def test_or_a_directory_has_come_that_django_looks_for_once(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "static"
    monkeypatch.setattr(module, "directories_of_apps", lambda: [str(directory)])
    bench.validity.note()
    assert bench.validity.differing() == ""
    directory.mkdir()
    assert bench.validity.differing() == str(directory)
