"""What a process holds back until it goes on; here in one process, which is its own fork."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreload.child.checkpoint.suspension import Suspension

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="by /proc")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What a handler of SIGUSR1 was called with; signals and collector are as before at the end."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    yield heard
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGUSR1, before)
    gc.enable()


def test_in_the_process_that_was_forked_from_no_signal_is_lost(heard: list[int]) -> None:
    suspension = Suspension.begin([])
    assert not gc.isenabled()
    signal.raise_signal(signal.SIGUSR1)
    assert not heard
    suspension.undo()
    assert heard == [signal.SIGUSR1]
    assert gc.isenabled()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) >= {signal.SIGUSR2}


def test_in_one_that_goes_on_those_are_forgotten_that_came_while_it_waited(
    heard: list[int],
) -> None:
    suspension = Suspension.begin([])
    signal.raise_signal(signal.SIGUSR1)
    suspension.end()
    assert not heard
    signal.raise_signal(signal.SIGUSR1)
    assert heard == [signal.SIGUSR1]


def test_a_collector_that_the_app_has_switched_off_stays_so(heard: list[int]) -> None:
    del heard
    gc.disable()
    Suspension.begin([]).end()
    assert not gc.isenabled()


def test_files_are_opened_anew_not_before_it_goes_on(tmp_path: Path, heard: list[int]) -> None:
    del heard
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with path.open("rb", buffering=0) as file:
        suspension = Suspension.begin([])
        sibling = os.dup(file.fileno())  # as a checkpoint has one
        suspension.end()
        os.read(sibling, 4)
        assert file.read(3) == b"012"
        os.close(sibling)


def test_without_a_descriptor_nothing_is_held_back(
    heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: str) -> list[str]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "listdir", none_left)
    with pytest.raises(OSError, match="open files"):
        Suspension.begin([])
    signal.raise_signal(signal.SIGUSR1)
    assert heard == [signal.SIGUSR1]
    assert gc.isenabled()
