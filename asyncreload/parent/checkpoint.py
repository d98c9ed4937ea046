"""One checkpoint, as its supervisor sees it: what was read before it, and what goes on from it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from signal import SIGKILL

from asyncreload.parent.process import LONGEST_LINE, Process
from asyncreload.parent.process_state import is_stopped
from asyncreload.parent.resumed_process import ResumedProcess
from asyncreload.protocol import CheckpointTaken, Lines, Resumed, ResumedEnded
from asyncreload.system_calls import open_process

_CHUNK = 65536
_ASK = b"?"


class Checkpoint:
    """A frozen process. Made in a running event loop.

    on_change: called when it has said what it is, and when it has ended.
    """

    def __init__(
        self, pid: int, connection: socket.socket, on_change: Callable[[Checkpoint], object]
    ) -> None:
        self.pid: int = pid
        """The process ID."""
        self.taken: CheckpointTaken | None = None
        """What it is, once it has said so."""
        self._read: frozenset[str] = frozenset()
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._on_change = on_change
        self._lines = Lines()
        self._answer: asyncio.Future[ResumedProcess] | None = None
        self._resumed: dict[int, ResumedProcess] = {}
        self.has_ended: bool = False
        """Whether it was given up, or has died."""
        self._gone = asyncio.Event()
        self._descriptor = open_process(pid)
        connection.setblocking(False)
        self._loop.add_reader(connection.fileno(), self._on_readable)

    def holds(self, path: str) -> bool:
        """Tell whether a file or directory was read before it was taken."""
        return path in self._read

    def depth(self) -> tuple[int, int]:
        """Return how much was loaded before it: of two that are valid, the deeper one is better."""
        return (self.taken.modules if self.taken else 0, len(self._read))

    async def resume(self) -> Process | None:
        """Have a process go on from it; return that, or None if that cannot be.

        The process has booted, and waits for its `Go`.
        """
        if self.has_ended or is_stopped(self.pid):
            return None
        ours, theirs = socket.socketpair()
        with theirs:
            self._answer = self._loop.create_future()
            try:
                reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
            except BaseException:
                ours.close()
                raise
            try:
                socket.send_fds(self._connection, [_ASK], [theirs.fileno()])
                resumed = await self._answer
            except OSError:
                writer.close()
                return None
            except BaseException:
                writer.close()
                raise
        process = Process(resumed, reader, writer)
        if await process.has_booted():
            return process
        await process.close()
        return None

    def kill(self) -> None:
        """End it at once; what has gone on from it lives on."""
        if not self.has_ended:
            with suppress(ProcessLookupError):
                os.kill(self.pid, SIGKILL)
            self._end()

    async def wait(self) -> None:
        """Wait until it has ended, after `kill`."""
        await self._gone.wait()

    def _on_readable(self) -> None:
        try:
            data = self._connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        for message in self._lines.feed(data):
            match message:
                case CheckpointTaken():
                    self.taken, self._read = message, frozenset(message.read)
                    self._on_change(self)
                case Resumed():
                    self._on_answer(message.pid)
                case ResumedEnded() if process := self._resumed.pop(message.pid, None):
                    process.has_ended(message.code)

    def _on_answer(self, pid: int) -> None:
        if self._answer is None or self._answer.done():
            return  # nobody waits for it any more; what goes on ends with its link
        if not pid:
            self._answer.set_exception(OSError("no process can be forked"))
            return
        self._resumed[pid] = ResumedProcess(pid)
        self._answer.set_result(self._resumed[pid])

    def _end(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the checkpoint has ended"))
        if self._descriptor is None:
            self._gone.set()
        else:
            self._loop.add_reader(self._descriptor, self._on_gone, self._descriptor)
        self._on_change(self)

    def _on_gone(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._gone.set()
