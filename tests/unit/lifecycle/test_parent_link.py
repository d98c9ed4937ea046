"""The link to the parent: messages, and whether it lives."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asyncreload.child.lifecycle.parent_link import ParentLink
from asyncreload.liveness import LivenessCounter
from asyncreload.lockfile import Verdict
from asyncreload.protocol import Message, Notice, Ping, Pong, decode


class Bench:
    def __init__(self, lock: Path, liveness: LivenessCounter) -> None:
        self.parent, ours = socket.socketpair()
        self.lock = lock
        self.liveness = liveness
        self.link = ParentLink(ours, os.getppid(), str(lock), liveness)

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
