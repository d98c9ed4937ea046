"""Audit events for all who listen."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

from asyncreload import audit


def test_who_listens_is_told_of_its_events_and_where_they_are_raised() -> None:
    told: list[tuple[str, tuple[Any, ...], FrameType | None]] = []

    def listener(*event: Any) -> None:
        told.append(event)

    audit.listen(listener, "asyncreload.test", "asyncreload.other")
    audit.listen(listener, "asyncreload.test")
    sys.audit("asyncreload.test", 1, "a")
    sys.audit("asyncreload.nothing")
    os.getpid()
    here = sys._getframe()
    assert told == [("asyncreload.test", (1, "a"), here)] * 2
    sys.audit("asyncreload.other")
    assert told[2:] == [("asyncreload.other", (), here)]
