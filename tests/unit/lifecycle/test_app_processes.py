"""A standby ends what its supervisor leaves, but not at once: who is well ends by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from asyncreload import descendants, process_termination
from asyncreload.child.lifecycle import app_processes as module
from asyncreload.child.lifecycle.app_processes import OTHERS_END_WITHIN, AppProcesses
from asyncreload.orphans import OrphanReaper

pytestmark = pytest.mark.asyncio

OTHER = 2**30  # a number that no system gives


class Family:
    """One other process, which ends when it is signalled, or after a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends_after: float) -> None:
        self.now = 0.0
        self.ends_after = ends_after
        self.killed_at: float | None = None
        self.processes = AppProcesses(
            OrphanReaper(set()), "/no/lockfile", lambda: self.now, self.sleep
        )
        monkeypatch.setattr(descendants, "family", self.find)
        monkeypatch.setattr(process_termination, "Termination", self.termination)

    def find(self, lock: str) -> list[int]:
        assert lock == "/no/lockfile"
        is_left = self.killed_at is None and self.now < self.ends_after
        return [os.getpid(), *([OTHER] if is_left else [])]

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def termination(self, patience: float) -> Any:
        assert patience == 0
        family = self

        class Kills:
            def next_round(self, found: set[int]) -> bool:
                if found:
                    assert found == {OTHER}
                    family.killed_at = family.now
                return bool(found)

        return Kills()


async def test_who_ends_by_itself_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Family(monkeypatch, ends_after=OTHERS_END_WITHIN / 2)
    await family.processes.end_family()
    assert family.killed_at is None
    assert family.now < OTHERS_END_WITHIN


async def test_who_does_not_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Family(monkeypatch, ends_after=1000)
    await family.processes.end_family()
    assert family.killed_at is not None
    assert OTHERS_END_WITHIN <= family.killed_at < 2 * OTHERS_END_WITHIN


async def test_without_children_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that has started nothing pays one system call at its end."""
    monkeypatch.setattr(descendants, "has_children", lambda: False)
    monkeypatch.setattr(descendants, "descendants", lambda _: pytest.fail("it was looked for"))
    await AppProcesses(OrphanReaper(set()), "").end()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_number_of_a_checkpoint_that_was_reaped_is_anybodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the app's next process, say, which is to end with the app."""

    async def look_once(look: Callable[[], bool]) -> None:
        assert not look()

    monkeypatch.setattr(module, "reap_orphans", look_once)
    monkeypatch.setattr(module, "is_child", lambda pid: pid == OTHER)
    processes = AppProcesses(OrphanReaper(set()), "")
    processes.spare(OTHER)
    processes.spare(OTHER + 1)
    await processes.reap_orphans()
    assert processes.spared == {OTHER}
