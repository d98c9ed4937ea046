"""What code reads, as an audit hook tells it."""

from __future__ import annotations

import os
import pkgutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreload.child.checkpoint.inputs import Inputs

LOADED: set[str] = set()
INPUTS: list[Inputs] = []
"""One for all tests: an audit hook cannot be removed."""


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Inputs]:
    """Inputs that have noted nothing, while what is read counts; in an empty directory."""
    if not INPUTS:
        INPUTS.append(Inputs(LOADED.__contains__))
        INPUTS[0].install()
    found = INPUTS[0]
    found.__dict__.update(vars(Inputs(LOADED.__contains__)) | {"_events": found._events})
    monkeypatch.chdir(tmp_path)
    Path("data").write_text("one")
    found.is_noting = True
    yield found
    found.is_noting = False
    LOADED.clear()


def read(name: str) -> str:
    with open(name) as file:
        return file.read()


def save(name: str, text: str) -> None:
    Path(name).write_text(text)


def test_a_file_is_noted_as_it_was(inputs: Inputs, tmp_path: Path) -> None:
    read("data")
    assert inputs.paths() == [str(tmp_path / "data")]
    assert not inputs.differing()
    save("data", "two")
    assert inputs.differing() == str(tmp_path / "data")


def test_a_file_that_is_not_there_may_come(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read("absent")
    assert not inputs.differing()
    save("absent", "")
    assert inputs.differing() == str(tmp_path / "absent")


def test_a_link_that_leads_nowhere_may_lead_somewhere(inputs: Inputs, tmp_path: Path) -> None:
    os.symlink("absent", "link")
    with pytest.raises(FileNotFoundError):
        read("link")
    save("absent", "")
    assert inputs.differing() == str(tmp_path / "link")


def test_a_file_that_was_read_in_two_states_fits_neither(inputs: Inputs, tmp_path: Path) -> None:
    read("data")
    save("data", "two")
    read("data")
    save("data", "one")
    assert inputs.differing() == str(tmp_path / "data")


def test_what_is_written_alone_is_no_input(inputs: Inputs) -> None:
    save("made", "one")
    with open("made", "a") as file:
        file.write("two")
    with open("made", "w+") as file:
        file.write("three")
    assert inputs.paths() == []


def test_what_is_written_and_then_read_is_one(inputs: Inputs, tmp_path: Path) -> None:
    save("made", "one")
    read("made")
    assert not inputs.differing()
    save("made", "two")
    assert inputs.differing() == str(tmp_path / "made")


def test_a_listing_is_noted_with_what_is_a_directory(inputs: Inputs, tmp_path: Path) -> None:
    os.listdir()
    save("data", "two")
    assert not inputs.differing()
    Path("data").unlink()
    Path("data").mkdir()
    assert inputs.differing() == str(tmp_path)


def test_two_listings_that_differ_fit_neither(inputs: Inputs, tmp_path: Path) -> None:
    os.listdir()
    save("new", "")
    list(os.scandir())
    Path("new").unlink()
    assert inputs.differing() == str(tmp_path)


def test_a_listing_does_not_count_caches(inputs: Inputs) -> None:
    os.listdir()
    Path("__pycache__").mkdir()
    assert not inputs.differing()


def test_what_other_threads_read_counts(inputs: Inputs, tmp_path: Path) -> None:
    thread = threading.Thread(target=read, args=["data"])
    thread.start()
    thread.join()
    assert inputs.paths() == [str(tmp_path / "data")]


def test_a_loader_may_read_data(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source of the module itself has a baseline, and its cache goes with that."""
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("pack").mkdir()
    source = tmp_path / "pack" / "__init__.py"
    source.touch()
    LOADED.add(str(source))
    try:
        assert pkgutil.get_data("pack", "../data") == b"one"
    finally:
        sys.modules.pop("pack")
    assert [os.path.realpath(path) for path in inputs.paths()] == [str(tmp_path / "data")]


def test_a_pipe_is_not_looked_into(inputs: Inputs) -> None:
    os.mkfifo("pipe")
    os.close(os.open("pipe", os.O_RDONLY | os.O_NONBLOCK))
    assert inputs.paths() == []


def test_descriptors_and_pseudo_files_are_no_inputs(inputs: Inputs) -> None:
    with open("/proc/self/stat" if sys.platform == "linux" else os.devnull) as file:
        number = os.dup(file.fileno())
    with open(number) as file:
        file.read()
    assert inputs.paths() == []
