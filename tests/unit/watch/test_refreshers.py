"""Who sees to changed files, and what comes of that."""

from __future__ import annotations

import asyncio
import time

import pytest

from asyncreload.child.watch import refreshers as module
from asyncreload.child.watch.refreshers import Refreshers
from tests.unit.watching import run_here


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def refreshers(monkeypatch: pytest.MonkeyPatch) -> Refreshers:
    monkeypatch.setattr(module, "hop", run_here)
    return Refreshers()


def anything(_: str) -> bool:
    return True


@pytest.mark.asyncio
async def test_all_are_seen_to_if_somebody_says_so_of_each(
    refreshers: Refreshers, notices: list[str]
) -> None:
    told: list[str] = []

    def tell(path: str) -> bool:
        told.append(path)
        return path == "b"

    refreshers.add(lambda path: path == "a", anything)
    refreshers.add(tell, anything)
    assert await refreshers.handle(["a", "b"], notices.append)
    assert told == ["a", "b"]  # whoever has seen to it before
    assert not await refreshers.handle(["b", "c", "a"], notices.append)
    assert told == ["a", "b", "b", "c"]  # behind that, all is loaded anew
    assert notices == []


def test_somebody_wants_to_be_told(refreshers: Refreshers) -> None:
    assert not refreshers.want("a")
    refreshers.add(anything, lambda path: path == "a")
    refreshers.add(anything, lambda path: path == "b")
    assert list(map(refreshers.want, "abc")) == [True, True, False]


@pytest.mark.asyncio
async def test_without_anybody_nothing_is_seen_to(
    refreshers: Refreshers, notices: list[str]
) -> None:
    assert not await refreshers.handle(["a"], notices.append)


@pytest.mark.asyncio
async def test_who_ends_the_process_wants_a_reload(
    refreshers: Refreshers, notices: list[str]
) -> None:
    def leave(_: str) -> bool:
        raise SystemExit(3)

    refreshers.add(anything, anything)
    refreshers.add(leave, anything)
    assert not await refreshers.handle(["a"], notices.append)
    assert notices == []


@pytest.mark.asyncio
async def test_an_error_there_leads_to_a_reload(refreshers: Refreshers, notices: list[str]) -> None:
    def fail(path: str) -> bool:
        raise LookupError(path)

    refreshers.add(anything, anything)
    refreshers.add(fail, anything)
    assert not await refreshers.handle(["a"], notices.append)
    (notice,) = notices
    assert notice.startswith("the refresh failed, reloading:\nTraceback")
    assert "LookupError: a" in notice


@pytest.mark.asyncio
async def test_whoever_takes_too_long_leads_to_a_reload(
    notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> bool:
        await asyncio.sleep(3600)
        return True

    monkeypatch.setattr(module, "hop", hang)
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    began = time.monotonic()
    assert not await Refreshers().handle(["a"], notices.append)
    assert time.monotonic() - began < 60
    assert notices == ["the refresh took more than 0.01 s: reloading"]
