"""Which checkpoints there are, and which one a reload goes on from; without any process."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from asyncreload.parent import checkpoints as module
from asyncreload.parent.checkpoint import Checkpoint
from asyncreload.parent.checkpoints import Checkpoints
from asyncreload.parent.next_child import is_checkpoint_sooner
from asyncreload.parent.process import Process
from asyncreload.protocol import CheckpointTaken, GetReady, Go
from tests.unit.looping import until
from tests.unit.parent.fakes import GO, FakeChild, rest

pytestmark = pytest.mark.asyncio


class FakeCheckpoint:
    """A `Checkpoint` of which the test says what it does."""

    def __init__(self, pid: int, connection: socket.socket, on_change: Any) -> None:
        connection.close()
        self.pid = pid
        self.taken: CheckpointTaken | None = None
        self.has_ended = False
        self.left: float | None = None
        self.uses = 0
        self.answer: asyncio.Future[Process | None] = asyncio.get_running_loop().create_future()
        self.waited_for = False
        self.lives_on: list[int] = []
        self._on_change = on_change
        MADE[pid] = self

    # --- the test's side ---

    def says(self, place: str, *read: str) -> None:
        self.taken = CheckpointTaken(self.pid, place, read, 0, 0.1)
        self._on_change(self)

    # --- what a `Checkpoint` has ---

    def holds(self, path: str) -> bool:
        return self.taken is not None and path in self.taken.read

    def depth(self) -> tuple[int, int]:
        return 0, len(self.taken.read) if self.taken else 0

    def is_in_use(self) -> bool:
        return bool(self.lives_on)

    def is_gone(self) -> bool:
        return False

    def pids(self) -> set[int]:
        return {self.pid, *self.lives_on}

    def note_load(self, seconds: float) -> None:
        self.left = seconds

    async def resume(self) -> Process | None:
        self.uses += 1
        return await self.answer

    def kill(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._on_change(self)

    async def wait(self) -> None:
        self.waited_for = True


MADE: dict[int, FakeCheckpoint] = {}


class Bench:
    """The checkpoints of a supervisor, and what comes in at their rendezvous."""

    def __init__(self, most: int, recent: list[str]) -> None:
        ours, self.rendezvous = socket.socketpair(type=socket.SOCK_DGRAM)
        self.ours = ours
        self.recent = recent
        self.otherwise = math.inf
        self.adopted: list[Process] = []
        self.discarded: list[Process] = []
        self.checkpoints = Checkpoints(
            ours,
            most,
            self.find_recent,
            self.adopted.append,
            lambda left: is_checkpoint_sooner(left, self.otherwise),
            self.discarded.append,
        )

    async def find_recent(self) -> list[str]:
        return self.recent

    def sends(self, pid: int) -> None:
        """Have a checkpoint handed over, which is not taken in yet."""
        one, other = socket.socketpair()
        with one, other:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", other.fileno()))
            self.rendezvous.sendmsg([str(pid).encode()], [rights])

    async def arrives(self, pid: int, place: str = "", *read: str) -> FakeCheckpoint:
        """Have a checkpoint come in; and say what it is, if a place is given."""
        self.sends(pid)
        await until(lambda: pid in MADE)
        if place:
            MADE[pid].says(place, *read)
        return MADE[pid]

    def change(self, *paths: str) -> None:
        self.checkpoints.on_change(dict.fromkeys(paths))

    async def take(self, *changed: str) -> Process | None:
        return await self.checkpoints.take(GO.replaced(changed=dict.fromkeys(changed)))

    def pids(self) -> set[int]:
        return self.checkpoints.pids()


@pytest.fixture
def most() -> int:
    """How many checkpoints are kept."""
    return 4


@pytest_asyncio.fixture
async def bench(most: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(module, "Checkpoint", FakeCheckpoint)
    MADE.clear()
    bench = Bench(most, ["new.py", "newer.py"])
    await bench.checkpoints.open()
    yield bench
    await bench.checkpoints.end()
    bench.ours.close()
    bench.rendezvous.close()


# --- what there is to be -----------------------------------------------------------------------


async def test_first_they_are_wanted_before_the_files_that_were_changed_last(bench: Bench) -> None:
    asked = bench.checkpoints.asked(GO)
    assert asked == GO.replaced(checkpoints=("new.py", "newer.py"), checkpoint_at_end=True)


async def test_then_before_those_that_were_edited_and_one_place_is_for_the_end(
    bench: Bench,
) -> None:
    bench.change("views.py", "page.html")
    bench.change("models.py")
    bench.change("newer.py")
    asked = bench.checkpoints.asked(GO)
    assert asked.checkpoints == ("newer.py", "models.py", "views.py")


@pytest.mark.parametrize("most", [1])
async def test_a_single_one_is_for_the_end(bench: Bench) -> None:
    assert bench.checkpoints.asked(GO) == GO.replaced(checkpoint_at_end=True)


async def test_a_load_is_told_what_needed_no_reload_since_the_first_checkpoint(
    bench: Bench,
) -> None:
    """The process that goes on from one has not heard of it."""
    bench.checkpoints.has_refreshed(["a.html", "b.html"])
    bench.checkpoints.has_refreshed(["a.html", "c.py"])
    assert bench.checkpoints.asked(GO).refreshed == ("a.html", "b.html")
    bench.checkpoints.forget()
    assert bench.checkpoints.asked(GO).refreshed == ()


async def test_where_none_are_wanted_nothing_is_asked_for_or_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(0, ["new.py"])
    monkeypatch.setattr(bench, "find_recent", None)
    await bench.checkpoints.open()
    assert bench.checkpoints.asked(GO) == GO
    bench.change("views.py")
    assert not bench.checkpoints.is_resuming
    assert await bench.take("views.py") is None
    await bench.checkpoints.end()
    for end in (bench.ours, bench.rendezvous):
        end.close()


async def test_a_letter_without_a_link_does_no_harm(bench: Bench) -> None:
    """The link is lost when no descriptor is free."""
    bench.rendezvous.send(b"5")
    await bench.arrives(6)
    assert bench.pids() == {6}


# --- which ones are dropped --------------------------------------------------------------------


async def test_one_that_dies_is_forgotten(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    one.kill()
    assert bench.pids() == set()
    assert await bench.take("new.py") is None


async def test_of_one_place_the_last_one_stays(bench: Bench) -> None:
    await bench.arrives(1, "new.py", "app.py")
    await bench.arrives(2, "new.py", "app.py")
    assert bench.pids() == {2}


async def test_what_has_read_a_changed_file_is_dropped(bench: Bench) -> None:
    await bench.arrives(1, "new.py", "app.py")
    await bench.arrives(2, "the end of the load", "app.py", "new.py")
    bench.change("new.py")
    assert bench.pids() == {1}


@pytest.mark.parametrize("most", [2])
async def test_the_least_useful_goes_first(bench: Bench) -> None:
    await bench.arrives(1, "new.py", "app.py")
    await bench.arrives(2, "the end of the load", "app.py", "new.py", "newer.py")
    await bench.arrives(3, "newer.py", "app.py", "new.py")
    assert bench.pids() == {1, 2}
    bench.change("newer.py")
    MADE[1].answer.set_result(None)
    await bench.arrives(4, "the end of the load", "app.py")
    await bench.arrives(5, "newer.py", "app.py", "new.py")
    assert bench.pids() == {4, 5}


@pytest.mark.parametrize("most", [1])
async def test_but_not_one_that_is_to_tell_an_exit_code(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    one.lives_on = [10]
    await bench.arrives(2, "the end of the load", "app.py", "new.py")
    assert bench.pids() == {1, 10}


@pytest.mark.parametrize("most", [1])
async def test_one_behind_a_module_that_is_kept_outlives_that_at_the_end(bench: Bench) -> None:
    await bench.arrives(1, "numpy", "app.py")
    await bench.arrives(2, "the end of the load", "app.py", "new.py")
    assert bench.pids() == {1}


async def test_a_reload_that_was_asked_for_drops_all(bench: Bench) -> None:
    await bench.arrives(1, "new.py", "app.py")
    bench.change()
    assert bench.pids() == set()
    assert not bench.checkpoints.is_resuming
    assert await bench.take() is None


async def test_all_may_be_dropped(bench: Bench) -> None:
    await bench.arrives(1, "new.py", "app.py")
    await bench.arrives(2)
    bench.checkpoints.forget()
    assert bench.pids() == set()


async def test_those_that_are_taken_later_in_the_same_load_are_dropped_too(bench: Bench) -> None:
    bench.checkpoints.forget()
    late = await bench.arrives(1)
    assert late.has_ended
    bench.sends(2)  # what is told just before the next load begins
    bench.checkpoints.asked(GO)
    assert MADE[2].has_ended
    assert not (await bench.arrives(3, "new.py", "app.py")).has_ended
    assert bench.pids() == {3}


# --- which one is used -------------------------------------------------------------------------


async def test_the_deepest_is_asked_at_once_when_a_file_changes(bench: Bench) -> None:
    deep = await bench.arrives(2, "newer.py", "app.py", "new.py")
    shallow = await bench.arrives(1, "new.py", "app.py")
    silent = await bench.arrives(3)
    bench.change("newer.py")
    assert bench.checkpoints.is_resuming
    await rest()
    assert (shallow.uses, deep.uses, silent.uses) == (0, 1, 0)
    child = FakeChild().process
    deep.answer.set_result(child)
    assert await bench.take("newer.py") is child
    assert bench.adopted == [child]
    assert not bench.checkpoints.is_resuming


async def test_a_change_that_nobody_told_of_is_one_at_the_latest_when_it_is_taken(
    bench: Bench,
) -> None:
    """A child that is silent is killed for a change; it has told of nothing."""
    old = await bench.arrives(1, "the end of the load", "app.py", "new.py")
    one = await bench.arrives(2, "new.py", "app.py")
    one.answer.set_result(FakeChild().process)
    assert await bench.take("new.py") is not None
    assert (old.has_ended, old.uses, one.uses) == (True, 0, 1)


async def test_more_changes_ask_for_no_second_process(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    bench.change("new.py")
    bench.change("newer.py")
    await rest()
    assert one.uses == 1
    one.answer.set_result(None)


async def test_one_that_gives_no_process_is_given_up_for_the_next(bench: Bench) -> None:
    deep = await bench.arrives(2, "newer.py", "app.py", "new.py")
    shallow = await bench.arrives(1, "new.py", "app.py")
    deep.answer.set_result(None)
    shallow.answer.set_exception(OSError("too many open files"))
    assert await bench.take("newer.py") is None
    assert deep.has_ended
    assert shallow.has_ended
    assert bench.pids() == set()


async def test_one_that_does_not_answer_is_given_up_after_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESUMED_WITHIN", 0.0)
    one = await bench.arrives(1, "new.py", "app.py")
    assert await bench.take("new.py") is None
    assert one.has_ended
    assert bench.adopted == []


async def test_one_that_finds_itself_outdated_is_dropped_and_the_next_one_is_used(
    bench: Bench,
) -> None:
    deep = await bench.arrives(2, "newer.py", "app.py", "new.py")
    shallow = await bench.arrives(1, "new.py", "app.py")
    deep.answer.set_result(FakeChild(1).process)
    assert await bench.take("newer.py") is not None
    bench.checkpoints.was_refused("app.py")
    assert deep.has_ended
    shallow.answer.set_result(FakeChild(2).process)
    assert await bench.take("newer.py") is bench.adopted[1]


async def test_a_refusal_that_comes_from_nowhere_changes_nothing(bench: Bench) -> None:
    await bench.arrives(1, "new.py", "app.py")
    bench.checkpoints.was_refused("app.py")
    assert bench.pids() == {1}


@pytest.mark.parametrize(
    "go",
    [GO.replaced(changed={"new.py": None}, crash=("killed", "while serving")), GO],
    ids=["a crash is reported", "nothing has changed"],
)
async def test_a_process_that_is_not_needed_is_ended(bench: Bench, go: Go) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    bench.change("new.py")
    child = FakeChild().process
    one.answer.set_result(child)
    assert await bench.checkpoints.take(go) is None
    assert bench.discarded == [child]


@pytest.mark.parametrize("fault", ["dead", "stopped"])
async def test_so_is_one_that_was_killed_or_stopped_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    child = FakeChild()
    if fault == "dead":
        child.dies(-9)
    else:
        monkeypatch.setattr(child, "is_stopped", lambda: True)
    one.answer.set_result(child.process)
    assert await bench.take("new.py") is None
    assert bench.discarded == [child.process]


async def test_who_is_told_of_the_same_changes_twice_is_told_the_same(bench: Bench) -> None:
    """A process is told ahead what it will load, and perhaps once more, or another in its place."""
    one, other = (GO.replaced(changed={"views.py": None}) for _ in range(2))
    assert bench.checkpoints.asked(one).checkpoint_at_end
    assert bench.checkpoints.asked(one.replaced(after=7)).checkpoint_at_end
    assert not bench.checkpoints.asked(other).checkpoint_at_end  # it is edited again
    assert not bench.checkpoints.asked(other).checkpoint_at_end


async def test_after_a_crash_none_is_asked(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    go = GO.replaced(changed={"new.py": None}, crash=("killed", "while serving"))
    assert await bench.checkpoints.take(go) is None
    assert one.uses == 0


async def test_processes_that_go_on_are_told_too(bench: Bench) -> None:
    """Who kills what a crashed app has left is to spare them."""
    one = await bench.arrives(1, "new.py", "app.py")
    one.lives_on = [10]
    await bench.arrives(2)
    assert bench.pids() == {1, 2, 10}


# --- a process that stands by ------------------------------------------------------------------


async def test_one_stands_by_for_a_change_of_the_file_that_was_changed_last(bench: Bench) -> None:
    deep = await bench.arrives(2, "the end of the load", "app.py", "new.py", "newer.py")
    one = await bench.arrives(1, "new.py", "app.py")
    child = FakeChild()
    one.answer.set_result(child.process)
    bench.checkpoints.prepare()
    await rest()
    assert (deep.uses, one.uses) == (0, 1)
    assert child.heard == [GetReady()]
    bench.checkpoints.prepare()  # it is there
    bench.change("new.py")
    assert await bench.take("new.py") is child.process
    assert one.uses == 1
    assert bench.discarded == []


async def test_another_file_needs_another_process(bench: Bench) -> None:
    end = await bench.arrives(2, "the end of the load", "app.py", "new.py", "newer.py")
    one = await bench.arrives(1, "new.py", "app.py")
    waits, child = FakeChild(1).process, FakeChild(2).process
    one.answer.set_result(waits)
    end.answer.set_result(child)
    bench.checkpoints.prepare()
    await rest()
    assert await bench.take("urls.py") is child
    await rest()
    assert bench.discarded == [waits]


async def test_it_goes_with_its_checkpoint(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    waits = FakeChild().process
    one.answer.set_result(waits)
    bench.checkpoints.prepare()
    await rest()
    bench.change("app.py")
    await rest()
    assert bench.discarded == [waits]
    assert await bench.take("app.py") is None


async def test_it_stands_by_where_the_next_change_is_expected(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    one.answer.set_result(FakeChild(1).process)
    bench.checkpoints.prepare()
    await rest()
    other = await bench.arrives(2, "newer.py", "app.py", "new.py")
    other.answer.set_result(FakeChild(2).process)
    bench.change("newer.py")
    assert await bench.take("newer.py") is bench.adopted[1]
    assert bench.discarded == [bench.adopted[0]]
    other.answer = asyncio.get_running_loop().create_future()
    bench.checkpoints.prepare()
    await rest()
    assert (one.uses, other.uses) == (1, 2)
    other.answer.set_result(None)


@pytest.mark.parametrize("fault", ["dead", "stopped", "none"])
async def test_where_it_is_of_no_use_another_one_is_forked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    waits = FakeChild(1)
    one.answer.set_result(None if fault == "none" else waits.process)
    bench.checkpoints.prepare()
    await rest()
    if fault == "dead":
        waits.dies(-9)
    monkeypatch.setattr(waits, "is_stopped", lambda: fault == "stopped")
    one.answer = asyncio.get_running_loop().create_future()
    child = FakeChild(2).process
    one.answer.set_result(child)
    assert await bench.take("new.py") is child
    await rest()
    assert bench.discarded == ([] if fault == "none" else [waits.process])


async def test_none_stands_by_where_a_standby_is_sooner(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    one.left = 1.0
    bench.otherwise = 0.1
    bench.checkpoints.prepare()
    await rest()
    assert one.uses == 0


async def test_the_end_may_come_while_it_is_forked(bench: Bench) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    bench.checkpoints.prepare()
    await rest()
    ending = asyncio.create_task(bench.checkpoints.end())
    await rest()
    waits = FakeChild().process
    one.answer.set_result(waits)
    await ending
    assert bench.discarded == [waits]


# --- the end -----------------------------------------------------------------------------------


async def test_at_the_end_all_are_killed_and_waited_for(bench: Bench) -> None:
    one, other = await bench.arrives(1, "new.py"), await bench.arrives(2)
    other.kill()
    await bench.checkpoints.end()
    assert one.has_ended
    assert one.waited_for
    assert other.waited_for  # its descriptor is open until then
    await bench.checkpoints.end()  # once more does no harm


@pytest.mark.parametrize("waits", [True, False])
async def test_the_end_may_come_while_one_is_asked(bench: Bench, *, waits: bool) -> None:
    one = await bench.arrives(1, "new.py", "app.py")
    bench.change("new.py")
    await rest()
    taking = asyncio.create_task(bench.take("new.py"))
    if waits:
        await rest()
    taking.cancel()
    await asyncio.wait({taking})
    assert taking.cancelled()
    await bench.checkpoints.end()
    assert one.answer.cancelled()
    assert one.waited_for


async def test_nobody_is_called_back_after_the_end(bench: Bench) -> None:
    await bench.checkpoints.end()
    one, other = socket.socketpair()
    with one, other:
        socket.send_fds(bench.rendezvous, [b"9"], [other.fileno()])
    await rest()
    assert 9 not in MADE
    assert os.path.exists(f"/dev/fd/{bench.ours.fileno()}")


async def test_fakes_are_like_the_real_thing() -> None:
    real = {name for name in vars(Checkpoint) if not name.startswith("_")}
    fake = {name for name in vars(FakeCheckpoint) if not name.startswith("_")} - {"says"}
    assert real == fake
