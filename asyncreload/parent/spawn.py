"""A process, and its end awaited in any event loop.

What asyncio has for this is not the same in every loop: uvloop knows no process groups, and starts
no process in one thread while it starts one in another.
"""

from __future__ import annotations

import asyncio
import os
from _thread import start_new_thread
from collections.abc import Sequence
from contextlib import suppress
from subprocess import Popen
from typing import IO, Any


class Spawned:
    """A process that runs; in a process group of its own, so that Ctrl-C spares it.

    Raises OSError when it cannot be started. `wait` for its end before the loop is closed.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._is_dead = False
        self._process = Popen(command, process_group=0, **options)  # noqa: S603  our own
        self.pid: int = self._process.pid
        self.input: IO[bytes] | None = self._process.stdin
        """Where its standard input comes from, if that is a pipe."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux; or an old one, or short of descriptors
            start_new_thread(self._wait, ())
        else:
            self._loop.add_reader(self._pidfd, self._on_end)

    @property
    def returncode(self) -> int | None:
        """The exit code, -N for signal N; None while it runs, as far as is known."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until the process is dead and reaped; return its exit code."""
        await self._ended.wait()
        return self._process.wait()

    def kill(self) -> None:
        """End the process at once; no matter if it has ended."""
        if not self._is_dead:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._is_dead = True
        # To reap a large process takes the kernel up to 10 ms, which are not the loop's.
        start_new_thread(self._wait, ())

    def _wait(self) -> None:
        self._process.wait()
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended.set)
