"""Waiting for the end of requests, without waking the loop where nobody waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asyncreload.child.http.progress import Progress

pytestmark = pytest.mark.asyncio

LONG = 60.0


async def test_what_holds_already_is_not_waited_for() -> None:
    await asyncio.wait_for(Progress().wait_until(lambda: True, LONG), 5)


async def test_no_longer_than_asked_for() -> None:
    await asyncio.wait_for(Progress().wait_until(lambda: False, 0), 5)


async def test_it_ends_when_the_condition_holds_and_not_before() -> None:
    progress, done = Progress(), False
    waits = [asyncio.create_task(progress.wait_until(lambda: done, LONG)) for _ in range(2)]
    await asyncio.sleep(0)
    progress.note()
    await _rounds()
    assert not any(wait.done() for wait in waits)
    done = True
    progress.note()
    await asyncio.wait_for(asyncio.gather(*waits), 5)


async def test_another_thread_may_note_what_happens() -> None:
    asyncio.get_running_loop().set_debug(True)  # else it does not mind what is not thread-safe
    progress, done = Progress(), threading.Event()

    def end() -> None:
        done.set()
        progress.note()

    waits = asyncio.create_task(progress.wait_until(done.is_set, LONG))
    await asyncio.sleep(0)
    thread = threading.Thread(target=end)
    thread.start()
    await asyncio.wait_for(waits, 5)
    thread.join()


async def test_what_happens_while_the_condition_is_looked_at_is_not_missed() -> None:
    progress, looks = Progress(), 0

    def holds() -> bool:
        nonlocal looks
        looks += 1
        progress.note()
        return looks > 1

    await asyncio.wait_for(progress.wait_until(holds, LONG), 5)


async def test_where_nobody_waits_the_loop_is_not_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[object] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_soon_threadsafe", woken.append)
    progress = Progress()
    progress.note()
    await progress.wait_until(lambda: False, 0)
    progress.note()
    assert woken == []


async def test_when_the_loop_has_ended_nobody_is_interested() -> None:
    ended = asyncio.new_event_loop()
    progress = await asyncio.to_thread(_waiting_in, ended)
    progress.note()


def _waiting_in(loop: asyncio.AbstractEventLoop) -> Progress:
    """Return progress that is waited for in a loop which has been closed meanwhile."""

    async def begin() -> tuple[Progress, asyncio.Task[None]]:
        progress = Progress()
        waits = asyncio.create_task(progress.wait_until(lambda: False, LONG))
        await asyncio.sleep(0)
        return progress, waits

    progress, waits = loop.run_until_complete(begin())
    loop.close()
    waits._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to be cut off
    return progress


async def _rounds() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
