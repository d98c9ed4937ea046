"""An idle thread is used again; a job waits for no other one."""

from __future__ import annotations

import threading
from _thread import get_ident, start_new_thread
from collections.abc import Callable
from typing import Any

import pytest

from asyncreload.child.http import thread_pool as module
from asyncreload.child.http.thread_pool import ThreadPool

DEADLINE = 10.0


def until_idle(pool: ThreadPool, number: int) -> None:
    """Wait until so many threads are idle: a job is over a moment before its thread is."""
    for _ in range(10_000_000):
        if pool._idle == number:
            return
    pytest.fail(f"{pool._idle} threads are idle, not {number}")


def test_an_idle_thread_is_used_again() -> None:
    pool = ThreadPool()
    used: list[int] = []
    for _ in range(3):
        pool.run(lambda: used.append(get_ident()))
        until_idle(pool, 1)
    assert len(used) == 3
    assert len(set(used)) == 1
    assert get_ident() not in used


def test_a_job_waits_for_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []

    def start(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(start_new_thread(function, arguments))

    monkeypatch.setattr(module, "start_new_thread", start)
    pool = ThreadPool()
    meeting = threading.Barrier(3, timeout=DEADLINE)
    for _ in range(2):
        pool.run(meeting.wait)  # type: ignore[arg-type]  # what it returns is nobody's
    with pytest.raises(RuntimeError):
        pool.run(lambda: None)
    meeting.wait()
    until_idle(pool, 2)
    pool.run(lambda: None)
    until_idle(pool, 2)
