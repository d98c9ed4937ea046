"""The checkpoints of one load: where they are taken, and what is told."""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload.child.checkpoint import places, session
from asyncreload.child.checkpoint.places import END
from asyncreload.child.checkpoint.session import CheckpointSession


class Bench:
    """A session whose surroundings do what a test says; a checkpoint is always worth it."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.noted_while_taken: list[bool] = []
        self.told: list[str] = []
        self.obstacle = ""
        self.loaded = 1
        self.noted: list[int] = []
        self.read: list[str] = []
        self.inputs = SimpleNamespace(is_noting=False, install=self.install, note=self.read.append)
        self.numbers: list[str] = []
        self.session = CheckpointSession(
            self.take,
            cast("Any", SimpleNamespace(first=lambda: self.obstacle)),
            cast("Any", SimpleNamespace(install=self.install)),
            cast("Any", SimpleNamespace(inputs=self.inputs, note=self.note)),
            cast("Any", self),
            self.tell,
            lambda: self.loaded,
        )
        self.goes_on = False

    def install(self) -> None:
        """Nothing is wrapped for good by a test."""

    def note(self) -> None:
        """Note what the checkpoint rests on: before it is taken."""
        self.noted.append(len(self.taken))

    def tell(self, reason: str, *, is_wanted: bool = False) -> None:
        self.told.append(f"wanted: {reason}" if is_wanted else reason)

    def take(self, place: str) -> None:
        self.taken.append(place)
        self.noted_while_taken.append(self.inputs.is_noting)
        if self.goes_on:  # as in a process that goes on, and is not to take any
            self.session.begin([], at_end=False)

    # --- the scanner's side ---

    def is_ignored(self, path: str) -> bool:
        return path == "ignored.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(places, "WORTH", 0.0)
    numbers: list[str] = []
    stand_in = SimpleNamespace(
        install=int,
        before_fork=lambda: numbers.append("before fork"),
        renew=lambda: numbers.append("renew"),
    )
    monkeypatch.setattr(session, "RandomNumbers", lambda: stand_in)
    bench = Bench()
    bench.numbers = numbers
    return bench


def test_one_is_taken_before_a_file_and_at_the_end(bench: Bench) -> None:
    bench.session.begin(["views.py"], at_end=True)
    bench.session.before_file("models.py")
    bench.session.before_file("views.py")
    bench.session.at_end()
    assert bench.taken == ["views.py", END]
    assert bench.noted == [0, 1]
    assert bench.numbers == ["before fork"] * 2


def test_before_the_first_module_none_is_taken(bench: Bench) -> None:
    """A standby has all that it would have."""
    bench.loaded = 0
    bench.session.begin(["app.py"], at_end=False)
    bench.session.before_file("app.py")
    assert bench.taken == []


def test_without_any_wanted_none_is_taken_and_nothing_is_noted(bench: Bench) -> None:
    bench.session.begin([], at_end=False)
    assert not bench.inputs.is_noting
    bench.session.before_file("views.py")
    bench.session.at_end()
    assert bench.taken == []


def test_what_is_read_is_noted_during_the_load_but_not_while_one_is_taken(bench: Bench) -> None:
    bench.session.begin(["views.py"], at_end=False)
    assert bench.inputs.is_noting
    bench.session.before_file("views.py")
    assert bench.noted_while_taken == [False]
    assert bench.inputs.is_noting
    bench.session.end()
    assert not bench.inputs.is_noting


def test_after_the_load_none_is_taken(bench: Bench) -> None:
    bench.session.begin(["views.py"], at_end=True)
    bench.session.end()
    bench.session.before_file("views.py")
    bench.session.at_end()
    assert bench.taken == []


def test_in_a_process_that_goes_on_what_it_was_told_counts(bench: Bench) -> None:
    bench.goes_on = True
    bench.session.begin(["views.py", "urls.py"], at_end=True)
    bench.session.before_file("views.py")
    bench.session.before_file("urls.py")
    bench.session.at_end()
    assert bench.taken == ["views.py"]
    assert not bench.inputs.is_noting


def test_a_module_that_is_kept_is_passed_once_also_by_processes_that_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes on from behind it has it; a checkpoint at its end would count as that one."""
    monkeypatch.setitem(sys.modules, "data", ModuleType("data"))
    for _ in range(2):
        bench.session.begin([], at_end=False, keep=["data"])
        bench.session.before_file("views.py")
        bench.session.at_end()
    assert bench.taken == ["data"]


def test_an_obstacle_is_told_once_and_none_is_taken(bench: Bench) -> None:
    bench.obstacle = "a timer runs"
    bench.session.begin(["models.py", "views.py"], at_end=True)
    bench.session.before_file("models.py")
    bench.session.before_file("views.py")
    bench.session.at_end()
    assert bench.taken == []
    assert bench.told == ["no checkpoint at models.py: a timer runs"]
    assert bench.inputs.is_noting


def test_another_obstacle_is_told_too_and_when_it_is_gone_one_is_taken(bench: Bench) -> None:
    bench.obstacle = "a timer runs"
    bench.session.begin(["models.py", "views.py"], at_end=True)
    bench.session.before_file("models.py")
    bench.obstacle = "a descriptor is open (pipe:[1])"
    bench.session.before_file("views.py")
    bench.obstacle = ""
    bench.session.at_end()
    assert len(bench.told) == 2
    assert bench.taken == [END]


def test_another_thread_takes_none(bench: Bench) -> None:
    """What it would leave behind in a fork is the main thread, in the middle of something."""
    bench.session.begin(["views.py"], at_end=False)
    thread = threading.Thread(target=bench.session.before_file, args=("views.py",))
    thread.start()
    thread.join()
    assert bench.taken == []


def test_a_file_that_is_ignored_is_an_input(bench: Bench) -> None:
    """It has no baseline; but another load would read it as it is then."""
    bench.session.begin(["views.py"], at_end=False)
    bench.session.before_file("ignored.py")
    bench.session.before_file("models.py")
    assert bench.read == ["ignored.py"]


def test_in_a_process_that_goes_on_nothing_is_left_that_a_new_one_has_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[int] = []
    monkeypatch.setattr(importlib, "invalidate_caches", lambda: dropped.append(1))
    monkeypatch.delitem(sys.modules, "numpy.random", raising=False)
    bench.session.refresh()
    assert dropped == [1]
    assert bench.numbers == ["renew"]
