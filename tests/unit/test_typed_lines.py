"""Which lines are read that are typed at a terminal, and which are left to others."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from asyncreload.typed_lines import LOOK_AGAIN, OTHERS_FIRST, TypedLines

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.asyncio

WITHIN = 5.0
"""Seconds: what is typed is there at once."""


class Desk:
    """A terminal, at which a test types, and what is read there. Seconds are over at once."""

    def __init__(self) -> None:
        self.keyboard, self.theirs = pty.openpty()
        self.mode = termios.tcgetattr(self.theirs)
        self.path = os.ttyname(self.theirs)
        self.ours = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        self.slept: list[float] = []
        self.meanwhile: Callable[[float], object] = lambda _: None
        """Called when we wait."""
        self.is_others = False
        self.typed = TypedLines(self.ours, self._is_others, self._sleep)
        self.lines = self.typed.lines()

    async def _is_others(self) -> bool:
        return self.is_others

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.meanwhile(seconds)

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    async def next(self) -> str:
        async with asyncio.timeout(WITHIN):
            return await anext(self.lines)

    def set_mode(self, *, whole_lines: bool) -> None:
        if whole_lines:
            termios.tcsetattr(self.theirs, termios.TCSANOW, self.mode)
        else:
            tty.setcbreak(self.theirs, termios.TCSANOW)

    def hang_up(self) -> None:
        os.close(self.keyboard)
        self.keyboard = -1

    def close(self) -> None:
        for descriptor in {self.theirs, self.keyboard} - {-1}:
            os.close(descriptor)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with closing(Desk()) as opened:
        yield opened


async def test_lines_are_read_without_their_ends(desk: Desk) -> None:
    desk.type("r\n  two words \n\n")
    assert [await desk.next() for _ in range(3)] == ["r", "  two words ", ""]
    assert desk.slept == [OTHERS_FIRST] * 3


async def test_who_reads_at_once_has_the_line(desk: Desk) -> None:
    taken: list[bytes] = []

    def take(_seconds: float) -> None:
        desk.meanwhile = lambda _: None
        taken.append(os.read(desk.theirs, 100))
        desk.type("ours\n")

    desk.meanwhile = take
    desk.type("theirs\n")
    assert await desk.next() == "ours"
    assert taken == [b"theirs\n"]


async def test_a_line_that_is_meant_for_a_debugger_is_left(desk: Desk) -> None:
    desk.is_others = True

    def take_in_the_end(seconds: float) -> None:
        if seconds == LOOK_AGAIN and desk.slept.count(LOOK_AGAIN) == 3:
            desk.is_others = False

    desk.meanwhile = take_in_the_end
    desk.type("n\n")
    assert await desk.next() == "n"
    assert desk.slept.count(LOOK_AGAIN) == 3


async def test_nothing_is_read_while_somebody_reads_key_by_key(desk: Desk) -> None:
    desk.set_mode(whole_lines=False)

    def leave_prompt(seconds: float) -> None:
        if seconds == LOOK_AGAIN:
            assert os.read(desk.theirs, 100) == b"q"
            desk.set_mode(whole_lines=True)
            desk.type("r\n")

    desk.meanwhile = leave_prompt
    desk.type("q")
    assert await desk.next() == "r"


async def test_in_the_background_nothing_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)

    def foreground(seconds: float) -> None:
        if seconds == LOOK_AGAIN:
            monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())

    desk.meanwhile = foreground
    desk.type("r\n")
    assert await desk.next() == "r"
    assert desk.slept == [OTHERS_FIRST, LOOK_AGAIN, OTHERS_FIRST]


async def test_nobody_is_stopped_who_reads_in_the_background_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell has taken the terminal back between the look and the read."""
    read = os.read

    def refuse(_descriptor: int, _size: int) -> bytes:
        assert signal.SIGTTIN in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        monkeypatch.setattr(os, "read", read)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", refuse)
    desk.type("r\n")
    assert await desk.next() == "r"
    assert signal.SIGTTIN not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


async def test_ctrl_d_ends_nothing(desk: Desk) -> None:
    def type_more(_seconds: float) -> None:
        if len(desk.slept) == 2:
            desk.type("r\n")

    desk.meanwhile = type_more
    desk.type("\x04\x04")
    assert await desk.next() == "r"


async def test_a_closed_terminal_is_the_end(desk: Desk) -> None:
    desk.hang_up()
    with pytest.raises(StopAsyncIteration):
        await desk.next()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(desk.ours)


async def test_cancelled_it_lets_go_of_the_terminal(desk: Desk) -> None:
    task = asyncio.create_task(desk.next())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(desk.ours)
    # Nobody is woken any more for what is typed.
    desk.type("r\n")
    await asyncio.sleep(0)


async def nobodys() -> bool:
    return False


async def test_others_go_on_to_block(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "ttyname", lambda _: desk.path)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: 1)
    typed = TypedLines.at_terminal(nobodys)
    assert typed is not None
    try:
        assert os.get_blocking(desk.theirs)
        assert not os.get_blocking(typed._descriptor)
        assert not os.get_inheritable(typed._descriptor)
    finally:
        os.close(typed._descriptor)
        os.close(desk.ours)


async def test_without_a_terminal_nothing_is_typed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard input is a file, or another session's terminal."""

    def fail(_descriptor: int) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(os, "tcgetpgrp", fail)
    assert TypedLines.at_terminal(nobodys) is None
    os.close(desk.ours)
