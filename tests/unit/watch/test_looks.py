"""One contract for both ways to look: what is reported is what has other bytes, whatever was done.

A model knows the bytes: it reads them through the very paths that are watched.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

asyncinotify = pytest.importorskip("asyncinotify")  # of the extra `inotify`, which is Linux's

from asyncreload.child.watch import (  # noqa: E402
    directory_scanner,
    inotify,
    polling,
)
from asyncreload.child.watch import file_state as signature  # noqa: E402
from asyncreload.child.watch.file_state import FileState, stat_state  # noqa: E402
from asyncreload.child.watch.globs import Patterns  # noqa: E402
from asyncreload.child.watch.polling import Files, LimitError, Polling  # noqa: E402
from asyncreload.child.watch.watch import Watch  # noqa: E402

MODULES = ("a.py", "pkg/b.py", "pkg/sub/c.py", "link.py", "now/d.py", "hard.py")
EVENTS = pytest.mark.parametrize("events", [False, True], ids=["polling", "inotify"])


class Disk:
    """A project with all sorts of links, and what may be done to it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "above" / "project"
        for name in ("pkg/sub", "data/deep"):
            (self.root / name).mkdir(parents=True)
        for name in ("a.py", "pkg/b.py", "pkg/sub/c.py"):
            (self.root / name).write_bytes(b"0")
        for name in ("one", "two"):
            (base / name).mkdir()
            (base / name / "d.py").write_bytes(b"0")
            (base / f"{name}.py").write_bytes(b"0")
        (self.root / "link.py").symlink_to(base / "one.py")
        (self.root / "now").symlink_to(base / "one")
        (self.root / "hard.py").hardlink_to(base / "two.py")
        (self.root / "data" / "x.txt").write_bytes(b"0")

    def do(self, what: str, name: str, data: bytes) -> None:
        """Do something to a file or directory, if that is possible as things are."""
        path = self.root / name
        with suppress(OSError):
            getattr(self, what)(path, data)

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def append(self, path: Path, data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    def replace(self, path: Path, data: bytes) -> None:
        other = path.with_name(".other")
        other.write_bytes(data)
        other.replace(path)

    def link(self, path: Path, _: bytes) -> None:
        other = path.with_name(".other")
        other.symlink_to(self.base / "two.py")
        other.replace(path)

    def delete(self, path: Path, _: bytes) -> None:
        path.unlink()

    def touch(self, path: Path, _: bytes) -> None:
        path.touch()

    def mode(self, path: Path, _: bytes) -> None:
        path.chmod(0o600)

    def set_back(self, path: Path, data: bytes) -> None:
        """Other bytes, perhaps of the same size, and the times as they were."""
        status = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def away(self, path: Path, _: bytes) -> None:
        path.rename(self.base / "away")

    def back(self, path: Path, _: bytes) -> None:
        (self.base / "away").rename(path)

    def exchange(self, path: Path, data: bytes) -> None:
        """Another directory in the place of one, with other bytes in some of its files."""
        other = self.base / "copy"
        shutil.copytree(path, other, symlinks=True)
        for file in other.rglob("*.py"):
            if not file.is_symlink():
                file.write_bytes(data)
        path.rename(self.base / "old")
        other.rename(path)
        shutil.rmtree(self.base / "old")

    def swap(self, path: Path, data: bytes) -> None:
        """Let a link to a directory lead elsewhere."""
        other = path.with_name(".other")
        other.symlink_to(self.base / ("two" if data < b"2" else "one"))
        other.replace(path)

    def other_name(self, path: Path, data: bytes) -> None:
        """Write to a file by another of its names."""
        (self.base / "two.py").write_bytes(data)
        path.stat()

    def elsewhere(self, path: Path, data: bytes) -> None:
        """Write to where a link leads."""
        (path.resolve() / "d.py" if path.is_dir() else path.resolve()).write_bytes(data)

    def ancestor(self, _: Path, data: bytes) -> None:
        """Another directory in the place of the one above the project."""
        self.exchange(self.base / "above", data)

    def create(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class Model:
    """What the bytes were when they were loaded, and are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loaded = {str(root / name): self.read(str(root / name)) for name in MODULES}
        self.loaded |= self.matching()

    def read(self, path: str) -> bytes | None:
        try:
            return Path(path).read_bytes()
        except OSError:
            return None

    def matching(self) -> dict[str, bytes | None]:
        """Return the files that the pattern `data/**/*.txt` asks for."""
        found = {}
        for directory, below, names in os.walk(self.root / "data"):
            below[:] = [name for name in below if not name.startswith(".")]
            for name in names:
                if name.endswith(".txt") and not name.startswith("."):
                    found[str(Path(directory, name))] = self.read(str(Path(directory, name)))
        return found

    def changed(self) -> set[str]:
        """Return what has other bytes now, or has come, or gone."""
        now = {path: self.read(path) for path in self.loaded} | self.matching()
        return {path for path, data in now.items() if data != self.loaded.get(path)}


@contextmanager
def project() -> Iterator[tuple[Disk, Model, Watch]]:
    with TemporaryDirectory() as temp:
        disk = Disk(Path(temp).resolve())
        watch = Watch()
        watch.look_for(Patterns.of(["data/**/*.txt"], [], str(disk.root)))
        model = Model(disk.root)
        for name in MODULES:
            path = str(disk.root / name)
            watch.before_read(path)
            if (data := model.loaded[path]) is not None:
                watch.was_read(path, data)
        asyncio.run(watch.confirm([*watch.files()]))
        try:
            yield disk, model, watch
        finally:
            watch.use_polling()


def tend(watch: Watch) -> None:
    for _ in range(3):
        watch.tend()


BYTES = st.sampled_from([b"0", b"1", b"2", b"11"])
ON_FILES = st.tuples(
    st.sampled_from(
        ["write", "append", "replace", "link", "delete", "touch", "mode", "set_back", "create"]
    ),
    st.sampled_from([*MODULES, "data/x.txt", "data/deep/new.txt", "data/new/er/y.txt", "log"]),
    BYTES,
)
ON_DIRECTORIES = st.tuples(
    st.sampled_from(["away", "back", "exchange"]),
    st.sampled_from(["pkg", "pkg/sub", "data", "data/deep", "now"]),
    BYTES,
)
ON_LINKS = st.one_of(
    st.tuples(st.just("swap"), st.just("now"), BYTES),
    st.tuples(st.just("other_name"), st.just("hard.py"), BYTES),
    st.tuples(st.just("elsewhere"), st.sampled_from(["now", "link.py"]), BYTES),
    st.tuples(st.just("ancestor"), st.just("a.py"), BYTES),
)
LOOK = st.just(("look", "", b""))
TEND = st.just(("tend", "", b""))
STEPS = st.lists(st.one_of(ON_FILES, ON_FILES, ON_DIRECTORIES, ON_LINKS, LOOK, TEND), max_size=14)


@EVENTS
@settings(max_examples=int(os.environ.get("ASYNCRELOAD_SEQUENCES", "40")), deadline=None)
@given(STEPS)
def test_changed_is_what_has_other_bytes(events: bool, steps: list[tuple[str, str, bytes]]) -> None:  # noqa: FBT001  a parameter
    with project() as (disk, model, watch), asyncio.Runner() as runner:
        if events:
            assert watch.use_events(str(disk.root))
        for what, name, data in [*steps, ("look", "", b"")]:
            if what == "look":
                assert set(runner.run(watch.confirm(watch.look()))) == model.changed()
            elif what == "tend":
                tend(watch)
            else:
                disk.do(what, name, data)


@EVENTS
def test_what_only_looks_like_a_change_is_looked_at_closely_but_once(
    events: bool,  # noqa: FBT001  a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signature, "RACY", 0)
    with project() as (disk, _, watch), asyncio.Runner() as runner:
        if events:
            watch.use_events(str(disk.root))
            tend(watch)
        assert watch.look() == []
        path = str(disk.root / "a.py")
        os.utime(path, (10**9, 10**9))
        assert watch.look() == [path]
        assert watch.look() == [path]  # until somebody has looked closely
        assert runner.run(watch.confirm([path])) == []
        assert watch.look() == []


# Directories in which files of a pattern may appear


@EVENTS
def test_a_file_in_the_place_of_a_watched_directory_is_seen(events: bool, tmp_path: Path) -> None:  # noqa: FBT001  a parameter
    watch = Watch()
    (tmp_path / "data").mkdir()
    watch.look_for(Patterns.of(["data"], [], str(tmp_path)))
    if events:
        watch.use_events(str(tmp_path))
        tend(watch)
    assert watch.look() == []
    (tmp_path / "data").rmdir()
    (tmp_path / "data").write_text("x")
    assert asyncio.run(watch.confirm(watch.look())) == [str(tmp_path / "data")]
    watch.use_polling()


def test_a_busy_directory_does_not_use_up_what_is_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_scanner, "MOST", 50)
    for number in range(20):
        (tmp_path / f"{number}.tmp").write_text("")
    watch = Watch()
    watch.look_for(Patterns.of(["*.txt"], [], str(tmp_path)))
    for number in range(10):
        (tmp_path / f"{number}.tmp").unlink()
        watch.look()
    (tmp_path / "new.txt").write_text("x")
    assert asyncio.run(watch.confirm(watch.look())) == [str(tmp_path / "new.txt")]


def test_a_directory_that_turns_out_to_be_a_virtual_environment(tmp_path: Path) -> None:
    """It goes as another comes: as many as before are looked at."""
    watch = Watch()
    (tmp_path / "env").mkdir()
    watch.look_for(Patterns.of(["*.txt"], [], str(tmp_path)))
    watch.look()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "new").mkdir()
    watch.look()
    (tmp_path / "env" / "x.txt").write_text("x")
    (tmp_path / "new" / "y.txt").write_text("y")
    assert asyncio.run(watch.confirm(watch.look())) == [str(tmp_path / "new" / "y.txt")]


# The kernel's events


class Asked:
    """Counts how often the state of a file is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        self._plain = signature.signature_at
        monkeypatch.setattr(polling, "signature_at", self.signature_at)

    def signature_at(self, path: str) -> signature.Signature | None:
        self.paths.append(path)
        return self._plain(path)


def test_no_file_is_asked_for_of_which_nothing_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "RACY", 0)
    files = Files()
    for number in range(50):
        (tmp_path / f"m{number}.py").write_text("x")
        files[str(tmp_path / f"m{number}.py")] = stat_state(str(tmp_path / f"m{number}.py"))
    events = inotify.Events([str(tmp_path)])
    assert events.tend(files)
    asked = Asked(monkeypatch)
    assert events.look(files) == []
    assert asked.paths == []
    (tmp_path / "m7.py").write_text("y")
    (tmp_path / "app.log").write_text("not watched")
    assert events.look(files) == [str(tmp_path / "m7.py")]
    assert {*asked.paths} == {str(tmp_path / "m7.py")}
    events.close()


@pytest.mark.parametrize("name", ["link.py", "now/d.py", "hard.py"])
def test_links_are_looked_at_where_no_event_would_tell(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "RACY", 0)
    with project() as (disk, _, watch):
        watch.use_events(str(disk.root))
        tend(watch)
        path = disk.root / name
        target = path.resolve() if name != "hard.py" else disk.base / "two.py"
        target.write_bytes(b"1")
        assert watch.look() == [str(path)]


def test_what_is_looked_at_for_two_reasons_is_heard_of_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "RACY", 0)
    path = tmp_path / "a"
    path.write_text("x")
    one, two = (Files({str(path): stat_state(str(path))}) for _ in range(2))
    events = inotify.Events([str(tmp_path)])
    assert events.tend(one)
    path.write_text("y")
    assert events.look(one) == [str(path)]
    assert events.look(two) == [str(path)]  # new, though it is heard of already
    one[str(path)] = two[str(path)] = stat_state(str(path))
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


def test_after_an_overflow_everything_is_looked_at(tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    path = tmp_path / "a.py"
    path.write_text("x")
    time.sleep(0)
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


# Many files by one call


def test_without_the_bulk_call_the_same_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_statx", None)
    path = tmp_path / "a.py"
    path.write_text("x")
    os.utime(path, (1, 1))
    looks, files = Polling(), Files({str(path): FileState(signature.signature_at(str(path)))})
    assert looks.look(files) == []
    path.write_text("y")
    assert looks.look(files) == [str(path)]


def test_both_calls_give_the_same_signature(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x")
    for times in ((1, 10**18 + 123456789), (-5, -(10**9) - 1), (2**40, 2**33 * 10**9 + 1)):
        os.utime(path, ns=times)
        files = Files({str(path): FileState(signature.signature_at(str(path)))})
        assert Polling().look(files) == []


def test_names_of_every_kind_can_be_asked_for(tmp_path: Path) -> None:
    odd = [str(tmp_path / "\udcff.py"), str(tmp_path / "ä ö.py"), "a\0b", "", "/", "x" * 5000]
    files = Files({path: FileState(signature.signature_at(path)) for path in odd})
    assert Polling().look(files) == []


def test_a_file_that_another_thread_imports_meanwhile_is_not_taken_for_approved(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "a.py")
    Path(path).write_text("x")
    looks, files = Polling(), Files({path: FileState(signature.signature_at(path))})
    assert looks.look(files) == []
    files[path] = FileState(None)  # a new baseline, as a load takes it
    assert looks.look(files) == [path]


# The directory in common, which is held open


def polled(root: Path) -> tuple[Polling, Files]:
    """Two files of a project, at which was looked once."""
    for name in ("a.py", "sub/b.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    paths = [str(root / "a.py"), str(root / "sub" / "b.py")]
    looks, files = (
        Polling(),
        Files({path: FileState(signature.signature_at(path)) for path in paths}),
    )
    assert looks.look(files) == []
    return looks, files


def test_another_directory_in_its_place_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "above" / "project"
    looks, files = polled(root)
    (tmp_path / "above").rename(tmp_path / "gone")
    assert looks.look(files) == [*files]
    polled(root)
    assert looks.look(files) == [*files]
    shutil.rmtree(tmp_path / "above")
    (tmp_path / "gone").rename(tmp_path / "above")
    assert looks.look(files) == []
    (root / "a.py").write_text("y")
    assert looks.look(files) == [str(root / "a.py")]


@pytest.mark.parametrize("elsewhere", ["", "other"])
def test_a_descriptor_that_the_app_has_closed_is_not_relied_on(
    tmp_path: Path, elsewhere: str
) -> None:
    """As daemons do, and the number may be another directory's by then."""
    looks, files = polled(tmp_path / "project")
    (tmp_path / "other").mkdir()
    descriptor = looks._rounds[files]._top._descriptor
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
    before = len(os.listdir("/proc/self/fd"))
    looks, files = polled(tmp_path)
    for number in range(10):
        files[str(tmp_path / f"m{number}.py")] = FileState(None)
        looks.look(files)
    del looks
    assert len(os.listdir("/proc/self/fd")) == before
