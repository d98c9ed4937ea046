"""A child waits until its predecessor is gone, but not for ever."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

import pytest

from asyncreload.child.predecessor import wait_until_gone


class Kernel:
    """Knows a process for so many seconds."""

    def __init__(self, lasts: float) -> None:
        self.lasts = lasts
        self.now = 1000.0
        self.asked: list[tuple[int, int]] = []

    def kill(self, pid: int, number: int) -> None:
        self.asked.append((pid, number))
        if self.now >= 1000 + self.lasts:
            raise ProcessLookupError(errno.ESRCH, "No such process")

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Kernel]:
    def make(lasts: float) -> Kernel:
        made = Kernel(lasts)
        monkeypatch.setattr(os, "kill", made.kill)
        monkeypatch.setattr(time, "sleep", made.sleep)
        monkeypatch.setattr(time, "monotonic", lambda: made.now)
        return made

    return make


@pytest.mark.parametrize(
    ("lasts", "most"), [(0, 0.0), (0.002, 0.0025), (0.099, 0.1), (float("inf"), 0.101)]
)
def test_it_waits_as_long_as_it_must(
    kernel: Callable[[float], Kernel], lasts: float, most: float
) -> None:
    system = kernel(lasts)
    wait_until_gone(4711, 0.1)
    assert min(lasts, 0.1) <= system.now - 1000 <= most + 1e-6
    assert set(system.asked) == {(4711, 0)}
