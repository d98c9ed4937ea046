"""Whatever is done to files, and in whichever order: changed is what has other bytes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncreload.child.imports.search_hook import install_search_hook
from asyncreload.child.watch import file_state, polling
from asyncreload.child.watch.file_state import Signature
from tests.unit.watching import Clock, Disk, Watch

CONTENTS = st.sampled_from([b"", b"x = 1", b"x = 2", b"y = 10"])
NAMES = ("a.py", "b.py")
OPERATIONS = st.one_of(
    *(
        st.tuples(st.just(what), st.sampled_from(NAMES), CONTENTS)
        for what in (
            *("write", "replace", "delete", "touch"),
            *("set_time_back", "chmod", "link_again", "wait"),
        )
    )
)
BASELINES = st.fixed_dictionaries({name: st.none() | CONTENTS for name in NAMES})
TICK = 10_000_000
"""Nanoseconds from one tick of the file system's clock to the next."""


class CoarseDisk(Disk):
    """Real files; in the model, their times come from a clock that ticks every 10 ms."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.clock = Clock()
        self.clock.stand_still()
        self.contents: dict[str, bytes | None] = {}
        self._times: dict[int, tuple[int, int]] = {}
        self._first_mtimes: dict[str, int] = {}

    def signature_of(self, status: os.stat_result) -> Signature:
        return (*self._times.get(status.st_ino, (0, 0)), status.st_size, status.st_ino)

    def lay_out(self, name: str, data: bytes | None) -> str:
        """Put a file as it is at first, if it is there then; return its path."""
        self.contents[name] = None
        if data is not None:
            self.do("write", name, data)
            self._first_mtimes[name] = self._mtime(name)
        return str(self.root / name)

    def differing(self, baselines: dict[str, bytes | None]) -> set[str]:
        """Return the files that have other bytes now."""
        return {str(self.root / name) for name in NAMES if self.contents[name] != baselines[name]}

    def do(self, what: str, name: str, data: bytes) -> None:
        """Do something to a file, if that is possible as things are, and note its times."""
        path = self.root / name
        if what == "wait":
            self.clock.advance(3_000_000 * (1 + len(data)) ** 2)
            return
        kept = self._mtime(name) if what in {"link_again", "chmod"} and path.exists() else None
        super().do(what, name, data)
        if not path.exists():
            self.contents[name] = None
            return
        self.contents[name] = path.read_bytes()
        now = self.clock.time_ns() // TICK * TICK
        if what == "set_time_back":
            kept = self._first_mtimes.get(name, self._mtime(name))
        self._times[path.stat().st_ino] = (now if kept is None else kept, now)

    def _mtime(self, name: str) -> int:
        return self._times[(self.root / name).stat().st_ino][0]

    def link_again(self, path: Path, _: bytes) -> None:
        """Another name for the same file takes its place."""
        other = path.with_name(".other")
        other.hardlink_to(path)
        path.unlink()
        other.rename(path)

    def set_time_back(self, path: Path, _: bytes) -> None:
        os.utime(path, ns=(0, self._first_mtimes.get(path.name, 0)))

    def chmod(self, path: Path, _: bytes) -> None:
        path.chmod(0o600 if path.stat().st_mode & 0o044 else 0o644)


@contextmanager
def coarse_disk(*, is_seen: bool = True) -> Iterator[CoarseDisk]:
    """Make a disk.

    is_seen: whether the watch sees the times of its clock; else it sees the real ones.
    """
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        disk = CoarseDisk(Path(root).resolve())
        if is_seen:
            patch.setattr(file_state, "signature_of", disk.signature_of)
            patch.setattr(polling, "_statx", None)
        yield disk


def reported_iff_different(
    watch: Watch,
    disk: CoarseDisk,
    baselines: dict[str, bytes | None],
    steps: list[tuple[str, str, bytes]],
    how: str,
) -> None:
    for name, data in baselines.items():
        path = disk.lay_out(name, data)
        watch.hooks.before_source(path)
        if how == "learned":
            watch.baselines.learn()
        elif data is not None:
            watch.baselines.was_read(path, data)
    with asyncio.Runner() as runner:
        for step in [("wait", "a.py", b""), *steps]:
            disk.do(*step)
            expected = disk.differing(baselines)
            assert set(runner.run(watch.scanner.compare(watch.scanner.look()))) == expected


@settings(max_examples=60, deadline=None)
@given(BASELINES, st.lists(OPERATIONS, max_size=12), st.sampled_from(["read", "learned"]))
def test_changed_is_what_has_other_bytes(
    baselines: dict[str, bytes | None], steps: list[tuple[str, str, bytes]], how: str
) -> None:
    """On the real file system and the real clock."""
    with coarse_disk(is_seen=False) as disk:
        reported_iff_different(Watch(modules={}), disk, baselines, steps, how)


@settings(max_examples=150, deadline=None)
@given(BASELINES, st.lists(OPERATIONS, max_size=8), st.lists(OPERATIONS, max_size=8))
def test_changed_is_what_has_other_bytes_also_where_the_process_before_is_trusted(
    baselines: dict[str, bytes | None],
    before: list[tuple[str, str, bytes]],
    after: list[tuple[str, str, bytes]],
) -> None:
    with coarse_disk() as disk, asyncio.Runner() as runner:
        first = Watch(clock=disk.clock, modules={})
        for name, data in baselines.items():
            first.hooks.before_source(disk.lay_out(name, data))
        for step in [*before, ("wait", "a.py", b"xx")]:
            disk.do(*step)
            runner.run(first.scanner.compare(first.scanner.look()))
        second = Watch(clock=disk.clock, modules={})
        second.baselines.trust(json.loads(json.dumps(first.baselines.to_json())))
        loaded = dict(disk.contents)
        for name in NAMES:
            # And Python takes the code from its cache.
            second.hooks.before_source(str(disk.root / name))
        for step in [("wait", "a.py", b""), *after]:
            disk.do(*step)
            expected = disk.differing(loaded)
            found = set(runner.run(second.scanner.compare(second.scanner.look())))
            second.baselines.learn()
            assert found >= expected
            known = {path for path, state in second.baselines.project.items() if state.digest}
            assert found & known == expected & known


@settings(max_examples=150, deadline=None)
@given(BASELINES, st.lists(OPERATIONS, max_size=12), st.sampled_from(["read", "learned"]))
def test_changed_is_what_has_other_bytes_also_where_clocks_are_coarse(
    baselines: dict[str, bytes | None], steps: list[tuple[str, str, bytes]], how: str
) -> None:
    """On a file system that ticks every 10 ms: many writes have equal signatures."""
    with coarse_disk() as disk:
        reported_iff_different(Watch(clock=disk.clock, modules={}), disk, baselines, steps, how)


# --- what imports would find ---------------------------------------------------------------------

PLACES = ("one", "two")
ENTRIES = (
    *("a.py", "A.py", "a.pyc", f"a{EXTENSION_SUFFIXES[0]}", "a/__init__.py", "a/other.py"),
    *("a/__init__.pyc", "b.py", "b", "b/__init__.py", "c.py", "a.txt"),
)
MODULES = ("a", "b")
MOVES = st.one_of(
    st.tuples(
        st.sampled_from(["create", "create", "remove"]),
        st.sampled_from(PLACES),
        st.sampled_from(ENTRIES),
        st.just(""),
    ),
    st.tuples(
        st.just("rename"),
        st.sampled_from(PLACES),
        st.sampled_from(ENTRIES),
        st.sampled_from(ENTRIES),
    ),
    st.tuples(st.just("exchange"), st.sampled_from(PLACES), st.just(""), st.just("")),
    st.tuples(st.just("look"), st.just(""), st.just(""), st.just("")),
)


class SearchedDisk:
    """Two directories of a project that are on the path, and what may be done to them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = [str(root / place) for place in PLACES]
        for place in self.path:
            os.mkdir(place)

    def do(self, what: str, place: str, name: str, other: str) -> None:
        """Do something to an entry, if that is possible as things are."""
        with suppress(OSError, shutil.Error):
            getattr(self, what)(self.root / place / name, self.root / place / other)

    def create(self, path: Path, _: Path) -> None:
        if not path.suffix:
            path.mkdir()
            return
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def remove(self, path: Path, _: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink()

    def rename(self, path: Path, other: Path) -> None:
        path.rename(other)

    def exchange(self, path: Path, _: Path) -> None:
        """Let the two directories take the place of each other."""
        one, two = (Path(place) for place in self.path)
        one.rename(self.root / "third")
        two.rename(one)
        (self.root / "third").rename(two)

    def find(self, name: str) -> ModuleSpec | None:
        """Return what a start from nothing would find."""
        for place in self.path:
            sys.path_importer_cache.pop(place, None)
        return PathFinder.find_spec(name, self.path)


def essence(spec: ModuleSpec | None) -> list[str | None]:
    if spec is None:
        return []
    return list(spec.submodule_search_locations or ()) if spec.loader is None else [spec.origin]


def names_of(paths: list[str], root: Path) -> set[str]:
    """Return the modules that paths stand for."""
    parts = [Path(path).relative_to(root).parts for path in paths]
    return {part[1].partition(".")[0] for part in parts}


@pytest.mark.parametrize("events", [False, True], ids=["polling", "inotify"])
@settings(
    max_examples=60,
    deadline=None,
    # The fixture gives a function, which keeps nothing from one sequence to the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(MOVES, max_size=6), st.lists(MOVES, max_size=10))
def test_changed_is_what_an_import_would_find_elsewhere(
    restored_loaders: Callable[[], AbstractContextManager[None]],
    events: bool,  # noqa: FBT001  a parameter
    before: list[tuple[str, str, str, str]],
    after: list[tuple[str, str, str, str]],
) -> None:
    """Whatever comes, goes or takes another name where imports have looked."""
    if events:
        pytest.importorskip("asyncinotify")  # of the extra `inotify`, which is Linux's
    with TemporaryDirectory() as temp, asyncio.Runner() as runner:
        disk = SearchedDisk(Path(temp).resolve())
        for step in before:
            disk.do(*step) if step[0] != "look" else None
        modules: dict[str, ModuleType | None] = {}
        watch = Watch(modules=modules)
        with restored_loaders():
            install_search_hook(watch.scanner.searches)
            found = {name: disk.find(name) for name in MODULES}
        for name, spec in found.items():
            modules[name] = module = ModuleType(name)
            module.__file__ = spec.origin if spec and spec.loader else None
        if events:
            watch.scanner.use_events(str(disk.root))
        for step in [*after, ("look", "", "", "")]:
            if step[0] != "look":
                disk.do(*step)
                continue
            changed = runner.run(watch.scanner.compare(watch.scanner.look()))
            assert names_of(changed, disk.root) == {
                name for name in MODULES if essence(disk.find(name)) != essence(found[name])
            }
            watch.scanner.make_cheaper()
        watch.scanner.use_polling()
