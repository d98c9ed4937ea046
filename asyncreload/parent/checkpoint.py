"""One checkpoint, as its supervisor sees it: what was read before it, and what goes on from it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from asyncreload.parent.process import Process, open_channel
from asyncreload.parent.resumed_process import ResumedProcess
from asyncreload.process_state import is_stopped
from asyncreload.protocol import NO_PROCESS, CheckpointTaken, Lines, Resumed, ResumedEnded
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
        self.left: float | None = None
        """Seconds of loading that come after it, as the last load had it."""
        self._read: frozenset[str] = frozenset()
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._on_change = on_change
        self._lines = Lines()
        self._answers: deque[asyncio.Future[ResumedProcess]] = deque()  # in the order of questions
        self._resumed: dict[int, ResumedProcess] = {}
        self._booting: set[Process] = set()
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

    def note_load(self, seconds: float) -> None:
        """Note how long the load took from which it is, if that load has just ended."""
        if self.taken is not None and self.left is None:
            self.left = max(0.0, seconds - self.taken.seconds)

    async def resume(self) -> Process | None:
        """Have a process go on from it; return that, or None if that cannot be.

        The process has booted, and waits for its `Go`; one that has not is killed when the
        checkpoint ends. When this is cancelled, the checkpoint is killed, and a process that comes
        of it ends by itself. Raises OSError when no descriptor is left.
        """
        if self.has_ended or is_stopped(self.pid):
            return None
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await open_channel(ours)
            try:
                process = Process(await self._ask(theirs), reader, writer)
            except BaseException as exc:
                writer.close()  # a process that comes late sees this, and ends
                if isinstance(exc, OSError):
                    return None
                self.kill()
                raise
        has_booted = False
        self._booting.add(process)
        try:
            has_booted = await process.has_booted() and not self.has_ended
        except BaseException:
            self.kill()  # so that its word is not waited for
            raise
        finally:
            self._booting.discard(process)
            if not has_booted:
                await process.close()
        return process if has_booted else None

    async def _ask(self, link: socket.socket) -> ResumedProcess:
        """Have a process forked that is given this link; raises OSError if that cannot be."""
        socket.send_fds(self._connection, [_ASK], [link.fileno()])
        answer: asyncio.Future[ResumedProcess] = self._loop.create_future()
        self._answers.append(answer)
        return await answer

    def is_in_use(self) -> bool:
        """Tell whether a process lives that has gone on from it: it tells the exit code of that."""
        return any(process.returncode is None for process in self._resumed.values())

    def pids(self) -> set[int]:
        """Return its process ID, and those of the processes that go on from it."""
        return {self.pid, *self._resumed}

    def kill(self) -> None:
        """End it at once; what has gone on from it lives on, if it has booted."""
        if not self.has_ended:
            with suppress(ProcessLookupError):
                if self._descriptor is None:
                    os.kill(self.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            self._end()

    def is_gone(self) -> bool:
        """Tell whether the process has ended."""
        return self._gone.is_set()

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
            self.kill()  # it is dead, or will be: nobody can ask it for anything any more
            return
        for message in self._lines.feed(data):
            match message:
                case CheckpointTaken():
                    self.taken, self._read = message, frozenset(message.read)
                    self._on_change(self)
                case Resumed() if self._answers:
                    self._hear_answer(message.pid, self._answers.popleft())
                case ResumedEnded() if process := self._resumed.pop(message.pid, None):
                    process.has_ended(message.code)

    def _hear_answer(self, pid: int, answer: asyncio.Future[ResumedProcess]) -> None:
        if answer.done():  # whoever has asked has given up
            return
        descriptor = open_process(pid) if pid != NO_PROCESS else None
        if descriptor is None:
            answer.set_exception(OSError(f"no process, or no descriptor for it ({pid})"))
            return
        self._resumed[pid] = process = ResumedProcess(pid, descriptor)
        answer.set_result(process)

    def _end(self) -> None:
        self.has_ended = True
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        for process in self._resumed.values():
            process.has_lost_checkpoint()
        for booting in self._booting:
            booting.kill()  # one that is stopped, or hangs, would be waited for without an end
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(ConnectionResetError("the checkpoint has ended"))
        if self._descriptor is None:
            self._gone.set()
        else:
            self._loop.add_reader(self._descriptor, self._on_gone, self._descriptor)
        self._on_change(self)

    def _on_gone(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._gone.set()
