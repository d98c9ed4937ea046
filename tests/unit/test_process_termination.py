"""Processes are ended until none is left; here, without any process."""

from __future__ import annotations

import signal

import pytest

from asyncreload.process_termination import LONGEST, POLITE, Termination, end_all

TERM, KILL = signal.SIGTERM, signal.SIGKILL


class Town:
    """Processes that do as the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alive: set[int] = set()
        self.sent: list[tuple[int, int]] = []
        self.stubborn: set[int] = set()
        """Those that ignore SIGTERM."""
        self.dying: set[int] = set()
        """Those that take long to die."""
        self.foreign: set[int] = set()
        self.trackers: set[int] = set()
        self.began: dict[int, int] = {}
        """When each began, if that is known."""

    def send(self, pid: int, number: int) -> None:
        if pid in self.foreign:
            raise PermissionError
        if pid not in self.alive:
            raise ProcessLookupError
        self.sent.append((pid, number))
        if pid not in self.dying and (number == KILL or pid not in self.stubborn):
            self.alive.discard(pid)

    def termination(self, patience: float = 0.0) -> Termination:
        return Termination(
            patience,
            send=self.send,
            has_ended=lambda pid: pid not in self.alive,
            began=self.began.get,
            is_spared=self.trackers.__contains__,
            clock=lambda: self.now,
        )


@pytest.fixture
def town() -> Town:
    return Town()


def test_when_there_is_nothing_there_is_nothing_to_wait_for(town: Town) -> None:
    assert not town.termination().next_round([])


def test_a_killed_process_is_waited_for_though_it_is_not_found_any_more(town: Town) -> None:
    """The kernel takes its time with a large one, and closes its files last."""
    town.alive = town.dying = {1}
    termination = town.termination()
    assert termination.next_round([1])
    assert termination.next_round([])
    town.alive = set()
    assert not termination.next_round([])


def test_what_starts_meanwhile_is_met_in_the_next_round(town: Town) -> None:
    town.alive = {1, 2, 3}
    town.dying = {1}
    termination = town.termination()
    assert termination.next_round([1])
    assert termination.next_round([1, 2])
    town.dying = set()
    assert termination.next_round([1, 3])
    assert not termination.next_round([])
    assert not town.alive


def test_what_has_ended_when_it_is_met_may_have_forked(town: Town) -> None:
    """So does a chain of processes each of which forks and ends."""
    termination = town.termination()
    assert termination.next_round([1])
    assert termination.next_round([1, 2])
    assert not termination.next_round([1, 2])  # they are not reaped yet


def test_who_is_asked_is_asked_once_and_killed_when_patience_ends(town: Town) -> None:
    town.alive, town.stubborn = {1, 2}, {2}
    termination = town.termination(POLITE)
    assert termination.next_round([1, 2])
    assert termination.next_round([2])
    assert town.sent == [(1, TERM), (2, TERM)]
    town.now = POLITE
    assert not termination.next_round([2])  # it was met before
    assert town.sent[2:] == [(2, KILL)]


@pytest.mark.parametrize(
    ("began", "now"),
    [(7, 7), (7, 8), (None, None)],
    ids=["it is the same", "another one has its number", "nobody knows"],
)
def test_who_was_asked_is_killed_though_it_is_not_found_any_more(
    town: Town, began: int | None, now: int | None
) -> None:
    """Its parent has ended at once, and it belongs to init now."""
    town.alive, town.stubborn = {1, 2}, {2}
    town.began |= {} if began is None else {2: began}
    termination = town.termination(POLITE)
    assert termination.next_round([1, 2])
    assert termination.next_round([])
    town.now = POLITE
    town.began |= {} if now is None else {2: now}
    is_same = began is not None and began == now
    assert termination.next_round([]) != is_same  # what cannot be told apart is only waited for
    assert town.sent[2:] == ([(2, KILL)] if is_same else [])


def test_what_is_another_users_is_not_waited_for(town: Town) -> None:
    town.alive = town.foreign = {1}
    termination = town.termination()
    termination.next_round([1])
    assert not termination.next_round([1])


def test_the_resource_tracker_ends_by_itself(town: Town) -> None:
    town.alive, town.trackers = {1}, {1}
    termination = town.termination()
    termination.next_round([1])
    assert not termination.next_round([1])
    assert town.sent == []


def test_what_cannot_end_is_given_up(town: Town) -> None:
    """As it waits for a disk or a network."""
    town.alive = town.dying = {1}
    termination = town.termination(POLITE)
    assert termination.next_round([1])
    town.now = POLITE + LONGEST
    assert not termination.next_round([1])


@pytest.mark.asyncio
async def test_it_is_looked_for_until_none_is_found() -> None:
    looked = 0

    async def find() -> list[int]:
        nonlocal looked
        looked += 1
        return []

    await end_all(find)
    assert looked == 1
