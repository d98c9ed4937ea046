"""The processes that the app has started: reaped while it serves, and ended with it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from asyncreload import descendants
from asyncreload.orphans import OrphanReaper, is_child, reap_orphans
from asyncreload.process_termination import POLITE, end_all, reap_children

# Both in seconds.
OTHERS_END_WITHIN = 0.8  # what a child that is well takes for its end, when its parent has died
LOOK_EVERY = 0.05


class AppProcesses:
    """What descends from this process; and, when the supervisor is dead, all that it has left.

    lock: the path of the supervisor's lockfile.
    """

    def __init__(
        self,
        orphans: OrphanReaper,
        lock: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._orphans = orphans
        self._lock = lock
        self.spared: set[int] = set()
        """Checkpoints that this process has taken."""
        self._clock = clock
        self._sleep = sleep

    async def reap_orphans(self) -> None:
        """Reap what was adopted, as it ends. Runs until it is cancelled."""
        await reap_orphans(self._look)

    def _look(self) -> bool:
        is_more = self._orphans.look()
        # The number of one that was reaped may be that of the app's next process.
        self.spared.difference_update([pid for pid in [*self.spared] if not is_child(pid)])
        return is_more

    async def end(self) -> None:
        """End and reap all that descends from this process, until none is left.

        One system call when there is nothing.
        """
        if descendants.has_children() and self._has_others():
            await end_all(self._find, POLITE)
            reap_children()

    async def end_family(self) -> None:
        """End all that a supervisor leaves which was killed, until none is left.

        To be called in the standby, which has nothing else to do. A child that is well ends by
        itself, and what the app has started with it. But it may have been killed with the
        supervisor, or be held up by C code that keeps the GIL.
        """
        deadline = self._clock() + OTHERS_END_WITHIN
        # Their ends cannot be waited for otherwise: they are no children of ours.
        while await self._find_family() and self._clock() < deadline:
            await self._sleep(LOOK_EVERY)
        await end_all(self._find_family)

    def spare(self, pid: int) -> None:
        """Leave a child process alone, with all below it: it is no process of the app's."""
        self._orphans.disown(pid)
        self.spared.add(pid)

    def begin_anew(self) -> None:
        """In a fork that goes on: it has no children yet."""
        self._orphans.begin_anew()
        self.spared.clear()

    def _has_others(self) -> bool:
        found = descendants.children_of_all_threads(os.getpid())
        return not found or not self.spared.issuperset(found)

    async def _find(self) -> list[int]:
        reap_children()
        return descendants.descendants(os.getpid(), self.spared)

    async def _find_family(self) -> set[int]:
        return {*descendants.family(self._lock)} - {os.getpid()}
