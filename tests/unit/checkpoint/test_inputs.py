"""What a load reads beside modules; the hook is called as the interpreter would call it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreload.child.checkpoint import inputs as module
from asyncreload.child.checkpoint.inputs import Inputs
from asyncreload.child.watch.file_state import FileState, read_state, stat_state
from tests.unit.watching import HOUR, other_bytes

_PRESENT: list[Inputs] = []


def _forward(event: str, arguments: tuple[object, ...]) -> None:
    """Hand an event to the inputs of the present test: a hook cannot be removed."""
    for inputs in _PRESENT:
        if event in inputs._events and inputs.is_noting:
            inputs._hear(event, arguments, sys._getframe(1))


sys.addaudithook(_forward)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that was written long ago, so that its metadata prove that it is as it was."""
    path = tmp_path / "settings.toml"
    path.write_text("old")
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - HOUR))
    return path


@pytest.fixture
def inputs(old: Path) -> Iterator[Inputs]:
    inputs = Inputs(lambda path: path.endswith(".py"))
    inputs.is_noting = True
    _PRESENT.append(inputs)
    yield inputs
    _PRESENT.clear()


@pytest.fixture
def young(old: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that was changed just now, by whatever clock: its metadata prove nothing."""
    monkeypatch.setattr(module, "stat_state", lambda path: stat_state(path)._replace(racy=True))
    return old


@pytest.fixture
def unclear(old: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file on a coarse clock: its metadata are the same after each change."""
    state = FileState((1, 1, 3, 1), racy=True)
    monkeypatch.setattr(module, "stat_state", lambda _: state)

    def read(path: str) -> FileState:
        return state._replace(digest=read_state(path).digest)

    monkeypatch.setattr(module, "read_state", read)
    return old


def test_a_file_is_noted_as_it_was_when_it_was_read(inputs: Inputs, young: Path) -> None:
    assert young.read_text() == "old"
    assert inputs.paths() == [str(young)]
    assert inputs.differing() == ""
    young.write_text("new")
    assert inputs.differing() == str(young)
    young.write_text("old")  # other metadata, the same bytes
    assert inputs.differing() == ""


def test_where_metadata_prove_something_nothing_is_read(
    inputs: Inputs, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be much of it. So whatever has other metadata than then is taken for changed."""
    monkeypatch.setattr(module, "stat_state", lambda path: stat_state(path)._replace(racy=False))
    old.read_text()
    assert inputs.differing() == ""
    old.write_text("old")
    assert inputs.differing() == str(old)


def test_a_change_that_no_metadata_tell_of_is_seen(inputs: Inputs, unclear: Path) -> None:
    unclear.read_text()
    assert inputs.differing() == ""
    unclear.write_text("new")
    assert inputs.differing() == str(unclear)


def test_a_file_that_was_read_before_and_after_such_a_change_fits_neither(
    inputs: Inputs, unclear: Path
) -> None:
    unclear.read_text()
    unclear.write_text("new")
    unclear.read_text()
    unclear.write_text("old")
    assert inputs.differing() == str(unclear)


def test_a_change_of_the_same_size_and_time_is_seen(inputs: Inputs, old: Path) -> None:
    old.read_text()
    other_bytes(str(old), b"new")
    assert inputs.differing() == str(old)


def test_the_first_reading_counts(inputs: Inputs, old: Path) -> None:
    old.read_text()
    inputs.is_noting = False
    old.write_text("new")
    inputs.is_noting = True
    old.read_text()
    assert inputs.differing() == str(old)


def test_a_file_that_was_not_there_differs_once_it_is(inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    with pytest.raises(FileNotFoundError):
        path.read_text()
    assert inputs.paths() == [str(path)]
    assert inputs.differing() == ""
    inputs.is_noting = False
    path.write_text("A=1")
    assert inputs.differing() == str(path)


def test_a_file_that_was_there_differs_once_it_is_not(inputs: Inputs, old: Path) -> None:
    old.read_text()
    old.unlink()
    assert inputs.differing() == str(old)


def test_it_may_be_opened_by_the_system_call(inputs: Inputs, old: Path) -> None:
    os.close(os.open(old, os.O_RDONLY))
    assert inputs.paths() == [str(old)]


@pytest.mark.parametrize("mode", ["w", "w+", "x+"])
def test_what_the_load_writes_itself_is_an_input_once_it_reads_that(
    inputs: Inputs, tmp_path: Path, mode: str
) -> None:
    """It may have made a file only as there was none: a start from nothing reads what is there."""
    path = tmp_path / "log"
    with path.open(mode):
        pass
    assert inputs.paths() == []
    path.read_text()
    assert inputs.differing() == ""
    path.write_text("edited")
    assert inputs.differing() == str(path)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_temporary_file_or_directory_is_as_it_was(
    inputs: Inputs, tmp_path: Path, *, is_removed: bool
) -> None:
    made = tempfile.mkdtemp(dir=tmp_path)
    descriptor, path = tempfile.mkstemp(dir=made)
    os.close(descriptor)
    os.listdir(made)
    if is_removed:
        os.unlink(path)
        shutil.rmtree(made)
    assert inputs.differing() == ""


def test_what_the_load_has_made_and_read_may_be_gone_again(inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "scratch"
    path.write_text("its own")
    path.read_text()
    path.unlink()
    assert inputs.differing() == ""


def test_a_directory_that_was_there_is_none_of_the_loads_own(
    inputs: Inputs, tmp_path: Path
) -> None:
    os.makedirs(tmp_path, exist_ok=True)
    os.listdir(tmp_path)
    assert inputs.paths() == [str(tmp_path)]


def test_what_is_read_and_written_at_a_time_is_an_input(inputs: Inputs, old: Path) -> None:
    with old.open("r+"):
        pass
    assert inputs.paths() == [str(old)]


def test_a_listing_is_noted_by_its_names(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.listdir(tmp_path)
    with os.scandir(tmp_path):
        pass
    assert inputs.paths() == [str(tmp_path)]
    (tmp_path / "a").write_text("its bytes are not listed")
    (tmp_path / "__pycache__").mkdir()
    assert inputs.differing() == ""
    (tmp_path / "b").touch()
    assert inputs.differing() == str(tmp_path)


def test_the_current_directory_is_listed_without_a_name(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.listdir()
    assert inputs.paths() in ([f"{tmp_path}/."], [str(tmp_path)])
    (tmp_path / "b").touch()
    assert inputs.differing() != ""


def test_a_directory_that_was_not_there_differs_once_it_is(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        os.listdir(tmp_path / "plugins")
    assert inputs.differing() == ""
    (tmp_path / "plugins").mkdir()
    assert inputs.differing() == str(tmp_path / "plugins")


linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
OF_THE_KERNEL = [pytest.param("/proc/self/stat", marks=linux), os.devnull]


@pytest.mark.parametrize("path", [*OF_THE_KERNEL, os.__file__, pytest.__file__])
def test_the_kernel_python_and_packages_are_no_inputs(inputs: Inputs, path: str) -> None:
    with open(path, "rb"):
        pass
    assert inputs.paths() == []


def test_what_another_thread_reads_is_one_too(inputs: Inputs, old: Path) -> None:
    thread = threading.Thread(target=old.read_text)
    thread.start()
    thread.join()
    assert inputs.paths() == [str(old)]


def test_what_is_imported_is_none(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports: None
) -> None:
    (tmp_path / "an_imported_module.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    __import__("an_imported_module")
    assert inputs.paths() == []


def test_nothing_is_noted_unless_it_is_asked_for(inputs: Inputs, old: Path) -> None:
    inputs.is_noting = False
    old.read_text()
    assert inputs.paths() == []


def test_descriptors_and_what_is_no_name_do_no_harm(inputs: Inputs, tmp_path: Path) -> None:
    descriptor = os.open("/", os.O_RDONLY)
    os.listdir(descriptor)
    os.close(descriptor)
    with pytest.raises(ValueError, match="null"):
        open("a\0b").close()
    with pytest.raises(TypeError):
        open(None).close()  # type: ignore[call-overload]
    assert inputs.paths() == ["/"]
    assert inputs.is_noting


def test_a_directory_that_is_opened_counts_by_its_names(inputs: Inputs, old: Path) -> None:
    descriptor = os.open(old.parent, os.O_RDONLY)
    os.listdir(descriptor)
    os.close(descriptor)
    (old.parent / "other").write_text("new")
    (old.parent / "other").replace(old)
    assert inputs.differing() == ""
    (old.parent / "b").touch()
    assert inputs.differing() == str(old.parent)
