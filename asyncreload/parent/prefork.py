"""A process that goes on from a checkpoint, and stands by before anybody has changed a file.

To fork a large process takes the kernel some milliseconds, and to boot what is ours in the fork, a
few more. So one is forked as soon as a load has settled, from the checkpoint that the next reload
is likely to go on from. It waits for its `Go`, as any standby does; the memory that it needs for
itself is copied meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asyncreload.parent.checkpoint import Checkpoint
from asyncreload.parent.process import Process
from asyncreload.protocol import GetReady

log: logging.Logger = logging.getLogger("asyncreload")


class Prefork:
    """Keeps at most one such process. Uses the running loop.

    adopt: takes the process over.
    discard: has it ended, when it is not needed.
    """

    def __init__(
        self, adopt: Callable[[Process], object], discard: Callable[[Process], object]
    ) -> None:
        self._adopt = adopt
        self._discard = discard
        self._checkpoint: Checkpoint | None = None
        self._forking: asyncio.Task[Process | None] | None = None
        self._unwanted: set[asyncio.Task[None]] = set()

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Have a process stand by that goes on from this checkpoint, and from no other."""
        if checkpoint is self._checkpoint and not self._has_failed():
            return
        self.drop()
        self._checkpoint = checkpoint
        self._forking = asyncio.create_task(self._fork(checkpoint), name="asyncreload prefork")

    async def take(self, checkpoint: Checkpoint) -> Process | None:
        """Return the process if it goes on from this checkpoint, and is well.

        If not, and if this is cancelled, it is dropped.
        """
        forking = self._forking
        if checkpoint is not self._checkpoint or forking is None:
            self.drop()
            return None
        try:
            await asyncio.wait({forking})
        except BaseException:
            self.drop()
            raise
        if forking is not self._forking:  # dropped meanwhile, as the checkpoint has died
            return None
        if self._has_failed():
            self.drop()
            return None
        self._checkpoint = self._forking = None
        return forking.result()

    def drop(self, checkpoint: Checkpoint | None = None) -> None:
        """Give the process up; with a checkpoint, only if it is of that one."""
        if self._forking is None or checkpoint not in {None, self._checkpoint}:
            return
        # Not cancelled: the checkpoint would have to be killed, as its answer may still come.
        task = asyncio.create_task(self._give_up(self._forking), name="asyncreload prefork, unused")
        self._unwanted.add(task)
        task.add_done_callback(self._unwanted.discard)
        self._checkpoint = self._forking = None

    async def end(self) -> None:
        """Drop the process, and wait until nothing is under way. The checkpoints are dead."""
        self.drop()
        if self._unwanted:
            await asyncio.wait(self._unwanted)

    def _has_failed(self) -> bool:
        """Tell whether there is no process, or none that is of use."""
        if self._forking is None or not self._forking.done():
            return False
        child = self._forking.result()
        return child is None or child.has_ended() or child.is_stopped()

    async def _fork(self, checkpoint: Checkpoint) -> Process | None:
        try:
            child = await checkpoint.resume()
        except OSError:
            return None
        if child is not None:
            self._adopt(child)
            child.send(GetReady())
            log.debug(
                "checkpoint: process %d stands by, from process %d", child.pid, checkpoint.pid
            )
        return child

    async def _give_up(self, forking: asyncio.Task[Process | None]) -> None:
        if (child := await forking) is not None:
            self._discard(child)
