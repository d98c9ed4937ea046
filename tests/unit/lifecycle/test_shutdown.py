"""The end of a child, step by step: last requests, `atexit`, what the app started, farewell."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload.child.lifecycle import shutdown as module
from asyncreload.child.lifecycle.life import Life
from asyncreload.child.lifecycle.shutdown import (
    EXIT_HANDLERS,
    LAST_CLEANUP,
    LAST_REQUESTS,
    Shutdown,
    end_executors,
)
from asyncreload.exit_codes import INTERRUPTED, ORPHANED, RELOAD
from asyncreload.phase import Phase
from asyncreload.process_state import OtherThreads, ProcessState
from asyncreload.protocol import Left
from tests.unit.lifecycle.stand_ins import (
    AppProcesses,
    End,
    FrontEnd,
    Link,
    MainThread,
    frame,
    life_at_work,
)


class Bench:
    def __init__(
        self, grace: float = 5.0, *, is_at_work: bool = True, phase: Phase = Phase.LOADING
    ) -> None:
        self.life = life_at_work(phase, grace=grace) if is_at_work else Life()
        self.main, self.link, self.front_end, self.end = MainThread(), Link(), FrontEnd(), End()
        self.app_processes = AppProcesses()
        self.shutdown = Shutdown(
            self.life,
            cast("Any", self.main),
            cast("Any", self.link),
            cast("Any", self.front_end),
            cast("Any", SimpleNamespace(event_queues=[7, 8])),
            cast("Any", self.app_processes),
            self.end,
        )

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_reload_hands_over_waits_for_exit_handlers_and_vanishes() -> None:
    bench = Bench()
    bench.shutdown.begin(RELOAD)
    assert not bench.shutdown.drained.is_set()
    await bench.settle()
    assert bench.front_end.closed == [True]
    assert bench.front_end.waited == [("answered", LAST_REQUESTS)]
    assert bench.shutdown.drained.is_set()
    assert bench.main.interrupted == 1
    assert bench.end.vanished == []  # `atexit` handlers run now
    bench.shutdown.main_has_left()
    await bench.settle()
    assert bench.front_end.delegated == [7, 8]
    assert bench.end.vanished == [(RELOAD, bench.link.fileno())]


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [0, INTERRUPTED, ORPHANED])
async def test_any_other_end_closes_what_waits_and_says_farewell(code: int) -> None:
    bench = Bench()
    bench.shutdown.begin(code)
    await bench.settle()
    assert bench.front_end.closed == [False]
    assert bench.front_end.waited == [("quiet", LAST_REQUESTS)]
    bench.shutdown.main_has_left()
    await bench.settle()
    assert bench.link.sent == [Left(code)]
    assert bench.end.exited == [code]
    assert bench.front_end.delegated == []


@pytest.mark.asyncio
async def test_what_has_run_nothing_ends_at_once() -> None:
    bench = Bench(is_at_work=False)
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    assert bench.end.exited == [RELOAD]
    assert bench.front_end.closed == []
    assert bench.app_processes.asked == ["end"]  # a package may have started some


@pytest.mark.asyncio
async def test_a_standby_without_a_parent_ends_what_that_leaves() -> None:
    bench = Bench(is_at_work=False)
    bench.shutdown.begin(ORPHANED)
    await bench.settle()
    assert bench.app_processes.asked == ["end", "end family"]
    assert bench.end.exited == [ORPHANED]


@pytest.mark.asyncio
async def test_a_child_at_work_ends_only_what_its_app_started() -> None:
    """It knows nothing of a standby that may be all right, and ends by itself."""
    bench = Bench()
    bench.shutdown.begin(ORPHANED)
    await bench.settle()
    bench.shutdown.main_has_left()
    await bench.settle()
    assert bench.app_processes.asked == ["end"]


@pytest.mark.asyncio
async def test_who_lingers_and_is_asked_again_ends_at_once() -> None:
    bench = Bench()
    bench.front_end.busy = 1
    bench.front_end.lasts = True
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    bench.shutdown.main_has_left()
    await bench.settle()
    assert bench.link.sent == [Left(RELOAD, 1)]
    assert bench.app_processes.asked == []
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    assert bench.app_processes.asked == ["end"]
    assert bench.end.vanished == [(RELOAD, bench.link.fileno())]


@pytest.mark.asyncio
async def test_a_last_response_gets_grace_after_the_farewell() -> None:
    bench = Bench()
    bench.front_end.busy = 2
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    bench.shutdown.main_has_left()
    await bench.settle()
    assert bench.link.sent == [Left(RELOAD, 2)]
    assert bench.front_end.waited == [
        ("answered", LAST_REQUESTS),
        ("quiet", 5.0),
        ("quiet", LAST_CLEANUP),
    ]
    assert bench.main.cancelled == 1
    assert bench.front_end.has_cut_off


@pytest.mark.asyncio
@pytest.mark.parametrize("busy", [0, 1])
async def test_who_lingers_adopts_none_of_the_processes_that_come_after_it(
    monkeypatch: pytest.MonkeyPatch,
    busy: int,
) -> None:
    """Else it would end them with those of the app."""
    bench = Bench()
    sent: list[Any] = bench.link.sent
    monkeypatch.setattr(module, "leave_orphans", lambda: sent.append("orphans are left"))
    bench.front_end.busy = busy
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    bench.shutdown.main_has_left()
    await bench.settle()
    assert sent == (["orphans are left", Left(RELOAD, 1)] if busy else [])


@pytest.mark.asyncio
async def test_who_is_asked_twice_waits_for_no_last_response() -> None:
    bench = Bench()
    bench.front_end.busy = 1
    bench.shutdown.begin(RELOAD)
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    bench.shutdown.main_has_left()
    await bench.settle()
    assert bench.link.sent == []
    assert bench.end.vanished == [(RELOAD, bench.link.fileno())]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "seconds", "most"),
    [
        (RELOAD, EXIT_HANDLERS, None),  # in which the main thread could have run: however long
        (ORPHANED, EXIT_HANDLERS, EXIT_HANDLERS),
        (0, 9.0, 9.0),
    ],
)
async def test_exit_handlers_have_their_time(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    seconds: float,
    most: float | None,
) -> None:
    waited: list[tuple[float, float | None]] = []

    @asynccontextmanager
    async def fair_timeout(_read: Any, seconds: float, most: float | None) -> AsyncIterator[None]:
        waited.append((seconds, most))
        async with asyncio.timeout(0):
            yield

    monkeypatch.setattr(module, "fair_timeout", fair_timeout)
    bench = Bench(9.0, phase=Phase.SERVING)
    bench.shutdown.begin(code)
    await bench.settle()
    assert waited == [(seconds, most)]
    assert bench.end.exited or bench.end.vanished  # also without a word of the main thread
    assert bench.main.cut_off == 1
    assert bench.shutdown.was_cut_off
    own_end = "the app's own end (its shutdown, `atexit` handlers)"
    told = f"{own_end} was not done after {seconds:g} s and was cut off"
    printed = [line[9:] for line in capsys.readouterr().err.splitlines()]
    # At the end of all, the supervisor does not hear of it any more.
    assert (bench.link.notices, printed) == (([told], []) if code == RELOAD else ([], [told]))


@pytest.mark.asyncio
async def test_a_debugger_in_the_main_thread_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "EXIT_HANDLERS", 0.0)
    monkeypatch.setattr(module, "hears_ctrl_c", lambda: True)
    bench = Bench(9.0)
    bench.shutdown.begin(INTERRUPTED)
    await bench.settle()
    await asyncio.sleep(0)
    await bench.settle()
    assert bench.end.exited == [INTERRUPTED]


@pytest.mark.asyncio
async def test_it_is_not_the_app_that_was_not_done_once_we_see_to_its_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "EXIT_HANDLERS", 0.0)
    bench = Bench(phase=Phase.SERVING)
    bench.shutdown.begin(RELOAD)
    bench.shutdown.finalize(has_del=False)
    await bench.settle()
    assert bench.end.vanished
    assert bench.link.notices == []


@pytest.mark.asyncio
async def test_a_load_that_is_given_up_is_no_end_that_was_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "EXIT_HANDLERS", 0.0)
    bench = Bench()
    bench.shutdown.begin(RELOAD)
    await asyncio.sleep(0)
    await bench.settle()
    assert bench.end.vanished
    assert bench.link.notices == []


@pytest.mark.asyncio
async def test_where_nothing_is_told_of_the_main_thread_all_others_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = ProcessState(1.5, wants_to_run=True)
    monkeypatch.setattr(OtherThreads, "read", lambda _: used)
    monkeypatch.setattr(module, "read_main_thread", lambda _pid: None)
    assert await module._reader()() is used
    told = ProcessState(0.5, wants_to_run=False)
    monkeypatch.setattr(module, "read_main_thread", lambda _pid: told)
    assert await module._reader()() is told


@pytest.mark.asyncio
@pytest.mark.parametrize(("moved", "signalled"), [(False, 1), (True, 0)])
async def test_a_main_thread_that_sleeps_is_woken_by_a_signal(
    monkeypatch: pytest.MonkeyPatch, *, moved: bool, signalled: int
) -> None:
    later: list[Callable[[], object]] = []

    def call_later(_seconds: float, call: Callable[..., object], *arguments: object) -> None:
        later.append(lambda: call(*arguments))

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    bench = Bench()
    bench.main.frame, bench.main.moved = frame(), moved
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    for call in later[:1]:
        call()
    assert bench.main.signalled == signalled


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "busy", "before", "late"),
    [
        (RELOAD, 0, ["run"], ["run"]),
        (RELOAD, 1, ["flush"], ["flush", "run"]),  # what still answers needs its objects
        (INTERRUPTED, 1, ["run"], ["run"]),
    ],
)
async def test_the_apps_objects_come_to_their_end_when_none_of_its_code_runs(
    code: int, busy: int, before: list[str], late: list[str]
) -> None:
    bench = Bench()
    bench.front_end.busy = busy
    bench.shutdown.begin(code)
    await bench.settle()
    bench.shutdown.finalize(has_del=False)  # by the main thread, after `atexit`
    assert bench.end.finalization.done == before
    bench.shutdown.main_has_left()
    while not (bench.end.vanished or bench.end.exited):
        await asyncio.sleep(0)
    assert bench.end.finalization.done == late


@pytest.mark.asyncio
@pytest.mark.parametrize(("asked_again", "seconds"), [(False, [5.0]), (True, [5.0, EXIT_HANDLERS])])
async def test_what_is_finalized_late_has_the_time_of_the_last_response(
    monkeypatch: pytest.MonkeyPatch, *, asked_again: bool, seconds: list[float]
) -> None:
    """On a busy machine it takes long; a file that is not written by then is never written."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: 100.0)  # no deadline comes to its end
    waited: list[float | None] = []
    wait = asyncio.wait

    async def note(works: Any, *, timeout: float | None = None) -> Any:
        if timeout is not None:
            waited.append(timeout)
        return await wait(works)

    monkeypatch.setattr(asyncio, "wait", note)
    finished = asyncio.Event()
    monkeypatch.setattr(module, "hop", lambda _work: finished.wait())
    bench = Bench()
    bench.front_end.busy = 1
    bench.shutdown.begin(RELOAD)
    await bench.settle()
    bench.shutdown.finalize(has_del=False)
    bench.shutdown.main_has_left()
    await bench.settle()
    if asked_again:
        bench.shutdown.begin(RELOAD)
        await bench.settle()
    assert waited == seconds
    assert bench.end.vanished == []
    finished.set()
    await bench.settle()
    assert bench.end.vanished == [(RELOAD, bench.link.fileno())]


@pytest.mark.asyncio
async def test_methods_that_are_called_at_the_end_are_told_of() -> None:
    bench = Bench()
    bench.shutdown.finalize(has_del=True)
    assert bench.end.finalization.done == ["has del", "run"]


def test_executors_are_shut_in_reverse_order(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    calls = [lambda: done.append(1), lambda: done.append(2)]
    monkeypatch.setattr(module, "thread_exit_handlers", lambda: calls)
    end_executors()
    assert done == [2, 1]


@pytest.mark.asyncio
async def test_the_end_is_a_phase_and_begins_once() -> None:
    bench = Bench()
    bench.shutdown.begin(RELOAD)
    bench.shutdown.begin(INTERRUPTED)
    assert bench.life.phase is Phase.DRAINING
    assert bench.shutdown.code == RELOAD


@pytest.mark.parametrize("access_log", [True, False])
@pytest.mark.asyncio
async def test_what_is_not_answered_at_the_end_is_told(
    capsys: pytest.CaptureFixture[str], *, access_log: bool
) -> None:
    bench = Bench()
    load = bench.life.load
    assert load is not None
    settings = dataclasses.replace(load.settings, access_log=access_log)
    bench.life.load = load.replaced(settings=settings)
    bench.link.running = ("GET /slow", "WebSocket /chat", "GET /slow", "POST /")
    bench.front_end.refused = ["POST /", "GET /slow"]
    bench.shutdown.begin(0)
    bench.shutdown.main_has_left()
    await bench.settle()
    told = [line[9:] for line in capsys.readouterr().err.splitlines()]
    lines = ["GET /slow 503 · cut off", "GET /slow cut off", "POST / 503 · cut off"]
    assert told == lines * access_log
