"""When a load begins, so does the watch; one that is slow is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from asyncreload.child.lifecycle import load_watch as module
from asyncreload.child.lifecycle.life import Life
from asyncreload.child.lifecycle.load_watch import SLOW_LOAD, LoadWatch
from asyncreload.phase import Phase
from tests.unit.lifecycle.stand_ins import Link, MainThread, Monitor, load_of, settle

pytestmark = pytest.mark.asyncio


class Bench:
    """A watch that waits for a load, and a clock that the test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "UNDISTURBED", 0)
        self.life, self.link, self.monitor = Life(), Link(), Monitor()
        self.life.advance(Phase.WARM)
        self.later: dict[float, Callable[[], object]] = {}
        main, link, monitor = (cast("Any", one) for one in (MainThread(), self.link, self.monitor))
        self.watch = LoadWatch(self.life, main, link, monitor)
        self.running = asyncio.create_task(self.watch.run())
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self.later.__setitem__)

    async def load(self) -> None:
        self.life.load = load_of("/project")
        self.life.advance(Phase.LOADING)
        await settle()


async def test_the_watch_begins_with_the_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    await settle()
    bench.life.load = load_of("/project")  # its environment files are still read
    await settle()
    assert bench.monitor.ran == []
    await bench.load()
    settings = bench.life.load.settings
    expected = {"interval": settings.interval, "root": "/project", "uses_events": settings.inotify}
    assert bench.monitor.ran == [expected]


@pytest.mark.parametrize(
    ("phase", "at_prompt", "told"),
    [
        (Phase.LOADING, False, ["still loading after 3 s, at app.py:1: import slow"]),
        (Phase.LOADING, True, []),
        (Phase.SERVING, False, []),
    ],
)
async def test_a_load_that_is_slow_is_told(
    monkeypatch: pytest.MonkeyPatch,
    phase: Phase,
    told: list[str],
    *,
    at_prompt: bool,
) -> None:
    monkeypatch.setattr(module, "is_at_prompt", lambda: at_prompt)
    bench = Bench(monkeypatch)
    await bench.load()
    bench.life.advance(phase)
    bench.later[SLOW_LOAD]()
    assert bench.link.notices == told
