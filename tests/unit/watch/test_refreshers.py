"""Who is told of files that need no reload, and what comes of that."""

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


@pytest.mark.asyncio
async def test_a_file_is_seen_to_if_anybody_says_so(
    refreshers: Refreshers, notices: list[str]
) -> None:
    told: list[str] = []

    def tell(path: str) -> bool:
        told.append(path)
        return path == "b"

    refreshers.add(lambda path: path == "a")
    refreshers.add(tell)
    assert await refreshers.unhandled(["a", "b", "c"], notices.append) == ["c"]
    assert told == ["a", "b", "c"]  # whoever has seen to it before
    assert notices == []


@pytest.mark.asyncio
async def test_without_anybody_nothing_is_seen_to(
    refreshers: Refreshers, notices: list[str]
) -> None:
    assert await refreshers.unhandled(["a"], notices.append) == ["a"]


@pytest.mark.asyncio
async def test_an_error_there_leads_to_a_reload(refreshers: Refreshers, notices: list[str]) -> None:
    def fail(path: str) -> bool:
        raise LookupError(path)

    refreshers.add(lambda _: True)
    refreshers.add(fail)
    assert await refreshers.unhandled(["a"], notices.append) == ["a"]
    (notice,) = notices
    assert notice.startswith("the refresh failed, reloading:\nTraceback")
    assert "LookupError: a" in notice


@pytest.mark.asyncio
async def test_whoever_takes_too_long_leads_to_a_reload(
    notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> list[str]:
        await asyncio.sleep(3600)
        return []

    monkeypatch.setattr(module, "hop", hang)
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    began = time.monotonic()
    assert await Refreshers().unhandled(["a"], notices.append) == ["a"]
    assert time.monotonic() - began < 60
    assert notices == ["the refresh took more than 0.01 s: reloading"]
