"""One contract for both ways to look: what is reported is what has other bytes, whatever was done.

A model knows the bytes: it reads them through the very paths that are watched.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreload.child.watch import change_scanner, polling
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.pace import Pace
from tests.unit.watching import HOUR, Clock, Disk, SharedMapping, Watch, run_here

pytest.importorskip("asyncinotify")  # of the extra `inotify`, which is Linux's

MODULES = ("a.py", "pkg/b.py", "pkg/sub/c.py", "link.py", "now/d.py", "hard.py")
EVENTS = pytest.mark.parametrize("events", [False, True], ids=["polling", "inotify"])
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
WITHOUT_NOTICE = st.tuples(
    st.sampled_from(
        [
            *("map", "map_and_hold", "map_second_name", "map_passed_on", "map_only", "unmap"),
            *("write_mapped", "write_mapped", "hold_open", "name_again", "by_second_name"),
        ]
    ),
    st.sampled_from([*MODULES, "data/x.txt"]),
    BYTES,
)
MOUNTS = st.tuples(
    st.sampled_from(["mount", "unmount"]),
    st.sampled_from(["a.py", "pkg/b.py", "data/x.txt", "pkg", "pkg/sub", "data", "data/deep"]),
    BYTES,
)
LOOK = st.just(("look", "", b""))
CHEAPER = st.just(("make_cheaper", "", b""))
STEPS = st.lists(
    st.one_of(ON_FILES, ON_FILES, ON_DIRECTORIES, ON_LINKS, WITHOUT_NOTICE, LOOK, CHEAPER),
    max_size=14,
)
STEPS_WITH_MOUNTS = st.lists(
    st.one_of(MOUNTS, MOUNTS, ON_FILES, ON_DIRECTORIES, WITHOUT_NOTICE, LOOK, CHEAPER), max_size=14
)
_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x1000, 0x4000, 0x40000, 2


class LinkedDisk(Disk):
    """A project with all sorts of links, and what may be done to it."""

    def __init__(self, base: Path) -> None:
        super().__init__(base / "above" / "project")
        self.base = base
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
        (base / "names").mkdir()
        (base / "mounted").mkdir()
        self._held: dict[int, SharedMapping] = {}
        self._open: dict[str, int] = {}
        self._mounts = 0

    def close(self) -> None:
        """Let go of what is held open, and unmount what is mounted."""
        for memory in self._held.values():
            memory.close()
        for descriptor in self._open.values():
            os.close(descriptor)
        with open("/proc/self/mountinfo") as table:
            points = [line.split()[4] for line in table]
        for point in reversed(points):
            if point.startswith(f"{self.base}/"):
                _libc.umount2(point.encode(), MNT_DETACH)

    def append(self, path: Path, data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    def link(self, path: Path, _: bytes) -> None:
        other = path.with_name(".other")
        other.symlink_to(self.base / "two.py")
        other.replace(path)

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

    def map(self, path: Path, data: bytes) -> None:
        """Write through a mapping, which is closed then: no event tells of the write itself."""
        mapping = self._mapped(os.open(path, os.O_RDWR))
        mapping.write(data)
        mapping.close()

    def map_only(self, path: Path, _: bytes) -> None:
        """Have a file mapped, to write later."""
        self._hold(os.open(path, os.O_RDWR))

    def map_and_hold(self, path: Path, data: bytes) -> None:
        """Write through a mapping that stays."""
        self._hold(os.open(path, os.O_RDWR)).write(data)

    def map_second_name(self, path: Path, data: bytes) -> None:
        """Write through a mapping of the file by the name that it was given elsewhere."""
        self._hold(os.open(self.base / "names" / path.name, os.O_RDWR)).write(data)

    def map_passed_on(self, path: Path, data: bytes) -> None:
        """Write through a mapping that was made by a copy of a descriptor of a descriptor."""
        first = os.open(path, os.O_RDONLY)
        try:
            second = os.open(f"/proc/self/fd/{first}", os.O_RDWR)
            copy = os.dup(second)
            os.close(second)
        finally:
            os.close(first)
        self._hold(copy).write(data)

    def write_mapped(self, path: Path, data: bytes) -> None:
        """Write through the mapping that there is of a file."""
        if mapping := self._held.get(path.stat().st_ino):
            mapping.write(data)

    def unmap(self, path: Path, _: bytes) -> None:
        if mapping := self._held.pop(path.stat().st_ino, None):
            mapping.close()

    def _hold(self, descriptor: int) -> SharedMapping:
        mapping = self._mapped(descriptor)
        if before := self._held.get(mapping.inode):
            before.close()
        self._held[mapping.inode] = mapping
        return mapping

    def _mapped(self, descriptor: int) -> SharedMapping:
        if not os.fstat(descriptor).st_size:
            os.truncate(descriptor, 1)
        return SharedMapping(descriptor)

    def overlay(self) -> None:
        """Have the project lie on an overlayfs."""
        for name in ("upper", "work"):
            (self.base / name).mkdir()
        options = f"lowerdir={self.root},upperdir={self.base}/upper,workdir={self.base}/work"
        what, root = b"overlay", bytes(self.root)
        if _libc.mount(what, root, what, 0, options.encode()):
            pytest.skip(f"no overlayfs here: {os.strerror(ctypes.get_errno())}")

    def hold_open(self, path: Path, data: bytes) -> None:
        """Write by a descriptor that stays open, as some editors do."""
        if str(path) not in self._open:
            self._open[str(path)] = os.open(path, os.O_RDWR)
        os.pwrite(self._open[str(path)], data, 0)

    def name_again(self, path: Path, _: bytes) -> None:
        """Give a file a second name elsewhere."""
        second = self.base / "names" / path.name
        second.unlink(missing_ok=True)
        os.link(path, second)

    def by_second_name(self, path: Path, data: bytes) -> None:
        """Write to a file by the name that it was given elsewhere."""
        with (self.base / "names" / path.name).open("r+b") as file:
            file.write(data)

    def mount(self, path: Path, data: bytes) -> None:
        """Mount another file or directory over one, with other bytes."""
        self._mounts += 1
        source = self.base / "mounted" / str(self._mounts)
        if path.is_dir():
            shutil.copytree(path, source, symlinks=True)
            for file in source.rglob("*.*"):
                file.write_bytes(data)
        else:
            source.write_bytes(data)
        if path.exists():
            _libc.mount(bytes(source), bytes(path), None, MS_BIND, None)

    def unmount(self, path: Path, _: bytes) -> None:
        _libc.umount2(bytes(path), MNT_DETACH)

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
def watched_disk(*, is_old: bool = False) -> Iterator[tuple[LinkedDisk, Model, Watch]]:
    """Make a disk, a model of it, and a watch over it.

    is_old: whether all files are old to the watch, so that their signatures tell all changes.
    """
    with TemporaryDirectory() as temp:
        disk = LinkedDisk(Path(temp).resolve())
        clock = Clock()
        clock.advance(HOUR if is_old else 0)
        watch = Watch(clock=clock)
        watch.scanner.watch_patterns(Patterns.of(["data/**/*.txt"], [], str(disk.root)))
        model = Model(disk.root)
        for name in MODULES:
            path = str(disk.root / name)
            watch.hooks.before_source(path)
            if (data := model.loaded[path]) is not None:
                watch.baselines.was_read(path, data)
        asyncio.run(watch.scanner.compare([*watch.baselines.to_json()]))
        try:
            yield disk, model, watch
        finally:
            watch.scanner.use_polling()
            disk.close()


@pytest.fixture(scope="module")
def private_mounts() -> Iterator[None]:
    """See that nobody else sees what this thread mounts from now on."""
    if _libc.unshare(CLONE_NEWNS) or _libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        pytest.skip(f"may not mount: {os.strerror(ctypes.get_errno())}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change_scanner, "hop", run_here)  # a thread from before has other mounts
        yield


def make_cheaper(watch: Watch) -> None:
    for _ in range(3):
        watch.scanner.make_cheaper()


@EVENTS
@settings(max_examples=int(os.environ.get("ASYNCRELOAD_SEQUENCES", "40")), deadline=None)
@given(STEPS, st.booleans())
def test_changed_is_what_has_other_bytes(
    events: bool,  # noqa: FBT001  a parameter
    steps: list[tuple[str, str, bytes]],
    is_old: bool,  # noqa: FBT001  drawn
) -> None:
    reported_iff_different(steps, events=events, is_old=is_old and times_are_fine())


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("map", "a.py"),
        ("map_and_hold", "a.py"),
        ("map_second_name", "a.py"),
        ("map_passed_on", "a.py"),
        ("hold_open", "a.py"),
        ("by_second_name", "a.py"),
        ("by_second_name", "hard.py"),
        ("mount", "a.py"),
        ("mount", "pkg"),
    ],
)
def test_with_events_what_raises_none_in_its_directory_is_seen_at_once(
    request: pytest.FixtureRequest, what: str, name: str
) -> None:
    if "mount" in what:
        request.getfixturevalue("private_mounts")
    with watched_disk(is_old=True) as (disk, model, watch):
        watch.scanner.use_events(str(disk.root))
        make_cheaper(watch)
        disk.do("name_again", name, b"")
        watch.changed()
        make_cheaper(watch)
        disk.do(what, name, b"1")
        assert set(watch.changed()) == model.changed() != set()
        make_cheaper(watch)
        disk.do("write_mapped", name, b"2")
        assert set(watch.changed()) == model.changed() != set()
        disk.do("unmount", name, b"")
        assert set(watch.changed()) == model.changed()


@pytest.mark.parametrize(
    ("how", "is_overlay"),
    [
        ("map_only", False),
        ("map_second_name", False),
        ("map_passed_on", False),
        ("map_only", True),
        ("map_passed_on", True),
    ],
)
def test_with_events_a_mapping_from_before_is_written_through(
    request: pytest.FixtureRequest,
    how: str,
    is_overlay: bool,  # noqa: FBT001  a parameter
) -> None:
    if is_overlay:
        request.getfixturevalue("private_mounts")
    with watched_disk(is_old=True) as (disk, model, watch):
        if is_overlay:
            disk.overlay()
        disk.do("name_again", "a.py", b"")
        disk.do(how, "a.py", b"0")
        watch.changed()
        watch.scanner.use_events(str(disk.root))
        make_cheaper(watch)
        for data in (b"1", b"2"):
            disk.do("write_mapped", "a.py", data)
            assert set(watch.changed()) == model.changed() == {str(disk.root / "a.py")}
            make_cheaper(watch)


@EVENTS
@pytest.mark.usefixtures("private_mounts")
@settings(max_examples=int(os.environ.get("ASYNCRELOAD_SEQUENCES", "20")), deadline=None)
@given(STEPS_WITH_MOUNTS, st.booleans())
def test_changed_is_what_has_other_bytes_also_where_something_is_mounted(
    events: bool,  # noqa: FBT001  a parameter
    steps: list[tuple[str, str, bytes]],
    is_old: bool,  # noqa: FBT001  drawn
) -> None:
    reported_iff_different(steps, events=events, is_old=is_old and times_are_fine())


@cache
def times_are_fine() -> bool:
    """Tell whether two writes have different times, however soon after each other (Linux 6.13)."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "a")
        seen = {path.write_bytes(b"") or path.stat().st_ctime_ns for _ in range(100)}
        return len(seen) == 100


def reported_iff_different(
    steps: list[tuple[str, str, bytes]], *, events: bool, is_old: bool
) -> None:
    with watched_disk(is_old=is_old) as (disk, model, watch), asyncio.Runner() as runner:
        if events:
            assert watch.scanner.use_events(str(disk.root))
        if is_old:  # else there is no file yet that need not be asked for
            make_cheaper(watch)
        for what, name, data in [*steps, ("look", "", b"")]:
            if what == "look":
                assert (
                    set(runner.run(watch.scanner.compare(watch.scanner.look()))) == model.changed()
                )
            elif what == "make_cheaper":
                make_cheaper(watch)
            else:
                disk.do(what, name, data)


@EVENTS
def test_what_only_looks_like_a_change_is_compared_only_once(
    events: bool,  # noqa: FBT001  a parameter
) -> None:
    with watched_disk(is_old=True) as (disk, _, watch), asyncio.Runner() as runner:
        if events:
            watch.scanner.use_events(str(disk.root))
            make_cheaper(watch)
        assert watch.scanner.look() == []
        path = str(disk.root / "a.py")
        os.utime(path, (10**9, 10**9))
        assert watch.scanner.look() == [path]
        assert watch.scanner.look() == [path]  # until somebody has compared it
        assert runner.run(watch.scanner.compare([path])) == []
        assert watch.scanner.look() == []


def test_with_events_an_idle_look_asks_for_nothing_but_in_sweeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with watched_disk(is_old=True) as (disk, _, watch):
        watch.scanner.use_events(str(disk.root))
        make_cheaper(watch)
        polled: list[int] = []
        plain = polling.Polling.look

        def look(itself: polling.Polling, files: polling.Files) -> list[str]:
            if files is watch.baselines.project:
                polled.append(len(files))
            return plain(itself, files)

        monkeypatch.setattr(polling.Polling, "look", look)
        watch.scanner.look_at_all(0)
        sweep, polled[:] = list(polled), []
        assert sweep == [len(watch.baselines.project)]
        watch.scanner.look_at_all(Pace.SWEEP.soonest - 1)
        assert polled == []


@EVENTS
def test_a_file_in_the_place_of_a_watched_directory_is_seen(events: bool, tmp_path: Path) -> None:  # noqa: FBT001  a parameter
    watch = Watch()
    (tmp_path / "data").mkdir()
    watch.scanner.watch_patterns(Patterns.of(["data"], [], str(tmp_path)))
    if events:
        watch.scanner.use_events(str(tmp_path))
        make_cheaper(watch)
    assert watch.scanner.look() == []
    (tmp_path / "data").rmdir()
    (tmp_path / "data").write_text("x")
    assert watch.changed() == [str(tmp_path / "data")]
    watch.scanner.use_polling()


@pytest.mark.parametrize("name", ["link.py", "now/d.py", "hard.py"])
def test_links_are_looked_at_where_no_event_would_tell(name: str) -> None:
    with watched_disk(is_old=True) as (disk, _, watch):
        watch.scanner.use_events(str(disk.root))
        make_cheaper(watch)
        path = disk.root / name
        target = path.resolve() if name != "hard.py" else disk.base / "two.py"
        target.write_bytes(b"1")
        assert watch.scanner.look() == [str(path)]
