"""Who reads along hears everything in order; who does not costs nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator

import pytest

from asyncreload.events import Changed, Event, Failed, Ready, Starting, Stopped
from asyncreload.parent.event_log import MOST, EventLog

STARTING = Starting("app.py", "http://127.0.0.1:1/")
READY = Ready(1, 0.1, (), 1)


def changed(number: int) -> Changed:
    return Changed((str(number),))


async def collect(reader: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in reader]


@pytest.mark.asyncio
async def test_a_reader_hears_all_until_the_end() -> None:
    event_log = EventLog()
    told: list[Event] = [STARTING, READY, changed(1), Failed("x", ""), Stopped(0)]
    early = asyncio.create_task(collect(event_log.read()))
    await asyncio.sleep(0)
    for event in told:
        event_log.tell(event)
        await asyncio.sleep(0)
    assert await early == told
    assert event_log.has_ended


@pytest.mark.asyncio
async def test_a_reader_that_comes_first_thing_hears_of_the_start() -> None:
    event_log = EventLog()
    event_log.tell(STARTING)
    reader = event_log.read()
    event_log.tell(READY)
    assert [await anext(reader), await anext(reader)] == [STARTING, READY]


@pytest.mark.asyncio
async def test_a_reader_that_comes_late_hears_what_comes() -> None:
    """From the call on, not from the first step: so nothing is lost between the two."""
    event_log = EventLog()
    event_log.tell(STARTING)
    event_log.tell(READY)
    reader = event_log.read()
    event_log.tell(changed(1))
    assert await anext(reader) == changed(1)


@pytest.mark.asyncio
async def test_a_reader_that_comes_after_the_end_hears_of_it() -> None:
    event_log = EventLog()
    event_log.tell(STARTING)
    event_log.tell(Stopped(0))
    assert await collect(event_log.read()) == [Stopped(0)]


@pytest.mark.asyncio
async def test_readers_do_not_take_from_each_other() -> None:
    event_log = EventLog()
    readers = [asyncio.create_task(collect(event_log.read())) for _ in range(5)]
    told: list[Event] = [*map(changed, range(20)), Stopped(0)]
    for number, event in enumerate(told):
        event_log.tell(event)
        if number % 3 == 0:
            await asyncio.sleep(0)
    assert await asyncio.gather(*readers) == [told] * 5


@pytest.mark.asyncio
async def test_a_slow_reader_misses_the_oldest_and_holds_nobody_up() -> None:
    event_log = EventLog()
    slow = event_log.read()
    for number in range(3 * MOST):
        event_log.tell(changed(number))
    heard = [await anext(slow) for _ in range(MOST)]
    assert heard == [changed(number) for number in range(2 * MOST, 3 * MOST)]
    event_log.tell(READY)
    assert await anext(slow) == READY


@pytest.mark.asyncio
async def test_events_that_nobody_reads_are_let_go() -> None:
    event_log = EventLog()
    kept = event_log.read()
    for number in range(2 * MOST):
        event_log.tell(changed(number))
    gc.collect()
    told = {changed(number) for number in range(2 * MOST)}
    alive = [one for one in gc.get_objects() if type(one) is Changed and one in told]
    assert len(alive) == MOST + len(told)
    assert kept


@pytest.mark.asyncio
async def test_a_reader_that_is_gone_leaves_nothing() -> None:
    event_log = EventLog()
    reader = event_log.read()
    waiting = asyncio.create_task(collect(reader))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    gone = weakref.ref(reader)
    del reader, waiting
    gc.collect()
    assert gone() is None
    event_log.tell(READY)


@pytest.mark.asyncio
async def test_a_cancelled_wait_takes_no_event_away() -> None:
    event_log = EventLog()
    reader = event_log.read()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(reader), 0.001)
    event_log.tell(READY)
    assert await anext(reader) == READY


@pytest.mark.asyncio
async def test_each_event_is_logged_with_itself(caplog: pytest.LogCaptureFixture) -> None:
    event_log = EventLog()
    with caplog.at_level(logging.INFO, "asyncreload"):
        event_log.tell(READY)
        event_log.tell(Failed("x", ""))
    assert [(record.levelname, vars(record)["event"]) for record in caplog.records] == [
        ("INFO", READY),
        ("ERROR", Failed("x", "")),
    ]


@pytest.mark.asyncio
async def test_a_step_ends_by_itself_if_nothing_happens() -> None:
    event_log = EventLog()
    await event_log.step(0.001)
    waiting = asyncio.create_task(event_log.step())
    await asyncio.sleep(0)
    event_log.wake()
    await waiting
