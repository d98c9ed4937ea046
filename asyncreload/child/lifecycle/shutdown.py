"""How a child comes to its end: answer the last requests, let the main thread run `atexit`, go.

In a reload the process vanishes: it closes all its files and says so. The next child loads
the project from then on, while the kernel takes the old process's memory down.
"""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from _thread import start_new_thread
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from asyncreload.child.debugger import hears_ctrl_c, is_at_prompt
from asyncreload.child.helper_thread import hop
from asyncreload.child.http import interrupted
from asyncreload.child.http.access_log import log_cut_off, log_line
from asyncreload.cpython import thread_exit_handlers
from asyncreload.exit_codes import ORPHANED, RELOAD
from asyncreload.fair_time import fair_timeout
from asyncreload.phase import Phase
from asyncreload.process_state import OtherThreads, ProcessState, read_main_thread
from asyncreload.protocol import Left
from asyncreload.system_calls import OpenFile, close_all_but, leave_orphans
from asyncreload.terminal import Terminal

if TYPE_CHECKING:
    from asyncreload.child.http.front_end import FrontEnd
    from asyncreload.child.lifecycle.app_processes import AppProcesses
    from asyncreload.child.lifecycle.farewells import Farewells
    from asyncreload.child.lifecycle.life import Life
    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.child.lifecycle.parent_link import ParentLink
    from asyncreload.child.watch.change_monitor import ChangeMonitor
    from asyncreload.finalization import Finalization

# All in seconds.
LAST_REQUESTS = 0.1  # what requests in flight get before the old code is told to go
EXIT_HANDLERS = 0.5  # of fair time, for `atexit` handlers and files to be written in a reload
WAKE_AFTER = 0.1  # until a main thread that sleeps in the app's code is woken by a real signal
LAST_CLEANUP = 0.3  # for the last requests of an ASGI app to clean up, when `grace` is over
EXECUTORS = 0.1  # what running jobs get before `atexit` handlers have their turn all the same

_CUT_OFF = (
    "the app's own end (its shutdown, `atexit` handlers) was not done after {:g} s and was cut off"
)


class ProcessEnd:
    """The two ways in which a child ends. Neither waits for the interpreter's own end.

    finalization: does for the app what that would do.
    farewells: where the next child hears that this one has vanished.
    """

    def __init__(self, finalization: Finalization, farewells: Farewells) -> None:
        self.finalization: Finalization = finalization
        self.farewells: Farewells = farewells

    def exit(self, code: int) -> None:
        """End the process at once."""
        os._exit(code)

    def vanish(self, code: int, channel: int) -> NoReturn:
        """Close all files, say so to the next child and on the channel, and end the process.

        To free the memory of a large process takes the kernel up to 100 ms, and only then does it
        close the files. So they are closed here, and nobody need wait for more: no port, lock or
        file is held when the farewell is heard, and no code runs any more.
        """
        left = Left(code, vanished=True).encode()
        # The next child is told last, when nothing else is open.
        close_all_but([(channel, left), self.farewells.own()])
        os._exit(code)


class Shutdown:
    """The end of a child. Made in the side thread's loop, where `begin` is called, too."""

    def __init__(
        self,
        life: Life,
        main: MainThread,
        link: ParentLink,
        front_end: FrontEnd,
        monitor: ChangeMonitor,
        app_processes: AppProcesses,
        process_end: ProcessEnd,
    ) -> None:
        self._life = life
        self._main = main
        self._link = link
        self._front_end = front_end
        self._monitor = monitor
        self._app_processes = app_processes
        self._process_end = process_end
        self._terminal = Terminal()
        self._main_has_left = asyncio.Event()
        self._finalizes_late = False
        self._hurries = False
        self._runs_own_end = False
        self._task: asyncio.Task[None] | None = None
        self._lingering: asyncio.Task[None] | None = None
        self.was_cut_off: bool = False
        """Whether the time for the app's own end is over. Set once, and read by the main thread."""
        self.code: int | None = None
        """The exit code, once the end has begun. Set once, and read by the main thread."""
        self.drained: threading.Event = threading.Event()
        """Set when no more requests are waited for: the main thread may run `atexit` now."""

    def begin(self, code: int) -> None:
        """Begin the end; asked again, end without waiting for a last response.

        In another thread, call `SideThread.end`.
        """
        was = self._life.phase
        self._life.advance(Phase.DRAINING)
        if self.code is None:
            self._runs_own_end = was is Phase.SERVING
            self.code = code
            self._task = asyncio.create_task(self._end(code, self._grace))
            return
        self._hurries = True
        if self._lingering is not None:
            self._lingering.cancel()

    def finalize(self, *, has_del: bool) -> None:
        """Do what the interpreter's own end does for the app's files and objects.

        has_del: whether the project's objects may have a method `__del__`.

        Called by the main thread. While responses are still sent in a reload, their code runs: then
        the files are only flushed, before the next child loads, and the rest is done after them.
        """
        self._runs_own_end = False
        self._finalizes_late = self.code == RELOAD and bool(self._front_end.busy)
        finalization = self._process_end.finalization
        if has_del:
            finalization.has_del()
        (finalization.flush if self._finalizes_late else finalization.run)()

    def spare_files(self, files: frozenset[OpenFile]) -> None:
        """Note that these open files are ours: nothing in them has to be written at the end."""
        self._process_end.finalization.spare(files)

    def flush_files(self) -> None:
        """Have written what the app's files still hold, before this process is forked."""
        self._process_end.finalization.flush()

    def vanish(self, code: int) -> NoReturn:
        """End the process at once, with all files closed. No code of the app's has its turn."""
        self._process_end.vanish(code, self._link.fileno())

    def main_has_left(self) -> None:
        """Note that the main thread runs no code of the app any more."""
        self._main_has_left.set()

    @property
    def _grace(self) -> float:
        """Seconds for a last response in a reload; for `atexit` handlers in any other end."""
        load = self._life.load
        return load.settings.grace if load else EXIT_HANDLERS

    async def _end(self, code: int, grace: float) -> None:
        try:
            if self._life.go_heard.is_set():  # the app's code has run, or runs
                await self._end_politely(code, grace)
            else:
                await self._app_processes.end()  # packages that were imported ahead may start some
                if code == ORPHANED:
                    await self._app_processes.end_family()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            self._process_end.exit(code)  # whatever happens: a child that was told to end does so

    async def _end_politely(self, code: int, grace: float) -> None:
        front_end = self._front_end
        front_end.close(hand_over=code == RELOAD)
        # In a reload the last bytes are delivered while the next child loads.
        await (front_end.answered if code == RELOAD else front_end.quiet)(LAST_REQUESTS)
        self.drained.set()
        if (frame := self._main.interrupt()) is not None:
            wake = partial(self._wake, frame, frame.f_lasti)
            asyncio.get_running_loop().call_later(WAKE_AFTER, wake)
        await self._let_main_leave(code, grace)
        self._main_has_left.set()
        began = until = asyncio.get_running_loop().time()
        if code == RELOAD and front_end.busy and not self._hurries:
            until += grace
            await self._linger(grace)
        is_grace_over = until > began and not self._hurries
        self._cut_off(f"after {grace:g} s (--grace)" if is_grace_over else "")
        if self._finalizes_late:
            await self._finalize_late(until)
        await self._app_processes.end()
        if is_at_prompt():
            self._terminal.restore()
        self._main.rest()
        if code == RELOAD:
            self._leave_event_queues()
            self._process_end.vanish(code, self._link.fileno())
            return
        self._link.send(Left(code))

    async def _linger(self, grace: float) -> None:
        """Go on with the last responses, beside the next child; then have them cancelled.

        Those of an ASGI app clean up and say so to their clients. A thread cannot be cancelled.
        """
        # A later child may go on from a checkpoint that a child between us and it has taken.
        # When the one between has ended, we would adopt both, and end them with the app's own.
        leave_orphans()
        self._link.send(Left(RELOAD, self._front_end.busy))
        await self._wait_until_quiet(grace)
        if self._front_end.busy and not self._hurries:
            self._main.cancel_last()
            await self._wait_until_quiet(LAST_CLEANUP)

    async def _wait_until_quiet(self, seconds: float) -> None:
        """Wait for the last responses; not when the end is asked for again."""
        self._lingering = asyncio.create_task(self._front_end.quiet(seconds))
        await asyncio.wait({self._lingering})

    async def _let_main_leave(self, code: int, grace: float) -> None:
        """Wait until the main thread runs no more code of the app, for as long as it may take."""
        # A debugger that waits there makes a prompt of each interrupt, and never leaves.
        is_short = code in {RELOAD, ORPHANED} or hears_ctrl_c()
        patience = EXIT_HANDLERS if is_short else grace
        # What is not done by then is never done: a busy machine is no reason to lose a file.
        most = None if code == RELOAD else patience
        try:
            async with fair_timeout(_reader(), patience, most):
                await self._main_has_left.wait()
        except TimeoutError:
            # A last response may need its loop still: nothing else goes on beside the next child.
            self.was_cut_off = True
            self._main.cut_off_shutdown()
            if self._runs_own_end and not is_at_prompt():
                tell = self._link.notice if code == RELOAD else log_line  # else nobody hears it
                tell(_CUT_OFF.format(patience))

    def _cut_off(self, when: str) -> None:
        """Give up requests, and tell of each; but a WebSocket may end at any time."""
        load, unanswered = self._life.load, self._link.unanswered()
        refused = self._front_end.cut_off()
        for request in unanswered if load is not None and load.settings.access_log else ():
            status = interrupted.STATUS[:3] if request in refused else ""
            if status:
                refused.remove(request)
            if not request.startswith("WebSocket "):
                log_cut_off(request, when, status)

    async def _finalize_late(self, until: float) -> None:
        """Finalize after the last response: what is left of its time is had for that as well.

        Nobody waits for it, and on a busy machine it may take long.

        until: when that time is over, by the loop's clock; earlier when the end is asked for again.
        """
        work = asyncio.ensure_future(hop(self._process_end.finalization.run))
        left = max(0.0, until - asyncio.get_running_loop().time())
        if not self._hurries:
            self._lingering = asyncio.create_task(_wait(work, left))
            await asyncio.wait({self._lingering})
        await _wait(work, EXIT_HANDLERS)

    def _leave_event_queues(self) -> None:
        """Have the next child close the queues: that takes the kernel some 10 ms each."""
        self._front_end.delegate_close(self._monitor.event_queues)

    def _wake(self, frame: FrameType, instruction: int) -> None:
        if not self._main_has_left.is_set() and not self._main.has_moved(frame, instruction):
            self._main.signal()


def _reader() -> Callable[[], Awaitable[ProcessState]]:
    others = OtherThreads()

    async def read() -> ProcessState:
        return read_main_thread(os.getpid()) or others.read()

    return read


async def _wait(work: asyncio.Future[None], seconds: float) -> None:
    await asyncio.wait({work}, timeout=seconds)


def end_executors() -> None:
    """Let idle workers of `concurrent.futures` end, as the interpreter does before `atexit`.

    Those of a `ProcessPoolExecutor` would else be waited for by multiprocessing's own handler.
    """
    calls = thread_exit_handlers()
    if not calls:
        return
    done = threading.Event()

    def end() -> None:
        try:
            for call in reversed(calls):
                call()
        finally:
            done.set()

    with suppress(RuntimeError):  # no thread can be had
        start_new_thread(end, ())
        done.wait(EXECUTORS)
