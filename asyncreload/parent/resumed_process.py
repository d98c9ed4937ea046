"""A process that goes on from a checkpoint, shown as `asyncio.subprocess.Process` shows one.

It is a child of the checkpoint, which waits for its end and tells the exit code. When the
checkpoint is dead by then, the end is still seen, by a pidfd, but the exit code is lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

CODE_WITHIN = 1.0
"""Seconds until an exit code is taken for lost that the checkpoint does not tell."""


class ResumedProcess:
    """Made in a running event loop.

    descriptor: refers to the process (a pidfd); closed at its end.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid: int = pid
        """The process ID."""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._announced: int | None = None
        self._descriptor: int | None = descriptor
        self._has_checkpoint = True
        self._loop.add_reader(descriptor, self._on_end)

    @property
    def returncode(self) -> int | None:
        """The exit code, -N for signal N; None while it lives, or the code may still be told."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for its end; return the exit code, or if that is lost, the one it has announced."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Send a signal; no matter if it has ended. Never to another process of that number."""
        if self._descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def announce(self, code: int) -> None:
        """Note the exit code with which it says that it will end."""
        self._announced = code

    def has_ended(self, code: int) -> None:
        """Note its end, as the checkpoint tells it."""
        self._close()
        if not self._ended.done():
            self._ended.set_result(code)

    def has_lost_checkpoint(self) -> None:
        """Note that nobody will tell its exit code any more."""
        self._has_checkpoint = False
        if self._descriptor is None:
            self._give_up()

    def _on_end(self) -> None:
        self._close()
        self._loop.call_later(CODE_WITHIN if self._has_checkpoint else 0, self._give_up)

    def _give_up(self) -> None:
        self.has_ended(-signal.SIGKILL if self._announced is None else self._announced)

    def _close(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
