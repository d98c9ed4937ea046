"""The lockfile is touched until somebody deletes it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from asyncreload.parent.heartbeat import touch_until_deleted

pytestmark = pytest.mark.asyncio


async def test_it_is_touched_until_it_is_deleted(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    slept: list[float] = []
    touched: list[bool] = []

    async def sleep(seconds: float) -> None:
        touched.append(lock.stat().st_mtime > 0)
        slept.append(seconds)
        os.utime(lock, (0, 0))
        if len(slept) == 3:
            lock.unlink()

    await touch_until_deleted(str(lock), 0.1, sleep)
    assert slept == [2.0] * 3
    assert touched == [True] * 3


async def test_a_touch_that_fails_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "file" / "lock"
    lock.parent.touch()  # no directory
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await touch_until_deleted(str(lock), 5, sleep)
    assert slept == [5] * 4
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("cannot touch the lockfile: ")
    assert caplog.messages[0].endswith("; going on")
