"""Orphans are reaped, and no exit code is taken from who has started a process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from asyncreload import cpython, orphans
from asyncreload.orphans import OrphanReaper, reap_orphans

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is adopted")


class Kernel:
    """Has children for us, alive or not."""

    def __init__(self) -> None:
        self.alive: set[int] = set()
        self.zombies: set[int] = set()
        self.reaped: list[int] = []
        self.calls = 0

    def waitid(self, kind: int, pid: int, options: int) -> object:
        assert options == os.WEXITED | os.WNOHANG | os.WNOWAIT
        self.calls += 1
        of = self.alive | self.zombies if kind == os.P_ALL else {pid}
        if not of & (self.alive | self.zombies):
            raise ChildProcessError
        return SimpleNamespace() if of & self.zombies else None

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        assert options == os.WNOHANG
        self.zombies.remove(pid)
        self.reaped.append(pid)
        return pid, 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(os, "waitid", kernel.waitid)
    monkeypatch.setattr(os, "waitpid", kernel.waitpid)
    monkeypatch.setattr(orphans, "_ended_children", lambda: set(kernel.zombies))
    return kernel


@linux
def test_an_orphan_is_reaped_when_it_is_seen_again(kernel: Kernel) -> None:
    """Not at once: C code that has forked it may be about to wait for it."""
    reaper = OrphanReaper(set())
    kernel.zombies = {5}
    assert reaper.look()
    assert kernel.reaped == []
    assert not reaper.look()
    assert kernel.reaped == [5]


@linux
def test_what_was_started_here_keeps_its_exit_code(kernel: Kernel) -> None:
    reaper = OrphanReaper({4})
    kernel.zombies = {4, 5}
    for _ in range(3):
        reaper.look()
    assert kernel.reaped == [5]
    assert kernel.zombies == {4}


@linux
def test_a_number_that_is_used_again_may_be_an_orphans(kernel: Kernel) -> None:
    started = {4}
    reaper = OrphanReaper(started)
    reaper.look()  # it has been reaped by who has started it
    assert started == set()
    kernel.zombies = {4}
    reaper.look()
    reaper.look()
    assert kernel.reaped == [4]


@linux
def test_an_app_that_starts_nothing_pays_one_system_call(kernel: Kernel) -> None:
    assert not OrphanReaper(set()).look()
    assert kernel.calls == 1


def test_where_nothing_is_adopted_nobody_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS, the system call for that came with Python 3.13."""
    monkeypatch.setattr(sys, "platform", "darwin")
    asyncio.run(reap_orphans(lambda: pytest.fail("it was looked for")))


@pytest.fixture
def starters(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, object]]:
    """What starts processes starts none, and is put back after the test."""
    results = {"fork": 11, "forkpty": (12, 3), "posix_spawn": 13, "fork_exec": 14}
    owner = SimpleNamespace(**{name: lambda found=found: found for name, found in results.items()})
    monkeypatch.setattr(cpython, "_STARTERS", [*((owner, name) for name in results), (owner, "no")])
    return lambda: vars(owner)


def test_what_python_code_starts_is_recorded(starters: Callable[[], dict[str, object]]) -> None:
    recorded: list[int] = []
    cpython.record_started_processes(recorded.append)
    results = [start() for start in starters().values() if callable(start)]
    assert results == [11, (12, 3), 13, 14]
    assert recorded == [11, 12, 13, 14]


def test_the_new_process_of_a_fork_is_nobodys_child_here(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = SimpleNamespace(fork=lambda: 0)
    monkeypatch.setattr(cpython, "_STARTERS", [(owner, "fork")])
    recorded: list[int] = []
    cpython.record_started_processes(recorded.append)
    assert owner.fork() == 0
    assert recorded == []


def test_all_functions_that_start_processes_are_known() -> None:
    """A Python that starts them otherwise would have its exit codes taken away."""
    names = {name for owner, name in cpython._STARTERS if hasattr(owner, name)}
    assert names >= {"fork", "forkpty", "posix_spawn", "posix_spawnp", "fork_exec", "_fork_exec"}
