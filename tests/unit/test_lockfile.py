"""The heartbeat: made, touched, judged; time is given, or set back with `os.utime`."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncreload import lockfile
from asyncreload.errors import AsyncreloadError, LockfileError
from asyncreload.lockfile import PATIENCE, Verdict, judge, pace

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def touched_at(seconds: float) -> str:
    path = lockfile.create()
    os.utime(path, (seconds, seconds))
    return path


def test_a_lockfile_is_empty_private_and_in_the_temporary_directory(tmp_path: Path) -> None:
    path = Path(lockfile.create())
    assert path.parent == tmp_path
    assert path.name.startswith("asyncreload.")
    assert path.name.endswith(".lock")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b""


def test_each_lockfile_is_another(tmp_path: Path) -> None:
    assert lockfile.create() != lockfile.create()
    assert len(list(tmp_path.iterdir())) == 2


def test_no_descriptor_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    mkstemp = tempfile.mkstemp

    def remember(prefix: str, suffix: str) -> tuple[int, str]:
        descriptor, path = mkstemp(prefix=prefix, suffix=suffix)
        made.append(descriptor)
        return descriptor, path

    monkeypatch.setattr(tempfile, "mkstemp", remember)
    lockfile.create()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made[0])


def test_a_missing_temporary_directory_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing"
    monkeypatch.setattr(tempfile, "tempdir", str(missing))
    with pytest.raises(LockfileError) as caught:
        lockfile.create()
    cause = caught.value.__cause__
    assert isinstance(cause, FileNotFoundError)
    assert Path(cause.filename).parent == missing
    assert str(caught.value) == (
        f"cannot create a lockfile: [Errno 2] No such file or directory: '{cause.filename}'; "
        "make room there, or set TMPDIR to another directory"
    )
    assert isinstance(caught.value, AsyncreloadError)
    assert isinstance(caught.value, OSError)


@pytest.mark.asyncio
async def test_a_touch_renews_the_modification_time() -> None:
    path = touched_at(NOW)
    lockfile.touch(path)
    assert Path(path).stat().st_mtime > NOW + 1000


@pytest.mark.asyncio
async def test_a_touch_does_not_make_a_deleted_lockfile_again() -> None:
    path = lockfile.create()
    os.unlink(path)
    with pytest.raises(FileNotFoundError):
        lockfile.touch(path)
    assert not os.path.exists(path)


def test_removing_is_done_once_and_harmless_twice() -> None:
    path = lockfile.create()
    lockfile.remove(path)
    assert not os.path.exists(path)
    lockfile.remove(path)


@pytest.mark.parametrize(("interval", "seconds"), [(0.01, 2.0), (2.0, 2.0), (30.0, 30.0)])
def test_the_pace_is_the_interval_but_two_seconds_at_least(interval: float, seconds: float) -> None:
    assert pace(interval) == seconds


@pytest.mark.parametrize(
    ("interval", "age", "verdict"),
    [
        (0.1, 0, Verdict.FRESH),
        (0.1, 2 + PATIENCE, Verdict.FRESH),
        (0.1, 2 + PATIENCE + 0.01, Verdict.STALE),
        (60, 60 + PATIENCE, Verdict.FRESH),
        (60, 60 + PATIENCE + 0.01, Verdict.STALE),
        (0.1, 3600, Verdict.STALE),
        (0.1, -3600, Verdict.FRESH),
    ],
)
def test_the_age_is_judged(interval: float, age: float, verdict: Verdict) -> None:
    assert judge(touched_at(NOW), interval, NOW + age) is verdict


def test_a_deleted_lockfile_is_gone() -> None:
    path = touched_at(NOW)
    os.unlink(path)
    assert judge(path, 0.1, NOW) is Verdict.GONE


def test_a_lockfile_that_cannot_be_looked_at_is_only_stale() -> None:
    path = touched_at(NOW)
    assert judge(path + "/x", 0.1, NOW) is Verdict.STALE


@pytest.mark.parametrize(
    "kind", ["file", "directory", "absent", "dangling", "loop", "below", "long"]
)
def test_all_agree_on_what_is_gone(tmp_path: Path, kind: str) -> None:
    """What cannot be looked at was not deleted: neither is it told so, nor does it end anything."""
    path = tmp_path / "lock"
    if kind in {"file", "below"}:
        path.touch()
    elif kind == "directory":
        path.mkdir()
    elif kind in {"dangling", "loop"}:
        path.symlink_to("lock" if kind == "loop" else "nowhere")
    lock = {"below": f"{path}/lock", "long": f"{path}{'x' * 300}"}.get(kind, str(path))
    is_gone = kind in {"absent", "dangling"}
    assert lockfile.is_gone(lock) is is_gone
    assert (judge(lock, 1.0, NOW) is Verdict.GONE) is is_gone
    with suppress(OSError) if not is_gone else pytest.raises(FileNotFoundError):
        lockfile.touch(lock)
    lockfile.remove(lock)


@given(
    st.integers(0, 2**33),
    st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=3600),
    st.floats(0, 1e12),
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_time_is_judged_by_the_pace(touched: int, interval: float, now: float) -> None:
    path = touched_at(touched)
    late = now - touched > max(interval, 2) + PATIENCE
    assert judge(path, interval, now) is (Verdict.STALE if late else Verdict.FRESH)
    lockfile.remove(path)
