"""Whatever is done to files, and in whichever order: changed is what has other bytes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        reported_iff_different(Watch(), disk, baselines, steps, how)


@settings(max_examples=150, deadline=None)
@given(BASELINES, st.lists(OPERATIONS, max_size=8), st.lists(OPERATIONS, max_size=8))
def test_changed_is_what_has_other_bytes_also_where_the_process_before_is_trusted(
    baselines: dict[str, bytes | None],
    before: list[tuple[str, str, bytes]],
    after: list[tuple[str, str, bytes]],
) -> None:
    with coarse_disk() as disk, asyncio.Runner() as runner:
        first = Watch(clock=disk.clock)
        for name, data in baselines.items():
            first.hooks.before_source(disk.lay_out(name, data))
        for step in [*before, ("wait", "a.py", b"xx")]:
            disk.do(*step)
            runner.run(first.scanner.compare(first.scanner.look()))
        second = Watch(clock=disk.clock)
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
        reported_iff_different(Watch(clock=disk.clock), disk, baselines, steps, how)
