"""Looks that ask for every file: many of them by one call, from a directory that is held open."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest

from asyncreload.child.watch import polling
from asyncreload.child.watch.file_state import FileState, signature_at
from asyncreload.child.watch.polling import Files, Polling

# --- many files by one call ----------------------------------------------------------------------


def test_without_the_bulk_call_the_same_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_statx", None)
    path = tmp_path / "a.py"
    path.write_text("x")
    os.utime(path, (1, 1))
    looks, files = Polling(), Files({str(path): FileState(signature_at(str(path)))})
    assert looks.look(files) == []
    path.write_text("y")
    assert looks.look(files) == [str(path)]


def test_both_calls_give_the_same_signature(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x")
    for times in ((1, 10**18 + 123456789), (-5, -(10**9) - 1), (2**40, 2**33 * 10**9 + 1)):
        os.utime(path, ns=times)
        files = Files({str(path): FileState(signature_at(str(path)))})
        assert Polling().look(files) == []


def test_names_of_every_kind_can_be_asked_for(tmp_path: Path) -> None:
    odd = [
        str(tmp_path / "\udcff.py"),
        str(tmp_path / "\ud800.py"),
        str(tmp_path / "ä ö.py"),
        "a\0b",
        "",
        "/",
        "x" * 5000,
    ]
    files = Files({path: FileState(signature_at(path)) for path in odd})
    assert Polling().look(files) == []


def test_a_file_that_another_thread_imports_meanwhile_is_not_taken_for_approved(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "a.py")
    Path(path).write_text("x")
    looks, files = Polling(), Files({path: FileState(signature_at(path))})
    assert looks.look(files) == []
    files[path] = FileState(None)  # a new baseline, as a load takes it
    assert looks.look(files) == [path]


# --- the directory in common, which is held open -------------------------------------------------


def polled(root: Path) -> tuple[Polling, Files]:
    """Files of a project that are worth to be asked for from there, at which was looked once."""
    names = ["a.py", *(f"sub/b{number}.py" for number in range(1, polling._WORTH_A_TOP))]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    paths = [str(root / name) for name in names]
    looks, files = (
        Polling(),
        Files({path: FileState(signature_at(path)) for path in paths}),
    )
    assert looks.look(files) == []
    return looks, files


def test_another_directory_in_its_place_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "above" / "project"
    looks, files = polled(root)
    (tmp_path / "above").rename(tmp_path / "gone")
    assert sorted(looks.look(files)) == sorted(files)
    polled(root)
    assert sorted(looks.look(files)) == sorted(files)
    shutil.rmtree(tmp_path / "above")
    (tmp_path / "gone").rename(tmp_path / "above")
    assert looks.look(files) == []
    (root / "a.py").write_text("y")
    assert looks.look(files) == [str(root / "a.py")]


@pytest.mark.skipif(polling._statx is None, reason="only Linux has such a call")
@pytest.mark.parametrize("elsewhere", ["", "other"])
def test_a_descriptor_that_the_app_has_closed_is_not_relied_on(
    tmp_path: Path, elsewhere: str
) -> None:
    """As daemons do, and the number may be another directory's by then."""
    looks, files = polled(tmp_path / "project")
    (tmp_path / "other").mkdir()
    descriptor = looks.descriptors()[0]
    assert descriptor is not None
    os.close(descriptor)
    if elsewhere:
        opened = os.open(tmp_path / elsewhere, os.O_RDONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    assert looks.look(files) == []
    (tmp_path / "project" / "a.py").write_text("y")
    assert looks.look(files) == [str(tmp_path / "project" / "a.py")]
    if elsewhere:
        os.close(descriptor)  # it was left alone


def test_descriptors_are_let_go_of(tmp_path: Path) -> None:
    gc.collect()  # of other tests
    before = len(os.listdir("/dev/fd"))
    looks, files = polled(tmp_path)
    for number in range(10):
        files[str(tmp_path / f"m{number}.py")] = FileState(None)
        looks.look(files)
    del looks
    assert len(os.listdir("/dev/fd")) == before
