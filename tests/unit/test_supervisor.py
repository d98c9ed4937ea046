"""What a supervisor passes on of what its children tell."""

from __future__ import annotations

import pytest

from asyncreload import Supervisor
from asyncreload.protocol import Told


def test_what_every_child_would_say_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor("app.py")
    for message in (Told("a limit", once=True), Told("slow"), Told("a limit", once=True)):
        supervisor._pass_on(message)
    supervisor._pass_on(Told("slow"))
    assert caplog.messages == ["a limit", "slow", "slow"]
