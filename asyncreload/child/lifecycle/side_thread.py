"""The side thread as the main thread sees it: what is asked of it, and waited for.

The main thread belongs to the user's code. It comes here to wait for its turn, to hand over the app
or the report of a failure, and to be told when to end.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from asyncreload.boot import count_as_searched
from asyncreload.child.checkpoint.inputs import Inputs
from asyncreload.child.checkpoint.obstacles import Obstacles
from asyncreload.child.checkpoint.registrations import Registrations
from asyncreload.child.checkpoint.session import CheckpointSession
from asyncreload.child.checkpoint.validity import Validity
from asyncreload.child.debugger import give_interrupts_back, is_at_prompt
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.imports.import_hooks import ImportHooks
from asyncreload.child.imports.interface import AsgiApp
from asyncreload.child.imports.search_hook import install_search_hook
from asyncreload.child.lifecycle.agent import Agent
from asyncreload.child.lifecycle.checkpoint_fork import CheckpointFork
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.load_start import LoadStart
from asyncreload.child.lifecycle.load_state import LoadState
from asyncreload.child.lifecycle.side_loop import SideLoop, stand_still
from asyncreload.child.preload.conditions import Conditions
from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.child.watch.filesystems import is_local
from asyncreload.errors import MissingExtraError
from asyncreload.exit_codes import RELOAD
from asyncreload.phase import Phase
from asyncreload.protocol import Booted, GaveUp, Go, Message, Obstacle, Preload, StartCold
from asyncreload.system_calls import files_open_for_writing, process_began

if TYPE_CHECKING:
    from asyncreload.child.imports.app_loader import App
    from asyncreload.child.imports.import_observer import ImportObserver
    from asyncreload.child.lifecycle.parent_orders import Preparatory
    from asyncreload.child.lifecycle.startup import Legacy
    from asyncreload.child.pages.error_report import Report
    from asyncreload.child.watch.refreshers import Refresh
    from asyncreload.errors import TargetError
    from asyncreload.settings import Settings

CANCELLED_WITHIN = 0.5
"""Seconds that requests get at the end to clean up: one may wait for a thread, which goes on."""
INTERRUPT_TOLD = 0.5
"""Seconds until a Ctrl-C that reached us has reached the parent, and that has told us to end."""


class SideThread:
    """Composes what the main thread uses, and is its way to the agent in the side thread.

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
        self._app_loop: AppLoop | None = None
        self._side_loop = SideLoop(lambda: legacy.make_agent(self._state))
        validity = Validity(Inputs(self._state.baselines.is_loaded), self._state.scanner)
        self.checkpoints: CheckpointSession = self._new_checkpoint_session(validity)
        self._load_start = LoadStart(
            self._side_loop,
            self._state,
            self.checkpoints,
            validity,
            partial(process_began, legacy.started),
            self.start_cold,
        )
        self.hooks: ImportHooks = ImportHooks(self._state.baselines, self._observer)
        self.hooks.install()
        install_search_hook(self._state.scanner.searches)
        self._agent.life.advance(Phase.WARM)

    def _new_checkpoint_session(self, validity: Validity) -> CheckpointSession:
        fork = CheckpointFork(
            self._legacy,
            self._side_loop,
            self._state,
            validity,
            self._own_descriptors,
            lambda load: self._load_start.resume(load),  # noqa: PLW0108  it is made later
        )
        registrations = Registrations()
        obstacles = Obstacles(
            registrations,
            self._side_loop.thread_ids,
            self._own_descriptors,
            lambda: self._legacy.app_processes.spared,
            self._side_loop.parked,
        )
        return CheckpointSession(
            fork.take,
            obstacles,
            registrations,
            validity,
            self._state.scanner,
            self._tell_obstacle,
            lambda: self._state.preload.loaded,
        )

    @property
    def pid(self) -> int:
        """The number of this process, and not that of any which the app forks."""
        return self._side_loop.pid

    @property
    def _agent(self) -> Agent:
        return self._side_loop.agent

    # Called from below. Each asks for the present agent: it is another one after a checkpoint.

    def _on_new_file(self, path: str) -> None:
        self._agent.monitor.on_new_file(path)

    def _before_file(self, path: str) -> None:
        self.checkpoints.before_file(path)

    def _send(self, message: Message) -> None:
        self._agent.link.send(message)

    def _tell_obstacle(self, reason: str, *, is_wanted: bool = False) -> None:
        if is_wanted:
            self._agent.link.notice(reason, once=True)
        else:
            self._send(Obstacle(reason))

    def _observer(self) -> ImportObserver:
        return self._state.preload.observer(self._agent.life.phase)

    def _own_descriptors(self) -> list[int]:
        return [
            *self._legacy.descriptors(),
            *self._side_loop.descriptors(),
            *self._state.scanner.descriptors(),
        ]

    def join_supervisors_group(self) -> None:
        """Be reached by Ctrl-C from now on, and be allowed to read from the terminal."""
        self._legacy.join_supervisors_group()

    # --- until the load ------------------------------------------------------------------------

    def wait_for_go(self) -> Go:
        """Wait for our turn, and import ahead meanwhile if the parent asks for that.

        Raises SystemExit when the supervisor ends first.
        """
        self._agent.link.send(Booted(self._state.modules.ran_at_start))
        is_local(os.sep)  # reads the table of mounts, while there is time
        return self._agent.orders.next_go(self._import_ahead)

    def _import_ahead(self, order: Preparatory) -> None:
        if isinstance(order, Preload):
            self._state.preload.replay(order)
            self._state.modules.scan_ahead()
            count_as_searched()

    def begin_load(self, load: Load) -> None:
        """Do what comes before the first code of the project. Raises `EnvironmentFileError`."""
        self._load_start.begin(load)

    @property
    def is_live(self) -> bool:
        """Whether open pages are told of changes."""
        return self._load.settings.live

    @property
    def started_with(self) -> Settings:
        """The options that the supervisor goes by."""
        return self._load.settings

    def refresh_with(self, patterns: Sequence[str], refresh: Refresh) -> None:
        """Watch these files as well; whatever changes needs no reload if `refresh` says so.

        patterns: absolute.
        """
        scanner = self._state.scanner
        self._state.refreshers.add(refresh, scanner.may_need_no_reload)
        scanner.watch_for_refresh(patterns, self._load.began)
        self._load_start.renew_caches()

    def is_own(self, directory: str) -> bool:
        """Tell whether a directory is the project's, and no installed package's."""
        return kind_of(directory) is FileKind.PROJECT

    def is_first_load(self) -> bool:
        """Tell whether no change of a file has led to this load."""
        return not self._load.go.changed

    def note_arguments(self, argv: list[str]) -> None:
        """Note the arguments that the app is started with."""
        self._state.preload.note_arguments(argv)

    def watch(self, path: str) -> None:
        """Watch a file that is about to be read."""
        self._state.baselines.take(os.path.abspath(path))

    def notice(self, text: str) -> None:
        """Have the user told something, once for all loads."""
        self._agent.link.notice(text, once=True)

    # --- what comes of it ----------------------------------------------------------------------

    def serve(self, app: App) -> None:
        """Answer requests with the app from now on; unless what was imported ahead does not fit.

        Raises what an ASGI app raises when it starts up.
        """
        self.checkpoints.at_end()
        self.checkpoints.end()
        self._state.preload.check_load()
        served = app if not isinstance(app, AsgiApp) else self._start_up(app)
        self._side_loop.call(self._agent.outcome.serve, served, self._load)

    def _start_up(self, app: AsgiApp) -> AppLoop:
        self._state.preload.import_asgi_server()
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
        self._side_loop.call(self._agent.outcome.show, report, self._load)

    def give_up(self, error: TargetError) -> bool:
        """Have all ended, as hardly anything that is saved can help; return False if it might.

        That is when the app was there, or did not need the extra, before it was changed.
        """
        if self._load.go.changed:
            return False
        self._send(GaveUp(str(error), isinstance(error, MissingExtraError)))
        return True

    @property
    def _load(self) -> Load:
        load = self._agent.life.load
        assert load is not None  # noqa: S101  `begin_load` came before
        return load

    # --- the end -------------------------------------------------------------------------------

    def start_cold(self, reason: str, found: Conditions | None = None) -> NoReturn:
        """End this process: what it has imported ahead does not fit, and a cold one follows.

        found: the conditions after the load that are others than they were to be, if any are.
        """
        self._agent.link.send(StartCold(reason, found or {}))
        self.end(RELOAD)
        raise SystemExit(self.wait_for_end())

    def end(self, code: int) -> None:
        """Begin the end. May be called from a signal handler."""
        self._side_loop.call(self._agent.shutdown.begin, code)

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
        is_any = bool(self._agent.front_end.busy)
        # At the end, none is waited for: it is cancelled, so that the app can clean up behind it.
        is_busy = is_any and self._agent.shutdown.code == RELOAD
        patience = CANCELLED_WITHIN if is_any and not is_busy else None
        self._app_loop.shut_down(is_busy=is_busy, patience=patience)
        return is_busy

    @property
    def was_cut_off(self) -> bool:
        """Whether the time for the app's own end is over: the next process may load already."""
        return self._agent.shutdown.was_cut_off

    def finalize(self) -> None:
        """Have the app's files written and its objects deleted, after its `atexit` handlers."""
        self._agent.shutdown.finalize(has_del=self.hooks.defines_del)

    def exit(self) -> NoReturn:
        """Have the process ended: no code of the user's runs in the main thread any more."""
        self._side_loop.call(self._agent.shutdown.main_has_left)
        if self._app_loop is not None:
            self._app_loop.run_on()
        stand_still()
