"""A process that goes on from a checkpoint; here, a trivial child of the test, or its own pidfd."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from signal import SIGKILL, SIGSTOP

import pytest

from asyncreload.parent import resumed_process as module
from asyncreload.parent.resumed_process import ResumedProcess
from asyncreload.parent.subprocesses import kill, stop
from tests.unit.looping import until

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux"),
]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its end of input."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def resumed(child: subprocess.Popen[bytes]) -> ResumedProcess:
    return ResumedProcess(child.pid, os.pidfd_open(child.pid))


async def test_its_exit_code_is_what_the_checkpoint_tells(child: subprocess.Popen[bytes]) -> None:
    process = resumed(child)
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    assert (process.pid, process.returncode) == (child.pid, None)
    process.has_ended(7)
    assert await waiting == process.returncode == 7
    process.has_ended(8)  # told once
    assert process.returncode == 7


async def test_its_end_is_seen_but_the_word_of_the_checkpoint_is_waited_for(
    child: subprocess.Popen[bytes],
) -> None:
    process = resumed(child)
    child.kill()
    await until(lambda: process._descriptor is None)
    assert process.returncode is None
    process.has_ended(-SIGKILL)
    assert await process.wait() == -SIGKILL


async def test_a_code_that_is_not_told_is_lost_after_a_while(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CODE_WITHIN", 0.0)
    process = resumed(child)
    child.kill()
    assert await process.wait() == -SIGKILL


async def test_then_the_one_counts_that_it_has_announced(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CODE_WITHIN", 0.0)
    process = resumed(child)
    process.announce(3)
    child.kill()
    assert await process.wait() == 3


@pytest.mark.parametrize("dies_first", ["the checkpoint", "the process"])
async def test_without_its_checkpoint_nothing_is_waited_for(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, dies_first: str
) -> None:
    monkeypatch.setattr(module, "CODE_WITHIN", 1e9)
    process = resumed(child)
    process.announce(5)
    if dies_first == "the checkpoint":
        process.has_lost_checkpoint()
        assert process.returncode is None
    child.kill()
    if dies_first == "the process":
        await until(lambda: process._descriptor is None)
        process.has_lost_checkpoint()
    assert await process.wait() == 5


async def test_it_is_stopped_and_killed_by_its_descriptor(child: subprocess.Popen[bytes]) -> None:
    process = resumed(child)
    process.pid = 2**30  # nobody is to be found by that
    stop(process)
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == SIGSTOP
    kill(process)
    assert child.wait() == -SIGKILL
    process.has_ended(-SIGKILL)
    kill(process)  # no matter


async def test_after_its_end_nobody_is_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another process's by then."""
    process = ResumedProcess(os.getpid(), os.pidfd_open(os.getpid()))
    process.has_ended(0)
    kill(process)  # this process lives on


async def test_its_descriptor_is_closed_at_its_end(child: subprocess.Popen[bytes]) -> None:
    descriptor = os.pidfd_open(child.pid)
    process = ResumedProcess(child.pid, descriptor)
    process.has_ended(0)
    with pytest.raises(OSError):
        os.fstat(descriptor)


async def test_who_waits_may_be_cancelled(child: subprocess.Popen[bytes]) -> None:
    process = resumed(child)
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    process.has_ended(0)
    assert await process.wait() == 0
