"""All processes of one supervisor that live: from the start of each to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial

from asyncreload import descendants
from asyncreload.exit_codes import RELOAD
from asyncreload.parent.process import Process
from asyncreload.parent.threads import in_thread
from asyncreload.process_state import ProcessState
from asyncreload.process_termination import end_all
from asyncreload.protocol import End
from asyncreload.tasks import Tasks
from asyncreload.terminal import Terminal

# Both in seconds.
TO_VANISH = 1.0  # what a child gets for its end that runs nothing and holds nothing any more
HURRIED = 0.2  # what a child gets that still sends a response when another reload begins
MARGIN = 0.5  # what a child gets on top of the app's `grace` for an end of its own
CLEANUP = 0.5  # what its last requests get on top of that, once they are cancelled

_descendants = in_thread(descendants.descendants)
_family = in_thread(descendants.family)


class Children:
    """The child that serves, the standby, and those that are on their way out.

    start: starts a process.
    lock: the lockfile's path, by which what an app has started is found when the app has crashed.
    grace: seconds that an app gets for its end.
    checkpoints: returns the process IDs of the checkpoints. A child has started some of them, but
        they are no processes of the app's. Nor is another child, which has gone on from one.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Process]],
        lock: str,
        grace: float,
        checkpoints: Callable[[], AbstractSet[int]] = frozenset,
    ) -> None:
        self._checkpoints = checkpoints
        self._start = start
        self._lock = lock
        self._grace = grace
        self._children: set[Process] = set()
        self._reapers = Tasks()
        self._terminal = Terminal()
        self._lingering: asyncio.Task[None] | None = None

    async def start(self) -> Process:
        """Start a child. Raises OSError when that cannot be done."""
        child = await self._start()
        self._children.add(child)
        return child

    def adopt(self, child: Process) -> None:
        """Take over a process that goes on from a checkpoint."""
        self._children.add(child)

    def discard(self, child: Process) -> None:
        """Kill a child that is not needed, and have it reaped."""
        self._reapers.start(self.reap(child))

    async def reap(self, child: Process) -> None:
        """Kill a child if it lives, and wait for its end."""
        await child.close()
        self._children.discard(child)

    def reap_later(self, child: Process) -> None:
        """Have a child reaped that has said its farewell, while the next one begins."""
        self._reapers.start(self._outlive(child, TO_VANISH))

    def let_linger(self, child: Process, on_end: Callable[[], object]) -> None:
        """Let an old child send its last responses; but only one, and not for ever.

        on_end: called when nothing of it is left.
        """
        self.end_lingering()
        self._lingering = self._reapers.start(self._linger(child, on_end))

    def end_lingering(self) -> None:
        """End the old child that still sends its last responses, if there is one."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None  # cancelled twice, it would not be reaped

    async def kill_orphans(self, dead: Process) -> None:
        """Kill what a child has left that crashed, and could not end it; until none is left.

        The other children are spared, with all below them: one may still send a response that a
        process of its own feeds. What comes of the dead one is not, should that descend from them.
        """

        async def find() -> set[int]:
            found = await self._find_family() - self._checkpoints()
            if found:  # nearly always, there is nothing, and each look costs milliseconds
                for other in self._children - {dead}:
                    found.difference_update(await _descendants(other.pid, frozenset({dead.pid})))
            return found - self._pids()  # one may have started meanwhile

        await end_all(find)

    async def kill_with_descendants(self, child: Process) -> None:
        """Kill all that a child has started, until none of that is left, and then the child.

        Until then the child is stopped: it starts nothing more, but what loses its parent still
        comes to it, and so is found.

        The other children are spared, with all below them. One may descend from this one through a
        checkpoint that was dropped, but has not ended yet: that takes a large process a while.
        """
        others = self._pids() - {child.pid}
        child.stop()
        try:
            await end_all(partial(_descendants, child.pid, self._checkpoints() | others))
        finally:
            child.kill()

    async def read_state(self) -> ProcessState | None:
        """Return what all children do together; None if there is none, or that cannot be told."""
        states = [state for child in [*self._children] if (state := await child.read_state())]
        if not states:
            return None
        used = sum(state.cpu_seconds for state in states)
        return ProcessState(used, any(state.wants_to_run for state in states))

    def kill(self) -> None:
        """Kill all children; what they started is left to `end`."""
        for child in self._children:
            child.kill()

    def ask_to_end(self, child: Process) -> None:
        """Have a child end itself, so that the app's `atexit` handlers are run."""
        if child in self._children:
            self._terminal.note()
            child.send(End())

    async def wait_for_end(self, child: Process) -> None:
        """Wait for the end of a child that was asked to; kill it if it takes too long."""
        if child not in self._children:
            return
        try:
            async with child.fair_timeout(self._grace + MARGIN):
                await child.wait()
        except TimeoutError:
            await self.kill_with_descendants(child)
        finally:
            self._terminal.restore()  # the child may not know how it was before a prompt

    async def stop_waiting(self) -> None:
        """Kill those that linger, or were to be reaped later."""
        await self._reapers.cancel()

    async def end(self) -> None:
        """End all that is left, at once, and what it has started."""
        if not descendants.finds_families():
            for child in [*self._children]:
                await self.kill_with_descendants(child)
        self.kill()
        try:
            await end_all(self._find_family)
        finally:
            while self._children:
                await self.reap(next(iter(self._children)))

    def _pids(self) -> set[int]:
        return {child.pid for child in self._children}

    async def _find_family(self) -> set[int]:
        return {*await _family(self._lock)} - self._pids()

    async def _linger(self, child: Process, on_end: Callable[[], object]) -> None:
        """Wait for the end of a child that still sends a response, and end what it has left.

        It adopts no more what loses its parent: unless it says at its very end that it has ended
        that itself, as when it crashes, nobody else does.
        """
        try:
            await self._wait_or_kill(child, self._grace + CLEANUP + MARGIN, hurries=True)
        finally:
            try:
                if not await child.has_vanished():
                    await self.kill_orphans(child)
            finally:
                await self.reap(child)
        on_end()

    async def _outlive(self, child: Process, patience: float) -> None:
        try:
            await self._wait_or_kill(child, patience)
        finally:
            await self.reap(child)

    async def _wait_or_kill(
        self, child: Process, patience: float, *, hurries: bool = False
    ) -> None:
        """Wait for the end of a child, and kill it if that does not come.

        hurries: whether it ends soon when it is told to, as this is cancelled.
        """
        try:
            await _wait(child, patience)
        except asyncio.CancelledError:
            if hurries:
                child.send(End(RELOAD))
                await _wait(child, HURRIED)
            raise
        finally:
            if not child.has_ended():
                await self.kill_with_descendants(child)


async def _wait(child: Process, patience: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await child.wait()
