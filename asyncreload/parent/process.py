"""One child process: start it, talk to it, end it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Self

import aiofiles.os

from asyncreload.descendants import MARK
from asyncreload.fair_time import fair_sleep, fair_timeout
from asyncreload.frozen_data import FrozenData
from asyncreload.interpreter import boot_command
from asyncreload.parent.resumed_process import ResumedProcess
from asyncreload.parent.subprocesses import AnyProcess, kill, start_process, stop
from asyncreload.process_state import ProcessState, is_stopped, read_state
from asyncreload.protocol import (
    Booted,
    Going,
    Left,
    Message,
    Preload,
    Preloaded,
    Preloading,
    decode,
)

_read_state = aiofiles.os.wrap(read_state)

LAST_WORDS = 0.05
"""Seconds in which something is heard that a child has said which is dead or stopped by now."""
_LONGEST_LINE = 64 * 1024 * 1024
"""Bytes: a child may name many files in one message."""


class Surroundings(FrozenData):
    """What a child finds around it."""

    directory: str
    """Where it works."""
    output: int | None = None
    """The descriptor that it prints to, without delay; ours if there is none."""


class Process:
    """A child, from its start until it is reaped."""

    def __init__(
        self,
        process: AnyProcess,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._unheard: deque[Message] = deque()
        self.ran_at_start: tuple[str, ...] = ()
        """The project's files that Python itself ran when it started; known once it has booted."""

    @classmethod
    async def start(cls, inheritance: Sequence[int], lock: str, surroundings: Surroundings) -> Self:
        """Start an interpreter like this one, to which file descriptors are left.

        It is in a process group of its own, so that Ctrl-C spares it, until its `go`.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await open_channel(ours)
            descriptors = [theirs.fileno(), *inheritance]
            try:
                process = await start_process(
                    _command(descriptors, is_captured=surroundings.output is not None),
                    stdout=surroundings.output,
                    stderr=surroundings.output,
                    pass_fds=descriptors,
                    env=os.environ
                    | {
                        "ASYNCRELOAD_CHILD": "true",
                        "ASYNCRELOAD_LOCKFILE": lock,
                        "ASYNCRELOAD_STARTED": str(time.time_ns()),
                        MARK: lock,
                    },
                    cwd=surroundings.directory,
                )
            except BaseException:
                writer.close()
                raise
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Tell whether the child is known to be dead."""
        return self._process.returncode is not None or self._reader.at_eof()

    def is_stopped(self) -> bool:
        """Tell whether somebody has stopped the child by a signal, and not continued it."""
        return is_stopped(self.pid)

    async def has_had(self, seconds: float) -> None:
        """Return when the child has had so many seconds in which it could have acted."""
        await fair_sleep(self.read_state, seconds)

    def fair_timeout(
        self, seconds: float, most: float | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Like `asyncio.timeout`, but in seconds that the child could have used.

        most: seconds by the clock after which it is over in any case.
        """
        return fair_timeout(self.read_state, seconds, most)

    async def has_booted(self) -> bool:
        """Wait until the child says that it has; tell whether it did, before its end.

        It may say something else before that, such as that the lockfile was not touched.
        """
        async for message in self.messages():
            if isinstance(message, Booted):
                self.ran_at_start = message.ran
                return True
        return False

    async def preload(self, preload: Preload) -> Preloaded | None:
        """Have packages imported; return what came of it, or None when the child died.

        When it died of a module, that is told as one that has failed.
        """
        self.send(preload)
        last: Preloaded | None = None
        async for message in self.messages():
            if isinstance(message, Preloaded):
                return message
            if isinstance(message, Preloading):
                last = Preloaded((message.module,))
        return last

    def send(self, message: Message) -> None:
        """Send a message; does nothing when the child is gone."""
        if self._writer.is_closing():
            return
        with suppress(OSError, RuntimeError):
            self._writer.write(message.encode())

    async def messages(self) -> AsyncIterator[Message]:
        """Iterate over what the child says, until it is gone."""
        while self._unheard:
            yield self._unheard.popleft()
        async for message in self._arriving():
            yield message

    async def has_begun(self) -> bool:
        """Tell whether a child that is dead or stopped has begun its load before.

        All that it has said is still there for `messages`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                async for message in self._arriving():
                    self._unheard.append(message)
                    if isinstance(message, Going):
                        break
        return any(isinstance(message, Going) for message in self._unheard)

    async def has_vanished(self) -> bool:
        """Tell whether a child that is dead has said that nothing of it is left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                async for message in self.messages():
                    if isinstance(message, Left) and message.vanished:
                        return True
        return False

    async def _arriving(self) -> AsyncIterator[Message]:
        with suppress(OSError):
            while True:
                with suppress(ValueError):  # cut off by the child's death, or far too long
                    if not (line := await self._reader.readline()):
                        return
                    yield decode(line)

    def announce(self, code: int) -> None:
        """Note the exit code with which the child says that it will end."""
        if isinstance(self._process, ResumedProcess):
            self._process.announce(code)

    async def wait(self) -> int:
        """Wait until the child is dead and reaped; return its exit code, -N for signal N."""
        return await self._process.wait()

    def kill(self) -> None:
        """End the child at once."""
        kill(self._process)

    def stop(self) -> None:
        """Stop the child, so that it starts nothing more; to be killed next."""
        stop(self._process)

    async def close(self) -> None:
        """Kill what is left, reap it, and let go of the control channel."""
        self.kill()
        self._writer.close()
        try:
            await self._process.wait()
        finally:
            with suppress(OSError):
                await self._writer.wait_closed()

    async def read_state(self) -> ProcessState | None:
        """Return what the child does just now; None when it is gone, or that cannot be told."""
        try:
            return await _read_state(self.pid)
        except RuntimeError:  # no thread can be had
            return None


class _Reader(asyncio.StreamReader):
    """Gives all that has arrived, also when the other end was reset.

    It is when a child ends before it has read what we have sent last. The error would come before
    its last words then, which are in the buffer, or would be.
    """

    def set_exception(self, _exc: BaseException) -> None:
        self.feed_eof()


class _Writer(asyncio.StreamWriter):
    """Leaves all that has arrived to be read when the other end is gone.

    A transport gives that up when a write fails: also why the child has ended, when it is sent `Go`
    once more after it has begun. So it writes only what the system does not take at once.
    """

    def write(self, data: bytes) -> None:  # type: ignore[override]  # no more is needed
        """Write. Raises OSError when the other end is gone."""
        if not self.transport.get_write_buffer_size():
            with suppress(BlockingIOError):
                data = data[os.write(self.get_extra_info("socket").fileno(), data) :]
        if data:
            super().write(data)


async def open_channel(ours: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return our end of a control channel as streams; if that fails, it is closed."""
    loop = asyncio.get_running_loop()
    reader = _Reader(limit=_LONGEST_LINE, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    try:
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    except BaseException:
        ours.close()
        raise
    return reader, _Writer(transport, protocol, reader, loop)


def _command(descriptors: Sequence[int], *, is_captured: bool) -> list[str]:
    """Return the command of a child. One whose output goes to a file writes it without delay."""
    arguments = map(str, (os.getpid(), *descriptors))
    python, *command = boot_command("asyncreload.child.__main__", *arguments)
    return [python, *(["-u"] if is_captured else []), *command]


def describe(code: int) -> str:
    """Say how a process ended, by its exit code as Python gives it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
