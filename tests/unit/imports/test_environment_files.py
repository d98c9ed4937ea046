"""The environment files, as the child reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from asyncreload.child.imports.environment_files import read_files
from asyncreload.child.watch.watch_reasons import reasons
from asyncreload.errors import EnvironmentFileError
from tests.unit.watching import Watch


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Put the variables back."""
    before = dict(os.environ)
    os.environ.pop("A", None)
    yield
    os.environ.clear()
    os.environ.update(before)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_later_file_counts_more_and_what_is_given_most(tmp_path: Path) -> None:
    os.environ["GIVEN"] = "given"
    first = write(tmp_path / "1", "A=1\nB='1 # 1'  # comment\nGIVEN=1\nEMPTY\n")
    second = write(tmp_path / "2", "A=2\nC=${GIVEN}${A}\nGIVEN=2\n")
    assert read_files([first, second], Watch().baselines) == {}
    names = ("A", "B", "C", "GIVEN", "EMPTY")
    assert [os.environ.get(name) for name in names] == ["2", "1 # 1", "given1", "given", None]


def test_one_that_is_absent_is_watched_as_well(tmp_path: Path) -> None:
    watch = Watch()
    path = str(tmp_path / ".env")
    assert read_files([path], watch.baselines) == {path: f"there is no {path}: going on without it"}
    assert watch.scanner.look() == []
    write(tmp_path / ".env", "A=1\n")
    assert watch.scanner.look() == [path]
    assert len(watch.baselines) == 1


def test_a_line_that_cannot_be_understood_is_told_with_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / ".env", 'A=1\nB="x\nC=2\n')
    told = f"{path}, line 2: this is no NAME=value; going on without it"
    assert read_files([path], Watch().baselines) == {path: told}
    assert os.environ["A"] == "1"
    assert capsys.readouterr().err == ""  # python-dotenv would tell of it without the file


def test_none_at_all_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dotenv.main", None)
    assert read_files([], Watch().baselines) == {}
    with pytest.raises(ImportError):
        read_files(["x"], Watch().baselines)


def test_one_that_cannot_be_read_is_named_and_watched(tmp_path: Path) -> None:
    watch = Watch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "bytes").write_bytes(b"A=1\nB=\xff\n")
    for name, reason in (("directory", "Is a directory"), ("bytes", "it is not UTF-8 at byte 6")):
        path = str(tmp_path / name)
        with pytest.raises(EnvironmentFileError) as caught:
            read_files([path], watch.baselines)
        assert str(caught.value) == f"cannot read the environment file {path}: {reason}"
        assert path in watch.baselines.to_json()


def test_why_a_file_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, file in (("shop.models", "/srv/shop/models.py"), ("__main__", "/srv/run.py")):
        module = ModuleType(name)
        module.__file__ = file
        monkeypatch.setitem(sys.modules, name, module)
    paths = ["/srv/.env", "/srv/shop/models.py", "/srv/run.py", "/srv/a.html", "/srv/new.py"]
    paths += ["/srv/b.css"]
    told = reasons(
        paths, ["/srv/.env"], lambda path: path.endswith("l"), lambda path: path.endswith(".css")
    )
    assert told == {
        "/srv/.env": "an environment file",
        "/srv/shop/models.py": "imported as shop.models",
        "/srv/run.py": "run as a script",
        "/srv/a.html": "asked for by --watch",
        "/srv/b.css": "it is read afresh, or renewed, when it changes: no reload is needed",
        "/srv/new.py": "a change of it may mend the load, or it was imported and dropped",
    }
