"""A silent child is found, and ended only when that is of use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from asyncreload.liveness import LivenessCounter
from asyncreload.parent.watchdog import ANSWERS_WITHIN, BEATS_WITHIN, Watchdog
from asyncreload.protocol import Message, Ping
from tests.unit.looping import until
from tests.unit.parent.fakes import FakeChild

pytestmark = pytest.mark.asyncio


class Counter:
    """A liveness counter that the test moves."""

    def __init__(self) -> None:
        self.beats = 0

    def count(self) -> int:
        return self.beats


class Scene:
    """A watchdog, its child, and a shell that would kill it."""

    def __init__(self, root: Path) -> None:
        self.child = FakeChild()
        self.counter = Counter()
        self.rounds: list[float] = []
        self.beats = 0
        """How many rounds the child goes on beating."""
        self.guarded: list[int] = []
        self.watchdog = Watchdog(
            self.child.process,
            cast("LivenessCounter", self.counter),
            str(root),
            0.1,
            self.killed_with_us,
            self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.rounds.append(seconds)
        self.counter.beats += len(self.rounds) <= self.beats
        await asyncio.sleep(0)

    @asynccontextmanager
    async def killed_with_us(self, pid: int) -> AsyncIterator[None]:
        self.guarded.append(pid)
        yield
        self.guarded.remove(pid)

    def answer(self, message: Message) -> None:
        assert message == Ping()
        self.watchdog.hear_answer()


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    # The clock of a file system is up to 10 ms behind: what is written from now on is newer.
    later = scene.watchdog._began + 10_000_000
    await until(lambda: time.time_ns() > later)
    return scene


async def watch(scene: Scene) -> asyncio.Task[tuple[str, ...]]:
    return asyncio.create_task(scene.watchdog.watch())


async def test_a_child_that_beats_is_not_even_asked(scene: Scene) -> None:
    scene.beats = 10
    scene.child.answers = lambda _: pytest.fail("it was asked") if len(scene.rounds) < 11 else None
    watching = await watch(scene)
    await until(lambda: len(scene.rounds) > 10)
    assert set(scene.rounds) == {BEATS_WITHIN}
    watching.cancel()


async def test_a_child_that_answers_is_left_alone(scene: Scene) -> None:
    scene.child.answers = scene.answer
    watching = await watch(scene)
    await until(lambda: len(scene.rounds) > 5)
    assert set(scene.child.had) == {ANSWERS_WITHIN}
    assert not watching.done()
    assert scene.guarded == []
    watching.cancel()


async def test_a_silent_child_is_ended_when_a_file_changes(scene: Scene, tmp_path: Path) -> None:
    """Until then somebody else stands by to kill it, should we die."""
    watching = await watch(scene)
    await until(lambda: len(scene.child.heard) > 5)
    assert scene.guarded == [scene.child.pid]
    assert not watching.done()
    path = tmp_path / "app.py"
    path.write_text("")
    assert await watching == (str(path),)
    assert scene.guarded == []


async def test_files_elsewhere_count_if_the_child_watches_them(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("elsewhere") / "template.html"
    path.write_text("")
    scene.watchdog.watch_files([str(path)])
    watching = await watch(scene)
    assert await watching == (str(path),)  # it was written just before the silence began
    path.unlink()
    assert await (await watch(scene)) == (str(path),)


async def test_until_then_those_count_that_the_last_child_has_watched(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """But not their absence: this child may have been started for just that."""
    place = tmp_path_factory.mktemp("elsewhere")
    path, missing = place / "lib.py", place / "missing.py"
    scene.watchdog.expect_files([str(path), str(missing)])
    watching = await watch(scene)
    await until(lambda: len(scene.child.heard) > 5)
    assert not watching.done()
    path.write_text("")
    assert await watching == (str(path),)
    other = place / "other.py"
    other.write_text("")
    scene.watchdog.watch_files([str(other)])
    assert await (await watch(scene)) == (str(other),)


async def test_old_files_are_no_reason(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text("")
    scene.watchdog._began = os.stat(path).st_ctime_ns
    watching = await watch(scene)
    await until(lambda: len(scene.child.heard) > 5)
    assert not watching.done()
    watching.cancel()


async def test_whoever_asks_for_a_reload_waits_for_no_file(scene: Scene) -> None:
    watching = await watch(scene)
    await until(lambda: len(scene.child.heard) > 5)
    scene.watchdog.be_impatient()
    assert await watching == ()


async def test_a_child_that_answers_again_is_left_alone(scene: Scene) -> None:
    """As after a suspension: the shell is gone, and all begins anew."""
    watching = await watch(scene)
    await until(lambda: len(scene.child.heard) > 5)
    assert scene.guarded
    scene.child.answers = scene.answer
    before = len(scene.rounds)
    await until(lambda: len(scene.rounds) > before + 3)
    assert scene.guarded == []
    watching.cancel()
