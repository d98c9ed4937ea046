"""Children end politely, or are ended; here, without any process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet

import pytest

from asyncreload import descendants
from asyncreload.parent import children as module
from asyncreload.parent.children import MARGIN, Children
from asyncreload.parent.process import Process
from asyncreload.process_state import ProcessState
from asyncreload.protocol import End, Left, Message
from tests.unit.looping import until
from tests.unit.parent.fakes import FakeChild, rest

pytestmark = pytest.mark.asyncio

GRACE = 2.0


class Family:
    """Children, and the processes that they are given."""

    def __init__(self, checkpoints: AbstractSet[int] = frozenset()) -> None:
        self.made: list[FakeChild] = []
        self.children = Children(self.start, "/no/lockfile", GRACE, lambda: checkpoints)

    async def start(self) -> Process:
        self.made.append(FakeChild(len(self.made)))
        return self.made[-1].process

    async def child(self) -> FakeChild:
        await self.children.start()
        return self.made[-1]


def leaves(child: FakeChild) -> Callable[[Message], None]:
    """A child that leaves when it is asked to."""
    return lambda message: child.dies(0) if isinstance(message, End) else None


async def test_a_child_that_leaves_when_asked_is_not_killed() -> None:
    family = Family()
    child = await family.child()
    child.answers = leaves(child)
    family.children.ask_to_end(child.process)
    await family.children.wait_for_end(child.process)
    assert child.heard == [End()]
    assert not child.killed


async def test_a_child_that_does_not_leave_is_killed_after_grace() -> None:
    family = Family()
    child = await family.child()
    family.children.ask_to_end(child.process)
    await family.children.wait_for_end(child.process)
    assert child.had == [GRACE + MARGIN]
    assert child.killed


async def test_a_child_that_was_reaped_is_not_asked() -> None:
    family = Family()
    child = await family.child()
    await family.children.reap(child.process)
    family.children.ask_to_end(child.process)
    await family.children.wait_for_end(child.process)
    assert child.heard == []


async def test_one_that_has_said_farewell_is_reaped_when_it_has_ended() -> None:
    family = Family()
    child = await family.child()
    family.children.reap_later(child.process)
    await rest()
    assert not child.reaped
    child.dies(3)
    await until(lambda: child.reaped)


async def test_only_one_lingers() -> None:
    """The next one that has a response to send ends the last one's."""
    family = Family()
    first, second = await family.child(), await family.child()
    family.children.let_linger(first.process, lambda: None)
    await rest()
    family.children.let_linger(second.process, lambda: None)
    await until(lambda: first.reaped)
    assert first.killed
    assert not second.killed
    second.dies(3)
    await until(lambda: second.reaped)


async def test_whoever_lingers_at_the_end_is_killed() -> None:
    family = Family()
    lingering, leaving = await family.child(), await family.child()
    family.children.let_linger(lingering.process, lambda: None)
    family.children.reap_later(leaving.process)
    await rest()
    await family.children.stop_waiting()
    assert lingering.reaped
    assert leaving.reaped
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_at_the_end_all_are_killed_and_reaped() -> None:
    family = Family()
    made = [await family.child() for _ in range(3)]
    family.children.kill()
    assert all(child.killed for child in made)
    assert not any(child.reaped for child in made)
    await family.children.end()
    assert all(child.reaped for child in made)


async def test_where_their_families_are_not_found_they_are_stopped_before_they_are_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that what they have started is found."""
    monkeypatch.setattr(descendants, "finds_families", lambda: False)
    family = Family()
    child = await family.child()
    await family.children.end()
    assert child.stopped
    assert child.reaped


async def test_a_start_that_fails_leaves_nothing_to_end() -> None:
    async def start() -> Process:
        raise OSError("no descriptor")

    children = Children(start, "/no/lockfile", GRACE)
    with pytest.raises(OSError, match="no descriptor"):
        await children.start()
    await children.end()


async def test_a_child_is_killed_though_nothing_is_found_of_it() -> None:
    family = Family()
    child = await family.child()
    await family.children.kill_with_descendants(child.process)
    assert child.stopped  # so that it started nothing meanwhile
    assert child.killed


async def test_checkpoints_and_other_children_are_no_processes_of_the_apps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two children, one may go on from a checkpoint that the other has taken."""
    asked: list[tuple[int, AbstractSet[int]]] = []

    async def find(pid: int, spared: AbstractSet[int]) -> list[int]:
        asked.append((pid, spared))
        return []

    monkeypatch.setattr(module, "_descendants", find)
    family = Family(checkpoints={70, 71})
    first, second, third = [await family.child() for _ in range(3)]
    await family.children.reap(third.process)
    await family.children.kill_with_descendants(first.process)
    assert asked == [(first.process.pid, {second.process.pid, 70, 71})]


class Tree:
    """Processes, each with its parent; who is killed is gone, and what is below it is an orphan's.

    Each look adds what has started meanwhile.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *pairs: tuple[int, int]) -> None:
        self.parents = dict(pairs)
        self.starts: list[tuple[int, int]] = []
        self.killed: list[int] = []
        monkeypatch.setattr(module, "_family", self.family)
        monkeypatch.setattr(module, "_descendants", self.descendants)
        monkeypatch.setattr(module, "end_all", self.end_all)

    async def family(self, _lock: str) -> list[int]:
        self.parents |= dict(self.starts[:1])
        del self.starts[:1]
        return [*self.parents]

    async def descendants(self, pid: int, spared: AbstractSet[int]) -> list[int]:
        below = [one for one, of in self.parents.items() if of == pid and one not in spared]
        return [*below, *[pid for one in below for pid in await self.descendants(one, spared)]]

    async def end_all(self, find: Callable[[], Awaitable[AbstractSet[int]]]) -> None:
        while found := await find():
            self.killed += sorted(found)
            for pid in found:
                del self.parents[pid]


async def test_a_crash_kills_what_the_child_has_left_and_nothing_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here the one that has crashed has gone on from a checkpoint (70) of one that lingers."""
    family = Family(checkpoints={70})
    lingers, crashed, stands_by = [await family.child() for _ in range(3)]
    tree = Tree(
        monkeypatch,
        (lingers.pid, 0),
        (10, lingers.pid),
        (11, 10),
        (70, lingers.pid),
        (crashed.pid, 70),
        (20, crashed.pid),
        (21, 1),
        (stands_by.pid, crashed.pid),
        (30, stands_by.pid),
    )
    tree.starts = [(12, 11), (22, 1)]
    await family.children.kill_orphans(crashed.process)
    assert tree.killed == [20, 21, 22]
    assert not any(child.reaped or child.killed for child in family.made)


@pytest.mark.parametrize("end", ["a crash", "a kill", "by itself"])
async def test_what_one_that_lingers_has_left_is_killed_unless_it_says_that_it_has(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    family = Family()
    lingers, serves = [await family.child() for _ in range(2)]
    tree = Tree(monkeypatch, (10, 1), (serves.pid, 0), (20, serves.pid))
    family.children.let_linger(lingers.process, lambda: None)
    await rest()
    if end == "a kill":
        family.children.end_lingering()
    else:
        lingers.says(*([Left(3, vanished=True)] if end == "by itself" else []))
        lingers.dies(3)
    await until(lambda: lingers.reaped)
    assert tree.killed == ([] if end == "by itself" else [10])
    family.children.kill()


async def test_where_nothing_is_left_it_is_not_asked_whose_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family = Family(checkpoints={70})
    lingers, crashed = [await family.child() for _ in range(2)]
    Tree(monkeypatch, (lingers.pid, 0), (70, lingers.pid), (crashed.pid, 70))
    monkeypatch.setattr(module, "_descendants", None)
    await family.children.kill_orphans(crashed.process)


async def test_at_the_end_nothing_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Family(checkpoints={70})
    lingers, serves = [await family.child() for _ in range(2)]
    tree = Tree(monkeypatch, (10, lingers.pid), (20, serves.pid), (70, serves.pid))
    await family.children.end()
    assert tree.killed == [10, 20, 70]


async def test_what_all_do_together_is_told() -> None:
    family = Family()
    assert await family.children.read_state() is None
    states = [ProcessState(1.5, wants_to_run=False), None, ProcessState(2.0, wants_to_run=True)]
    for state in states:
        (await family.child()).state = state
    assert await family.children.read_state() == ProcessState(3.5, wants_to_run=True)
