"""What the kernel tells of a process; of this one, which runs."""

from __future__ import annotations

import os
import sys
import time

import pytest

from asyncreload.parent.process_state import is_stopped, read_state
from tests.unit.parent.fakes import NO_PROCESS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def test_a_process_that_runs() -> None:
    state = read_state(os.getpid())
    assert state is not None
    assert state.wants_to_run
    assert abs(state.cpu_seconds - time.process_time()) < 0.1
    assert not is_stopped(os.getpid())


def test_a_process_that_is_gone() -> None:
    assert read_state(NO_PROCESS) is None
    assert not is_stopped(NO_PROCESS)
