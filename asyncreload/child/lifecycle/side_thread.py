"""The side thread as the main thread sees it: what is asked of it, and waited for.

The main thread belongs to the user's code. It comes here to wait for its turn, to hand over the app
or the report of a failure, to be told when to end, and, while it loads, to take a checkpoint.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import time
import traceback
from _thread import start_new_thread
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, NoReturn

from asyncreload.child import worker_threads
from asyncreload.child.checkpoint.frozen import freeze
from asyncreload.child.checkpoint.inputs import Inputs
from asyncreload.child.checkpoint.limits import Limits
from asyncreload.child.checkpoint.own_pages import own_shared_pages
from asyncreload.child.checkpoint.registrations import Registrations
from asyncreload.child.checkpoint.session import CheckpointSession
from asyncreload.child.checkpoint.suspension import Suspension
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.imports.environment_files import read_files
from asyncreload.child.imports.import_hooks import ImportHooks
from asyncreload.child.imports.interface import AsgiApp, speaks_asgi_likely
from asyncreload.child.imports.search_hook import install_search_hook
from asyncreload.child.lifecycle.agent import Agent
from asyncreload.child.lifecycle.debugger import give_interrupts_back, is_at_prompt
from asyncreload.child.lifecycle.load_outcome import Load
from asyncreload.child.lifecycle.load_state import LoadState
from asyncreload.child.preload.conditions import Conditions
from asyncreload.child.watch.debounce import quiet
from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.child.watch.filesystems import is_local
from asyncreload.child.watch.globs import Patterns
from asyncreload.cpython import forget_archives
from asyncreload.forks import own_fork
from asyncreload.phase import Phase
from asyncreload.protocol import (
    ORPHANED,
    RELOAD,
    Booted,
    CheckpointRefused,
    CheckpointTaken,
    GetReady,
    Go,
    Going,
    Message,
    MissingExtra,
    Obstacle,
    StartCold,
)
from asyncreload.settings import Settings
from asyncreload.system_calls import files_open_for_writing, process_began

if TYPE_CHECKING:
    from asyncreload.child.imports.app_loader import App
    from asyncreload.child.imports.import_observer import ImportObserver
    from asyncreload.child.lifecycle.startup import Legacy
    from asyncreload.child.pages.error_report import Report
    from asyncreload.child.watch.refreshers import Refresh
    from asyncreload.errors import MissingExtraError

INTERRUPT_TOLD = 0.5
"""Seconds until a Ctrl-C that reached us has reached the parent, and that has told us to end."""

NO_THREAD_PAUSE = 0.1
"""Seconds until the side thread is tried again, when the system gives no thread."""


class SideThread:
    """Starts the side thread, and is the main thread's way to the agent that lives there.

    Methods are called by the main thread. In a process that goes on from a checkpoint there is
    another side thread, with another agent; whoever holds this object notices nothing.

    legacy: what the supervisor has left to this process.
    """

    def __init__(self, legacy: Legacy) -> None:
        self._legacy = legacy
        self._main = legacy.main_thread
        self._state = LoadState.begin(
            self._on_new_file, self._before_file, self._send, self.start_cold
        )
        self._buried: list[Agent] = []
        self._app_loop: AppLoop | None = None
        self._start()
        self.checkpoints: CheckpointSession = self._new_checkpoint_session()
        self.hooks: ImportHooks = ImportHooks(self._state.baselines, self._observer)
        self.hooks.install()
        install_search_hook(self._state.scanner.searches)
        self._agent.advance(Phase.WARM)

    def _start(self) -> None:
        self.pid: int = os.getpid()
        """The number of this process, and not that of any which the app forks."""
        self._agent: Agent = _start_side_thread(lambda: self._legacy.make_agent(self._state))
        self._loop = self._agent.loop

    def _new_checkpoint_session(self) -> CheckpointSession:
        registrations = Registrations()
        inputs = Inputs(self._state.baselines.is_loaded)
        limits = Limits(
            registrations,
            self._own_threads,
            self._own_descriptors,
            lambda: self._legacy.app_processes.spared,
        )
        scanner, tell = self._state.scanner, self._tell_obstacle
        return CheckpointSession(
            self._take_checkpoint,
            limits,
            registrations,
            inputs,
            scanner,
            tell,
            lambda: self._state.preload.loaded,
        )

    # Called from below. Each asks for the present agent: it is another one after a checkpoint.

    def _on_new_file(self, path: str) -> None:
        self._agent.monitor.on_new_file(path)

    def _before_file(self, path: str) -> None:
        self.checkpoints.before_file(path)

    def _send(self, message: Message) -> None:
        self._agent.link.send(message)

    def _tell_obstacle(self, reason: str, *, is_wanted: bool = False) -> None:
        if is_wanted:
            self._agent.notice(reason, once=True)
        else:
            self._send(Obstacle(reason))

    def _observer(self) -> ImportObserver:
        return self._agent.observer()

    def _own_threads(self) -> list[int]:
        return self._agent.thread_ids()

    def _own_descriptors(self) -> list[int]:
        return [*self._legacy.descriptors(), *self._agent.descriptors()]

    def join_supervisors_group(self) -> None:
        """Be reached by Ctrl-C from now on, and be allowed to read from the terminal."""
        self._legacy.join_supervisors_group()

    # --- until the load ------------------------------------------------------------------------

    def wait_for_go(self) -> Go:
        """Wait for our turn, and import ahead meanwhile if the parent asks for that.

        Raises SystemExit when the supervisor ends first.
        """
        self._agent.link.send(Booted(self._agent.modules.ran_at_start))
        is_local(os.sep)  # reads the table of mounts, while there is time
        return self._next_go()

    def _next_go(self) -> Go:
        agent = self._agent
        while True:
            while not agent.orders:
                self._main.wait()
                if agent.shutdown.code is not None:
                    raise SystemExit(agent.shutdown.code)
            order = agent.orders.popleft()
            if isinstance(order, Go):
                return order
            if isinstance(order, GetReady):
                self._get_ready()
            else:
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
            self.start_cold(f"{found[0]} has come or gone since this process looked for it", {})
        agent.preload.check_shadowed()
        self._settle(load)
        # After the burst, so that it is over; before the load, so that what it reads is as it was.
        patterns = Patterns.of(settings.watch, settings.ignore, os.getcwd(), settings.refresh)
        agent.scanner.watch_patterns(patterns)
        if settings.refresh:  # what is asked for counts, whatever a framework says
            self._state.refreshers.add(patterns.refreshes)
        if outdated := agent.modules.take_start(process_began):
            self.start_cold(f"{outdated[0]} has changed since Python ran it", {})
        agent.load = load.replaced(began=time.time_ns())
        try:
            if not go.crash:
                self._read_environment(load)
                if go.asgi or speaks_asgi_likely(load.file):
                    agent.preload.import_asgi_server()
        finally:
            # Not before: what reads environment files, or serves, is imported by us, not the app.
            agent.advance(Phase.LOADING)
        if not go.crash:
            self._begin_checkpoints(go, settings)

    def _begin_checkpoints(self, go: Go, settings: Settings) -> None:
        has_any = go.checkpoints or go.checkpoint_at_end  # else there are to be none
        keep = settings.keep if has_any else ()
        self.checkpoints.begin(go.checkpoints, at_end=go.checkpoint_at_end, keep=keep)

    def _settle(self, load: Load) -> None:
        """Wait for the end of a burst of changes."""
        if load.go.settle:
            settled = quiet(load.root, load.go.changed, asyncio.sleep)
            asyncio.run_coroutine_threadsafe(settled, self._loop).result()
        forget_archives()

    def _read_environment(self, load: Load) -> None:
        """Set the variables of the environment files; from now on these are watched."""
        changed = load.go.changed
        for path in read_files(load.env_files, self._agent.baselines):
            if not changed or path in changed:
                self._agent.notice(f"there is no {path}: going on without it")

    @property
    def is_live(self) -> bool:
        """Whether open pages are told of changes."""
        return self._load.settings.live

    def refresh_with(self, patterns: Sequence[str], refresh: Refresh) -> None:
        """Watch files of the project that need no reload when they change, if `refresh` says so.

        patterns: absolute; those below directories of packages are left out.
        """
        texts = [each for each in patterns if kind_of(each) is FileKind.PROJECT]
        self._state.refreshers.add(refresh)
        self._agent.scanner.watch_for_refresh(texts, self._load.began)

    def is_first_load(self) -> bool:
        """Tell whether no change of a file has led to this load."""
        return not self._load.go.changed

    def note_arguments(self, argv: list[str]) -> None:
        """Note the arguments that the app is started with."""
        self._agent.preload.note_arguments(argv)

    def watch(self, path: str) -> None:
        """Watch a file that is about to be read."""
        self._agent.baselines.take(os.path.abspath(path))

    def notice(self, text: str) -> None:
        """Have the user told something, once for all loads."""
        self._agent.notice(text, once=True)

    # --- checkpoints ---------------------------------------------------------------------------

    def _take_checkpoint(self, place: str) -> None:
        """Fork a checkpoint of this process, and go on; also in processes that go on from it."""
        try:
            suspension = Suspension.begin(self._own_descriptors())
        except OSError as exc:  # no descriptor is left
            self._tell_obstacle(f"no checkpoint at {place}: {exc.strerror}")
            return
        pid = -1
        try:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                pid = self._fork()
                if pid:
                    self._legacy.app_processes.spare(pid)
                    self._hand_over(pid, theirs)
                else:
                    theirs.close()
                    self._live_as_checkpoint(ours, place)
        except OSError as exc:
            self._tell_obstacle(f"no checkpoint at {place}: {exc.strerror}")
        finally:
            if pid:
                suspension.undo()
        if pid == 0:
            self._go_on_loading(suspension)

    def _fork(self) -> int:
        """Fork while our other threads stand still, and nothing waits to be written."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the app's own, perhaps
                stream.flush()
        self._agent.shutdown.flush_files()
        with self._parked():
            self._state.modules.scan(is_loading=True)
            return own_fork()

    def _hand_over(self, pid: int, link: socket.socket) -> None:
        """Give the supervisor the link to a checkpoint. Not by `send_fds`, which has no flags."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", link.fileno()))
        with suppress(OSError):  # it is gone, or too busy: no matter
            told = [str(pid).encode()]
            self._legacy.rendezvous.sendmsg(told, [rights], socket.MSG_DONTWAIT)

    def _live_as_checkpoint(self, control: socket.socket, place: str) -> None:
        """Wait as a checkpoint, then boot; return in a process that goes on, and stands by.

        Whatever happens here, nothing is raised: the code of the app would meet it.
        """
        try:
            connection = self._freeze(control, place)
            self._legacy.renew(connection)
            worker_threads.renew()
            self._start()
            self._agent.advance(Phase.WARM)
            self._send(Booted(self._agent.modules.ran_at_start))
        except BaseException:  # noqa: BLE001  such as a supervisor that is gone
            os._exit(ORPHANED)

    @contextmanager
    def _parked(self) -> Iterator[None]:
        """Have our threads stand still at a known place, where they hold nothing."""
        gate, parked = Event(), SimpleQueue[None]()

        def stop() -> None:
            parked.put(None)
            gate.wait()

        has_helper = worker_threads.park(stop)
        self._loop.call_soon_threadsafe(stop)
        try:
            for _ in range(1 + has_helper):
                parked.get()
            yield
        finally:
            gate.set()

    def _freeze(self, control: socket.socket, place: str) -> socket.socket:
        """Wait as a checkpoint; return in a process that goes on, with its link."""
        with suppress(OSError):
            os.setpgid(0, 0)
        self._agent.bury()
        self._legacy.let_go()
        self._buried.append(self._agent)  # its objects would close descriptors that are others' now
        read = (*self._state.baselines.loaded(), *self.checkpoints.inputs.paths())
        seconds = (time.time_ns() - self._load.began) / 1e9
        loaded = self._state.preload.loaded
        told = CheckpointTaken(os.getpid(), place, read, loaded, seconds)
        control.sendall(told.encode())
        return freeze(control, self._legacy.supervisor, self._legacy.lock)

    def _get_ready(self) -> None:
        """Do, before there is a `Go`, what makes the next steps of a resumed load quick."""
        orders = self._agent.orders
        self.checkpoints.unfit()  # what it finds will be found again
        own_shared_pages(lambda: not orders)

    def _go_on_loading(self, suspension: Suspension) -> None:
        """Wait for our turn, then go on with the load, unless what it rests on has changed.

        Until the load goes on nothing is raised: the app's code would handle what is not its own.
        """
        try:
            go = self._next_go()
            self._resume(suspension)
            self._legacy.join_supervisors_group()
            self._begin_resumed_load(go)
        except BaseException:  # noqa: BLE001  an interrupt is one, too
            if self.is_ending():
                self.exit()
            traceback.print_exc()
            os._exit(ORPHANED)

    def _resume(self, suspension: Suspension) -> None:
        """Be as the process was before it became a checkpoint; in all threads, as to signals."""
        try:
            suspension.end()
        except OSError as exc:  # no descriptor is left
            self._refuse(f"a file that is read cannot be opened ({exc.strerror})")
        asyncio.run_coroutine_threadsafe(self._agent.hear_signals(suspension.signals), self._loop)

    def _refuse(self, reason: str) -> None:
        """End this process: another one has to load what it was to go on with."""
        self._send(CheckpointRefused(reason))
        self._agent.shutdown.vanish(RELOAD)

    def _begin_resumed_load(self, go: Go) -> None:
        agent = self._agent
        load = Load.of(go, loaded_before=agent.preload.loaded)
        agent.load = load
        self._send(Going())
        agent.baselines.begin_load(load.began, go.changed)
        self._settle(load)
        agent.scanner.watch_patterns(agent.baselines.patterns)
        if path := self.checkpoints.unfit():
            self._refuse(f"{path} has changed")
        self.checkpoints.refresh()
        agent.load = load.replaced(began=time.time_ns())
        self._begin_checkpoints(go, load.settings)
        agent.advance(Phase.LOADING)

    # --- what comes of it ----------------------------------------------------------------------

    def serve(self, app: App) -> None:
        """Answer requests with the app from now on; unless what was imported ahead does not fit.

        Raises what an ASGI app raises when it starts up.
        """
        self.checkpoints.at_end()
        self.checkpoints.end()
        self._agent.preload.check_load()
        served = app if not isinstance(app, AsgiApp) else self._start_up(app)
        self._loop.call_soon_threadsafe(self._agent.serve, served, self._load)

    def _start_up(self, app: AsgiApp) -> AppLoop:
        self._agent.preload.import_asgi_server()
        # After the last checkpoint: no process that goes on from one shares the loop with another.
        before = files_open_for_writing() or frozenset()
        app_loop = self._app_loop = AppLoop(app)
        self._agent.shutdown.spare_files((files_open_for_writing() or frozenset()) - before)
        app_loop.start_up()
        self._main.run_while_waiting(app_loop)
        return app_loop

    def show(self, report: Report) -> None:
        """Answer every request with the report from now on."""
        self.checkpoints.end()
        self._loop.call_soon_threadsafe(self._agent.show, report, self._load)

    def give_up(self, error: MissingExtraError) -> bool:
        """Have all ended, as nothing that is saved can help; return False if something might.

        That is when the app did not need the extra before it was changed.
        """
        if self._load.go.changed:
            return False
        self._send(MissingExtra(str(error)))
        return True

    @property
    def _load(self) -> Load:
        assert self._agent.load is not None  # noqa: S101  `begin_load` came before
        return self._agent.load

    # --- the end -------------------------------------------------------------------------------

    def start_cold(self, reason: str, found: Conditions) -> NoReturn:
        """End this process: what it has imported ahead does not fit, and a cold one follows."""
        self._agent.link.send(StartCold(reason, found))
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
        if os.getpid() != self.pid:
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
        drained = self._agent.shutdown.drained
        if self._app_loop is not None:
            while not drained.is_set():
                self._main.wait()  # the requests are answered there
        while not drained.wait(1):
            pass

    def shut_down_app(self) -> bool:
        """Have an ASGI app shut down, and its loop cleared.

        Return whether that loop runs on, for responses that are still sent.
        """
        if self._app_loop is None:
            return False
        is_busy = bool(self._agent.front_end.busy)
        self._app_loop.shut_down(is_busy=is_busy)
        return is_busy

    def finalize(self) -> None:
        """Have the app's files written and its objects deleted, after its `atexit` handlers."""
        self._agent.shutdown.finalize(has_del=self.hooks.defines_del)

    def exit(self) -> NoReturn:
        """Have the process ended: no code of the user's runs in the main thread any more."""
        self._loop.call_soon_threadsafe(self._agent.shutdown.main_has_left)
        if self._app_loop is not None:
            self._app_loop.run_on()
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
