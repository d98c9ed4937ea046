"""The process that goes on from a checkpoint before a file has changed; nothing is forked here."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload.parent.prefork import Prefork
from asyncreload.parent.process import Process
from asyncreload.protocol import GetReady


class Bench:
    """A checkpoint that forks when it is let, and what becomes of the process."""

    def __init__(self) -> None:
        self.pid = 1
        self.may_fork = asyncio.Event()
        self.adopted: list[Process] = []
        self.discarded: list[Process] = []
        self.told: list[object] = []
        self.child: Any = SimpleNamespace(
            pid=2, send=self.told.append, has_ended=lambda: False, is_stopped=lambda: False
        )
        self.prefork = Prefork(self.adopted.append, self.discarded.append)
        self.checkpoint = cast("Any", self)

    async def resume(self) -> Process:
        await self.may_fork.wait()
        return cast("Process", self.child)


@pytest.mark.asyncio
async def test_it_is_made_ready_and_taken_once() -> None:
    bench = Bench()
    bench.may_fork.set()
    bench.prefork.prepare(bench.checkpoint)
    assert await bench.prefork.take(bench.checkpoint) is bench.child
    assert bench.adopted == [bench.child]
    assert bench.told == [GetReady()]
    assert await bench.prefork.take(bench.checkpoint) is None
    await bench.prefork.end()
    assert bench.discarded == []


@pytest.mark.asyncio
async def test_it_is_dropped_if_its_checkpoint_dies_while_it_is_waited_for() -> None:
    bench = Bench()
    bench.prefork.prepare(bench.checkpoint)
    taking = asyncio.create_task(bench.prefork.take(bench.checkpoint))
    await asyncio.sleep(0)
    bench.prefork.drop(bench.checkpoint)
    bench.may_fork.set()
    assert await taking is None
    await bench.prefork.end()
    assert bench.discarded == [bench.child]


@pytest.mark.asyncio
async def test_of_another_checkpoint_it_is_not_taken() -> None:
    bench, other = Bench(), Bench()
    bench.may_fork.set()
    bench.prefork.prepare(bench.checkpoint)
    assert await bench.prefork.take(other.checkpoint) is None
    await bench.prefork.end()
    assert bench.discarded == [bench.child]
