"""The next child comes from a checkpoint, from the standby, or from nothing: in this order."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, cast

import pytest

from asyncreload.parent.next_child import NextChild, Origin, is_checkpoint_sooner
from asyncreload.protocol import FilesChanged, Going
from tests.unit.parent.fakes import GO, FakeCheckpoints, FakeChild, rest

if TYPE_CHECKING:
    from asyncreload.parent.checkpoints import Checkpoints
    from asyncreload.parent.process import Process
    from asyncreload.parent.standby import Standby

CHANGED = GO.replaced(changed={"app.py": [None, "1", False]})

pytestmark = pytest.mark.asyncio


class Standing:
    """A process stands by."""

    def __init__(self, child: Process, *, has_preloaded: bool) -> None:
        self.child = child
        self.has_preloaded = has_preloaded
        self.is_ready = True
        self.asked = 0

    async def take(self) -> Process:
        self.asked += 1
        return self.child

    async def take_ready(self) -> Process | None:
        return await self.take() if self.is_ready else None


class Scene:
    """Where the next child may come from."""

    def __init__(self, *, frozen: bool = False, has_preloaded: bool = True) -> None:
        self.frozen, self.warm = FakeChild(1), FakeChild(2)
        self.checkpoints = FakeCheckpoints()
        self.checkpoints.next = self.frozen.process if frozen else None
        self.standby = Standing(self.warm.process, has_preloaded=has_preloaded)
        sources = cast("Checkpoints", self.checkpoints), cast("Standby", self.standby)
        self.discarded: list[Process] = []
        self.next = NextChild(*sources, self.discarded.append)


@pytest.mark.parametrize(
    ("frozen", "has_preloaded", "origin"),
    [
        (True, True, Origin.CHECKPOINT),
        (False, True, Origin.STANDBY),
        (False, False, Origin.COLD),
    ],
)
async def test_best_first(*, frozen: bool, has_preloaded: bool, origin: Origin) -> None:
    scene = Scene(frozen=frozen, has_preloaded=has_preloaded)
    taken = await scene.next.take(GO)
    child = scene.frozen if frozen else scene.warm
    assert (taken.child, taken.origin) == (child.process, origin)
    assert scene.standby.asked == (not frozen)  # it is kept for the next reload
    assert child.heard == []


@pytest.mark.parametrize("frozen", [True, False])
async def test_one_that_stands_by_is_told_ahead_what_it_will_load(*, frozen: bool) -> None:
    scene = Scene(frozen=frozen)
    scene.next.take_ahead(CHANGED, after=7)
    await rest()
    child = scene.frozen if frozen else scene.warm
    assert child.heard == [CHANGED.replaced(after=7)]
    assert scene.next.told_ahead is child.process
    taken = await scene.next.take(CHANGED)
    assert taken.child is child.process
    assert taken.go == CHANGED
    assert scene.next.told_ahead is None


async def test_one_that_was_told_something_else_is_told_anew() -> None:
    scene = Scene()
    scene.next.take_ahead(CHANGED, after=7)
    taken = await scene.next.take(GO)
    assert taken.child is scene.warm.process
    assert taken.go == GO


@pytest.mark.parametrize("fault", ["killed", "stopped"])
async def test_one_that_somebody_has_killed_or_stopped_since_is_replaced(fault: str) -> None:
    scene = Scene(frozen=True)
    scene.next.take_ahead(CHANGED, after=7)
    await rest()
    if fault == "killed":
        scene.frozen.dies(-9)
    else:
        scene.frozen.stopped = True
    assert (await scene.next.take(CHANGED)).child is scene.warm.process
    assert scene.discarded == [scene.frozen.process]


@pytest.mark.parametrize("fault", ["dies", "stopped"])
async def test_one_that_has_begun_is_heard_whatever_has_become_of_it(fault: str) -> None:
    """Its crash is that of the app: it is told, and not loaded once more in silence."""
    scene = Scene(frozen=True)
    scene.next.take_ahead(CHANGED, after=7)
    await rest()
    scene.frozen.says(Going(1), FilesChanged({}, loading=True))
    if fault == "dies":
        scene.frozen.dies(7)
    else:
        scene.frozen.stopped = True
    taken = await scene.next.take(CHANGED)
    assert taken.child is scene.frozen.process
    assert scene.discarded == []
    heard = taken.child.messages()
    assert await anext(heard) == Going(1)
    assert await anext(heard) == FilesChanged({}, loading=True)


async def test_one_that_is_not_ready_is_not_told_ahead() -> None:
    """It is started when the last one has ended, if Python runs the project's code in it."""
    scene = Scene()
    scene.standby.is_ready = False
    scene.next.take_ahead(CHANGED, after=7)
    await rest()
    assert scene.standby.asked == 0
    assert (await scene.next.take(CHANGED)).child is scene.warm.process
    assert scene.warm.heard == []


async def test_at_the_end_nothing_is_taken_any_more() -> None:
    scene = Scene()
    scene.next.take_ahead(CHANGED, after=7)
    await scene.next.end()
    assert scene.standby.asked == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("left", "standby", "sooner"),
    [
        (1.0, math.inf, True),
        (1.1, 1.0, True),
        (1.15, 1.0, False),
        (0.025, 0.01, True),
        (0.04, 0.01, False),
    ],
)
async def test_the_standby_is_preferred_only_where_it_is_clearly_sooner(
    *, left: float, standby: float, sooner: bool
) -> None:
    assert is_checkpoint_sooner(left, standby) is sooner
