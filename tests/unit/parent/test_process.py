"""What is said to a child and heard of it; here, without any process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any, cast

import pytest

from asyncreload.parent.process import Process, describe, open_channel
from asyncreload.protocol import (
    Booted,
    Going,
    Left,
    Message,
    Notice,
    Ping,
    Preload,
    Preloaded,
    Preloading,
    StartCold,
    decode,
)
from tests.unit.parent.fakes import NO_PROCESS

pytestmark = pytest.mark.asyncio


class Running:
    """An `asyncio.subprocess.Process`."""

    pid = NO_PROCESS
    returncode: int | None = None

    async def wait(self) -> int:
        self.returncode = -9
        return -9


class Writer:
    """An `asyncio.StreamWriter`."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.written = b""
        self.closed = False
        self.failure = failure

    def write(self, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    async def wait_closed(self) -> None:
        if self.failure is not None:
            raise self.failure


class Child(Process):
    """One that has said all that it will say."""

    def __init__(
        self, *said: Message | bytes, failure: Exception | None = None, lives: bool = False
    ) -> None:
        self.running, self.writer = Running(), Writer(failure)
        reader = asyncio.StreamReader()
        for one in said:
            reader.feed_data(one.encode() if isinstance(one, Message) else one)
        if not lives:
            reader.feed_eof()
        super().__init__(cast("Any", self.running), reader, cast("Any", self.writer))


async def test_what_a_child_says_is_heard_in_order() -> None:
    child = Child(Booted(), Going(1), b"cut off by its de")
    assert [type(message) async for message in child.messages()] == [Booted, Going]


async def test_last_words_are_heard_though_the_child_has_not_read_what_was_sent_last() -> None:
    """The kernel resets our end then, when all is read that was sent before."""
    ours, theirs = socket.socketpair()
    reader, writer = await open_channel(ours)
    child = Process(cast("Any", Running()), reader, writer)
    child.send(Ping())
    for message in (Going(1), StartCold("it does not fit", {}), Left(3, vanished=True)):
        theirs.sendall(message.encode())
    theirs.close()
    while not writer.is_closing():  # until the reset is known
        await asyncio.sleep(0)
    assert [type(message) async for message in child.messages()] == [Going, StartCold, Left]
    assert child.has_ended()


async def test_a_line_that_is_far_too_long_is_left_out() -> None:
    child = Child(Booted(), b"x" * 200_000 + b"\n", Going(1))
    assert [type(message) async for message in child.messages()] == [Booted, Going]


async def test_a_child_has_booted_if_it_says_so() -> None:
    assert await Child(Booted()).has_booted()
    assert await Child(Notice("the lockfile was not touched"), Booted()).has_booted()
    assert not await Child(Going(1)).has_booted()
    assert not await Child().has_booted()


@pytest.mark.parametrize("has_begun", [True, False])
async def test_whether_a_dead_child_had_begun_and_nothing_is_lost_of_what_it_has_said(
    *, has_begun: bool
) -> None:
    said = [Notice("first"), *[Going(1)] * has_begun, Left(0)]
    child = Child(*said)
    assert await child.has_begun() is has_begun
    assert [message async for message in child.messages()] == said


@pytest.mark.parametrize(
    ("said", "has_vanished"),
    [
        ([], False),
        ([Left(3, lingering=1), Ping()], False),
        ([Left(3, lingering=1), Left(3, vanished=True)], True),
    ],
)
async def test_whether_a_dead_child_has_left_nothing(
    said: list[Message], *, has_vanished: bool
) -> None:
    assert await Child(*said).has_vanished() == has_vanished


async def test_a_stopped_child_is_not_waited_for() -> None:
    assert not await Child(lives=True).has_begun()


async def test_what_came_of_the_imports() -> None:
    said = Preloaded(("needy",))
    preload = Preload("/project", modules=("needy",))
    child = Child(Booted(), said)
    assert await child.preload(preload) == said
    assert child.writer.written == preload.encode()
    assert await Child().preload(preload) is None


async def test_a_child_that_dies_of_an_import_tells_of_which() -> None:
    child = Child(Preloading("third"), Preloading("deadly"))
    assert await child.preload(Preload("/project")) == Preloaded(("deadly",))


async def test_nothing_is_said_to_a_child_that_is_gone() -> None:
    for failure in (OSError("gone"), RuntimeError("the loop is closed")):
        Child(failure=failure).send(Ping())
    child = Child()
    child.writer.close()
    child.send(Ping())
    assert child.writer.written == b""


async def test_a_child_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed if it lives, waited for, and the channel is closed."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *what: killed.append(what))
    child = Child(Booted(), failure=ConnectionResetError())
    assert not child.has_ended()
    await child.close()
    assert child.has_ended()
    assert child.writer.closed
    assert killed == [(NO_PROCESS, signal.SIGKILL)]
    await child.close()
    assert len(killed) == 1


async def test_a_child_that_says_no_more_has_ended() -> None:
    child = Child(Booted())
    assert not child.has_ended()
    async for _ in child.messages():
        pass
    assert child.has_ended()


async def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    child = Child()
    assert not child.is_stopped()
    async with child.fair_timeout(5):
        pass
    await child.has_had(0.001)


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exit code 0"), (-11, "killed by SIGSEGV"), (-99, "killed by signal 99")],
)
async def test_an_exit_code_in_words(code: int, text: str) -> None:
    assert describe(code) == text


async def test_what_a_dead_child_has_said_is_heard_though_it_is_sent_more() -> None:
    """As one that was told ahead what to load, began, and has ended by the time it is followed."""
    ours, theirs = socket.socketpair()
    reader, writer = await open_channel(ours)
    child = Process(cast("Any", Running()), reader, writer)
    with theirs:
        theirs.sendall(Going(1).encode() + StartCold("it has changed", {}).encode())
    child.send(Ping())
    child.send(Ping())
    assert [message async for message in child.messages()] == [
        Going(1),
        StartCold("it has changed", {}),
    ]
    await child.close()


async def test_what_the_system_does_not_take_at_once_is_sent_later() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await open_channel(ours)
    child = Process(cast("Any", Running()), reader, writer)
    text = "x" * 1_000_000
    for number in range(3):
        child.send(Notice(f"{number}{text}"))
    theirs.setblocking(False)
    got, loop = b"", asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while got.count(b"\n") < 3:
            got += await loop.sock_recv(theirs, 65536)
    assert [decode(line) for line in got.splitlines()] == [
        Notice(f"{number}{text}") for number in range(3)
    ]
    theirs.close()
    await child.close()
