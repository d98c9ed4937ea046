"""A load goes on from where it is likely to be over soonest."""

from __future__ import annotations

import math
import socket
from typing import cast

import pytest

from asyncreload.parent.checkpoint import Checkpoint
from asyncreload.parent.checkpoints import Checkpoints
from asyncreload.parent.next_child import is_checkpoint_sooner
from asyncreload.parent.process import Process
from asyncreload.protocol import CheckpointTaken, Go
from tests.unit.parent.fakes import GO, FakeChild

pytestmark = pytest.mark.asyncio

CHANGED = GO.replaced(changed={"/p/leaf.py": None})


class FakeCheckpoint:
    """One that answers at once."""

    has_ended = False
    note_load = Checkpoint.note_load
    holds = Checkpoint.holds
    depth = Checkpoint.depth

    def __init__(self, *read: str, seconds: float) -> None:
        self.taken = CheckpointTaken(1, "/p/leaf.py", read, len(read), seconds)
        self.left: float | None = None
        self._read = frozenset(read)
        self.child = FakeChild()

    async def resume(self) -> Process:
        return self.child.process

    def kill(self) -> None:
        self.has_ended = True


class Silent:
    """A rendezvous at which nothing arrives."""

    def recvmsg(self, *_: object) -> None:
        raise BlockingIOError


class Scene:
    """Checkpoints of a load, and a standby beside them."""

    def __init__(self, *all_: FakeCheckpoint, standby: float = math.inf) -> None:
        self.standby = standby
        self.checkpoints = Checkpoints(
            cast("socket.socket", Silent()),
            4,
            self._none,
            lambda _: None,
            lambda left: is_checkpoint_sooner(left, self.standby),
            lambda _: None,
        )
        self.checkpoints._all = dict.fromkeys(cast("tuple[Checkpoint, ...]", all_))

    async def _none(self) -> list[str]:
        return []

    async def take(self, go: Go = CHANGED) -> Process | None:
        return await self.checkpoints.take(go)


async def test_the_deepest_is_the_one() -> None:
    early = FakeCheckpoint("/p/app.py", seconds=1.0)
    late = FakeCheckpoint("/p/app.py", "/p/models.py", seconds=2.0)
    assert await Scene(late, early).take() is late.child.process


async def test_one_that_holds_the_changed_file_is_dropped() -> None:
    early = FakeCheckpoint("/p/app.py", seconds=1.0)
    late = FakeCheckpoint("/p/app.py", "/p/leaf.py", seconds=2.0)
    assert await Scene(early, late).take() is early.child.process
    assert late.has_ended
    assert not early.has_ended


@pytest.mark.parametrize(
    ("standby", "is_checkpoint"),
    [(math.inf, True), (5.0, True), (3.7, True), (3.5, False), (0.1, False)],
)
async def test_a_standby_that_has_more_packages_is_preferred(
    standby: float, *, is_checkpoint: bool
) -> None:
    """The first load imports pandas behind the checkpoint: 4 s of 5 are left from there."""
    one = FakeCheckpoint("/p/app.py", seconds=1.0)
    scene = Scene(one, standby=standby)
    scene.checkpoints.has_loaded(5.0)
    assert (await scene.take() is one.child.process) is is_checkpoint
    assert not one.has_ended  # it may be the better one next time


async def test_what_is_left_is_known_from_the_load_that_it_is_from() -> None:
    one = FakeCheckpoint("/p/app.py", seconds=4.9)
    scene = Scene(one, standby=1.0)
    scene.checkpoints.has_loaded(5.0)
    scene.checkpoints.has_loaded(20.0)  # another load
    assert await scene.take() is one.child.process


async def test_what_is_left_is_known_better_from_the_load_that_has_gone_on_from_it() -> None:
    one = FakeCheckpoint("/p/app.py", seconds=4.9)
    scene = Scene(one, standby=1.0)
    scene.checkpoints.has_loaded(5.0)
    await scene.take()
    scene.checkpoints.has_loaded(2.0)  # the machine is busy, or the file imports more now
    assert await scene.take() is None


async def test_while_one_file_is_edited_none_is_taken_at_the_end() -> None:
    one = FakeCheckpoint("/p/app.py", seconds=1.0)
    scene = Scene(one)
    scene.checkpoints._recent = ["/p/leaf.py"]
    assert scene.checkpoints.asked(GO).checkpoint_at_end
    await scene.take()
    assert not scene.checkpoints.asked(CHANGED).checkpoint_at_end
    other = GO.replaced(changed={"/p/late.py": None})
    await scene.take(other)
    assert scene.checkpoints.asked(other).checkpoint_at_end
    scene.standby = 0.0
    scene.checkpoints.has_loaded(5.0)
    await scene.take()
    assert scene.checkpoints.asked(CHANGED).checkpoint_at_end
    await scene.take()  # on the standby again, and for the same file
    once_more = CHANGED.replaced(changed={**CHANGED.changed})
    assert not scene.checkpoints.asked(once_more).checkpoint_at_end
