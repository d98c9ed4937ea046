"""The state of a file: signature, and digest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from asyncreload.child.imports.pyc_cache import CACHE_RACY
from asyncreload.child.watch.file_state import (
    ABSENT,
    LARGEST,
    RACY,
    FileState,
    digest,
    digest_of,
    is_later,
    read_state,
    signature_at,
    signature_of,
    stat_state,
)
from tests.unit.watching import SECOND, no_descriptors, other_bytes


def test_a_signature_has_both_times_the_size_and_the_inode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    status = path.stat()
    expected = (status.st_mtime_ns, status.st_ctime_ns, 3, status.st_ino)
    assert signature_of(status) == signature_at(str(path)) == expected
    assert signature_at(str(tmp_path / "b")) is None


def test_what_a_stat_tells_of_a_file_and_what_reading_it_tells(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    old = path.stat().st_ctime_ns + RACY
    seen = signature_at(str(path))
    assert stat_state(str(path), lambda: old) == FileState(seen, racy=False, digest=None)
    assert read_state(str(path), lambda: old) == FileState(seen, racy=False, digest=digest(b"123"))
    assert stat_state(str(path), lambda: old - 1).racy
    assert read_state(str(path), lambda: old - 1).racy
    absent = FileState(None, digest=ABSENT)
    assert stat_state(str(path) + "x") == read_state(str(path) + "x") == absent


def test_a_file_that_cannot_be_read_for_lack_of_descriptors_is_not_absent(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    old = path.stat().st_ctime_ns + RACY
    seen = signature_at(str(path))
    with no_descriptors():
        assert read_state(str(path), lambda: old) == FileState(seen, racy=False, digest=None)
        assert digest_of(str(path), seen) is None
    assert stat_state(str(path)).is_unread
    assert not read_state(str(path)).is_unread


def test_a_path_that_can_be_no_file_is_absent(tmp_path: Path) -> None:
    for name in ("a\0b.py", "\ud800.py"):
        assert stat_state(str(tmp_path / name)).digest == ABSENT
        assert read_state(str(tmp_path / name)).digest == ABSENT


def test_constants_are_as_the_contract_says() -> None:
    assert RACY > 10_000_000
    assert CACHE_RACY == SECOND


def test_a_state_travels(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    states = [read_state(str(path)), stat_state(str(path)), FileState(None, digest=ABSENT)]
    for state in [*states, FileState(None)]:
        assert FileState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_what_is_no_plain_file_has_a_signature_and_no_bytes(tmp_path: Path) -> None:
    """Nor is it waited for that somebody writes to a named pipe."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        expected = FileState(signature_at(str(path)), digest=ABSENT)
        assert read_state(str(path)) == expected


def test_a_very_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    os.truncate(path, LARGEST + 1)
    state = read_state(str(path))
    assert state == FileState(signature_at(str(path)), racy=False, digest=None)
    assert not state.is_unread


def test_a_digest_is_that_of_a_state_or_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    state = signature_at(str(path))
    assert digest_of(str(path), state) == digest(b"123")
    other_bytes(str(path), b"456")
    assert digest_of(str(path), state) is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (1000 - RACY - 1, False),
        (1000 - RACY, True),  # perhaps: the clock of the file system is coarse
        (1000, True),
        (5000, True),
        (5001, False),  # in the future: the clock was set back
    ],
)
def test_what_changed_after_a_moment(changed: int, expected: bool) -> None:  # noqa: FBT001  a row
    assert is_later(FileState((0, changed, 0, 0)), 1000, 5000) is expected


def test_what_is_not_there_changed_after_no_moment() -> None:
    assert not is_later(FileState(None, digest=ABSENT), 0, 5000)
    assert not is_later(FileState((0, 1000, 0, 0)), None, 5000)
