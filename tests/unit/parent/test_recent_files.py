"""The files that were changed last, of a project on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncreload.parent import recent_files as module
from asyncreload.parent.recent_files import recent_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose files are younger the later they come in the alphabet."""
    for age, name in enumerate(("a.py", "b.py", "lib/c.py", "lib/deep/d.py")):
        touch(tmp_path / name, age)
    return tmp_path


def touch(path: Path, at: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


def names(root: Path, most: int) -> list[str]:
    return [os.path.relpath(path, root) for path in recent_files(str(root), most)]


def test_those_come_first_that_were_changed_last(root: Path) -> None:
    assert names(root, 9) == ["lib/deep/d.py", "lib/c.py", "b.py", "a.py"]


def test_there_are_no_more_than_are_asked_for(root: Path) -> None:
    assert names(root, 2) == ["lib/deep/d.py", "lib/c.py"]
    assert names(root, 0) == []


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".git/hook.py",
        "lib/.cache/x.py",
        "node_modules/x.py",
        "env/lib/python3/site-packages/x.py",
        "__pycache__/x.py",
    ],
)
def test_what_is_not_the_projects_code_is_left_out(root: Path, name: str) -> None:
    touch(root / name, 1000)
    assert names(root, 1) == ["lib/deep/d.py"]


def test_an_environment_is_left_out_whatever_its_name(root: Path) -> None:
    touch(root / "some env" / "x.py", 1000)
    touch(root / "some env" / "pyvenv.cfg", 1000)
    assert names(root, 1) == ["lib/deep/d.py"]


def test_a_link_to_a_file_counts_and_one_to_a_directory_does_not(root: Path) -> None:
    (root / "loop").symlink_to(root)
    (root / "z.py").symlink_to(root / "lib/deep/d.py")
    (root / "nowhere.py").symlink_to(root / "gone")
    assert len(names(root, 99)) == 5


def test_a_directory_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert recent_files(str(tmp_path / "gone"), 1) == []


def test_a_huge_tree_is_not_searched_to_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_DIRECTORIES", 1)
    assert names(root, 9) == ["b.py", "a.py"]
