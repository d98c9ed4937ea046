"""What the next child is told: of a burst of changes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload.parent.child_run import ChildRun
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.restart_policy import BURST, RestartPolicy
from asyncreload.protocol import FilesChanged
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
    succession = RestartPolicy(Settings(target="app.py"), None, ("", 0), "", EventLog())

    def change(*, loading: bool) -> Any:
        life = SimpleNamespace(changed=FilesChanged({}, loading=loading), left=None)
        return succession._reload(cast("ChildRun", life))

    assert not change(loading=False).settle
    now += load_took
    succession.answered()
    now += pause
    assert change(loading=loading).settle is settles
