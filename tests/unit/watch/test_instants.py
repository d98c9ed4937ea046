"""No save at any instant of a load is lost: the load is stopped at each of its steps, and saved at.

A step is a call of anything that is written in C, but for the builtins, which do not reach the
disk: between two of them no save can be told from another. `ASYNCRELOAD_LONG=1` stops at every
call and return.

Either what was loaded is what is on the disk in the end, or the file is named as changed.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import py_compile
import runpy
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from importlib.util import cache_from_source
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

from asyncreload.child.imports import pyc_cache
from asyncreload.child.imports.environment_files import read_files
from asyncreload.child.imports.script_runner import run_script
from asyncreload.child.watch import change_scanner, file_state, polling
from asyncreload.child.watch.file_state import RACY, signature_at
from asyncreload.child.watch.globs import Patterns
from tests.unit.watching import HOUR, Clock, ModulesNamed, Watch

LONG = os.environ.get("ASYNCRELOAD_LONG") == "1"
OLD, NEW = "VALUE = 1\n", "VALUE = 2\n"
MODULES = ModulesNamed("__main__", "victim")
Act = Callable[[Path], object]
Way = Callable[[Path, Watch], list[int]]
Restored = Callable[[], AbstractContextManager[None]]


class Instant(NamedTuple):
    """A step of a load at which something was done, and what was loaded."""

    at: int
    loaded: list[int] | None


class Steps:
    """Counts the steps of a load; from a given one on, does one act at each."""

    def __init__(self, at: int, acts: Iterable[Callable[[], object]]) -> None:
        self._left = at
        self._acts = list(acts)
        self.begun = False

    def __call__(self, _: FrameType, event: str, what: Any) -> None:
        if self._acts and (LONG or (event == "c_call" and _reaches_disk(what))):
            self._left -= 1
            if self._left < 0:
                self.begun = True
                self._acts.pop(0)()

    def finish(self) -> None:
        """Do what is left, as the load has come to its end."""
        while self._acts:
            self._acts.pop(0)()


def _reaches_disk(what: Any) -> bool:
    homes = {getattr(what, "__module__", None), type(what.__self__).__module__}
    return bool(homes & {"posix", "nt", "_io", "io", polling.__name__})


# What is done to the file


def in_place(path: Path) -> None:
    path.write_text(NEW)


def over_it(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(NEW)
    other.replace(path)


def unseen(path: Path) -> None:
    """Other bytes of the same size, and the modification time set back."""
    before = path.stat()
    path.write_text(NEW)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def delete(path: Path) -> None:
    path.unlink()


OPERATIONS: dict[str, list[Act]] = {
    "in place": [in_place],
    "renamed over": [over_it],
    "unlinked, created": [delete, in_place],
    "deleted": [delete],
    "same size and time": [unseen],
}


# The ways to load it


def imported(path: Path, _: Watch) -> list[int]:
    return [importlib.import_module(path.stem).VALUE]


def by_location(path: Path, _: Watch) -> list[int]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return [made.VALUE]


def run_path(path: Path, _: Watch) -> list[int]:
    return [runpy.run_path(str(path))["VALUE"]]


def as_script(path: Path, watch: Watch) -> list[int]:
    run_script((str(path),), watch.hooks)
    return [sys.modules["__main__"].VALUE]


def twice(path: Path, watch: Watch) -> list[int]:
    """Both are the app's from now on: one that is outdated is seen, though the other is not."""
    return [*imported(path, watch), *run_path(path, watch)]


def of_a_pattern(path: Path, watch: Watch) -> list[int]:
    watch.scanner.watch_patterns(Patterns.of(["*.py"], [], str(path.parent)))
    return [value_of(path)]


def of_many(path: Path, watch: Watch) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change_scanner, "READ_BEFORE_LOAD", 0)
        return of_a_pattern(path, watch)


def environment_file(path: Path, watch: Watch) -> list[int]:
    os.environ.pop("VALUE", None)
    if read_files([str(path)], watch.baselines):
        raise FileNotFoundError(path)
    return [int(os.environ.pop("VALUE"))]


def value_of(path: Path) -> Any:
    return int(path.read_text().split()[-1])


class Circumstances(NamedTuple):
    """How a load finds things."""

    cached: bool = False
    """Whether Python has the file's code in its cache."""
    coarse: bool = False
    """Whether the clock of the file system stands still."""
    events: bool = False
    """Whether the kernel tells of changes."""
    trusting: bool = False
    """Whether the process before has told how the files were."""


class Lab:
    """One file, loaded again and again, watched by a new process each time."""

    def __init__(self, root: Path, restored: Restored, how: Circumstances, events: Any) -> None:
        self.path = root / "victim.py"
        self._restored = restored
        self._cache = Path(cache_from_source(str(self.path)))
        self._how, self._events = how, events
        self.clock = Clock()
        if how.coarse:
            self.clock.stand_still(time.time_ns())
        else:
            self.clock.advance(HOUR)
        self._watch: Watch
        self._since = 0
        self._seen: dict[str, list[Any]] = {}
        self._named: set[str] = set()
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def load(self, way: Way, steps: Steps) -> list[int] | None:
        """Load the file; None if that failed, after which all is watched that may mend it."""
        self._begin()
        try:
            return self._load(way, steps)
        except (ImportError, OSError):
            self._watch.scanner.watch_what_may_mend(str(self.path.parent), (), self._since, {})
            return None
        finally:
            steps.finish()
            self.look()

    def lay_out(self) -> None:
        """Put the file as it is before the first load."""
        self.path.unlink(missing_ok=True)
        self.path.write_text(OLD)
        self._cache.unlink(missing_ok=True)
        signature = signature_at(str(self.path))
        assert signature is not None
        if self._how.cached:
            py_compile.compile(str(self.path))
            os.utime(self._cache, ns=(signature[1], signature[1]))
        # So that a file is not late by its writing here.
        self._since = signature[1] + (0 if self._how.coarse else RACY + 1)
        self._seen = self._as_seen_by_the_process_before() if self._how.trusting else {}

    def _as_seen_by_the_process_before(self) -> dict[str, list[Any]]:
        before = Watch(clock=self.clock, modules=MODULES)
        before.hooks.before_source(str(self.path))
        before.baselines.learn()
        return before.baselines.to_json()

    def _begin(self) -> None:
        self._named.clear()
        self._watch = Watch(clock=self.clock, modules=MODULES)
        self._watch.baselines.trust(self._seen)
        if self._events:
            self._watch.scanner.use_events(str(self.path.parent))

    def _load(self, way: Way, steps: Steps) -> list[int]:
        for name in ("victim", "__main__"):
            sys.modules.pop(name, None)
        sys.path_importer_cache.pop(str(self.path.parent), None)
        with self._restored():
            self._watch.hooks.install()
            try:
                sys.setprofile(steps)
                return way(self.path, self._watch)
            finally:
                sys.setprofile(None)

    def do(self, act: Act) -> None:
        """Do something to the file; again, until the clock of the file system has ticked."""
        before = signature_at(str(self.path))
        act(self.path)
        has_times = act in {in_place, unseen} and not self._how.coarse
        while has_times and signature_at(str(self.path)) == before:
            act(self.path)

    def look(self) -> None:
        """Do what the change monitor does meanwhile."""
        watch = self._watch
        self._named.update(self._runner.run(watch.scanner.compare(watch.scanner.look())))
        watch.catch_up()
        watch.scanner.make_cheaper()

    def is_seen(self) -> bool:
        """Tell whether the file was named as changed."""
        return str(self.path) in self._named

    def is_fresh(self, loaded: list[int] | None) -> bool:
        """Tell whether what was loaded is what is on the disk."""
        saved = value_of(self.path) if self.path.exists() else None
        return saved is None if loaded is None else {saved} == set(loaded)


KINDS = {
    "polling": Circumstances(),
    "polling, cached": Circumstances(cached=True),
    "coarse clock": Circumstances(coarse=True),
    "events": Circumstances(events=True),
    "events, cached": Circumstances(cached=True, events=True),
    "trusting": Circumstances(trusting=True),
    "trusting, cached": Circumstances(trusting=True, cached=True),
}
CACHING = {imported, by_location, twice}
WAYS: dict[str, list[Way]] = {
    "polling": [
        imported,
        by_location,
        run_path,
        as_script,
        twice,
        of_a_pattern,
        of_many,
        environment_file,
    ],
    "polling, cached": [imported, by_location, twice],
    "coarse clock": [imported, run_path, of_many, environment_file],
    "events": [imported, twice, of_a_pattern],
    "events, cached": [imported],
    "trusting": [imported, run_path, of_a_pattern, environment_file],
    "trusting, cached": [imported, twice],
}
CASES = [
    pytest.param(kind, way, id=f"{kind}-{way.__name__}")
    for kind, ways in WAYS.items()
    for way in ways
]


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, restored_loaders: Restored
) -> Callable[[str, Path], Lab]:
    """Makes a lab in which all files are old to the watch; or all have the same times."""

    def make(kind: str, root: Path) -> Lab:
        how = KINDS[kind]
        monkeypatch.setattr(pyc_cache, "CACHE_RACY", 0)
        monkeypatch.setattr(sys, "dont_write_bytecode", False)
        monkeypatch.setattr(sys, "path", [str(root), *sys.path])
        events = _shared_events(root, monkeypatch) if how.events else None
        lab = Lab(root, restored_loaders, how, events)
        if how.coarse:
            now = lab.clock.time_ns()
            monkeypatch.setattr(
                file_state, "signature_of", lambda status: (now, now, status.st_size, 0)
            )
            monkeypatch.setattr(polling, "_statx", None)
        return lab

    return make


def _shared_events(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let all watches use the same queue: to close one takes 10 ms."""
    events = pytest.importorskip("asyncreload.child.watch.inotify").Events([str(root)])

    def afresh(_: object) -> Any:
        events.listen()
        events._forget()
        return events

    monkeypatch.setattr(change_scanner, "_Events", afresh)
    return events


def every_instant(
    lab: Lab, way: Way, acts: list[Callable[[], object]], at: int = 0, stride: int = 1
) -> Iterator[Instant]:
    """Load again and again, and do the acts at a later step each time; the last time after it.

    at: the first step; stride: how many steps later.
    """
    steps: Steps | None = None
    while steps is None or steps.begun:
        lab.lay_out()
        steps = Steps(at, acts)
        yield Instant(at, lab.load(way, steps))
        at += stride


@pytest.mark.usefixtures("imports")
@pytest.mark.parametrize("what", OPERATIONS)
@pytest.mark.parametrize(("kind", "way"), CASES)
def test_no_save_is_lost(
    kind: str, way: Way, what: str, tmp_path: Path, world: Callable[[str, Path], Lab]
) -> None:
    lost = []
    # Times of sources that are made up say nothing of their caches.
    again = way in CACHING and kind != "coarse clock"
    with closing(world(kind, tmp_path)) as lab:
        acts = [partial(lab.do, act) for act in OPERATIONS[what]]
        orders: list[list[Callable[[], object]]]
        orders = [[*acts], [lab.look, *acts], [*acts, lab.look]]
        for order in orders:
            # The short version skips instants; more where there is a look as well, and of a second
            # load. What one operation skips, the next one does not: it begins elsewhere.
            skips = 1 + 2 * (len(order) > len(acts)) + (way is twice)
            stride = 1 if LONG else 1 + skips
            begin = [*OPERATIONS].index(what) % stride
            for at, loaded in every_instant(lab, way, order, begin, stride):
                if not lab.is_fresh(loaded) and not lab.is_seen():
                    lost.append(f"at {at}, {len(order)}: {loaded}")
                if again and not lab.is_fresh(lab.load(way, Steps(0, []))):
                    lost.append(f"at {at}, by the next load")
    assert not lost


@pytest.mark.usefixtures("imports")
@pytest.mark.parametrize(("kind", "way"), CASES)
def test_what_is_looked_at_during_the_load_is_no_change(
    kind: str, way: Way, tmp_path: Path, world: Callable[[str, Path], Lab]
) -> None:
    with closing(world(kind, tmp_path)) as lab:
        for at, loaded in every_instant(lab, way, [lab.look]):
            assert lab.is_fresh(loaded)
            assert not lab.is_seen(), at
