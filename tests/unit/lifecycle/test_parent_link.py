"""The link to the parent: messages, and whether it lives."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from asyncreload.child.lifecycle import parent_link
from asyncreload.child.lifecycle.parent_link import ParentLink
from asyncreload.liveness import LivenessCounter
from asyncreload.lockfile import Verdict
from asyncreload.protocol import Message, Notice, Ping, Pong, decode

if TYPE_CHECKING:
    from asyncreload.running_requests import RunningRequests


class Bench:
    def __init__(self, lock: Path, liveness: LivenessCounter, parent: int | None = None) -> None:
        requests = cast("RunningRequests", None)
        self.parent, ours = socket.socketpair()
        self.lock = lock
        self.liveness = liveness
        is_own = parent is None
        self.link = ParentLink(
            ours,
            parent or os.getppid(),
            str(lock),
            liveness,
            requests,
            is_own_parent=is_own,
        )

    def heard(self) -> list[Message]:
        self.parent.setblocking(False)
        return [decode(line) for line in self.parent.recv(65536).splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    lock = tmp_path / "lock"
    lock.touch()
    with closing(LivenessCounter.create()) as liveness:
        made = Bench(lock, liveness)
        yield made
        made.parent.close()
        made.link.close()


def test_messages_are_sent_a_line_each(bench: Bench) -> None:
    bench.link.send(Pong())
    bench.link.notice("slow", once=True)
    assert bench.heard() == [Pong(), Notice("slow", once=True)]


def test_when_the_parent_is_gone_nothing_is_sent(bench: Bench) -> None:
    bench.parent.close()
    bench.link.send(Pong())


@pytest.mark.asyncio
async def test_what_the_parent_says_is_heard_and_its_end(bench: Bench) -> None:
    heard: list[object] = []
    ended = asyncio.Event()
    bench.link.listen(heard.append, ended.set)
    half = len(Ping().encode()) // 2
    bench.parent.send(Ping().encode()[:half])
    await asyncio.sleep(0)
    bench.parent.send(Ping().encode()[half:])
    bench.parent.close()
    await ended.wait()
    assert heard == [Ping()]


def test_a_beat_is_counted(bench: Bench) -> None:
    bench.link.beat()
    assert bench.liveness.count() == 1


def test_a_parent_that_lives_is_fresh(bench: Bench) -> None:
    assert bench.link.check(1.0) is Verdict.FRESH


def test_a_deleted_lockfile_is_the_end(bench: Bench) -> None:
    bench.lock.unlink()
    assert bench.link.check(1.0) is Verdict.GONE


def test_another_parent_is_the_end_and_the_lockfiles(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert bench.link.check(1.0) is Verdict.GONE
    assert not bench.lock.exists()


def test_a_lockfile_that_is_not_touched_is_told_once_and_again_after_a_touch(bench: Bench) -> None:
    os.utime(bench.lock, (0, 0))
    assert bench.link.check(1.0) is Verdict.STALE
    assert bench.link.check(1.0) is Verdict.STALE
    assert len(bench.heard()) == 1
    os.utime(bench.lock)
    assert bench.link.check(1.0) is Verdict.FRESH
    os.utime(bench.lock, (0, 0))
    bench.link.check(1.0)
    assert len(bench.heard()) == 1


# --- in a process that goes on from a checkpoint -----------------------------------------------


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not the parent of this one."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def resumed(supervisor: subprocess.Popen[bytes], tmp_path: Path) -> Iterator[Bench]:
    lock = tmp_path / "lock"
    lock.touch()
    with closing(LivenessCounter.create()) as liveness:
        made = Bench(lock, liveness, supervisor.pid)
        yield made
        made.parent.close()
        made.link.close()


def test_that_the_parent_is_another_process_means_nothing(
    resumed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the checkpoint, and may be dead."""
    assert resumed.link.check(1.0) is Verdict.FRESH
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert resumed.link.check(1.0) is Verdict.FRESH
    assert not resumed.link.has_lost_parent()


@pytest.mark.asyncio
@pytest.mark.parametrize("is_told", [True, False])
async def test_the_supervisors_end_is_the_end_and_the_lockfiles(
    resumed: Bench,
    supervisor: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_told: bool,
) -> None:
    """By its descriptor; where there is none, by its number."""
    ended = asyncio.Event()
    if not is_told:
        monkeypatch.setattr(parent_link, "open_process", lambda _pid: None)
    is_told = is_told and sys.platform == "linux"
    assert resumed.link.hear_end(ended.set) is is_told
    assert resumed.link.check(1.0) is Verdict.FRESH
    supervisor.kill()
    supervisor.wait()
    if is_told:
        await ended.wait()
    assert resumed.link.has_lost_parent()
    assert resumed.link.check(1.0) is Verdict.GONE
    assert not resumed.lock.exists()


def test_all_that_is_open_is_known(resumed: Bench) -> None:
    assert resumed.link.descriptors() == [resumed.link.fileno()]
    resumed.link.close()
    assert resumed.link.descriptors() == []
