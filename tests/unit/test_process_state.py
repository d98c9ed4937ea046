"""What the kernel tells of a process; of this one, which runs."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from asyncreload.process_state import ProcessState, is_stopped, read_main_thread, read_state
from tests.unit.parent.fakes import NO_PROCESS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def test_a_process_that_runs() -> None:
    state = read_state(os.getpid())
    assert state is not None
    assert state.wants_to_run
    assert abs(state.cpu_seconds - time.process_time()) < 0.1
    assert not is_stopped(os.getpid())


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


def test_a_process_that_is_gone() -> None:
    assert read_main_thread(NO_PROCESS) is None
    assert read_state(NO_PROCESS) is None
    assert not is_stopped(NO_PROCESS)
