"""What is passed on of what children say."""

from __future__ import annotations

import logging

import pytest

from asyncreload.parent.notices import Notices
from asyncreload.protocol import Notice, WatchReasons


def test_what_every_child_would_say_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices()
    for notice in (Notice("a limit", once=True), Notice("slow"), Notice("a limit", once=True)):
        notices.tell(notice)
    notices.tell(Notice("slow"))
    assert caplog.messages == ["a limit", "slow", "slow"]


def test_of_the_reasons_only_new_ones_are_told(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices()
    with caplog.at_level(logging.DEBUG, "asyncreload"):
        notices.explain(WatchReasons({"app.py": "imported"}, 7))
        notices.explain(WatchReasons({"app.py": "imported", "b.py": "imported"}, 7))
        notices.explain(WatchReasons({"app.py": "asked for"}, 8))
    assert caplog.messages == [
        "watching app.py: imported",
        "watching installed packages: 7 files of them, looked at seldom",
        "watching b.py: imported",
        "watching app.py: asked for",
        "watching installed packages: 8 files of them, looked at seldom",
    ]
