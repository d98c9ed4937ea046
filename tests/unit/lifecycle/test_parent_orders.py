"""What the parent says goes to the main thread, or is answered."""

from __future__ import annotations

from typing import Any, cast

import pytest

from asyncreload import protocol
from asyncreload.child.lifecycle import parent_orders as module
from asyncreload.child.lifecycle.life import Life
from asyncreload.child.lifecycle.parent_orders import ParentOrders
from asyncreload.exit_codes import INTERRUPTED, RELOAD
from asyncreload.phase import Phase
from tests.unit.lifecycle.stand_ins import (
    Farewells,
    Link,
    MainThread,
    Monitor,
    Shutdown,
    load_of,
    settle,
)


class Bench:
    def __init__(self) -> None:
        self.life, self.main, self.link = Life(), MainThread(), Link()
        self.monitor, self.shutdown = Monitor(), Shutdown()
        self.farewells = Farewells()
        self.carried_out: list[protocol.Message] = []
        self.trusted: list[dict[str, Any]] = []
        self.orders = ParentOrders(
            self.life,
            cast("Any", self.main),
            cast("Any", self.link),
            cast("Any", self),
            cast("Any", self.monitor),
            cast("Any", self.shutdown),
            cast("Any", self.farewells),
        )

    def next_go(self) -> protocol.Go:
        return self.orders.next_go(self.carried_out.append)

    def trust(self, files: dict[str, Any]) -> None:
        """Do what the baselines would."""
        self.trusted.append(files)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_orders_go_to_the_main_thread_one_after_the_other(bench: Bench) -> None:
    before: list[protocol.Message] = [protocol.Preload("/root"), protocol.GetReady()]
    go = load_of().go
    assert not bench.orders.is_any_waiting
    for order in (*before, go):
        assert not bench.life.go_heard.is_set()
        bench.orders.hear(order)
    assert bench.main.woken == 3
    assert bench.life.go_heard.is_set()
    assert bench.orders.is_any_waiting
    assert bench.next_go() == go
    assert bench.carried_out == before
    assert not bench.orders.is_any_waiting


def test_the_main_thread_waits_for_its_orders(bench: Bench) -> None:
    go = load_of().go
    said = iter([protocol.Preload("/root"), go])
    bench.main.on_wait = lambda: bench.orders.hear(next(said))
    assert bench.next_go() == go
    assert bench.carried_out == [protocol.Preload("/root")]
    assert bench.main.waited_also_for == [None, None]


def test_what_was_told_ahead_is_loaded_when_that_process_says_farewell(bench: Bench) -> None:
    ahead = load_of(after=7).go
    bench.orders.hear(ahead)
    assert not bench.life.go_heard.is_set()
    others_first = iter([{6}, {7}])
    bench.main.on_wait = lambda: bench.farewells.left.update(next(others_first))
    assert bench.next_go() == ahead
    assert bench.main.waited_also_for == [98, 98]


def test_if_that_process_dies_without_farewell_the_parent_says_go(bench: Bench) -> None:
    bench.orders.hear(load_of(after=7).go)
    go = load_of(settle=True).go
    bench.main.on_wait = lambda: bench.orders.hear(go)
    assert bench.next_go() == go
    assert bench.life.go_heard.is_set()


def test_the_end_may_come_first(bench: Bench) -> None:
    bench.main.on_wait = lambda: bench.orders.hear(protocol.End(143))
    with pytest.raises(SystemExit) as ended:
        bench.next_go()
    assert ended.value.code == 143


@pytest.mark.parametrize(("code", "removed"), [(143, True), (0, True), (RELOAD, False)])
def test_at_the_end_of_all_the_lockfile_goes_though_the_parent_be_killed_before(
    bench: Bench, code: int, *, removed: bool
) -> None:
    bench.orders.hear(protocol.End(code))
    assert bench.shutdown.begun == [code]
    assert bench.link.removed_lockfile is removed


def test_what_is_known_of_files_is_trusted(bench: Bench) -> None:
    bench.orders.hear(protocol.KnownFiles({"/app.py": [None, "", False]}))
    assert bench.trusted == [{"/app.py": [None, "", False]}]


def test_a_reload_that_is_asked_for_may_be_held_as_any_change(bench: Bench) -> None:
    bench.orders.hear(protocol.Reload())
    assert bench.monitor.changed == [[]]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("phase", "fresh", "told"),
    [
        (Phase.LOADING, True, False),
        (Phase.SERVING, True, True),
        (Phase.REPORTING, True, True),
        (Phase.SERVING, False, False),
        (Phase.DRAINING, True, False),
    ],
)
async def test_a_look_that_finds_nothing_is_answered_while_there_is_an_answer(
    bench: Bench, phase: Phase, *, fresh: bool, told: bool
) -> None:
    bench.life.advance(phase)
    bench.monitor.fresh = fresh
    bench.orders.hear(protocol.Look(2))
    await settle()
    assert bench.link.sent == [protocol.Fresh(2)] * told


@pytest.mark.parametrize("at_prompt", [False, True])
def test_ctrl_c_is_the_debuggers_while_its_prompt_is_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, at_prompt: bool
) -> None:
    monkeypatch.setattr(module, "is_at_prompt", lambda: at_prompt)
    bench.orders.hear(protocol.Interrupt())
    assert bench.link.sent == ([protocol.Debugging()] if at_prompt else [])
    assert bench.shutdown.begun == ([] if at_prompt else [INTERRUPTED])


@pytest.mark.parametrize("hears", [False, True])
def test_ctrl_c_ends_it_when_it_is_pressed_again_with_nothing_typed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, hears: bool
) -> None:
    monkeypatch.setattr(module, "is_at_prompt", lambda: True)
    monkeypatch.setattr(module, "hears_ctrl_c", lambda: hears)
    begun = []
    # The second is heard of when a line was typed after it; before the third, none was.
    for pressed, typed in ((1.0, 1.5), (2.0, 2.5), (3.0, 2.5), (4.0, 2.5)):
        monkeypatch.setattr(module, "last_typed", lambda typed=typed: typed)
        bench.orders.hear(protocol.Interrupt(pressed))
        begun.append(len(bench.shutdown.begun))
    assert begun == [0, 0, 0, 1]


@pytest.mark.parametrize("at_prompt", [False, True])
def test_whether_there_is_a_prompt_is_told_without_an_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, at_prompt: bool
) -> None:
    monkeypatch.setattr(module, "is_at_prompt", lambda: at_prompt)
    bench.orders.hear(protocol.AskPrompt())
    assert bench.link.sent == [protocol.Debugging(at_prompt)]
    assert bench.shutdown.begun == []


def test_a_ping_is_answered(bench: Bench) -> None:
    bench.orders.hear(protocol.Ping())
    assert bench.link.sent == [protocol.Pong()]
