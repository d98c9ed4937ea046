"""The loop from child to child, and its end; without any process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from asyncreload import lockfile, protocol
from asyncreload.events import Changed, Crashed, Failed, Ready
from asyncreload.parent.checkpoints import Checkpoints
from asyncreload.parent.child_run import Services
from asyncreload.parent.children import Children
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.inheritance import Inheritance
from asyncreload.parent.process import Process
from asyncreload.parent.restart_policy import RestartPolicy
from asyncreload.parent.run_loop import RunLoop
from asyncreload.parent.standby import Standby
from asyncreload.parent.stopgap import Stopgap
from asyncreload.parent.watchdog import Watchdog
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, Go, Left
from asyncreload.settings import Settings
from tests.unit.looping import until
from tests.unit.parent.fakes import FakeCheckpoints, FakeChild, rest

pytestmark = pytest.mark.asyncio


class QuietWatchdog:
    """That of a child which is never silent."""

    expected: Sequence[str] = ()

    async def watch(self) -> tuple[str, ...]:
        await asyncio.Event().wait()
        raise AssertionError

    async def answers(self, seconds: float) -> bool:
        await asyncio.sleep(0.001)
        return True

    def watch_files(self, paths: object) -> None:
        pass

    def expect_files(self, paths: Iterable[str]) -> None:
        self.expected = [*paths]

    def be_impatient(self) -> None:
        pass


class Requests:
    """None were running."""

    def left_by(self, _pid: int) -> tuple[str, ...]:
        return ()


class FakeInheritance:
    """Nothing that could be inherited."""

    closed = False
    requests = Requests()

    def close(self) -> None:
        self.closed = True


class Scene:
    """A run loop, and the children that it starts."""

    def __init__(self, lock: str) -> None:
        self.lock = lock
        self.made: list[FakeChild] = []
        self.watchdogs: list[QuietWatchdog] = []
        self.inheritance = FakeInheritance()
        settings = Settings(target="app.py", standby=False)
        self.event_log = EventLog()
        children = Children(self.start, lock, grace=60)
        standby = Standby(settings, children.start, children.reap, Stopgap(-1, -1, -1))
        policy = RestartPolicy(settings, None, ("", 1), lock, self.event_log)
        self.loop = RunLoop(
            children,
            Services(self.event_log, standby, cast("Checkpoints", FakeCheckpoints()), policy),
            self.watchdog_of,
            cast("Inheritance", self.inheritance),
            lock,
            interval=0.1,
        )
        self.running = asyncio.create_task(self.loop.run())

    async def start(self) -> Process:
        self.made.append(FakeChild(len(self.made)))
        return self.made[-1].process

    def watchdog_of(self, _child: Process) -> Watchdog:
        self.watchdogs.append(QuietWatchdog())
        return cast("Watchdog", self.watchdogs[-1])

    async def child(self, number: int) -> FakeChild:
        """Return a child when it has been told to go at once; the first one is 1."""
        await until(
            lambda: len(self.made) >= number and not all(go.after for go in self.gos(number))
        )
        return self.made[number - 1]

    def gos(self, number: int) -> list[Go]:
        return [one for one in self.made[number - 1].heard if isinstance(one, Go)]

    def events(self) -> list[type]:
        return [type(event) for event in self.event_log.recent]

    async def cancel(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running
        self.loop.close()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    path = tmp_path / "lock"
    path.touch()
    yield str(path)
    assert not path.exists()


CHANGE = FilesChanged({"app.py": [None, "1", False]}, loading=False)


async def serving(scene: Scene, number: int) -> FakeChild:
    child = await scene.child(number)
    child.says(protocol.Going(1), protocol.Loaded(0.1, 1))
    await until(lambda: scene.loop.current and scene.loop.current.phase is Phase.SERVING)
    return child


async def test_a_save(lock: str) -> None:
    """The old child says so and leaves; the next one knows ahead what it is to load then."""
    scene = Scene(lock)
    old = await serving(scene, 1)
    old.says(CHANGE)
    await until(lambda: len(scene.made) == 2)  # it boots meanwhile
    await until(lambda: scene.gos(2))
    assert [go.after for go in scene.gos(2)] == [old.pid]
    old.says(Left(3, vanished=True))
    await serving(scene, 2)
    await until(lambda: len(scene.gos(2)) == 2)
    assert scene.gos(2)[1].after == 0
    assert scene.gos(2)[0] == scene.gos(2)[1].replaced(after=old.pid)
    assert scene.gos(2)[1].changed == CHANGE.files
    assert scene.events() == [Ready, Changed, Ready]
    assert not old.reaped
    old.dies(3)
    await until(lambda: old.reaped)
    await scene.cancel()


async def test_a_silent_child_that_has_said_nothing_yet_is_watched_over_by_the_last_ones_files(
    lock: str,
) -> None:
    scene = Scene(lock)
    child = await serving(scene, 1)
    child.says(protocol.Watching({"/lib/lib.py": [None, "1", False]}))
    child.says(CHANGE, Left(3, vanished=True))
    await serving(scene, 2)
    assert [one.expected for one in scene.watchdogs] == [[], ["/lib/lib.py", "app.py"]]
    await scene.cancel()


async def test_a_load_that_fails_and_the_save_that_mends_it(lock: str) -> None:
    scene = Scene(lock)
    child = await scene.child(1)
    child.says(protocol.Going(1), protocol.LoadFailed("SyntaxError", "trace"), CHANGE)
    child.says(Left(3, vanished=True))
    await serving(scene, 2)
    assert scene.events() == [Failed, Changed, Ready]
    await scene.cancel()


async def test_a_crash_is_reported_by_the_next_child(lock: str) -> None:
    scene = Scene(lock)
    child = await scene.child(1)
    child.says(protocol.Going(1))
    child.dies(-11)
    following = await scene.child(2)
    assert child.reaped
    assert scene.gos(2)[0].crash == ("killed by SIGSEGV", "while loading")
    following.says(protocol.Going(1), protocol.Reporting())
    await until(lambda: scene.loop.current and scene.loop.current.outcome)
    assert scene.events() == [Crashed]
    await scene.cancel()


async def test_a_child_that_sends_a_response_goes_on_beside_the_next_one(lock: str) -> None:
    scene = Scene(lock)
    old = await serving(scene, 1)
    old.says(CHANGE, Left(3, lingering=1))
    await serving(scene, 2)
    assert not old.killed
    await scene.cancel()
    assert old.reaped


@pytest.mark.parametrize("is_heard_to_the_end", [True, False])
async def test_the_next_reload_ends_the_child_that_sends_a_response(
    lock: str, *, is_heard_to_the_end: bool
) -> None:
    scene = Scene(lock)
    old = await serving(scene, 1)
    old.says(CHANGE, Left(3, lingering=1))
    second = await serving(scene, 2)
    await rest()
    assert not old.killed
    second.says(FilesChanged({"app.py": [None, "2", False]}, loading=False))
    if is_heard_to_the_end:
        second.says(Left(3, vanished=True))
    else:
        second.dies(-9)
    await serving(scene, 3)
    await until(lambda: old.reaped)
    await scene.cancel()


async def test_neither_a_crash_nor_a_load_that_begins_anew_ends_it(lock: str) -> None:
    scene = Scene(lock)
    old = await serving(scene, 1)
    old.says(CHANGE, Left(3, lingering=1))
    second = await scene.child(2)
    second.says(protocol.Going(1), protocol.StartCold("it does not fit", {}))
    second.says(Left(3, vanished=True))
    third = await scene.child(3)
    third.says(protocol.Going(1), FilesChanged(CHANGE.files, loading=True))
    third.says(Left(3, vanished=True))
    fourth = await serving(scene, 4)
    fourth.dies(-11)
    await scene.child(5)
    await rest()
    assert not old.killed
    await scene.cancel()


async def test_the_app_is_done(lock: str) -> None:
    scene = Scene(lock)
    child = await serving(scene, 1)
    child.says(Left(0))
    child.dies(0)
    assert await scene.running == 0
    assert scene.inheritance.closed


async def test_somebody_deletes_the_lockfile(lock: str) -> None:
    """It is noticed when the child ends, if not at the next touch."""
    scene = Scene(lock)
    child = await serving(scene, 1)
    lockfile.remove(lock)
    child.dies(-9)
    assert await scene.running == 0
    assert child.reaped


async def test_cancelled_it_leaves_nothing(lock: str) -> None:
    scene = Scene(lock)
    child = await serving(scene, 1)
    child.answers = lambda message: child.dies(0) if message == protocol.End() else None
    await scene.cancel()
    assert child.heard[-1] == protocol.End()
    assert not any(one.killed for one in scene.made if one.has_ended() and one is not child)
    assert child.reaped
    assert scene.inheritance.closed
    assert scene.loop.current is None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_lockfile_is_gone_while_there_is_still_somebody_to_delete_it(lock: str) -> None:
    """We may be killed at any moment of our end; the child knows by then that it is to end."""
    scene = Scene(lock)
    child = await serving(scene, 1)
    there: list[bool] = []
    child.answers = lambda message: there.append(os.path.exists(lock))
    scene.running.cancel()
    await until(lambda: not os.path.exists(lock))
    assert not child.has_ended()
    assert child.heard[-1] == protocol.End()
    assert there == [True]
    child.dies(0)
    await scene.cancel()


async def test_the_lockfile_is_gone_before_all_are_killed(lock: str) -> None:
    scene = Scene(lock)
    await serving(scene, 1)
    scene.loop.kill()
    assert not os.path.exists(lock)
    await scene.cancel()


async def test_asked_twice_all_are_killed(lock: str) -> None:
    scene = Scene(lock)
    child = await serving(scene, 1)
    scene.loop.kill()
    assert child.killed
    await scene.cancel()
