"""The next child: made ahead, replaced when it is outdated, and never a reason to fail."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from asyncreload.errors import AsyncreloadError
from asyncreload.parent import preparation
from asyncreload.parent.process import Process
from asyncreload.parent.standby import Standby
from asyncreload.protocol import KnownFiles, Message, Preload, Preloaded
from asyncreload.settings import Settings

pytestmark = pytest.mark.asyncio


class Child:
    """A process that does as it was told beforehand."""

    pid = 1

    def __init__(self, plan: dict[str, Any]) -> None:
        self.boots = plan.get("boots", True)
        self.code = plan.get("code", 0)
        self.replay = plan.get("replay")
        self.ran_at_start = plan.get("ran_at_start", ())
        self.dead = False
        self.stopped = False
        self.finished = asyncio.Event()
        self.reaped = False
        self.booted = asyncio.Event()
        self.preloads: list[Preload] = []
        self.told: list[Message] = []
        if not plan.get("hangs"):
            self.booted.set()

    async def has_booted(self) -> bool:
        await self.booted.wait()
        return bool(self.boots)

    async def preload(self, preload: Preload) -> Preloaded | None:
        self.preloads.append(preload)
        if self.replay is None:
            return Preloaded(())
        found = self.replay(preload)
        if asyncio.iscoroutine(found):
            work = asyncio.ensure_future(found)
            finished = asyncio.ensure_future(self.finished.wait())
            try:
                await asyncio.wait({work, finished}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                work.cancel()
                finished.cancel()
            return Preloaded(())
        return cast("Preloaded | None", found)

    async def wait(self) -> int:
        return int(self.code)

    def has_ended(self) -> bool:
        return self.dead

    def is_stopped(self) -> bool:
        return self.stopped

    def send(self, message: Message) -> None:
        self.told.append(message)

    @property
    def modules(self) -> list[tuple[str, ...]]:
        return [preload.modules for preload in self.preloads]


class Stopgap:
    """Notes for what it answers."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.is_open = False

    def open(self, reason: str) -> None:
        self.opened.append(reason)
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class Fakes:
    """Where the fake children come from, and where they end."""

    def __init__(self, *plans: dict[str, Any], **options: Any) -> None:
        self.plans = list(plans)
        self.children: list[Child] = []
        settings = Settings(target="app.py", **options)
        self.now = 1000.0
        self.stopgap = Stopgap()
        self.standby = Standby(
            settings,
            self.start,
            self.reap,
            cast("Any", self.stopgap),
            lambda: self.now,
            look_every=0,
            roots=("/project",),
        )

    async def start(self) -> Process:
        await asyncio.sleep(0)
        plan = self.plans.pop(0) if self.plans else {}
        if "raises" in plan:
            raise plan["raises"]
        self.children.append(Child(plan))
        return cast("Process", self.children[-1])

    async def reap(self, child: Process) -> None:
        await asyncio.sleep(0)
        cast("Child", child).reaped = True

    async def take(self) -> Child:
        return cast("Child", await self.standby.take())

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop run until the condition holds."""
        for _ in range(100):
            if condition():
                return
            await asyncio.sleep(0)
        pytest.fail("it never came to that")

    def taking(self, seconds: float, replay: Any) -> Callable[[Preload], Preloaded]:
        """Return a replay that takes its time."""

        def slow(preload: Preload) -> Preloaded:
            self.now += seconds
            return cast("Preloaded", replay(preload))

        return slow

    async def passes(self, seconds: float) -> None:
        """Let time pass, and the loop run."""
        self.now += seconds
        await self.rest()

    async def rest(self) -> None:
        """Let the loop run until nothing is to be done any more."""
        for _ in range(50):
            await asyncio.sleep(0)

    @property
    def alive(self) -> list[Child]:
        return [child for child in self.children if not child.reaped]


def preload(*modules: str) -> Preload:
    return Preload("/project", modules=modules, final={"environ": {}})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for long."""
    monkeypatch.setattr(preparation, "RETRY_PAUSE", 0.001)
    monkeypatch.setattr(preparation, "BOOT_PAUSES", (0.001, 0.001))


# --- starting --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOENT])
async def test_without_the_means_for_a_process_it_is_tried_again(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The supervisor must not end because a descriptor was missing for a moment."""
    fakes = Fakes(*[{"raises": OSError(number, os.strerror(number))}] * 3)
    assert await fakes.take() is fakes.children[0]
    told = f"cannot start a process: {os.strerror(number)}; trying again"
    assert caplog.messages == [told]


async def test_a_current_directory_that_is_closed_for_a_moment_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    fakes = Fakes(*[{"raises": closed}] * 3)
    assert await fakes.take() is fakes.children[0]
    assert caplog.messages == [
        f"cannot start a process: Permission denied: {tmp_path}; trying again"
    ]


@pytest.mark.parametrize(
    ("number", "reasons"), [(errno.ENOENT, {"No such file or directory"}), (errno.EMFILE, set())]
)
async def test_what_is_likely_to_last_is_answered_meanwhile(number: int, reasons: set[str]) -> None:
    """While the system lacks something for a moment, requests wait."""
    fakes = Fakes(*[{"raises": OSError(number, os.strerror(number))}] * 1000)
    taking = asyncio.create_task(fakes.take())
    await fakes.rest()
    assert fakes.stopgap.opened == []
    await fakes.passes(4)
    await fakes.rest()
    fakes.plans.clear()
    await taking
    assert {*fakes.stopgap.opened} == reasons
    assert not fakes.stopgap.is_open


async def test_a_process_that_cannot_be_started_at_all_is_told() -> None:
    fakes = Fakes({"raises": PermissionError(errno.EACCES, "no interpreter")})
    with pytest.raises(PermissionError):
        await fakes.take()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a person is told without `--verbose`."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# --- making and taking -----------------------------------------------------------------------


async def test_the_first_child_is_made_when_it_is_taken() -> None:
    fakes = Fakes()
    child = await fakes.take()
    assert fakes.children == [child]
    assert child.preloads == []


async def test_a_prepared_child_is_the_one_that_is_taken() -> None:
    fakes = Fakes()
    fakes.standby.prepare()
    fakes.standby.prepare()
    await fakes.rest()
    [ready] = fakes.children
    assert await fakes.take() is ready
    assert len(fakes.children) == 1


async def test_each_child_is_taken_once() -> None:
    fakes = Fakes()
    assert await fakes.take() is not await fakes.take()


async def test_children_that_do_not_boot_any_more_are_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Python or asyncreload may be on the way to being installed anew."""
    fakes = Fakes({}, *[{"boots": False, "code": 1}] * 3)
    assert await fakes.take() is fakes.children[0]
    assert await fakes.take() is fakes.children[4]
    assert caplog.messages == ["no process starts any more, as told above; trying again"]
    assert fakes.alive == [fakes.children[0], fakes.children[4]]


async def test_a_child_that_still_boots_is_waited_for() -> None:
    fakes = Fakes({"hangs": True})
    fakes.standby.prepare()
    taking = asyncio.create_task(fakes.take())
    await fakes.rest()
    assert not taking.done()
    fakes.children[0].booted.set()
    assert await taking is fakes.children[0]


async def test_without_standby_children_are_made_when_they_are_taken() -> None:
    fakes = Fakes(standby=False)
    fakes.standby.prepare()
    fakes.standby.learn(preload("third"))
    fakes.standby.renew()
    await fakes.rest()
    assert fakes.children == []
    child = await fakes.take()
    assert child.preloads == []  # it would wait for a replay, and gain nothing


async def test_when_it_is_needed_at_once_the_next_child_is_made_before_it_is_taken() -> None:
    fakes = Fakes(standby=False)
    fakes.standby.start_next()
    fakes.standby.start_next()
    await fakes.rest()
    [ready] = fakes.children
    assert await fakes.take() is ready


CODE_AT_START = {"ran_at_start": ("/project/lib.py",)}


async def test_where_python_itself_runs_project_code_no_process_is_started_early(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It would have run older code than the next save's, and beside the child that serves."""
    fakes = Fakes(CODE_AT_START, CODE_AT_START)
    first = await fakes.take()
    assert fakes.children == [first]
    [told] = caplog.messages
    assert "/project/lib.py" in told
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    fakes.standby.start_next()
    await fakes.rest()
    assert fakes.children == [first]
    second = await fakes.take()
    assert fakes.children == [first, second]
    assert second.preloads == []
    assert caplog.messages == [told]


@pytest.mark.parametrize(("plan", "is_ready"), [({}, True), (CODE_AT_START, False)])
async def test_a_process_that_stands_by_may_be_told_ahead_unless_python_ran_code_in_it(
    plan: dict[str, Any], *, is_ready: bool
) -> None:
    fakes = Fakes(plan)
    assert await fakes.standby.take_ready() is None
    fakes.standby.prepare()
    assert await fakes.standby.take_ready() is None
    await fakes.rest()
    assert bool(await fakes.standby.take_ready()) is is_ready


async def test_in_the_place_of_a_dead_one_none_is_started_while_the_last_one_lives() -> None:
    fakes = Fakes()
    fakes.standby.prepare()
    await fakes.rest()
    (killed,) = fakes.children
    killed.dead = True
    assert await fakes.standby.take_ready() is None
    await fakes.rest()
    assert fakes.children == [killed]


async def test_code_that_is_not_the_projects_may_run_when_python_starts() -> None:
    """A tool's: the process that stands by finds out by itself when that has changed."""
    fakes = Fakes({"ran_at_start": ("/project-tools/sitecustomize.py",)})
    await fakes.take()
    fakes.standby.prepare()
    await fakes.rest()
    assert await fakes.take() is fakes.children[1]


async def test_a_standby_in_which_python_has_run_project_code_is_not_used() -> None:
    """As soon as Python does that no more, one stands by again."""
    fakes = Fakes({}, CODE_AT_START, {})
    await fakes.take()
    fakes.standby.prepare()
    await fakes.rest()
    third = await fakes.take()
    _, early, last = fakes.children
    assert third is last
    assert early.reaped
    fakes.standby.prepare()
    await fakes.rest()
    assert len(fakes.children) == 4


async def test_a_standby_that_was_killed_is_replaced() -> None:
    fakes = Fakes()
    fakes.standby.prepare()
    await fakes.rest()
    fakes.children[0].dead = True
    child = await fakes.take()
    assert child is fakes.children[1]
    assert fakes.alive == [child]


async def test_a_child_killed_while_it_boots_is_replaced() -> None:
    fakes = Fakes({"boots": False, "code": -9}, {"boots": False, "code": -15})
    child = await fakes.take()
    assert child is fakes.children[2]
    assert fakes.alive == [child]


async def test_children_that_do_not_boot_are_given_up() -> None:
    """One that ends by itself has said why; killed ones are tried again, but not for ever."""
    message = (
        r"^the child process ended with exit code 7 before it could load anything; "
        r"what it printed above says why$"
    )
    fakes = Fakes({"boots": False, "code": 7})
    with pytest.raises(AsyncreloadError, match=message):
        await fakes.take()
    assert len(fakes.children) == 1
    fakes = Fakes(*[{"boots": False, "code": -9}] * 100)
    with pytest.raises(AsyncreloadError, match="exit code -9"):
        await fakes.take()
    assert 1 < len(fakes.children) < 20
    assert fakes.alive == []


# --- preloads --------------------------------------------------------------------------------


async def test_a_preload_is_replayed_by_the_standby() -> None:
    fakes = Fakes()
    await fakes.take()
    fakes.standby.learn(preload("third", "other"))
    fakes.standby.prepare()
    child = await fakes.take()
    assert child.modules == [("third", "other")]


async def test_a_standby_that_lacks_something_is_replaced() -> None:
    fakes = Fakes()
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    await fakes.rest()
    fakes.standby.learn(preload("third"))
    await fakes.rest()
    assert len(fakes.children) == 1  # nothing is new
    fakes.standby.learn(preload("third", "lazy"))
    await fakes.until(lambda: len(fakes.children) == 2)
    await fakes.rest()
    assert fakes.children[0].reaped
    child = await fakes.take()
    assert child.modules == [("third", "lazy")]
    assert fakes.alive == [child]


async def test_a_standby_is_not_made_before_it_is_wanted() -> None:
    fakes = Fakes()
    fakes.standby.learn(preload("third"))
    fakes.standby.renew()
    await fakes.rest()
    assert fakes.children == []


async def test_renewed_while_it_boots() -> None:
    fakes = Fakes({"hangs": True})
    fakes.standby.prepare()
    await fakes.until(lambda: fakes.children)
    fakes.standby.renew()
    child = await fakes.take()
    assert child is fakes.children[1]
    await fakes.until(lambda: fakes.alive == [child])


@pytest.mark.parametrize("ahead", ["packages", "interpreter"])
async def test_what_is_preloaded(ahead: str) -> None:
    fakes = Fakes(preload=ahead)
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    child = await fakes.take()
    assert child.modules == ([("third",)] if ahead == "packages" else [])


async def test_an_empty_preload_is_not_sent() -> None:
    fakes = Fakes()
    fakes.standby.learn(preload())
    assert (await fakes.take()).preloads == []


async def test_forgotten_the_next_child_is_cold() -> None:
    fakes = Fakes()
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    await fakes.rest()
    fakes.standby.forget()
    cold = await fakes.take()
    assert cold is fakes.children[1]
    assert cold.preloads == []
    await fakes.until(lambda: fakes.alive == [cold])
    fakes.standby.learn(preload("third"))
    assert (await fakes.take()).modules == [("third",)]


async def test_wrong_once_is_cold_once() -> None:
    fakes = Fakes()
    for _ in range(5):  # right in between: it is not given up
        fakes.standby.learn(preload("third"))
        assert (await fakes.take()).modules == [("third",)]
        fakes.standby.was_wrong("it does not fit", {"loggers": 1})
        assert (await fakes.take()).preloads == []
        fakes.standby.learn(preload("third"))
        assert (await fakes.take()).modules == [("third",)]
        fakes.standby.has_loaded(1.0)


async def test_wrong_again_and_again_is_cold_for_good(caplog: pytest.LogCaptureFixture) -> None:
    """That is told once, with the reason and with what it costs."""
    fakes = Fakes()
    replayed = 0
    for _ in range(20):
        fakes.standby.learn(preload("third"))
        replayed += bool((await fakes.take()).preloads)
        fakes.standby.was_wrong("after the load these differ: loggers", {"loggers": 1})
        assert (await fakes.take()).preloads == []
        fakes.standby.has_loaded(1.0)  # the cold one loaded
    assert replayed <= 3
    [told] = warnings_in(caplog)
    assert told == (
        "starting cold: nothing is imported ahead any more, as it did not fit: after the load "
        "these differ: loggers; a load from nothing takes 1.0 s"
    )


@pytest.mark.parametrize(
    "found", [{}, {"environment variables": {"MODE": "slow"}}], ids=["above", "after"]
)
async def test_what_an_edit_has_changed_is_not_wrong_again_and_again(
    found: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a replay the app comes to the same: the next one will fit, until another edit."""
    fakes = Fakes()
    for _ in range(5 if found else 1):
        fakes.standby.learn(preload("third"))
        assert (await fakes.take()).modules == [("third",)]
        fakes.standby.was_wrong("an edit", found)
        assert (await fakes.take()).preloads == []
        fakes.standby.learn(preload("third").replaced(final=found))
    fakes.standby.was_wrong("another", {"loggers": 1})
    assert (await fakes.take()).preloads == []
    fakes.standby.learn(preload("third"))
    assert (await fakes.take()).modules == [("third",)]
    assert warnings_in(caplog) == []


async def test_what_stops_a_replay_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    plan = {"replay": lambda _: Preloaded((), stopped="other", reason="import hooks")}
    fakes = Fakes({}, plan, plan)
    await fakes.take()
    fakes.standby.has_loaded(0.25)
    for _ in range(2):
        fakes.standby.learn(preload("third", "other", "more", "last"))
        await fakes.take()
    [told] = warnings_in(caplog)
    assert told == (
        "starting cold: other and 2 modules after it are not imported ahead, as the app sets up "
        "something else before it: import hooks; a load from nothing takes 250 ms"
    )


async def test_why_nothing_is_imported_ahead_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fakes = Fakes()
    for _ in range(2):
        fakes.standby.learn(Preload("/project", obstacle="it is too green"))
        assert (await fakes.take()).preloads == []
    assert warnings_in(caplog) == ["starting cold: nothing is imported ahead: it is too green"]


# --- what the last child has seen ------------------------------------------------------------


async def test_what_is_known_of_the_files_is_told_to_the_next_child() -> None:
    fakes = Fakes({"hangs": True})
    fakes.standby.prepare()
    await fakes.until(lambda: fakes.children)
    fakes.standby.remember({"a.py": [None, "1", False]})
    fakes.standby.remember({"a.py": [None, "2", False]})
    child = fakes.children[0]
    assert child.told == []  # it would not hear it
    child.booted.set()
    await fakes.rest()
    assert child.told == [KnownFiles({"a.py": [None, "2", False]})]
    fakes.standby.remember({"a.py": [None, "3", False]})
    assert child.told[1:] == [KnownFiles({"a.py": [None, "3", False]})]
    assert await fakes.take() is child
    fakes.standby.remember({"a.py": [None, "4", False]})
    assert len(child.told) == 2  # it knows better by now
    assert (await fakes.take()).told == [KnownFiles({"a.py": [None, "4", False]})]


async def test_what_is_known_is_told_to_nobody_where_no_child_can_be_made() -> None:
    fakes = Fakes({"boots": False, "code": 7})
    fakes.standby.prepare()
    await fakes.rest()
    fakes.standby.remember({})
    with pytest.raises(AsyncreloadError):
        await fakes.take()


# --- replays that fail -----------------------------------------------------------------------


def failing(*names: str) -> dict[str, Any]:
    return {"replay": lambda preload: Preloaded(tuple({*names} & {*preload.modules}))}


async def test_a_failing_package_is_left_out_and_the_child_thrown_away() -> None:
    fakes = Fakes(failing("needy"), failing("needy"))
    fakes.standby.learn(preload("third", "needy", "other"))
    fakes.standby.prepare()
    child = await fakes.take()
    assert fakes.children[0].modules == [("third", "needy", "other")]
    assert child is fakes.children[1]
    assert child.modules == [("third", "other")]
    assert fakes.alive == [child]


async def test_a_package_that_failed_stays_left_out() -> None:
    """The child that served without it names it in its preload: that changes nothing."""
    fakes = Fakes(*[failing("needy")] * 10)
    fakes.standby.learn(preload("third", "needy"))
    fakes.standby.prepare()
    await fakes.rest()
    made = len(fakes.children)
    fakes.standby.learn(preload("third", "needy"))
    await fakes.rest()
    assert len(fakes.children) == made
    assert (await fakes.take()).modules == [("third",)]


async def test_all_that_is_left_fails() -> None:
    fakes = Fakes(failing("needy"), failing("needy"))
    fakes.standby.learn(preload("needy"))
    child = await fakes.take()
    assert child is fakes.children[1]
    assert child.preloads == []


async def test_another_package_fails_each_time() -> None:
    """However often: there is a child in the end, no exception, and a replay the next time."""
    plans = [failing(f"m{number}") for number in range(8)]
    fakes = Fakes(*plans)
    names = [f"m{number}" for number in range(30)]
    fakes.standby.learn(preload(*names))
    child = await fakes.take()
    assert fakes.alive == [child]
    assert len(fakes.children) < 10
    assert child.preloads == []
    fakes.standby.prepare()
    child = await fakes.take()
    assert child.modules == [tuple(names[8:])]
    assert child.preloads[0].left_out == tuple(sorted(names[:8]))


async def test_what_is_below_a_package_that_failed_is_left_out_with_it() -> None:
    fakes = Fakes(failing("needy"))
    fakes.standby.learn(preload("third", "needy", "needy.part", "needy2"))
    child = await fakes.take()
    assert child.modules == [("third", "needy2")]


async def test_a_child_that_dies_unseen_is_replaced() -> None:
    """Of what it died nobody knows: perhaps somebody has killed it."""
    fakes = Fakes({"replay": lambda _: None})
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    child = await fakes.take()
    assert child is fakes.children[1]
    assert child.modules == [("third",)]
    assert fakes.children[0].reaped


async def test_children_that_die_again_and_again_end_in_one_that_imports_nothing() -> None:
    fakes = Fakes(*[{"replay": lambda _: None}] * 9)
    fakes.standby.learn(preload("third"))
    child = await fakes.take()
    assert child.preloads == []
    assert fakes.alive == [child]


# --- slow machines, and slow packages --------------------------------------------------------


# --- how long a load on it will take -------------------------------------------------------------


async def test_a_standby_that_is_not_ready_is_no_better_than_anything() -> None:
    fakes = Fakes({}, {"hangs": True})
    await fakes.take()
    fakes.standby.has_loaded(5.0)
    assert fakes.standby.expected_load() == math.inf
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    await fakes.rest()
    assert fakes.standby.expected_load() == math.inf


async def test_one_that_imports_nothing_is_no_better_than_anything() -> None:
    fakes = Fakes()
    fakes.standby.prepare()
    await fakes.rest()
    assert fakes.standby.expected_load() == math.inf


async def test_what_it_has_imported_need_not_be_imported_in_the_load() -> None:
    """5 s from nothing, of which 3 s are packages'; but what was measured counts more."""
    fakes = Fakes()
    await fakes.take()
    fakes.standby.has_loaded(5.0)
    fakes.plans.append({"replay": fakes.taking(3.0, lambda _: Preloaded(()))})
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    await fakes.rest()
    assert fakes.standby.expected_load() == 2.0
    await fakes.take()
    fakes.standby.has_loaded(1.5)
    fakes.standby.prepare()
    await fakes.rest()
    assert fakes.standby.expected_load() == 1.5


ENDLESS = {"replay": lambda _: asyncio.sleep(3600)}


async def replaying(fakes: Fakes, load: float = 8.0) -> Child:
    """Let a load from nothing take so long, and then a replay begin; return its process."""
    await fakes.take()
    fakes.standby.has_loaded(load)
    fakes.standby.learn(preload("slow"))
    fakes.standby.prepare()
    await fakes.until(lambda: fakes.children[-1].preloads)
    return fakes.children[-1]


async def test_a_process_that_boots_is_waited_for_as_long_as_it_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Said once, after three seconds: it is the machine that is slow."""
    fakes = Fakes({"hangs": True})
    taking = asyncio.create_task(fakes.take())
    await fakes.until(lambda: fakes.children)
    await fakes.passes(2.9)
    assert caplog.messages == []
    for _ in range(20):
        await fakes.passes(10)
    told = "still starting the next process after 3 s: Python itself takes long to start here"
    assert caplog.messages == [told]
    assert not taking.done()
    fakes.children[0].booted.set()
    assert await taking is fakes.children[0]
    assert len(fakes.children) == 1


async def test_what_is_left_of_a_replay_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """It is sooner there than a start from nothing."""
    done = asyncio.Event()
    fakes = Fakes({}, {"replay": lambda _: done.wait()})
    child = await replaying(fakes)
    taking = asyncio.create_task(fakes.take())
    await fakes.rest()
    await fakes.passes(7.0)
    assert not taking.done()
    assert caplog.messages == [
        "the next process is still importing packages after 3 s: the reload waits for it"
    ]
    done.set()
    assert await taking is child
    assert fakes.alive == fakes.children


async def test_a_process_that_could_not_be_started_for_long_is_not_slow_itself(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the project's directory was away."""
    monkeypatch.setattr(preparation, "RETRY_PAUSE", 0)
    away = {"raises": OSError(errno.ENOENT, "no directory")}
    fakes = Fakes(*[away] * 150, {"hangs": True})
    taking = asyncio.create_task(fakes.take())
    await fakes.until(lambda: caplog.messages)
    for _ in range(5):
        await fakes.passes(10)
    await fakes.until(lambda: fakes.children)
    await fakes.passes(2.9)
    assert caplog.messages == ["cannot start a process: no directory; trying again"]
    taking.cancel()
    await fakes.standby.end()


async def test_a_replay_that_takes_longer_than_a_load_is_not_waited_for() -> None:
    """A process starts from nothing beside it; the replay goes on, for the next reload."""
    fakes = Fakes({}, ENDLESS)
    slow = await replaying(fakes, load=2.0)
    await fakes.passes(3.9)
    taking = asyncio.create_task(fakes.take())
    await fakes.passes(0.0)
    assert not taking.done()
    await fakes.passes(0.2)
    cold = await taking
    assert cold is fakes.children[2]
    assert cold.preloads == []
    assert slow in fakes.alive
    slow.finished.set()
    await fakes.rest()
    assert await fakes.take() is slow


async def test_a_reload_does_not_wait_for_one_replay_after_the_other() -> None:
    """Each finds more that has to be left out: all of them count as one that takes long."""
    fakes = Fakes({}, *[failing(f"m{number}") for number in range(7)])
    await fakes.take()
    fakes.standby.has_loaded(1.0)
    fakes.standby.learn(preload(*(f"m{number}" for number in range(9))))
    for plan in fakes.plans:
        plan["replay"] = fakes.taking(1.0, plan["replay"])
    child = await fakes.take()
    assert child.preloads == []
    assert fakes.now < 1007


async def test_the_replay_is_taken_if_it_is_ready_first() -> None:
    fakes = Fakes({}, ENDLESS, {"hangs": True})
    slow = await replaying(fakes, load=0.0)
    taking = asyncio.create_task(fakes.take())
    await fakes.passes(1.1)
    await fakes.until(lambda: len(fakes.children) == 3)
    slow.finished.set()
    assert await taking is slow
    await fakes.rest()
    assert fakes.alive == fakes.children[:2]


async def test_late_is_not_wrong() -> None:
    """However often a replay was late, the next one is used if it is ready."""
    fakes = Fakes({}, ENDLESS)
    slow = await replaying(fakes, load=0.0)
    await fakes.passes(60)
    for _ in range(5):
        assert (await fakes.take()).preloads == []
        fakes.standby.has_loaded(0.0)
        fakes.standby.learn(preload("slow"))
        fakes.standby.prepare()
    slow.finished.set()
    await fakes.rest()
    assert await fakes.take() is slow


@pytest.mark.parametrize("plan", [{"hangs": True}, ENDLESS, {}])
async def test_a_stopped_process_is_replaced(plan: dict[str, Any]) -> None:
    fakes = Fakes({}, plan)
    await fakes.take()
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    await fakes.rest()
    fakes.children[1].stopped = True
    child = await fakes.take()
    assert child is fakes.children[2]
    await fakes.until(lambda: fakes.children[1].reaped)


# --- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [{}, {"hangs": True}, {"replay": lambda _: asyncio.sleep(3600)}])
async def test_the_end_leaves_nothing(plan: dict[str, Any]) -> None:
    fakes = Fakes(plan)
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    await fakes.rest()
    await fakes.standby.end()
    assert len(fakes.children) == 1
    assert fakes.alive == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_end_before_anything_was_made() -> None:
    fakes = Fakes()
    await fakes.standby.end()
    fakes.standby.prepare()
    await fakes.standby.end()  # the task has not even begun
    assert fakes.alive == []


async def test_taking_is_cancelled() -> None:
    """What was being made is there still, for the end to find."""
    fakes = Fakes({"hangs": True})
    taking = asyncio.create_task(fakes.take())
    await fakes.until(lambda: fakes.children)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await fakes.standby.end()
    assert fakes.alive == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_failure_that_nobody_takes_is_not_lost_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A standby that could not be made is an exception of the next `take`, and of nothing else."""
    fakes = Fakes({"boots": False, "code": 7})
    fakes.standby.prepare()
    await fakes.rest()
    await fakes.standby.end()
    assert fakes.alive == []
    assert not caplog.records


async def test_data_that_differ_are_compared_once_more() -> None:
    mismatches: dict[str, int | None] = {"third:KEY": 1}
    plans = [{"replay": lambda _: Preloaded((), mismatches=mismatches)}, {}]
    fakes = Fakes(*plans)
    fakes.standby.learn(preload("third"))
    fakes.standby.prepare()
    await fakes.rest()
    first, child = fakes.children
    assert first.reaped
    assert [one.mismatches for one in first.preloads + child.preloads] == [{}, mismatches]
    assert await fakes.take() is child
    fakes.standby.learn(preload("third"))
    assert (await fakes.take()).preloads[0].mismatches == mismatches
    fakes.standby.forget()
    fakes.standby.learn(preload("third"))
    assert (await fakes.take()).preloads[0].mismatches == {}
