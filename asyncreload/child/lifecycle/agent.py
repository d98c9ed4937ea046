"""The side thread: our event loop, beside the main thread that belongs to the app.

Here the parent is heard, files are watched, connections are accepted, and the process is brought
to its end. It runs from the first instant, so that an import that never ends is still watched and
can be interrupted.

A save, as this process lives it: the change monitor finds bytes that are not those which were
loaded; the agent tells the parent (`FilesChanged`) and begins the shutdown. The front end takes no
more requests, those that wait go to the next child through the lobby, and those in flight are
answered. The main thread is interrupted and runs the app's `atexit` handlers. Then all files are
closed, and the parent is told (`Left`). The next child, which has stood by, hears `Go`, loads the
files as they are now (`Going`), and serves (`Loaded`).

A load that fails: the main thread hands its exception over as a report. The agent takes baselines
of all that may mend it, waits for the end of a half-written save, tells the parent (`LoadFailed`),
and has the front end answer every request with the report. The next save is a change like any
other. A request may import code, too: when that fails, the load has failed after all, and the same
follows in the process that has served until then.
"""

from __future__ import annotations

import asyncio
import os
import signal
from binascii import crc32
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Lock, get_native_id
from typing import TYPE_CHECKING

from asyncreload import flask_environment, protocol
from asyncreload.child.http.front_end import FrontEnd
from asyncreload.child.imports.pyc_cache import remove_cache
from asyncreload.child.lifecycle.debugger import is_at_prompt
from asyncreload.child.lifecycle.load_outcome import LoadOutcome
from asyncreload.child.lifecycle.parent_link import (
    GUARD_INTERVAL,
    STANDBY_GUARD_INTERVAL,
    USUAL_INTERVAL,
    ParentLink,
)
from asyncreload.child.lifecycle.shutdown import EXIT_HANDLERS, ProcessEnd, Shutdown
from asyncreload.child.watch.change_monitor import ChangeMonitor
from asyncreload.child.worker_threads import hop
from asyncreload.cpython import loop_descriptors
from asyncreload.lockfile import Verdict
from asyncreload.phase import Phase
from asyncreload.tasks import Tasks

if TYPE_CHECKING:
    import socket
    from wsgiref.types import WSGIApplication

    from asyncreload.child.http.app_loop import AppLoop
    from asyncreload.child.http.lobby import Lobby
    from asyncreload.child.imports.import_observer import ImportObserver
    from asyncreload.child.lifecycle.app_processes import AppProcesses
    from asyncreload.child.lifecycle.load import Load
    from asyncreload.child.lifecycle.load_state import LoadState
    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.child.pages.error_report import Report
    from asyncreload.child.preload.session import PreloadSession
    from asyncreload.child.watch.baselines import Baselines
    from asyncreload.child.watch.change_scanner import ChangeScanner
    from asyncreload.child.watch.module_scan import ModuleScan

# All in seconds.
FAREWELL = 0.05  # what the parent's `End` gets to be heard, when it has deleted its lockfile
HANGS_UP_BEFORE_END = 0.2  # at most, from the end of a dying parent's channel to its own
UNDISTURBED = 0.02  # that a load has the GIL for itself
READ_BEFORE_REFRESH = 0.05  # at most, for requests in flight before the app's caches are emptied
SLOW_LOAD = 3.0  # until a load is told to be slow


class Agent:
    """Composes the services of the side thread, and holds the phase. Made in that thread's loop.

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
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._main = main
        self._lobby = lobby
        self._app_processes = app_processes
        self._phase = Phase.BOOTING
        self._phase_lock = Lock()
        self._tasks = Tasks()
        self._go_heard = asyncio.Event()
        self._thread_id = get_native_id()
        self._helper_ids: list[int] = []
        self.link: ParentLink = link
        self.orders: deque[protocol.Go | protocol.Preload | protocol.GetReady] = deque()
        """What the parent wants the main thread to do, in its order."""
        self.load: Load | None = None
        """What is loaded; set by the main thread, before it enters the phase of loading."""
        self.baselines: Baselines = state.baselines
        self.scanner: ChangeScanner = state.scanner
        self.modules: ModuleScan = state.modules
        self.preload: PreloadSession = state.preload
        self._refreshers = state.refreshers
        self.monitor: ChangeMonitor = ChangeMonitor(
            self.scanner, self.baselines, self.modules, self
        )
        # Unlike that of any other child; but with one parent they begin alike, by the lockfile.
        name = f"{crc32(link.lock.encode()):08x}{os.urandom(8).hex()}"
        self.front_end: FrontEnd = FrontEnd(
            listener,
            lobby,
            self.monitor,
            main,
            name,
            self.on_import_failure,
            lambda: self.monitor.on_change([]),
        )
        self._outcome = LoadOutcome(
            link,
            self.front_end,
            self.baselines,
            self.scanner,
            self.monitor,
            self.advance,
            lambda: self.preload.loaded,
        )
        self.shutdown: Shutdown = Shutdown(
            main, link, self.front_end, self._leave_event_queues, app_processes, process_end
        )

    async def run(self, on_up: Callable[[], None]) -> None:
        """Live until the process ends. `on_up` is called when all is up that others wait for."""
        self.link.listen(self._on_message, self._on_hang_up)
        if not (hears_end := self.link.hear_end(self._on_orphaned)):
            self._check_parent()  # it may have ended already
        # The first hop to a thread starts it, and imports for that.
        self._helper_ids = [await hop(get_native_id)]
        on_up()
        while True:
            if hears_end:
                await self._go_heard.wait()
            at_work = self._go_heard.is_set()
            await asyncio.sleep(GUARD_INTERVAL if at_work else STANDBY_GUARD_INTERVAL)
            if at_work:  # a standby's beat would hide that the child at work is silent
                self.link.beat()
            self._check_parent()

    # --- while a checkpoint is taken -----------------------------------------------------------

    async def hear_signals(self, blocked: set[signal.Signals | int]) -> None:
        """Have these signals blocked and no others, here and in what is started from here."""
        set_mask = partial(signal.pthread_sigmask, signal.SIG_SETMASK, blocked)
        set_mask()
        await hop(set_mask)

    def thread_ids(self) -> list[int]:
        """Return the kernel's numbers of this process's own threads: main, side and helper."""
        return [os.getpid(), self._thread_id, *self._helper_ids]

    def descriptors(self) -> list[int]:
        """Return the numbers of what the loop and the looks have open."""
        return [*loop_descriptors(self.loop), *self.scanner.descriptors()]

    def bury(self) -> None:
        """In a fork, where this agent's thread does not run: close what its loop had open."""
        for descriptor in loop_descriptors(self.loop):
            os.close(descriptor)

    # --- the phase -----------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """Where this child is in its life."""
        return self._phase

    def advance(self, phase: Phase) -> bool:
        """Enter a phase, unless a later one is reached; return whether it is the present one.

        May be called by any thread.
        """
        with self._phase_lock:
            if phase.value > self._phase.value:
                self._phase = phase
            return self._phase is phase

    def observer(self) -> ImportObserver:
        """Return who observes imports now. Called by whatever thread imports."""
        return self.preload.observer(self._phase)

    # --- what the parent says ------------------------------------------------------------------

    def _on_message(self, message: protocol.Message) -> None:
        match message:
            case protocol.Go() | protocol.Preload() | protocol.GetReady():
                self._on_order(message)
            case protocol.KnownFiles():
                self.baselines.trust(message.files)
            case protocol.Reload():
                self.monitor.on_change([])
            case protocol.End():
                self.end(message.code)
            case protocol.Interrupt() if is_at_prompt():
                self.link.send(protocol.Debugging())
            case protocol.AskPrompt():
                self.link.send(protocol.Debugging(is_at_prompt()))
            case protocol.Interrupt():
                self.end(protocol.INTERRUPTED)
            case protocol.Look():
                self._tasks.start(self._answer_look(message.number))
            case protocol.Ping():
                self.link.send(protocol.Pong())

    def _on_order(self, order: protocol.Go | protocol.Preload | protocol.GetReady) -> None:
        self.orders.append(order)
        self._main.wake()
        if isinstance(order, protocol.Go):
            self._go_heard.set()
            self._tasks.start(self._app_processes.reap_orphans())
            self.loop.call_later(UNDISTURBED, self._watch_load)

    async def _answer_look(self, number: int) -> None:
        """Look at the files, and tell the parent if nothing has changed."""
        if await self.monitor.is_fresh() and self.phase in {Phase.SERVING, Phase.REPORTING}:
            self.link.send(protocol.Fresh(number))

    def _on_hang_up(self) -> None:
        """The channel has ended: the parent is dead, or has given up on this process.

        The latter may become of one that goes on from a checkpoint and was late: the supervisor
        lives, and so does its lockfile. It is asked in a while, as the channel may end just before
        the process does.
        """
        if self._go_heard.is_set() or self.link.is_own_parent:
            self._on_orphaned()
        else:
            self.loop.call_later(HANGS_UP_BEFORE_END, self._end_unused)

    def _end_unused(self) -> None:
        if self.link.has_lost_parent():
            self._on_orphaned()
        else:
            self.end(protocol.RELOAD)

    def _on_orphaned(self) -> None:
        self.link.remove_lockfile()
        self.end(protocol.ORPHANED)

    def _check_parent(self) -> None:
        interval = self.load.settings.interval if self.load else USUAL_INTERVAL
        if self.link.check(interval) is Verdict.GONE:
            self.loop.call_later(FAREWELL, self.end, protocol.ORPHANED)

    # --- a load, and what comes of it ----------------------------------------------------------

    def _watch_load(self) -> None:
        if self.load is None or self.phase is Phase.WARM:
            self.loop.call_later(UNDISTURBED, self._watch_load)
            return
        self.loop.call_later(SLOW_LOAD, self._tell_if_slow)
        settings = self.load.settings
        looks = self.monitor.run(
            settings.interval, root=self.load.root, uses_events=settings.inotify
        )
        self._tasks.start(looks)

    def _tell_if_slow(self) -> None:
        if self.phase is Phase.LOADING and not is_at_prompt():
            place = self._main.place()
            where = f", at {place}" if place else ""
            self.link.notice(f"still loading after {SLOW_LOAD:g} s{where}")

    def serve(self, app: WSGIApplication | AppLoop, load: Load) -> None:
        """Answer requests with the app."""
        self._outcome.serve(app, load)
        self._tasks.start(self._settle(load))

    async def _settle(self, load: Load) -> None:
        await self._outcome.settle(load)
        await self.preload.tell(load.root)

    def show(self, report: Report, load: Load) -> None:
        """Answer requests with the report of a failed load or of a crash."""
        self._tasks.start(self._outcome.show(report, load))

    def on_import_failure(self, report: Report, began: int, on_told: Callable[[], None]) -> None:
        """Answer requests with a report from now on: one has imported project code that fails.

        began: when that request began, in ns since the epoch.
        on_told: called when that is so, or cannot be any more.
        """
        self._tasks.start(self._fail_late(report, began, on_told))

    async def _fail_late(self, report: Report, began: int, on_told: Callable[[], None]) -> None:
        try:
            if self.load is not None and self.phase is Phase.SERVING:
                await self._outcome.show_late(report, self.load, began)
        finally:
            on_told()

    # --- what the change monitor says (ChangeListener) -----------------------------------------

    @property
    def has_listeners(self) -> bool:
        """Whether open pages wait to be told of a change."""
        return self.front_end.has_listeners

    def is_debugging(self) -> bool:
        """Tell whether a debugger waits at its prompt."""
        return is_at_prompt()

    def notice(self, text: str, *, once: bool = False) -> None:
        """Have the user told something."""
        self.link.notice(text, once=once)

    def on_change(self, paths: list[str]) -> None:
        """Reload, because these files have changed."""
        for path in {*paths}.intersection(self.modules.ran_at_start):
            remove_cache(path)  # Python reads it before our hooks are there to check its age
        env_files = self.load.env_files if self.load else []
        # What a standby has imported, it may have imported under other variables.
        packages = any(
            self.scanner.is_package(path)
            or path in env_files
            or os.path.basename(path) in flask_environment.NAMES
            for path in paths
        )
        is_loading = self.phase is Phase.LOADING
        self.link.send(protocol.FilesChanged(self.scanner.found(paths), is_loading, packages))
        self.end(protocol.RELOAD)

    async def refresh(self, paths: list[str]) -> list[str]:
        """Have the app use these files as they are now; return those that need a reload."""
        # A request in flight may just have read a file, and keep that when the caches are empty.
        await self.front_end.answered(READ_BEFORE_REFRESH)
        return await self._refreshers.unhandled(paths, self.notice)

    def on_refreshed(self, paths: list[str]) -> None:
        """Tell the parent and the open pages."""
        self.front_end.refresh(paths)
        self.link.send(protocol.Refreshed(tuple(paths)))

    def on_change_taken_back(self) -> None:
        """Answer the requests that waited for a reload which is not needed any more."""
        self.front_end.resume()

    def on_packages_moved(self) -> None:
        """Have the standby replaced: it may have imported what is not installed any more."""
        self.link.send(protocol.PackagesChanged())

    async def after_look(self) -> None:
        """Tell the parent what has been learned meanwhile."""
        if self.load is None:
            return
        if self.phase is not Phase.DRAINING and self.baselines.has_learned():
            self._outcome.tell_files(self.load)
        await self.preload.tell(self.load.root)

    # --- the end -------------------------------------------------------------------------------

    def end(self, code: int) -> None:
        """Begin the end, in the loop's thread; elsewhere, call `SideThread.end`."""
        has_run = self._go_heard.is_set()
        self.advance(Phase.DRAINING)
        grace = self.load.settings.grace if self.load else EXIT_HANDLERS
        self.shutdown.begin(code, grace, has_run=has_run)

    def _leave_event_queues(self) -> None:
        """Have the next child close the queues: that takes the kernel some 10 ms each."""
        for queue in self.monitor.event_queues:
            self._lobby.delegate_close(queue)
