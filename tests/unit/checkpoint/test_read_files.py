"""Files that are open for reading are read on by each fork for itself; here in one process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from asyncreload.child.checkpoint.read_files import ReadFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="by /proc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    return path


def test_a_file_is_read_on_from_where_it_was_then(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        assert file.read(3) == b"012"
        noted = ReadFiles.open_now([])
        sibling = os.dup(file.fileno())  # as a fork has one
        os.read(sibling, 4)
        noted.open_anew()
        assert file.read(3) == b"345"
        assert os.read(sibling, 3) == b"789"
        os.close(sibling)


@pytest.mark.parametrize("is_inherited", [True, False])
def test_it_is_inherited_by_programs_if_it_was(path: Path, *, is_inherited: bool) -> None:
    with path.open("rb", buffering=0) as file:
        os.set_inheritable(file.fileno(), is_inherited)
        ReadFiles.open_now([]).open_anew()
        assert os.get_inheritable(file.fileno()) is is_inherited


def test_it_may_have_lost_its_name_and_be_no_link(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    path.unlink()
    ReadFiles.open_now([]).open_anew()
    assert os.read(descriptor, 10) == b"0123456789"
    os.close(descriptor)


def test_what_is_ours_or_written_or_no_regular_file_is_left_alone(path: Path) -> None:
    with path.open("rb") as ours, path.open("r+b") as written, open("/dev/null", "rb") as null:
        places = ReadFiles.open_now([ours.fileno()]).places
        assert not places.keys() & {ours.fileno(), written.fileno(), null.fileno(), 0, 1, 2}


def test_none_is_left_open(path: Path) -> None:
    with path.open("rb"):
        before = len(os.listdir("/proc/self/fd"))
        ReadFiles.open_now([]).open_anew()
        assert len(os.listdir("/proc/self/fd")) == before
