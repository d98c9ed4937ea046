"""Which files were opened."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from asyncreload.child.watch import opened_files
from asyncreload.child.watch.opened_files import OpenedFiles

READ = os.O_RDONLY | os.O_CLOEXEC


def test_a_file_of_the_project_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clock = iter(range(1, 9))
    files = OpenedFiles(lambda: next(clock))
    for path in (f"{tmp_path}/a.html", "a.html", "./a.html", "b.html", "a.html"):
        files.hear("open", (path, "r", READ), None)
    assert [*files.new()] == [(f"{tmp_path}/a.html", 1), (f"{tmp_path}/b.html", 2)]
    assert [*files.new()] == []
    assert files.paths() == [f"{tmp_path}/a.html", f"{tmp_path}/b.html"]


@pytest.mark.parametrize(
    ("event", "path", "flags"),
    [
        ("open", 3, READ),
        ("open", b"/srv/a.html", READ),
        ("open", "/srv/a.py", READ),
        ("open", "/srv/__pycache__/a.cpython-311.pyc", READ),
        ("open", "/srv/a.log", os.O_WRONLY | os.O_APPEND),
        ("open", f"{sysconfig.get_path('purelib')}/shop/a.html", READ),
        ("open", "/srv/a.html", READ | os.O_NONBLOCK),
    ],
)
def test_nothing_else_is_told(event: str, path: object, flags: int) -> None:
    files = OpenedFiles()
    files.hear(event, (path, "r", flags), None)
    assert files.paths() == []


def test_an_app_that_opens_ever_more_files_costs_no_ever_larger_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opened_files, "MOST", 3)
    files = OpenedFiles()
    for number in range(5):
        files.hear("open", (f"/srv/{number}", "r", READ), None)
    assert files.paths() == ["/srv/0", "/srv/1", "/srv/2"]


def test_a_current_directory_that_is_gone_keeps_nobody_from_opening_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    files = OpenedFiles()
    files.hear("open", ("a.html", "r", READ), None)
    assert files.paths() == []
