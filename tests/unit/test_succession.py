"""What the next child is told: of a burst of changes, and of its predecessor."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload.parent.feed import Feed
from asyncreload.parent.life import Life
from asyncreload.parent.succession import BURST, Succession
from asyncreload.protocol import Changed, Go, Left
from asyncreload.settings import Settings


@pytest.mark.parametrize(
    ("loading", "load_took", "pause", "settles"),
    [
        (True, 0.0, 10.0, True),
        (False, 0.0, BURST / 2, True),
        (False, 10.0, BURST / 2, True),  # it came as soon as somebody could look
        (False, 0.0, BURST * 2, False),
        (False, 10.0, BURST * 2, False),
    ],
)
@pytest.mark.asyncio
async def test_a_burst_is_what_follows_a_change_or_its_load_at_once(
    monkeypatch: pytest.MonkeyPatch, *, loading: bool, load_took: float, pause: float, settles: bool
) -> None:
    now = 1000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    succession = Succession(Settings(target="app.py"), None, ("", 0), "", Feed())

    def change(*, loading: bool) -> Any:
        life = SimpleNamespace(changed=Changed({}, loading=loading), left=None)
        return succession._reload(cast("Life", life))

    assert not change(loading=False).settle
    now += load_took
    succession.answered()
    now += pause
    assert change(loading=loading).settle is settles


@pytest.mark.parametrize(
    ("left", "awaited"),
    [
        (None, None),
        (Left(3, lingering=1), None),
        (Left(3, vanished=True), None),
        (Left(3, vanished=True, small=True), 4711),
    ],
)
@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.asyncio
async def test_a_predecessor_is_waited_for_that_is_gone_in_a_moment(
    tmp_path: Path, left: Left | None, awaited: int | None, *, cold: bool
) -> None:
    (tmp_path / "lock").touch()
    succession = Succession(
        Settings(target="app.py"), None, ("", 0), str(tmp_path / "lock"), Feed()
    )
    child = SimpleNamespace(pid=4711)
    life = SimpleNamespace(
        left=left,
        cold=cold,
        go=succession.first(),
        child=child,
        silenced=False,
        changed=Changed({}, loading=False),
    )
    told = await succession.after(cast("Life", life), 3)
    assert isinstance(told, Go)
    assert told.predecessor == awaited
