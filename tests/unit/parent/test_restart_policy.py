"""What the next child is told: of a burst of changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from asyncreload.parent.event_log import EventLog
from asyncreload.parent.restart_policy import BURST, RestartPolicy
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, Go, Left
from asyncreload.settings import Settings


@dataclass
class Run:
    """What is left of a child."""

    go: Go = field(default_factory=lambda: Go({}, None, ("", 0)))
    since: int = 5
    last_phase: Phase = Phase.SERVING
    left: Left | None = None
    changed: FilesChanged | None = None
    files: dict[str, Any] = field(default_factory=dict)
    was_silenced: bool = False
    starts_cold: bool = False


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
def test_a_burst_is_what_follows_a_change_or_its_load_at_once(
    *, loading: bool, load_took: float, pause: float, settles: bool
) -> None:
    now = 1000.0
    policy = RestartPolicy(
        Settings(target="app.py"), None, ("", 0), "", EventLog(), clock=lambda: now
    )

    def change(*, loading: bool) -> Go:
        return policy._reload(Run(changed=FilesChanged({}, loading=loading)))

    assert not change(loading=False).settle
    now += load_took
    policy.answered()
    now += pause
    assert change(loading=loading).settle is settles
