"""Looks at what the kernel has noted: no file is asked for of which nothing was heard."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

import pytest

from asyncreload.child.watch import polling, writers
from asyncreload.child.watch.file_state import FileState, Signature, signature_at, stat_state
from asyncreload.child.watch.polling import Files, LimitError
from asyncreload.system_calls import has_input
from tests.unit.watching import HOUR, SharedMapping

asyncinotify = pytest.importorskip("asyncinotify")  # of the extra `inotify`, which is Linux's

from asyncreload.child.watch import inotify  # noqa: E402


def later() -> int:
    """Return the time in an hour, in ns: by that clock, all files are old."""
    return time.time_ns() + HOUR


class Asked:
    """Counts how often the state of a file is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        self._plain = signature_at
        monkeypatch.setattr(polling, "_statx", None)
        monkeypatch.setattr(polling, "signature_at", self.signature_at)

    def signature_at(self, path: str) -> Signature | None:
        self.paths.append(path)
        return self._plain(path)


def test_no_file_is_asked_for_of_which_nothing_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files()
    for number in range(50):
        (tmp_path / f"m{number}.py").write_text("x")
        files[str(tmp_path / f"m{number}.py")] = stat_state(str(tmp_path / f"m{number}.py"), later)
    asked = Asked(monkeypatch)
    events = inotify.Events([str(tmp_path)])
    assert events.tend(files)
    asked.paths.clear()
    assert events.look(files) == []
    assert asked.paths == []
    (tmp_path / "m7.py").write_text("y")
    (tmp_path / "app.log").write_text("not watched")
    assert events.look(files) == [str(tmp_path / "m7.py")]
    assert {*asked.paths} == {str(tmp_path / "m7.py")}
    events.close()


def test_what_is_heard_of_while_other_files_are_seen_to_is_to_be_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("x")
    one, two = (
        Files({path: stat_state(path, later)}) for path in (f"{tmp_path}/a", f"{tmp_path}/b")
    )
    events = inotify.Events([str(tmp_path)])
    assert events.tend(one)
    assert events.tend(two)
    (tmp_path / "a").write_text("y")
    assert not events.tend(two)  # has heard it, and no event will tell of it again
    assert events.look(one) == [f"{tmp_path}/a"]
    events.close()


def test_a_path_with_a_slash_too_many_is_heard_of(tmp_path: Path) -> None:
    """As in `sys.path.insert(0, root + "//lib")`."""
    (tmp_path / "lib" / "deep").mkdir(parents=True)
    directory = f"{tmp_path}//lib//deep"
    files = Files({directory: stat_state(directory, later)})
    events = inotify.Events([str(tmp_path)])
    assert events.tend(files)
    (tmp_path / "lib" / "deep" / "new.py").touch()
    assert events.look(files) == [directory]
    events.close()


def test_what_is_looked_at_for_two_reasons_is_heard_of_for_both(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    one, two = (Files({str(path): stat_state(str(path), later)}) for _ in range(2))
    events = inotify.Events([str(tmp_path)])
    assert events.tend(one)
    path.write_text("y")
    assert events.look(one) == [str(path)]
    assert events.look(two) == [str(path)]  # new, though it is heard of already
    one[str(path)] = two[str(path)] = stat_state(str(path), later)
    assert events.look(one) == events.look(two) == []
    path.write_text("z")
    assert events.look(one) == events.look(two) == [str(path)]
    events.close()


def test_other_permissions_of_a_directory_are_a_reason_to_look(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "a.py"
    path.write_text("x")
    files = Files({str(path): stat_state(str(path))})
    events = inotify.Events([str(tmp_path)])
    events.tend(files)
    assert events._covered
    (tmp_path / "sub").chmod(0o700)
    events.look(files)
    assert not events._covered
    events.close()


def test_files_of_another_machine_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "is_local", lambda _: False)
    (tmp_path / "a.py").write_text("x")
    files = Files({str(tmp_path / "a.py"): FileState(None)})
    events = inotify.Events([str(tmp_path)])
    assert not events.tend(files)
    assert events.look(files) == [str(tmp_path / "a.py")]
    events.close()


def test_a_file_that_was_replaced_is_watched_itself_again(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x")
    files = Files({str(path): stat_state(str(path), later)})
    events = inotify.Events([str(tmp_path)])
    assert events.tend(files)
    (tmp_path / "new").write_text("y")
    (tmp_path / "new").replace(path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.py").hardlink_to(path)
    assert events.look(files) == [str(path)]
    files[str(path)] = stat_state(str(path), later)
    while not events.tend(files):
        pass
    (tmp_path / "elsewhere" / "a.py").write_text("by its other name")
    assert events.look(files) == [str(path)]
    events.close()


def test_when_the_mounts_have_changed_everything_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("x")
    files = Files({str(tmp_path / "a.py"): stat_state(str(tmp_path / "a.py"), later)})
    asked = Asked(monkeypatch)
    events = inotify.Events([str(tmp_path)])
    assert events.tend(files)
    asked.paths.clear()
    monkeypatch.setattr(events._news, "now", lambda: [True, False, False])
    assert events.look(files) == []
    assert asked.paths == [str(tmp_path / "a.py")]
    events.close()


def test_after_an_overflow_everything_is_looked_at(tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    path = tmp_path / "a.py"
    path.write_text("x")
    files = Files({str(path): stat_state(str(path))})
    events = inotify.Events([str(tmp_path)])
    events.tend(files)
    with (tmp_path / "one").open("w") as one, (tmp_path / "two").open("w") as two:
        for _ in range(limit // 2 + 100):  # by turns: the kernel takes equal neighbours for one
            os.utime(one.fileno())
            os.utime(two.fileno())
    path.write_text("other")
    assert events.look(files) == [str(path)]
    events.close()


def test_at_the_kernels_limit_it_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.py").write_text("x")
    files = Files({str(tmp_path / "a.py"): FileState(None)})
    events = inotify.Events([str(tmp_path)])
    monkeypatch.setattr(asyncinotify.Inotify, "add_watch", refuse)
    with pytest.raises(LimitError) as caught:
        events.tend(files)
    assert str(caught.value) == (
        "No space left on device: raise /proc/sys/fs/inotify/max_user_watches"
    )
    events.close()
    monkeypatch.setattr(inotify, "Inotify", refuse)
    with pytest.raises(LimitError, match="max_user_instances"):
        inotify.Events([str(tmp_path)])


def test_a_look_ends_though_something_writes_faster_than_it_reads(tmp_path: Path) -> None:
    path, busy = tmp_path / "a", tmp_path / "app.log"
    path.write_text("x")
    files = Files({str(path): stat_state(str(path), later)})
    events = inotify.Events([str(tmp_path)])
    assert events.tend(files)
    path.write_text("y")
    queue = events._queue
    reads = 0

    class Busy:
        def sync_get(self) -> Any:
            nonlocal reads
            reads += 1
            assert reads < 10_000
            busy.write_text(f"{reads}")
            return queue.sync_get()

    events._queue = cast("Any", Busy())
    assert events.look(files) == [str(path)]
    events._queue = queue
    events.close()


def test_what_was_read_but_not_heard_by_one_look_is_heard_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if so much was written meanwhile that the look has ended before."""
    paths = [tmp_path / f"{number}" for number in range(8)]
    for path in paths:
        path.write_text("x")
    files = Files({str(path): stat_state(str(path), later) for path in paths})
    events = inotify.Events([str(tmp_path)])
    assert events.tend(files)
    for path in paths[:2]:
        os.utime(path, (1, 1))
    monkeypatch.setattr(inotify, "_SMALLEST_EVENT", 2**20)
    monkeypatch.setattr(inotify, "_READ_AT_ONCE", 1)
    assert events.look(files) == [str(paths[0])]
    assert not has_input(events.descriptor)
    found = {path for _ in range(20) for path in events.look(files)}
    assert found == {*map(str, paths[:2])}
    events.close()


def test_a_file_is_asked_for_while_somebody_has_it_mapped_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"m{number}.py" for number in range(8)]
    for path in paths:
        path.write_text("x")
    files = Files({str(path): stat_state(str(path), later) for path in paths})
    asked = Asked(monkeypatch)
    before = SharedMapping(os.open(path, os.O_RDWR))
    events = inotify.Events([str(tmp_path)])
    assert not events.tend(files)  # so that it is looked at in the background
    asked.paths.clear()
    events.look(files)
    assert {*asked.paths} == {str(path)}
    before.close()
    assert settled(events, files)
    asked.paths.clear()
    events.look(files)
    assert asked.paths == []
    events.close()


def settled(events: inotify.Events, files: Files) -> bool:
    """Tell whether nothing has to be asked for after some rounds."""
    return any(events.tend(files) for _ in range(5))


def test_files_that_are_read_need_not_be_asked_for_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"m{number}.py" for number in range(3 * writers.AT_A_TIME)]
    for path in paths:
        path.write_text("x")
    files = Files({str(path): stat_state(str(path), later) for path in paths})
    asked = Asked(monkeypatch)
    events = inotify.Events([str(tmp_path)])
    assert settled(events, files)
    for path in paths:
        path.read_text()
    assert events.look(files) == []
    assert not events.tend(files)
    assert settled(events, files)
    asked.paths.clear()
    assert events.look(files) == []
    assert asked.paths == []
    assert not any(map(has_input, events.queues))
    events.close()
