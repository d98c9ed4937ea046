"""The next child: made ahead, replaced when it is outdated, and never a reason to fail."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any, cast

import pytest

from asyncreload.errors import AsyncreloadError
from asyncreload.parent import standby as module
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
        self.dead = False
        self.buried = False
        self.booted = asyncio.Event()
        self.recipes: list[Preload] = []
        self.told: list[Message] = []
        if not plan.get("hangs"):
            self.booted.set()

    async def has_booted(self) -> bool:
        await self.booted.wait()
        return bool(self.boots)

    async def warm(self, preload: Preload) -> Preloaded | None:
        self.recipes.append(preload)
        if self.replay is None:
            return Preloaded(())
        found = self.replay(preload)
        if asyncio.iscoroutine(found):
            await found
        return cast("Preloaded | None", found)

    async def wait(self) -> int:
        return int(self.code)

    def has_ended(self) -> bool:
        return self.dead

    def send(self, message: Message) -> None:
        self.told.append(message)

    @property
    def modules(self) -> list[tuple[str, ...]]:
        return [preload.modules for preload in self.recipes]


class Nursery:
    """Where the fake children come from, and where they end."""

    def __init__(self, *plans: dict[str, Any], **options: Any) -> None:
        self.plans = list(plans)
        self.children: list[Child] = []
        settings = Settings(target="app.py", **options)
        self.standby = Standby(settings, self.start, self.bury)

    async def start(self) -> Process:
        await asyncio.sleep(0)
        plan = self.plans.pop(0) if self.plans else {}
        if "raises" in plan:
            raise plan["raises"]
        self.children.append(Child(plan))
        return cast("Process", self.children[-1])

    async def bury(self, child: Process) -> None:
        await asyncio.sleep(0)
        cast("Child", child).buried = True

    async def take(self) -> Child:
        return cast("Child", await self.standby.take())

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop run until the condition holds."""
        for _ in range(100):
            if condition():
                return
            await asyncio.sleep(0)
        pytest.fail("it never came to that")

    async def rest(self) -> None:
        """Let the loop run until nothing is to be done any more."""
        for _ in range(50):
            await asyncio.sleep(0)

    @property
    def alive(self) -> list[Child]:
        return [child for child in self.children if not child.buried]


def preload(*modules: str) -> Preload:
    return Preload("/project", modules=modules, final={"environ": {}})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for long."""
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    monkeypatch.setattr(module, "WARM", 0.02)
    monkeypatch.setattr(module, "PAUSE", 0.001)


# --- starting --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOENT])
async def test_without_the_means_for_a_process_it_is_tried_again(
    number: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor must not end because a descriptor was missing for a moment."""
    monkeypatch.setattr(module, "PATIENCE", 10)  # it is not what ends the wait here
    nursery = Nursery(*[{"raises": OSError(number, os.strerror(number))}] * 3)
    assert await nursery.take() is nursery.children[0]
    told = f"cannot start a process: {os.strerror(number)}; trying again"
    assert caplog.messages == [told]


async def test_a_process_that_cannot_be_started_at_all_is_told() -> None:
    nursery = Nursery({"raises": PermissionError(errno.EACCES, "no interpreter")})
    with pytest.raises(PermissionError):
        await nursery.take()


# --- making and taking -----------------------------------------------------------------------


async def test_the_first_child_is_made_when_it_is_taken() -> None:
    nursery = Nursery()
    child = await nursery.take()
    assert nursery.children == [child]
    assert child.recipes == []


async def test_a_prepared_child_is_the_one_that_is_taken() -> None:
    nursery = Nursery()
    nursery.standby.prepare()
    nursery.standby.prepare()
    await nursery.rest()
    [ready] = nursery.children
    assert await nursery.take() is ready
    assert len(nursery.children) == 1


async def test_each_child_is_taken_once() -> None:
    nursery = Nursery()
    assert await nursery.take() is not await nursery.take()


async def test_a_child_that_still_boots_is_waited_for() -> None:
    nursery = Nursery({"hangs": True})
    nursery.standby.prepare()
    taking = asyncio.create_task(nursery.take())
    await nursery.rest()
    assert not taking.done()
    nursery.children[0].booted.set()
    assert await taking is nursery.children[0]


async def test_without_standby_children_are_made_when_they_are_taken() -> None:
    nursery = Nursery(standby=False)
    nursery.standby.prepare()
    nursery.standby.learn(preload("third"))
    nursery.standby.renew()
    await nursery.rest()
    assert nursery.children == []
    child = await nursery.take()
    assert child.recipes == []  # it would wait for a replay, and gain nothing


async def test_in_a_hurry_the_next_child_is_made_before_it_is_taken() -> None:
    nursery = Nursery(standby=False)
    nursery.standby.hurry()
    nursery.standby.hurry()
    await nursery.rest()
    [ready] = nursery.children
    assert await nursery.take() is ready


async def test_a_standby_that_was_killed_is_replaced() -> None:
    nursery = Nursery()
    nursery.standby.prepare()
    await nursery.rest()
    nursery.children[0].dead = True
    child = await nursery.take()
    assert child is nursery.children[1]
    assert nursery.alive == [child]


async def test_a_child_killed_while_it_boots_is_replaced() -> None:
    nursery = Nursery({"boots": False, "code": -9}, {"boots": False, "code": -15})
    child = await nursery.take()
    assert child is nursery.children[2]
    assert nursery.alive == [child]


async def test_children_that_do_not_boot_are_given_up() -> None:
    """One that ends by itself has said why; killed ones are tried again, but not for ever."""
    message = (
        r"^the child process ended with exit code 7 before it could load anything; "
        r"what it printed above says why$"
    )
    nursery = Nursery({"boots": False, "code": 7})
    with pytest.raises(AsyncreloadError, match=message):
        await nursery.take()
    assert len(nursery.children) == 1
    nursery = Nursery(*[{"boots": False, "code": -9}] * 100)
    with pytest.raises(AsyncreloadError, match="exit code -9"):
        await nursery.take()
    assert 1 < len(nursery.children) < 20
    assert nursery.alive == []


# --- the recipe ------------------------------------------------------------------------------


async def test_a_recipe_is_replayed_by_the_standby() -> None:
    nursery = Nursery()
    await nursery.take()
    nursery.standby.learn(preload("third", "other"))
    nursery.standby.prepare()
    child = await nursery.take()
    assert child.modules == [("third", "other")]


async def test_a_standby_that_lacks_something_is_replaced() -> None:
    nursery = Nursery()
    nursery.standby.learn(preload("third"))
    nursery.standby.prepare()
    await nursery.rest()
    nursery.standby.learn(preload("third"))
    await nursery.rest()
    assert len(nursery.children) == 1  # nothing is new
    nursery.standby.learn(preload("third", "lazy"))
    await nursery.until(lambda: len(nursery.children) == 2)
    await nursery.rest()
    assert nursery.children[0].buried
    child = await nursery.take()
    assert child.modules == [("third", "lazy")]
    assert nursery.alive == [child]


async def test_a_standby_is_not_made_before_it_is_wanted() -> None:
    nursery = Nursery()
    nursery.standby.learn(preload("third"))
    nursery.standby.renew()
    await nursery.rest()
    assert nursery.children == []


async def test_renewed_while_it_boots() -> None:
    nursery = Nursery({"hangs": True})
    nursery.standby.prepare()
    await nursery.until(lambda: nursery.children)
    nursery.standby.renew()
    child = await nursery.take()
    assert child is nursery.children[1]
    assert nursery.alive == [child]


@pytest.mark.parametrize("ahead", ["packages", "interpreter"])
async def test_what_is_preloaded(ahead: str) -> None:
    nursery = Nursery(preload=ahead)
    nursery.standby.learn(preload("third"))
    nursery.standby.prepare()
    child = await nursery.take()
    assert child.modules == ([("third",)] if ahead == "packages" else [])


async def test_an_empty_recipe_is_not_sent() -> None:
    nursery = Nursery()
    nursery.standby.learn(preload())
    assert (await nursery.take()).recipes == []


async def test_forgotten_the_next_child_is_cold() -> None:
    nursery = Nursery()
    nursery.standby.learn(preload("third"))
    nursery.standby.prepare()
    await nursery.rest()
    nursery.standby.forget()
    cold = await nursery.take()
    assert cold is nursery.children[1]
    assert cold.recipes == []
    assert nursery.alive == [cold]
    nursery.standby.learn(preload("third"))
    assert (await nursery.take()).modules == [("third",)]


async def test_wrong_once_is_cold_once() -> None:
    nursery = Nursery()
    for _ in range(5):  # right in between: it is not given up
        nursery.standby.learn(preload("third"))
        assert (await nursery.take()).modules == [("third",)]
        nursery.standby.was_wrong()
        assert (await nursery.take()).recipes == []
        nursery.standby.learn(preload("third"))
        assert (await nursery.take()).modules == [("third",)]
        nursery.standby.was_right()


async def test_wrong_again_and_again_is_cold_for_good() -> None:
    nursery = Nursery()
    replayed = 0
    for _ in range(20):
        nursery.standby.learn(preload("third"))
        replayed += bool((await nursery.take()).recipes)
        nursery.standby.was_wrong()
        assert (await nursery.take()).recipes == []
        nursery.standby.was_right()  # the cold one loaded
    assert replayed <= 3


# --- what the last child has seen ------------------------------------------------------------


async def test_what_is_known_of_the_files_is_told_to_the_next_child() -> None:
    nursery = Nursery({"hangs": True})
    nursery.standby.prepare()
    await nursery.until(lambda: nursery.children)
    nursery.standby.remember({"a.py": [None, "1", False]})
    nursery.standby.remember({"a.py": [None, "2", False]})
    child = nursery.children[0]
    assert child.told == []  # it would not hear it
    child.booted.set()
    await nursery.rest()
    assert child.told == [KnownFiles({"a.py": [None, "2", False]})]
    nursery.standby.remember({"a.py": [None, "3", False]})
    assert child.told[1:] == [KnownFiles({"a.py": [None, "3", False]})]
    assert await nursery.take() is child
    nursery.standby.remember({"a.py": [None, "4", False]})
    assert len(child.told) == 2  # it knows better by now
    assert (await nursery.take()).told == [KnownFiles({"a.py": [None, "4", False]})]


async def test_what_is_known_is_told_to_nobody_where_no_child_can_be_made() -> None:
    nursery = Nursery({"boots": False, "code": 7})
    nursery.standby.prepare()
    await nursery.rest()
    nursery.standby.remember({})
    with pytest.raises(AsyncreloadError):
        await nursery.take()


# --- replays that fail -----------------------------------------------------------------------


def failing(*names: str) -> dict[str, Any]:
    return {"replay": lambda preload: Preloaded(tuple({*names} & {*preload.modules}))}


async def test_a_failing_package_is_left_out_and_the_child_thrown_away() -> None:
    nursery = Nursery(failing("needy"), failing("needy"))
    nursery.standby.learn(preload("third", "needy", "other"))
    nursery.standby.prepare()
    child = await nursery.take()
    assert nursery.children[0].modules == [("third", "needy", "other")]
    assert child is nursery.children[1]
    assert child.modules == [("third", "other")]
    assert nursery.alive == [child]


async def test_a_package_that_failed_stays_left_out() -> None:
    """The child that served without it has it in its recipe: that changes nothing."""
    nursery = Nursery(*[failing("needy")] * 10)
    nursery.standby.learn(preload("third", "needy"))
    nursery.standby.prepare()
    await nursery.rest()
    made = len(nursery.children)
    nursery.standby.learn(preload("third", "needy"))
    await nursery.rest()
    assert len(nursery.children) == made
    assert (await nursery.take()).modules == [("third",)]


async def test_all_that_is_left_fails() -> None:
    nursery = Nursery(failing("needy"), failing("needy"))
    nursery.standby.learn(preload("needy"))
    child = await nursery.take()
    assert child is nursery.children[1]
    assert child.recipes == []


async def test_another_package_fails_each_time() -> None:
    """However often: there is a child in the end, and no exception."""
    plans = [failing(f"m{number}") for number in range(30)]
    nursery = Nursery(*plans)
    nursery.standby.learn(preload(*(f"m{number}" for number in range(30))))
    child = await nursery.take()
    assert nursery.alive == [child]
    assert len(nursery.children) < 10


async def test_a_child_that_dies_in_the_replay_ends_replays() -> None:
    nursery = Nursery({"replay": lambda _: None})
    nursery.standby.learn(preload("deadly"))
    nursery.standby.prepare()
    child = await nursery.take()
    assert child is nursery.children[1]
    assert child.recipes == []
    nursery.standby.learn(preload("deadly"))
    assert (await nursery.take()).recipes == []
    assert nursery.children[0].buried


async def test_a_replay_that_does_not_fit_ends_replays() -> None:
    """The project has put something into `sys.modules` that packages have met."""
    nursery = Nursery({"replay": lambda _: Preloaded((), fits=False)})
    nursery.standby.learn(preload("third"))
    child = await nursery.take()
    assert child.recipes == []
    assert nursery.alive == [child]


async def test_a_replay_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody waits for the child."""
    monkeypatch.setattr(module, "PATIENCE", 10)
    nursery = Nursery({"replay": lambda _: asyncio.sleep(3600)})
    nursery.standby.learn(preload("endless"))
    nursery.standby.prepare()
    child = await nursery.take()
    assert child is nursery.children[1]
    assert child.recipes == []
    assert nursery.alive == [child]


async def test_a_save_does_not_wait_for_ever_for_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts cold, then; and when that happens again, the app is not replayed any more."""
    monkeypatch.setattr(module, "WARM", 10)
    slow = {"replay": lambda _: asyncio.sleep(3600)}
    nursery = Nursery(slow, {}, slow, {}, slow, {}, slow, {}, slow, {})
    for _ in range(5):
        nursery.standby.learn(preload("slow"))
        nursery.standby.prepare()
        child = await nursery.take()
        assert child.recipes == []
        nursery.standby.was_right()
        await nursery.rest()
        assert nursery.alive[-1] is child
    assert sum(bool(child.recipes) for child in nursery.children) <= 3


# --- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [{}, {"hangs": True}, {"replay": lambda _: asyncio.sleep(3600)}])
async def test_the_end_leaves_nothing(
    plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WARM", 10)
    nursery = Nursery(plan)
    nursery.standby.learn(preload("third"))
    nursery.standby.prepare()
    await nursery.rest()
    await nursery.standby.end()
    assert len(nursery.children) == 1
    assert nursery.alive == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_end_before_anything_was_made() -> None:
    nursery = Nursery()
    await nursery.standby.end()
    nursery.standby.prepare()
    await nursery.standby.end()  # the task has not even begun
    assert nursery.alive == []


async def test_taking_is_cancelled() -> None:
    """What was being made is there still, for the end to find."""
    nursery = Nursery({"hangs": True})
    taking = asyncio.create_task(nursery.take())
    await nursery.until(lambda: nursery.children)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await nursery.standby.end()
    assert nursery.alive == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_failure_that_nobody_takes_is_not_lost_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A standby that could not be made is an exception of the next `take`, and of nothing else."""
    nursery = Nursery({"boots": False, "code": 7})
    nursery.standby.prepare()
    await nursery.rest()
    await nursery.standby.end()
    assert nursery.alive == []
    assert not caplog.records


async def test_data_that_differ_are_compared_once_more() -> None:
    mismatches: dict[str, int | None] = {"third:KEY": 1}
    plans = [{"replay": lambda _: Preloaded((), mismatches=mismatches)}, {}]
    nursery = Nursery(*plans)
    nursery.standby.learn(preload("third"))
    nursery.standby.prepare()
    await nursery.rest()
    scout, child = nursery.children
    assert scout.buried
    assert [one.mismatches for one in scout.recipes + child.recipes] == [{}, mismatches]
    assert await nursery.take() is child
    nursery.standby.learn(preload("third"))
    assert (await nursery.take()).recipes[0].mismatches == mismatches
    nursery.standby.forget()
    nursery.standby.learn(preload("third"))
    assert (await nursery.take()).recipes[0].mismatches == {}
