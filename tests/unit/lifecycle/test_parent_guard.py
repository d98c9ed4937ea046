"""A process does not outlive its parent, nor one that has given up on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from asyncreload.child.lifecycle import parent_guard as module
from asyncreload.child.lifecycle.life import Life
from asyncreload.child.lifecycle.parent_guard import ParentGuard
from asyncreload.exit_codes import ORPHANED, RELOAD
from asyncreload.lockfile import Verdict
from asyncreload.phase import Phase
from tests.unit.lifecycle.stand_ins import Link, Shutdown, settle

pytestmark = pytest.mark.asyncio


class Bench:
    def __init__(self) -> None:
        self.life, self.link, self.shutdown = Life(), Link(), Shutdown()
        self.guard = ParentGuard(self.life, cast("Any", self.link), cast("Any", self.shutdown))
        self.watching: asyncio.Task[Any] | None = None

    async def watch(self) -> None:
        self.watching = asyncio.create_task(self.guard.watch())
        await settle()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("FAREWELL", "HANGS_UP_BEFORE_END"):
        monkeypatch.setattr(module, name, 0)
    made = Bench()
    yield made
    if made.watching is not None:
        made.watching.cancel()


async def test_the_parents_end_is_ours_and_the_lockfiles(bench: Bench) -> None:
    bench.guard.on_hang_up()
    assert bench.link.removed_lockfile
    assert bench.shutdown.begun == [ORPHANED]


async def test_so_it_is_when_the_system_tells_of_it(bench: Bench) -> None:
    await bench.watch()
    bench.link.on_parents_end()
    assert bench.link.removed_lockfile
    assert bench.shutdown.begun == [ORPHANED]


@pytest.mark.parametrize(("is_parent_gone", "code"), [(False, RELOAD), (True, ORPHANED)])
async def test_one_that_the_parent_has_given_up_on_ends_alone(
    bench: Bench, code: int, *, is_parent_gone: bool
) -> None:
    """If the supervisor lives, its lockfile stays, with all that has its mark."""
    bench.link.is_own_parent = False
    bench.guard.on_hang_up()
    assert bench.shutdown.begun == []
    bench.link.is_parent_gone = is_parent_gone
    await settle()
    assert bench.shutdown.begun == [code]
    assert bench.link.removed_lockfile is is_parent_gone


async def test_a_process_at_work_is_an_orphan_once_its_channel_has_ended(bench: Bench) -> None:
    bench.link.is_own_parent = False
    bench.life.go_heard.set()
    bench.guard.on_hang_up()
    assert bench.link.removed_lockfile


async def test_without_word_of_the_parents_end_it_is_looked_for_at_once(bench: Bench) -> None:
    bench.link.hears_end, bench.link.verdict = False, Verdict.GONE
    await bench.watch()
    assert bench.shutdown.begun == [ORPHANED]


async def test_a_parent_that_deletes_its_lockfile_has_time_to_say_how_to_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[Callable[..., object]] = []
    monkeypatch.setattr(
        asyncio.get_running_loop(), "call_later", lambda _seconds, call, *_: later.append(call)
    )
    bench.link.hears_end, bench.link.verdict = False, Verdict.GONE
    await bench.watch()
    assert bench.shutdown.begun == []
    assert bench.shutdown.begin in later


@pytest.mark.parametrize(
    ("at_work", "phase", "beats"),
    [
        (True, Phase.SERVING, True),
        (False, Phase.WARM, False),
        (True, Phase.DRAINING, False),
    ],
)
async def test_only_a_process_at_work_shows_that_it_lives(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, phase: Phase, *, at_work: bool, beats: bool
) -> None:
    """That of a standby, or of one that lingers, would hide that the child at work is silent."""
    bench.life.advance(phase)
    for name in ("GUARD_INTERVAL", "STANDBY_GUARD_INTERVAL"):
        monkeypatch.setattr(module, name, 0)
    bench.link.hears_end = False
    if at_work:
        bench.life.go_heard.set()
    await bench.watch()
    assert bool(bench.link.beats) is beats


async def test_a_standby_that_is_told_of_the_end_does_not_look_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GUARD_INTERVAL", 0)
    bench.link.verdict = Verdict.GONE
    await bench.watch()
    assert bench.shutdown.begun == []
    bench.life.go_heard.set()
    await settle()
    assert ORPHANED in bench.shutdown.begun
