"""An app's imports find the project's modules, also by the names of what a child has loaded."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from asyncreload.child.imports import search_path
from asyncreload.child.imports.search_path import hidden_modules, put_first

OURS = ("textwrap", "email", "email.utils", "aiofiles", "json", "asyncreload")


@pytest.fixture
def root(imports: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project; this process has the modules `OURS` for itself, and Python the rest."""
    for name in OURS:
        importlib.import_module(name)
    kept = (frozenset(sys.modules) - {*OURS}) | {"asyncreload"}
    monkeypatch.setattr(search_path, "_KEPT", kept)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "app.py")])
    return tmp_path


def module(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("MINE = True")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("textwrap.py", "textwrap"),
        ("email.py", "email"),
        ("email/__init__.py", "email"),
        ("aiofiles/__init__.py", "aiofiles"),
    ],
)
def test_the_projects_module_is_found(root: Path, file: str, name: str) -> None:
    module(root, file)
    put_first(str(root))
    assert importlib.import_module(name).MINE
    assert not {each for each in sys.modules if each.startswith(f"{name}.")}


def test_our_own_code_keeps_what_it_has(root: Path) -> None:
    module(root, "textwrap.py")
    put_first(str(root))
    assert textwrap.dedent(" x") == "x"


@pytest.mark.parametrize(
    "file",
    [
        "json/data.py",  # a directory without `__init__.py` comes after the standard library's
        "json.txt",
        "pkg/json.py",
        "asyncreload.py",  # the app's `run` is ours
        "os.py",  # Python has it loaded itself
        "time.py",  # built in
    ],
)
def test_what_an_import_would_not_find_hides_nothing(root: Path, file: str) -> None:
    module(root, file)
    before = dict(sys.modules)
    put_first(str(root))
    assert sys.modules == before


def test_what_python_looks_for_in_itself_first_is_not_hidden(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_path, "_KEPT", frozenset())
    for name in ("os", "time", "json"):
        module(root, f"{name}.py")
    sys.path.insert(0, str(root))
    assert hidden_modules() == {"json"}


def test_the_file_that_is_run_hides_nothing(root: Path) -> None:
    module(root, "json.py")
    sys.argv = [str(root / "json.py")]
    sys.path.insert(0, str(root))
    assert hidden_modules() == set()
    sys.argv = []
    assert hidden_modules() == {"json"}


def test_the_first_place_with_a_module_of_the_name_counts(root: Path) -> None:
    for place in ("first", "second"):
        module(root, f"{place}/json.py")
    sys.path[:0] = [str(root / "gone"), str(root / "first"), str(root / "second")]
    assert hidden_modules() == {"json"}
    del sys.modules["json"]
    importlib.import_module("json")
    assert hidden_modules() == set()
    sys.path.remove(str(root / "first"))
    assert hidden_modules() == {"json"}


def test_places_behind_the_standard_library_hide_nothing(root: Path) -> None:
    module(root, "json.py")
    sys.path.append(str(root))
    assert hidden_modules() == set()


def test_a_module_without_a_file_can_be_hidden(root: Path) -> None:
    sys.modules["made"] = ModuleType("made")
    module(root, "made.py")
    put_first(str(root))
    assert "made" not in sys.modules
