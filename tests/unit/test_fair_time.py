"""Seconds that a process could have used: a machine that is slow is no fault of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import pytest

from asyncreload.fair_time import STEP, fair_sleep, fair_timeout
from asyncreload.process_state import ProcessState

pytestmark = pytest.mark.asyncio


class Machine:
    """Gives a process its states, one a step; the last one for ever."""

    def __init__(self, states: Iterable[ProcessState | None]) -> None:
        self._states: Iterator[ProcessState | None] = iter(states)
        self._last: ProcessState | None = None
        self.slept: list[float] = []

    async def read(self) -> ProcessState | None:
        self._last = next(self._states, self._last)
        return self._last

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    @property
    def steps(self) -> int:
        return len(self.slept)


def running(*shares: float) -> list[ProcessState]:
    """Return the states of a process that wants to run, and gets these shares of each step."""
    cpu, states = 0.0, []
    for share in shares:
        cpu += share * STEP
        states.append(ProcessState(cpu, wants_to_run=True))
    return states


@pytest.mark.parametrize(
    ("states", "steps"),
    [
        ([None], 10),  # nothing can be told
        ([ProcessState(1, wants_to_run=False)], 10),  # asleep or stopped: it could have answered
        (running(*[1] * 100), 10),  # it has the processor, and does something else
        (running(*[0.5] * 100), 19),  # shares it; of the first step nothing is known
        ([*running(1, 1), *running(*[1] * 100)], 11),  # one of several has ended
        ([*running(*[0] * 50), *[ProcessState(0, wants_to_run=False)] * 50], 59),  # starved
    ],
)
async def test_only_time_that_the_process_could_have_used_counts(
    states: list[ProcessState | None], steps: int
) -> None:
    machine = Machine(states)
    await fair_sleep(machine.read, 1.0, machine.sleep)
    assert machine.steps == steps
    assert set(machine.slept) == {STEP}


async def test_a_short_time_is_one_step() -> None:
    machine = Machine([None])
    await fair_sleep(machine.read, 0.02, machine.sleep)
    assert machine.slept == [0.02]


async def test_a_timeout_that_is_over() -> None:
    machine = Machine([None])
    with pytest.raises(TimeoutError):
        async with fair_timeout(machine.read, 1.0, sleep=machine.sleep):
            await asyncio.Event().wait()
    assert machine.steps == 10


async def test_a_timeout_that_is_not_needed_leaves_nothing() -> None:
    machine = Machine([None])
    async with fair_timeout(machine.read, 1.0, sleep=machine.sleep):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_timeout_has_an_end_by_the_clock() -> None:
    machine = Machine(running(*[0] * 10))
    with pytest.raises(TimeoutError):
        async with fair_timeout(machine.read, 1.0, most=0, sleep=machine.sleep):
            await asyncio.Event().wait()
