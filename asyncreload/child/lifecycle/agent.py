"""The agent in the side thread: our event loop, beside the main thread that belongs to the app.

Here the parent is heard, files are watched, connections are accepted, and the process is brought
to its end. It runs from the first instant, so that an import that never ends is still watched and
can be interrupted.
"""

from __future__ import annotations

import os
from binascii import crc32
from typing import TYPE_CHECKING

from asyncreload.child.http.front_end import FrontEnd, Supervision
from asyncreload.child.lifecycle.change_response import ChangeResponse
from asyncreload.child.lifecycle.life import Life
from asyncreload.child.lifecycle.load_outcome import LoadOutcome
from asyncreload.child.lifecycle.load_watch import LoadWatch
from asyncreload.child.lifecycle.parent_guard import ParentGuard
from asyncreload.child.lifecycle.parent_link import ParentLink
from asyncreload.child.lifecycle.parent_orders import ParentOrders
from asyncreload.child.lifecycle.shutdown import ProcessEnd, Shutdown
from asyncreload.child.watch.change_monitor import ChangeMonitor
from asyncreload.tasks import Tasks

if TYPE_CHECKING:
    import socket

    from asyncreload.child.lifecycle.app_processes import AppProcesses
    from asyncreload.child.lifecycle.load_state import LoadState
    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.lobby import Lobby


class Agent:
    """Composes the services of the side thread, each of which has a file. Made in that loop.

    What the main thread calls stands in side_thread.py.
    state: what is known of the load; that of a checkpoint, in a process that goes on from it.
    """

    def __init__(
        self,
        main: MainThread,
        link: ParentLink,
        listener: socket.socket,
        lobby: Lobby,
        state: LoadState,
        app_processes: AppProcesses,
        process_end: ProcessEnd,
    ) -> None:
        self._app_processes = app_processes
        self._tasks = Tasks()
        self.link: ParentLink = link
        self.life: Life = Life()
        self.monitor: ChangeMonitor = ChangeMonitor(state.scanner, state.baselines, state.modules)
        # Unlike that of any other child; but with one parent they begin alike, by the lockfile.
        name = f"{crc32(link.lock.encode()):08x}{os.urandom(8).hex()}"
        self.front_end: FrontEnd = FrontEnd(
            listener,
            lobby,
            self.monitor,
            main,
            Supervision(
                name,
                # The outcome is made below.
                lambda *failure: self.outcome.show_late(*failure),  # noqa: PLW0108
                lambda *error: self.outcome.note_error(*error),  # noqa: PLW0108
                lambda: self.monitor.on_change([]),
                link.noted,
            ),
        )
        self.outcome: LoadOutcome = LoadOutcome(
            self.life, link, state, self.front_end, self.monitor
        )
        self.shutdown: Shutdown = Shutdown(
            self.life, main, link, self.front_end, self.monitor, app_processes, process_end
        )
        self.monitor.listen(
            ChangeResponse(self.life, link, state, self.front_end, self.outcome, self.shutdown)
        )
        self.orders: ParentOrders = ParentOrders(
            self.life,
            main,
            link,
            state.baselines,
            self.monitor,
            self.shutdown,
            process_end.farewells,
        )
        self._parent_guard = ParentGuard(self.life, link, self.shutdown)
        self._load_watch = LoadWatch(self.life, main, link, self.monitor)

    async def run(self) -> None:
        """Live until the process ends."""
        self.link.listen(self.orders.hear, self._parent_guard.on_hang_up)
        self._tasks.start(self._at_go())
        await self._parent_guard.watch()

    async def _at_go(self) -> None:
        """Begin with what a standby has no need of."""
        await self.life.go_heard.wait()
        self._tasks.start(self._app_processes.reap_orphans())
        await self._load_watch.run()
