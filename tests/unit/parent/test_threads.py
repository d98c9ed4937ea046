"""What would block the loop is run in a thread, or here when there is none."""

from __future__ import annotations

import threading

import pytest

from asyncreload.parent.threads import in_thread

pytestmark = pytest.mark.asyncio


async def test_it_is_run_in_a_thread() -> None:
    assert await in_thread(threading.get_ident)() != threading.get_ident()


async def test_when_no_thread_can_be_had_it_is_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patches:  # the end of the test's loop takes a thread
        patches.setattr(threading.Thread, "start", start)
        assert await in_thread(threading.get_ident)() == threading.get_ident()


async def test_what_is_raised_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await in_thread(int)("x")
