"""Guards against a parent that is gone: then this process ends, too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from asyncreload.exit_codes import ORPHANED, RELOAD
from asyncreload.lockfile import Verdict
from asyncreload.phase import Phase

if TYPE_CHECKING:
    from asyncreload.child.lifecycle.life import Life
    from asyncreload.child.lifecycle.parent_link import ParentLink
    from asyncreload.child.lifecycle.shutdown import Shutdown

# All in seconds.
GUARD_INTERVAL = 1.0  # between two looks at the lockfile and at the parent
STANDBY_GUARD_INTERVAL = 2.0  # the same, in a standby that is not told of its parent's end
USUAL_INTERVAL = 1.0  # taken for the supervisor's interval until the settings are known
FAREWELL = 0.05  # what the parent's `End` gets to be heard, when it has deleted its lockfile
HANGS_UP_BEFORE_END = 0.2  # at most, from the end of a dying parent's channel to its own


class ParentGuard:
    """Begins the end of this process when the parent is gone. Lives in the side thread's loop.

    `ParentLink` knows the signs of that.
    """

    def __init__(self, life: Life, link: ParentLink, shutdown: Shutdown) -> None:
        self._life = life
        self._link = link
        self._shutdown = shutdown

    async def watch(self) -> NoReturn:
        """Look after the parent, and show it that this process is alive, for as long as it is."""
        if not (hears_end := self._link.hear_end(self._on_orphaned)):
            self._check()  # it may have ended already
        while True:
            if hears_end:
                await self._life.go_heard.wait()
            at_work = self._life.go_heard.is_set()
            await asyncio.sleep(GUARD_INTERVAL if at_work else STANDBY_GUARD_INTERVAL)
            # The beat of a standby, or of one that is leaving, would hide that another is silent.
            if at_work and self._life.phase is not Phase.DRAINING:
                self._link.beat()
            self._check()

    def on_hang_up(self) -> None:
        """The channel has ended: the parent is dead, or has given up on this process.

        The latter may become of one that goes on from a checkpoint and was late: the supervisor
        lives, and so does its lockfile. It is asked in a while, as the channel may end just before
        the process does.
        """
        if self._life.go_heard.is_set() or self._link.is_own_parent:
            self._on_orphaned()
        else:
            asyncio.get_running_loop().call_later(HANGS_UP_BEFORE_END, self._end_unused)

    def _end_unused(self) -> None:
        if self._link.has_lost_parent():
            self._on_orphaned()
        else:
            self._shutdown.begin(RELOAD)

    def _on_orphaned(self) -> None:
        self._link.remove_lockfile()
        self._shutdown.begin(ORPHANED)

    def _check(self) -> None:
        load = self._life.load
        if self._link.check(load.settings.interval if load else USUAL_INTERVAL) is Verdict.GONE:
            asyncio.get_running_loop().call_later(FAREWELL, self._shutdown.begin, ORPHANED)
