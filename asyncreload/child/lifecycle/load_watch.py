"""What goes along with a load: the watch begins, and the user is told of one that is slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncreload.child.debugger import is_at_prompt
from asyncreload.phase import Phase

if TYPE_CHECKING:
    from asyncreload.child.lifecycle.life import Life
    from asyncreload.child.lifecycle.load import Load
    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.child.lifecycle.parent_link import ParentLink
    from asyncreload.child.watch.change_monitor import ChangeMonitor

# Both in seconds.
UNDISTURBED = 0.02  # that a load has the GIL for itself
SLOW_LOAD = 3.0  # until a load is told to be slow


class LoadWatch:
    """Has the files watched from the load on. Lives in the side thread's loop."""

    def __init__(
        self, life: Life, main: MainThread, link: ParentLink, monitor: ChangeMonitor
    ) -> None:
        self._life = life
        self._main = main
        self._link = link
        self._monitor = monitor

    async def run(self) -> None:
        """Wait until the load has begun, then watch until the end."""
        load = await self._next_load()
        asyncio.get_running_loop().call_later(SLOW_LOAD, self._tell_if_slow)
        settings = load.settings
        await self._monitor.run(settings.interval, root=load.root, uses_events=settings.inotify)

    async def _next_load(self) -> Load:
        while True:
            await asyncio.sleep(UNDISTURBED)
            if self._life.load is not None and self._life.phase is not Phase.WARM:
                return self._life.load

    def _tell_if_slow(self) -> None:
        if self._life.phase is Phase.LOADING and not is_at_prompt():
            place = self._main.place()
            where = f", at {place}" if place else ""
            self._link.notice(f"still loading after {SLOW_LOAD:g} s{where}")
