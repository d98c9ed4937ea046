"""What a terminal or a pipe does not take waits, and blocks nobody."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from asyncreload import outlet as module
from asyncreload.outlet import PIECE, Outlet, takes_some


class Pipe:
    """A pipe, of which a test reads the one end."""

    def __init__(self) -> None:
        self.exit, entrance = os.pipe()
        os.set_blocking(self.exit, False)
        self.stream: TextIO = open(entrance, "w")  # noqa: SIM115  it is closed by the fixture
        self.failed = 0
        self.lost: list[int] = []
        self.outlet = Outlet(self.stream, self.fail, self.lost.append)

    def fail(self) -> None:
        self.failed += 1

    def fill(self) -> int:
        """Write until it takes no more; return how many bytes it holds."""
        os.set_blocking(self.stream.fileno(), False)
        size = 0
        try:
            while True:
                size += os.write(self.stream.fileno(), b"x" * 512)
        except BlockingIOError:
            os.set_blocking(self.stream.fileno(), True)
            return size

    def read(self, size: int = 10_000_000) -> str:
        parts = []
        while size > 0:
            try:
                part = os.read(self.exit, size)
            except BlockingIOError:
                break
            size -= len(part)
            parts.append(part)
            if not part:
                break
        return b"".join(parts).decode()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "AGAIN", 0.001)
    made = Pipe()
    yield made
    os.close(made.exit)
    made.stream.close()


async def until_empty(pipe: Pipe) -> str:
    """Read as long as anything comes."""
    found = ""
    while True:
        await asyncio.sleep(0.02)
        if not (more := pipe.read()):
            return found
        found += more


def test_what_is_taken_is_written_at_once(pipe: Pipe) -> None:
    pipe.outlet.write("one\n")
    assert pipe.read() == "one\n"
    assert pipe.outlet.drain(0)


@pytest.mark.asyncio
async def test_the_rest_is_written_as_soon_as_there_is_room(pipe: Pipe) -> None:
    size = pipe.fill()
    long = "long" * PIECE
    pipe.outlet.write("one\n")
    pipe.outlet.write(long)
    assert not pipe.outlet.drain(0)
    assert pipe.read(size) == "x" * size
    pipe.outlet.write("two\n")
    assert await until_empty(pipe) == f"one\n{long}two\n"
    assert pipe.lost == []


@pytest.mark.asyncio
async def test_what_is_too_much_is_left_out_and_told(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    size = pipe.fill()
    for number in range(5):
        pipe.outlet.write(f"{number}\n")
    assert pipe.read(size) == "x" * size
    assert await until_empty(pipe) == "0\n1\n"
    assert pipe.lost == [3]


@pytest.mark.asyncio
async def test_who_goes_away_meanwhile_is_told_of(pipe: Pipe) -> None:
    pipe.fill()
    pipe.outlet.write("one\n")
    os.close(pipe.exit)
    while not pipe.failed:
        await asyncio.sleep(0)
    assert pipe.failed == 1
    pipe.exit = os.open(os.devnull, os.O_RDWR)
    os.dup2(pipe.exit, pipe.stream.fileno())  # so that it can be closed


def test_an_end_that_is_gone_raises(pipe: Pipe) -> None:
    os.close(pipe.exit)
    with pytest.raises(BrokenPipeError):
        pipe.outlet.write("one\n")
    pipe.exit = os.open(os.devnull, os.O_RDWR)
    os.dup2(pipe.exit, pipe.stream.fileno())


def test_what_has_no_descriptor_takes_all() -> None:
    stream = io.StringIO()
    assert takes_some(stream, 0)
    Outlet(stream, pytest.fail, lambda _: None).write("text")
    assert stream.getvalue() == "text"
