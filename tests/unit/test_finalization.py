"""What an ordinary end would do for objects, done to given ones: in order, once, and to the end."""

from __future__ import annotations

import gc
import gzip
import io
import socket
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

import pytest

from asyncreload import finalization as module
from asyncreload.finalization import Duty, Finalization, duty_of, living_objects, owners_first

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file is open for writing; the C library's streams are left alone."""
    monkeypatch.setattr(module, "files_open_for_writing", lambda: frozenset({(9, 1, 1)}))
    monkeypatch.setattr(module, "flush_c_streams", lambda: None)


class Owner:
    """Writes to what it holds when it is deleted."""

    def __init__(self, file: IO[str], text: str = "end") -> None:
        self.holds = {"file": [file]}
        self.text = text

    def __del__(self) -> None:
        for file in self.holds.pop("file", ()):
            file.write(self.text)


class Raises:
    """Raises an exception when it is deleted for the first time."""

    def __init__(self, exc: BaseException) -> None:
        self.left = [exc]

    def __del__(self) -> None:
        if self.left:
            raise self.left.pop()


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """Closes files after the test."""
    opened: list[Any] = []

    def note(file: Any) -> Any:
        opened.append(file)
        return file

    yield note
    for file in opened:
        file.close()


class OwnFile(io.RawIOBase):
    pass


@pytest.mark.parametrize(
    ("kind", "duty"),
    [
        (io.TextIOWrapper, Duty.FLUSH),
        (io.BufferedWriter, Duty.FLUSH),
        (io.BufferedRandom, Duty.FLUSH),
        (io.BufferedReader, Duty.NOTHING),
        (io.BytesIO, Duty.NOTHING),
        (io.FileIO, Duty.NOTHING),
        (gzip.GzipFile, Duty.CLOSE if sys.version_info < (3, 14) else Duty.DELETE),
        (OwnFile, Duty.CLOSE),
        (zipfile.ZipFile, Duty.DELETE),
        (Owner, Duty.DELETE),
        (socket.SocketIO, Duty.NOTHING),
        (socket.socket, Duty.NOTHING),
        (subprocess.Popen, Duty.NOTHING),
        (dict, Duty.NOTHING),
        (type, Duty.NOTHING),
        (Finalization, Duty.NOTHING),
    ],
)
def test_a_type_tells_what_its_objects_have_to_do(kind: type, duty: Duty) -> None:
    assert duty_of(kind) is duty


def test_files_are_written_and_temporary_ones_removed(
    tmp_path: Path, closing: Callable[[Any], Any]
) -> None:
    text = closing((tmp_path / "text").open("w"))
    text.write("text")
    zipped = closing(gzip.open(tmp_path / "zipped", "wt"))  # noqa: SIM115  closed by the fixture
    zipped.write("zipped")
    temporary = closing(tempfile.NamedTemporaryFile(dir=tmp_path))  # noqa: SIM115  the same
    objects = [text, text.buffer, zipped, zipped.buffer, temporary._closer]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # as usual; Python 3.14 has one
        Finalization(objects=lambda: objects).run()
    assert (tmp_path / "text").read_text() == "text"
    assert gzip.decompress((tmp_path / "zipped").read_bytes()) == b"zipped"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "zipped"]


@pytest.mark.parametrize("turned", [False, True])
def test_who_holds_another_comes_first(
    tmp_path: Path, closing: Callable[[Any], Any], *, turned: bool
) -> None:
    file = closing((tmp_path / "file").open("w"))
    inner, outer = Owner(file, "inner"), Owner(file, "outer ")
    outer.holds["more"] = [inner]  # type: ignore[list-item]
    objects = [file, inner, outer][:: -1 if turned else 1]
    assert owners_first(objects) == [outer, inner, file]
    Finalization(objects=lambda: objects).run()
    assert (tmp_path / "file").read_text() == "outer inner"


def test_a_chain_may_be_long_and_a_ring_has_no_first() -> None:
    ring: list[Any] = [io.BytesIO()]
    for _ in range(10_000):
        ring.append([ring[-1]])
    assert owners_first(ring) == ring[::-1]
    first: list[Any] = []
    second = [first]
    first.append(second)
    assert len(owners_first([first, second])) == 2


def test_what_all_can_be_reached_from_is_not_followed(tmp_path: Path) -> None:
    """A function's globals, a module and a type hold everything; a closure holds what it names."""
    owner = Owner(io.StringIO())
    owner.holds["file"].clear()
    held = io.StringIO(str(tmp_path))

    def function() -> object:
        return held

    globals()["_ANY"] = others = [io.StringIO()]
    try:
        owner.holds["more"] = [function, pytest, Owner]  # type: ignore[list-item]
        found = owners_first([others[0], held, owner])
    finally:
        del globals()["_ANY"]
    assert found.index(owner) < found.index(held)
    assert module._held_by(owner, {id(others[0]): others[0]}) == []


@pytest.mark.parametrize(("temporary", "has_del"), [(False, False), (True, False), (False, True)])
def test_a_process_that_has_nothing_open_does_not_look_at_its_objects(
    monkeypatch: pytest.MonkeyPatch, *, temporary: bool, has_del: bool
) -> None:
    looked: list[str] = []

    def objects() -> list[Any]:
        looked.append("looked")
        return []

    monkeypatch.setattr(module, "has_made_temporary_files", lambda: temporary)
    finalization = Finalization(frozenset({(9, 1, 1)}), objects)
    if has_del:
        finalization.has_del()
    finalization.flush()  # of files alone, and none is open
    assert looked == []
    finalization.run()
    assert looked == ["looked"] * (temporary or has_del)


def test_where_descriptors_cannot_be_listed_objects_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closing: Callable[[Any], Any]
) -> None:
    monkeypatch.setattr(module, "files_open_for_writing", lambda: None)
    file = closing((tmp_path / "file").open("w"))
    file.write("text")
    Finalization(objects=lambda: [file]).run()
    assert (tmp_path / "file").read_text() == "text"


def test_flush_calls_no_code_of_the_programs(tmp_path: Path, closing: Callable[[Any], Any]) -> None:
    file = closing((tmp_path / "file").open("w"))
    file.write("text")
    owner = Owner(file)
    finalization = Finalization(objects=lambda: [owner, file])
    finalization.flush()
    assert (tmp_path / "file").read_text() == "text"
    finalization.run()
    assert (tmp_path / "file").read_text() == "textend"


def test_an_interrupt_ends_it_and_the_next_run_goes_on(
    tmp_path: Path, closing: Callable[[Any], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    file = closing((tmp_path / "file").open("w"))
    file.write("text")
    objects = [Raises(KeyboardInterrupt()), Raises(SystemExit(1)), file]
    finalization = Finalization(objects=lambda: objects)
    with pytest.raises(KeyboardInterrupt):
        finalization.run()
    finalization.run()
    finalization.run()
    assert (tmp_path / "file").read_text() == "text"
    told = capfd.readouterr().err
    assert told.startswith("Exception ignored at the end of: <")
    assert told.count("SystemExit: 1") == 1


def test_all_objects_are_found_also_those_that_are_frozen() -> None:
    one = Owner(io.StringIO())
    gc.freeze()
    assert any(found is one for found in living_objects())
