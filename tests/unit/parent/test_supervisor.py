"""What a supervisor passes on of what its children tell."""

from __future__ import annotations

import pytest

from asyncreload import Supervisor
from asyncreload.protocol import Notice


def test_what_every_child_would_say_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor("app.py")
    for message in (Notice("a limit", once=True), Notice("slow"), Notice("a limit", once=True)):
        supervisor._pass_on(message)
    supervisor._pass_on(Notice("slow"))
    assert caplog.messages == ["a limit", "slow", "slow"]
