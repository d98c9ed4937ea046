"""One run of one child: its phases, and what is reported of what it says; without any process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest

from asyncreload import protocol
from asyncreload.events import Changed, Crashed, Event, Failed, Ready
from asyncreload.parent.checkpoints import Checkpoints
from asyncreload.parent.child_run import LEAVES_WITHIN, PROMPT_WITHIN, ChildRun, Services
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.next_child import Origin, Taken
from asyncreload.parent.process import Process
from asyncreload.parent.restart_policy import RestartPolicy
from asyncreload.parent.standby import Standby
from asyncreload.parent.watchdog import Watchdog
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, Left, Message
from asyncreload.settings import Settings
from tests.unit.looping import until
from tests.unit.parent.fakes import GO, FakeCheckpoints, FakeChild, rest

pytestmark = pytest.mark.asyncio


class Calls:
    """Notes which methods are called, with what."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


class FakeWatchdog(Calls):
    """Hears answers as the child gives them; the test says when the child is silent."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        self.answering: list[bool] = []
        """What the next questions lead to."""
        self.asked: list[float] = []

    async def watch(self) -> tuple[str, ...]:
        return await self.silent

    async def answers(self, seconds: float) -> bool:
        self.asked.append(seconds)
        await asyncio.sleep(0)
        return self.answering.pop(0) if self.answering else False


@dataclass
class Scene:
    """A run, and all to whom it reports."""

    child: FakeChild
    watchdog: FakeWatchdog
    standby: Calls
    checkpoints: FakeCheckpoints
    event_log: EventLog
    policy: RestartPolicy
    run: ChildRun
    leaving: list[ChildRun]
    now: float = 100.0

    @classmethod
    def of(cls, go: protocol.Go = GO) -> Scene:
        child, watchdog, standby, event_log = FakeChild(), FakeWatchdog(), Calls(), EventLog()
        settings = Settings(target="app.py")

        def clock() -> float:
            return scene.now if scene else cls.now

        scene: Scene | None = None
        policy = RestartPolicy(settings, None, ("", 1), "/no/lockfile", event_log, clock)
        checkpoints = FakeCheckpoints()
        services = Services(
            event_log,
            cast("Standby", standby),
            cast("Checkpoints", checkpoints),
            policy,
            clock=clock,
        )
        leaving: list[ChildRun] = []
        taken = Taken(child.process, Origin.COLD, go)

        async def kill(process: Process) -> None:
            process.kill()

        run = ChildRun(taken, cast("Watchdog", watchdog), services, leaving.append, kill)
        scene = cls(child, watchdog, standby, checkpoints, event_log, policy, run, leaving)
        return scene

    @property
    def events(self) -> list[Event]:
        return self.event_log.recent

    def hears(self, *messages: Message) -> Phase:
        """Let the run hear messages; return the phase after that."""
        for message in messages:
            self.run.hear(message)
        return self.run.phase

    async def end(self) -> None:
        self.run.end()
        await rest()
        assert asyncio.all_tasks() == {asyncio.current_task()}


CHANGE = FilesChanged({"app.py": [None, "1", False]}, loading=False)


# --- phases ----------------------------------------------------------------------------------


async def test_the_phases_of_a_child_that_serves() -> None:
    scene = Scene.of()
    assert scene.hears() is Phase.WARM
    assert scene.hears(protocol.Going(1)) is Phase.LOADING
    assert scene.hears(protocol.Loaded(0.5, 1)) is Phase.SERVING
    assert scene.hears(CHANGE) is Phase.DRAINING
    assert scene.hears(Left(3, vanished=True)) is Phase.DRAINING
    assert scene.run.last_phase is Phase.SERVING
    await scene.end()
    assert scene.hears() is Phase.GONE
    assert scene.run.last_phase is Phase.SERVING


async def test_the_phases_of_a_child_whose_load_fails() -> None:
    scene = Scene.of()
    scene.hears(protocol.Going(1))
    assert scene.hears(protocol.LoadFailed("SyntaxError", "trace")) is Phase.REPORTING


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        ([], Phase.WARM),
        ([protocol.Going(1)], Phase.LOADING),
        ([protocol.Going(1), CHANGE], Phase.LOADING),
        ([protocol.Going(1), protocol.Loaded(0.5, 1), Left(0)], Phase.SERVING),
    ],
)
async def test_where_the_app_was_when_its_end_began(said: list[Message], phase: Phase) -> None:
    """A crash is told with the phase of the app, not with ours."""
    scene = Scene.of()
    scene.hears(*said)
    await scene.end()
    assert scene.run.last_phase is phase


async def test_an_app_that_fails_after_it_has_served_can_still_crash() -> None:
    scene = Scene.of()
    scene.hears(protocol.Going(1), protocol.Loaded(0.5, 1))
    assert scene.hears(protocol.LoadFailed("SyntaxError", "trace")) is Phase.REPORTING
    assert isinstance(scene.run.outcome, Failed)
    assert [type(event) for event in scene.events] == [Ready, Failed]
    assert scene.run.last_phase is Phase.SERVING
    await scene.end()


async def test_what_comes_late_brings_no_phase_back() -> None:
    scene = Scene.of()
    scene.hears(protocol.Going(1), CHANGE)
    assert scene.hears(protocol.Loaded(0.5, 1)) is Phase.DRAINING
    await scene.end()
    assert scene.hears(protocol.Going(1)) is Phase.GONE


# --- outcomes --------------------------------------------------------------------------------


async def test_the_first_load_is_measured_from_its_go() -> None:
    scene = Scene.of()
    scene.now += 2.5
    scene.hears(protocol.Going(1), protocol.Loaded(2.0, 7))
    assert scene.run.outcome == Ready(scene.child.pid, 2.5, (), 7)
    assert scene.events == [scene.run.outcome]
    assert scene.standby.calls == [("has_loaded", 2.0)]


@pytest.mark.parametrize("paths", [("app.py",), ()], ids=["a change", "asked for"])
async def test_a_reload_is_measured_from_what_led_to_it(paths: tuple[str, ...]) -> None:
    scene = Scene.of()
    scene.policy.reload_since = 90.0
    scene.policy.paths = paths
    scene.hears(protocol.Going(1), protocol.Loaded(2.0, 7))
    assert scene.run.outcome == Ready(scene.child.pid, 10.0, paths, 7)


async def test_a_failed_load_is_told() -> None:
    scene = Scene.of()
    told = ("SyntaxError", "trace", "app.py:1", "own", "hint")
    scene.hears(protocol.Going(1), protocol.LoadFailed(*told))
    assert scene.run.outcome == Failed(*told)
    assert scene.events == [scene.run.outcome]


async def test_a_crash_has_been_told_when_it_is_reported() -> None:
    scene = Scene.of(GO.replaced(crash=("exit code 1", "while serving")))
    scene.policy.crash = Crashed(1, "exit code 1 while serving", again=False)
    scene.hears(protocol.Going(1), protocol.Reporting())
    assert scene.run.phase is Phase.REPORTING
    assert scene.run.outcome is scene.policy.crash
    assert scene.events == []


async def test_there_is_no_outcome_when_nobody_answers_any_more() -> None:
    scene = Scene.of()
    scene.hears(protocol.Going(1), protocol.Loaded(2.0, 7))
    await scene.end()
    assert scene.run.outcome is None


# --- what is passed on -----------------------------------------------------------------------


async def test_the_files_are_passed_on() -> None:
    """To the standby when there is time for one."""
    scene = Scene.of()
    files = {"app.py": [None, "1", False]}
    scene.hears(protocol.Watching(files, settled=False))
    assert scene.watchdog.calls == [("watch_files", files)]
    assert scene.standby.calls == []
    assert scene.checkpoints.asked_for == []
    scene.hears(protocol.Watching(files))
    assert scene.standby.calls == [("prepare",), ("remember", files)]
    assert scene.checkpoints.asked_for == ["prepare"]
    assert scene.run.files == files


async def test_a_change_starts_the_next_child() -> None:
    scene = Scene.of()
    scene.hears(CHANGE)
    assert scene.standby.calls == [("start_next",)]
    assert scene.events == [Changed(("app.py",))]
    assert scene.run.changed == CHANGE
    assert scene.leaving == [scene.run]
    await scene.end()


async def test_a_change_of_packages_outdates_the_standby() -> None:
    scene = Scene.of()
    scene.hears(CHANGE.replaced(packages=True))
    assert scene.standby.calls == [("forget",), ("start_next",)]
    await scene.end()


async def test_a_reload_that_was_asked_for_starts_from_nothing() -> None:
    scene = Scene.of()
    scene.hears(FilesChanged({}, loading=False))
    assert scene.standby.calls == [("forget",), ("start_next",)]
    assert scene.checkpoints.asked_for[:1] == ["forget"]
    await scene.end()


@pytest.mark.parametrize(
    ("change", "learns"), [(FilesChanged({}, loading=False), False), (CHANGE, True)]
)
async def test_what_a_child_tells_on_its_way_out_is_imported_ahead_unless_all_is_loaded_anew(
    change: FilesChanged, *, learns: bool
) -> None:
    scene, preload = Scene.of(), protocol.Preload("/project")
    scene.hears(change, preload)
    assert (("learn", preload) in scene.standby.calls) is learns
    await scene.end()


async def test_it_does_so_when_the_child_is_silent() -> None:
    scene = Scene.of()
    following = asyncio.create_task(scene.run.follow())
    scene.watchdog.silent.set_result(())
    await until(lambda: scene.child.killed)
    assert ("forget",) in scene.standby.calls
    assert "forget" in scene.checkpoints.asked_for
    await following
    await scene.end()


async def test_what_the_standby_is_told() -> None:
    scene = Scene.of()
    preload = protocol.Preload("/project")
    scene.hears(
        preload, protocol.PackagesChanged(), protocol.StartCold("a mismatch", {"locale": "C"})
    )
    calls = [
        ("learn", preload),
        ("renew",),
        ("was_wrong", "a mismatch", {"locale": "C"}),
        ("start_next",),
    ]
    assert scene.standby.calls == calls
    assert scene.checkpoints.asked_for == ["forget", "forget"]
    assert scene.run.starts_again


async def test_a_child_says_how_fresh_it_is() -> None:
    scene = Scene.of()
    scene.run.look(3)
    assert scene.child.heard == [protocol.Look(3)]
    scene.hears(protocol.Fresh(3), protocol.Fresh(2))
    assert scene.run.fresh == 3


async def test_a_reload_that_is_asked_for_does_not_wait_for_a_silent_child() -> None:
    scene = Scene.of()
    scene.run.reload()
    assert scene.child.heard == [protocol.Reload()]
    assert scene.watchdog.calls == [("be_impatient",)]


async def test_a_child_that_takes_long_to_leave_is_not_told_again_to_reload() -> None:
    """It would not wait for its last response any more, and what is started next be discarded."""
    scene = Scene.of()
    for _ in range(3):
        scene.run.reload()
    assert scene.child.heard == [protocol.Reload()]


# --- from beginning to end -------------------------------------------------------------------


async def test_a_child_is_followed_until_its_farewell() -> None:
    scene = Scene.of()
    following = asyncio.create_task(scene.run.follow())
    scene.child.says(protocol.Going(1), protocol.Loaded(0.1, 1))
    await until(lambda: scene.run.phase is Phase.SERVING)
    assert scene.child.heard == [GO]
    scene.child.says(Left(3, vanished=True))
    await following
    await scene.end()


async def test_a_child_is_followed_until_its_death() -> None:
    scene = Scene.of()
    following = asyncio.create_task(scene.run.follow())
    scene.child.says(protocol.Going(1), Left(0))
    scene.child.dies(0)
    await following
    assert scene.run.left == Left(0)
    await scene.end()


# --- children that do not answer -------------------------------------------------------------


@pytest.mark.parametrize("loading", [True, False])
async def test_a_child_that_is_silent_while_files_change_is_killed(*, loading: bool) -> None:
    scene = Scene.of()
    following = asyncio.create_task(scene.run.follow())
    scene.child.says(protocol.Going(1), *[protocol.Loaded(0.1, 1)] * (not loading))
    await rest()
    scene.watchdog.silent.set_result(("app.py",))
    await following
    assert scene.child.killed
    assert scene.run.was_silenced
    assert scene.run.changed == FilesChanged({"app.py": (None, "", False)}, loading=loading)
    assert scene.events[-1] == Changed(("app.py",))
    assert scene.run.phase is Phase.DRAINING
    await scene.end()


async def test_a_child_that_neither_leaves_nor_answers_is_killed() -> None:
    scene = Scene.of()
    scene.hears(protocol.Going(1), protocol.Loaded(0.1, 1), CHANGE)
    await until(lambda: scene.child.killed)
    assert scene.child.had == [LEAVES_WITHIN / 2]
    assert scene.watchdog.asked == [LEAVES_WITHIN / 2]
    assert scene.run.was_silenced
    await scene.end()


async def test_a_child_that_answers_is_given_the_time_that_it_needs() -> None:
    """It ends itself, but more slowly on a slow machine."""
    scene = Scene.of()
    scene.watchdog.answering = [True] * 10_000
    scene.hears(protocol.Going(1), protocol.Loaded(0.1, 1), CHANGE)
    await until(lambda: len(scene.watchdog.asked) >= 20)
    assert not scene.child.killed
    scene.hears(Left(3, vanished=True))
    await scene.end()
    assert not scene.child.killed
    assert not scene.run.was_silenced


# --- Ctrl-C ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question", [protocol.Interrupt(), protocol.AskPrompt()], ids=["Ctrl-C", "a line"]
)
@pytest.mark.parametrize(
    ("answer", "is_for_debugger"),
    [
        (protocol.Debugging(), True),
        (protocol.Debugging(at_prompt=False), False),
        (Left(130), False),
        (None, False),
    ],
)
async def test_whose_is_what_is_typed(
    answer: Message | None,
    question: protocol.Interrupt | protocol.AskPrompt,
    *,
    is_for_debugger: bool,
) -> None:
    scene = Scene.of()
    if answer is not None:
        scene.child.answers = lambda _: scene.hears(answer)
    assert await scene.run.is_at_prompt(question) is is_for_debugger
    assert scene.child.heard == [question]
    assert scene.child.had == [PROMPT_WITHIN]


async def test_ctrl_c_is_not_for_a_child_that_is_gone() -> None:
    scene = Scene.of()
    await scene.end()
    assert not await scene.run.is_at_prompt(protocol.Interrupt())
    assert scene.child.heard == []
