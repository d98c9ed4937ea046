"""What the kernel tells of a process; of this one, which runs."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from asyncreload.process_state import (
    OtherThreads,
    ProcessState,
    is_stopped,
    read_main_thread,
    read_state,
)
from tests.unit.parent.fakes import NO_PROCESS

linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


@linux
def test_a_process_that_runs() -> None:
    state = read_state(os.getpid())
    assert state is not None
    assert state.wants_to_run
    assert abs(state.cpu_seconds - time.process_time()) < 0.1
    assert not is_stopped(os.getpid())


@linux
def test_the_main_thread_alone() -> None:
    """It waits, while the thread that asks runs."""
    found: list[ProcessState | None] = []
    end = time.monotonic() + 10

    def ask() -> None:
        state = read_main_thread(os.getpid())
        while state is not None and state.wants_to_run and time.monotonic() < end:
            state = read_main_thread(os.getpid())
        found.append(state)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    running = read_main_thread(os.getpid())
    assert running is not None
    assert running.wants_to_run
    assert abs(running.cpu_seconds - time.thread_time()) < 0.1
    [waiting] = found
    assert waiting is not None
    assert not waiting.wants_to_run


@linux
def test_a_process_that_is_gone() -> None:
    assert read_main_thread(NO_PROCESS) is None
    assert read_state(NO_PROCESS) is None
    assert not is_stopped(NO_PROCESS)


def test_other_threads_want_to_run_when_they_have_just_done_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that gets little of a busy machine; one that sleeps does nothing but wake."""
    now = process = own = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "process_time", lambda: process)
    monkeypatch.setattr(time, "thread_time", lambda: own)
    others = OtherThreads()
    for their_share, wants_to_run in ((1.0, True), (0.1, True), (0.01, False), (0.0, False)):
        now += 0.1
        own += 0.05  # what the thread does that asks is no matter
        process += 0.05 + 0.1 * their_share
        assert others.read() == ProcessState(process - own, wants_to_run)


def test_a_thread_that_runs_beside_this_one_is_seen() -> None:
    others, end = OtherThreads(), threading.Event()

    def run() -> None:
        while not end.is_set():
            pass

    thread = threading.Thread(target=run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not others.read().wants_to_run:
            assert time.monotonic() < deadline
            end.wait(0.02)
    finally:
        end.set()
        thread.join()
