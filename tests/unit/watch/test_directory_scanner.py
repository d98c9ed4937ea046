"""Directories in which files of the patterns may appear."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncreload.child.watch import directory_scanner
from asyncreload.child.watch.directory_scanner import DirectoryScanner
from asyncreload.child.watch.globs import Patterns
from tests.unit.watching import Watch


def test_a_busy_directory_does_not_use_up_what_is_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_scanner, "MOST", 50)
    for number in range(20):
        (tmp_path / f"{number}.tmp").write_text("")
    watch = Watch()
    watch.scanner.watch_patterns(Patterns.of(["*.txt"], [], str(tmp_path)))
    for number in range(10):
        (tmp_path / f"{number}.tmp").unlink()
        watch.scanner.look()
    (tmp_path / "new.txt").write_text("x")
    assert watch.changed() == [str(tmp_path / "new.txt")]


def test_a_directory_that_turns_out_to_be_a_virtual_environment(tmp_path: Path) -> None:
    """It goes as another comes: as many as before are looked at."""
    watch = Watch()
    (tmp_path / "env").mkdir()
    watch.scanner.watch_patterns(Patterns.of(["*.txt"], [], str(tmp_path)))
    watch.scanner.look()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "new").mkdir()
    watch.scanner.look()
    (tmp_path / "env" / "x.txt").write_text("x")
    (tmp_path / "new" / "y.txt").write_text("y")
    assert watch.changed() == [str(tmp_path / "new" / "y.txt")]


# --- by itself -----------------------------------------------------------------------------------


class Told:
    """A scanner, and what it has told: by the first scan, and by later ones."""

    def __init__(self, root: Path, *patterns: str) -> None:
        self.root = root
        self.found: list[str] = []
        self.appeared: list[str] = []
        self.scanner = DirectoryScanner(
            Patterns.of(patterns, [], str(root)), self.found.append, self.appeared.append
        )
        self.scanner.scan_all()

    def again(self, directory: Path) -> list[str]:
        """Return what is told when a directory is scanned again; by name."""
        self.appeared.clear()
        self.scanner.scan_again(str(directory))
        return sorted(os.path.relpath(path, self.root) for path in self.appeared)


def test_the_first_scan_finds_what_there_is(tmp_path: Path) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/c.log", ".git/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    told = Told(tmp_path, "*.txt")
    assert sorted(told.found) == [str(tmp_path / "a.txt"), str(tmp_path / "sub" / "b.txt")]
    assert told.appeared == []
    assert {str(tmp_path), str(tmp_path / "sub")} == {*told.scanner.directories}


def test_later_scans_tell_what_is_in_the_directory_and_in_new_ones_below(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    told = Told(tmp_path, "*.txt")
    for name in ("a.txt", "old/b.txt", "new/er/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert told.again(tmp_path) == ["a.txt", "new/er/c.txt"]
    assert told.again(tmp_path / "old") == ["old/b.txt"]
    assert told.found == []


def test_a_directory_that_is_not_there_yet_is_waited_for_in_the_one_above(tmp_path: Path) -> None:
    told = Told(tmp_path, "data/deep/*.txt")
    assert [*told.scanner.directories] == [str(tmp_path)]
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "a.txt").touch()
    assert told.again(tmp_path) == ["data/deep/a.txt"]


def test_a_file_that_is_asked_for_by_name_is_told_before_it_is_there(tmp_path: Path) -> None:
    assert Told(tmp_path, ".env").found == [str(tmp_path / ".env")]


def test_a_link_to_a_directory_is_not_gone_into(tmp_path: Path) -> None:
    """It may lead back to where it is."""
    (tmp_path / "a.txt").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert Told(tmp_path, "*.txt").found == [str(tmp_path / "a.txt")]


def test_a_link_that_leads_nowhere_is_told_as_a_file_may_come_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to("elsewhere")
    assert Told(tmp_path, "*.txt").found == [str(tmp_path / "a.txt")]


@pytest.mark.parametrize("inner", ["", "/inner"])
def test_a_root_behind_a_link_that_leads_nowhere_may_come(tmp_path: Path, inner: str) -> None:
    """What is above the link is as it was when it leads somewhere again."""
    work, target = tmp_path / "work", tmp_path / "target"
    work.mkdir()
    (work / "link").symlink_to(target)
    told = Told(work, f"link{inner}/*.txt")
    assert str(work / "link") in told.scanner.directories
    assert told.again(work / "link") == []
    (tmp_path / f"target{inner}").mkdir(parents=True)
    (tmp_path / f"target{inner}" / "a.txt").touch()
    assert told.again(work / "link") == [f"link{inner}/a.txt"]


def test_a_directory_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    told = Told(tmp_path, "*.txt")
    (tmp_path / "sub").rmdir()
    assert told.again(tmp_path / "sub") == []


def test_it_tells_whether_something_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern may take in a whole disk."""
    for number in range(3):
        (tmp_path / f"sub{number}" / "er").mkdir(parents=True)
    assert Told(tmp_path, "*.txt").scanner.is_whole
    monkeypatch.setattr(directory_scanner, "MOST", 4)
    assert not Told(tmp_path, "*.txt").scanner.is_whole
