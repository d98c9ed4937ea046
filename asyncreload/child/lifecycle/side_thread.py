"""The side thread as the main thread sees it: what is asked of it, and waited for.

The main thread belongs to the user's code. It comes here to wait for its turn, to hand over the app
or the report of a failure, and to be told when to end.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from _thread import start_new_thread
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, NoReturn

from asyncreload.child.imports.environment_files import read_files
from asyncreload.child.imports.import_hooks import ImportHooks
from asyncreload.child.imports.search_hook import install_search_hook
from asyncreload.child.lifecycle.agent import Agent
from asyncreload.child.lifecycle.debugger import give_interrupts_back, is_at_prompt
from asyncreload.child.lifecycle.load_outcome import Load
from asyncreload.child.watch.debounce import quiet
from asyncreload.child.watch.filesystems import is_local
from asyncreload.child.watch.globs import Patterns
from asyncreload.cpython import forget_archives
from asyncreload.phase import Phase
from asyncreload.protocol import RELOAD, Booted, Go, Going, StartCold
from asyncreload.system_calls import process_began

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.child.pages.error_report import Report

INTERRUPT_TOLD = 0.5
"""Seconds until a Ctrl-C that reached us has reached the parent, and that has told us to end."""


NO_THREAD_PAUSE = 0.1
"""Seconds until the side thread is tried again, when the system gives no thread."""


class SideThread:
    """Starts the side thread, and is the main thread's way to the agent that lives there.

    Methods are called by the main thread.

    make_agent: makes the agent, in the side thread's loop.
    """

    def __init__(self, main: MainThread, make_agent: Callable[[SideThread], Agent]) -> None:
        self._main = main
        self._pid = os.getpid()
        self._agent: Agent = _start_side_thread(lambda: make_agent(self))
        self._loop = self._agent.loop
        self.hooks: ImportHooks = ImportHooks(self._agent.baselines, self._agent.observer)
        self.hooks.install()
        install_search_hook(self._agent.scanner.searches)
        self._agent.advance(Phase.WARM)

    # --- until the load ------------------------------------------------------------------------

    def wait_for_go(self) -> Go:
        """Wait for our turn, and import ahead meanwhile if the parent asks for that.

        Raises SystemExit when the supervisor ends first.
        """
        agent = self._agent
        agent.link.send(Booted(agent.modules.ran_at_start))
        is_local(os.sep)  # reads the table of mounts, while there is time
        while True:
            while not agent.orders:
                self._main.wait()
                if agent.shutdown.code is not None:
                    raise SystemExit(agent.shutdown.code)
            order = agent.orders.popleft()
            if isinstance(order, Go):
                return order
            agent.preload.replay(order)

    def begin_load(self, load: Load) -> None:
        """Watch from now on; in a burst of changes, wait for its end; set the app's variables.

        Raises `EnvironmentFileError`.
        """
        agent, go, settings = self._agent, load.go, load.settings
        agent.load = load
        agent.link.send(Going())
        agent.baselines.begin_load(time.time_ns(), go.changed)
        agent.baselines.adopt(go.watched)
        if found := agent.scanner.searches.scan_all():
            self.start_cold(f"{found[0]} has come or gone since this process looked for it")
        agent.preload.check_shadowed()
        if go.settle:
            settled = quiet(load.root, go.changed, asyncio.sleep)
            asyncio.run_coroutine_threadsafe(settled, self._loop).result()
        forget_archives()
        # After the burst, so that it is over; before the load, so that what it reads is as it was.
        agent.scanner.watch_patterns(Patterns.of(settings.watch, settings.ignore, os.getcwd()))
        if outdated := agent.modules.take_start(process_began):
            self.start_cold(f"{outdated[0]} has changed since Python ran it")
        agent.load = load.replaced(began=time.time_ns())
        try:
            if not go.crash:
                self._read_environment(load)
        finally:
            # Not before: what reads the environment files is imported by us, not by the app.
            agent.advance(Phase.LOADING)

    def _read_environment(self, load: Load) -> None:
        """Set the variables of the environment files; from now on these are watched."""
        changed = load.go.changed
        for path in read_files(load.env_files, self._agent.baselines):
            if not changed or path in changed:
                self._agent.notice(f"there is no {path}: going on without it")

    def note_arguments(self, argv: list[str]) -> None:
        """Note the arguments that the app is started with."""
        self._agent.preload.note_arguments(argv)

    # --- what comes of it ----------------------------------------------------------------------

    def serve(self, app: WSGIApplication) -> None:
        """Answer requests with the app from now on; unless what was imported ahead does not fit."""
        self._agent.preload.check_load()
        self._loop.call_soon_threadsafe(self._agent.serve, app, self._load)

    def show(self, report: Report) -> None:
        """Answer every request with the report from now on."""
        self._loop.call_soon_threadsafe(self._agent.show, report, self._load)

    @property
    def _load(self) -> Load:
        assert self._agent.load is not None  # noqa: S101  `begin_load` came before
        return self._agent.load

    # --- the end -------------------------------------------------------------------------------

    def start_cold(self, reason: str) -> NoReturn:
        """End this process: what it has imported ahead does not fit, and a cold one follows."""
        self._agent.link.send(StartCold(reason))
        self.end(RELOAD)
        raise SystemExit(self.wait_for_end())

    def end(self, code: int) -> None:
        """Begin the end. May be called from a signal handler."""
        self._loop.call_soon_threadsafe(self._agent.end, code)

    def wait_for_end(self) -> int:
        """Wait until it is time to end; return the exit code.

        With `threads=1` requests are answered meanwhile, here in the main thread.
        """
        shutdown = self._agent.shutdown
        give_interrupts_back()
        while True:
            while self._main.has_jobs():
                self._answer_request()
            if shutdown.code is not None:
                return shutdown.code
            try:
                self._main.wait()
            except KeyboardInterrupt:
                if shutdown.code is None and not is_at_prompt():
                    raise

    def _answer_request(self) -> None:
        try:
            self._main.run_job()
        except KeyboardInterrupt:
            if not self.was_told_to_end():  # it is the app's own
                traceback.print_exc()
        if os.getpid() != self._pid:
            raise SystemExit  # a fork of the app that came back out of its request
        give_interrupts_back()

    def is_ending(self) -> bool:
        """Tell whether the process is on its way out."""
        return self._agent.shutdown.code is not None

    def was_told_to_end(self) -> bool:
        """Tell whether the parent wants an end, too, now that there was a KeyboardInterrupt."""
        return self._agent.shutdown.drained.wait(INTERRUPT_TOLD)

    def drain(self, code: int) -> None:
        """Take no more requests; wait until those in flight are answered, but not for long."""
        if not self.is_ending():
            self.end(code)
        while not self._agent.shutdown.drained.wait(1):
            pass

    def finalize(self) -> None:
        """Have the app's files written and its objects deleted, after its `atexit` handlers."""
        self._agent.shutdown.finalize(has_del=self.hooks.defines_del)

    def exit(self) -> NoReturn:
        """Have the process ended: no code of the user's runs in the main thread any more."""
        self._loop.call_soon_threadsafe(self._agent.shutdown.main_has_left)
        while True:
            time.sleep(60)


def _start_side_thread(make_agent: Callable[[], Agent]) -> Agent:
    """Start the thread in whose loop the agent lives; return the agent when all is up."""
    parent = os.getppid()
    up = Event()
    made: list[Agent] = []

    async def run() -> None:
        agent = make_agent()
        made.append(agent)
        await agent.run(up.set)

    def live() -> None:
        try:
            # Not `asyncio.run`, which asks `threading` for the current thread, and so names it.
            asyncio.new_event_loop().run_until_complete(run())
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)  # a child without its side thread would be deaf and blind

    while True:
        try:
            start_new_thread(live, ())
            break
        except RuntimeError:  # none can be had at the moment
            if os.getppid() != parent:
                os._exit(1)
            time.sleep(NO_THREAD_PAUSE)
    up.wait()
    return made[0]
