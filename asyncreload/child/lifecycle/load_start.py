"""How a load begins: from nothing, or in a process that goes on from a checkpoint."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from asyncreload.child.imports.environment_files import read_files
from asyncreload.child.imports.interface import speaks_asgi_likely
from asyncreload.child.watch.debounce import quiet
from asyncreload.child.watch.globs import Patterns
from asyncreload.cpython import forget_archives
from asyncreload.exit_codes import RELOAD
from asyncreload.phase import Phase
from asyncreload.protocol import CheckpointRefused, Going

if TYPE_CHECKING:
    from asyncreload.child.checkpoint.session import CheckpointSession
    from asyncreload.child.checkpoint.validity import Validity
    from asyncreload.child.lifecycle.agent import Agent
    from asyncreload.child.lifecycle.life import Life
    from asyncreload.child.lifecycle.load import Load
    from asyncreload.child.lifecycle.load_state import LoadState
    from asyncreload.child.lifecycle.side_loop import SideLoop


class LoadStart:
    """Does what comes before the first code of the project. Used by the main thread.

    process_began: returns when that was, in ns since the epoch.
    start_cold: ends this process, so that a cold one takes its place; the reason is told.
    """

    def __init__(
        self,
        side_loop: SideLoop,
        state: LoadState,
        checkpoints: CheckpointSession,
        validity: Validity,
        process_began: Callable[[], int],
        start_cold: Callable[[str], NoReturn],
    ) -> None:
        self._side_loop = side_loop
        self._state = state
        self._checkpoints = checkpoints
        self._validity = validity
        self._process_began = process_began
        self._start_cold = start_cold
        self._caches_began = 0

    def begin(self, load: Load) -> None:
        """Watch from now on; in a burst of changes, wait for its end; set the app's variables.

        Raises `EnvironmentFileError`.
        """
        state, go, settings = self._state, load.go, load.settings
        self._announce(load)
        state.scanner.opened.install()
        state.baselines.adopt(go.watched)
        if found := state.scanner.searches.scan_all():
            self._start_cold(f"{found[0]} has come or gone since this process looked for it")
        state.preload.check_shadowed()
        self._wait_out_burst(load)
        # After the burst, so that it is over; before the load, so that what it reads is as it was.
        patterns = Patterns.of(settings.watch, settings.ignore, os.getcwd(), settings.refresh)
        state.scanner.watch_patterns(patterns)
        if settings.refresh:  # what is asked for counts, whatever a framework says
            self._refresh_as_asked(patterns)
        if outdated := state.modules.take_start(self._process_began):
            self._start_cold(f"{outdated[0]} has changed since Python ran it")
        self._caches_began = time.time_ns()
        self._life.load = load.replaced(began=self._caches_began)
        try:
            if not go.crash:
                self._read_environment(load)
                if speaks_asgi_likely(load.file) if go.asgi is None else go.asgi:
                    state.preload.import_asgi_server()
        finally:
            # Not before: what reads environment files, or serves, is imported by us, not the app.
            self._life.advance(Phase.LOADING)
        if not go.crash:
            self._begin_checkpoints(load, state.preload.replay_seconds)

    def resume(self, load: Load) -> None:
        """Go on from a checkpoint, unless what it rests on has changed."""
        state = self._state
        self._announce(load)
        self._wait_out_burst(load)
        state.scanner.watch_again()
        if path := self._validity.differing():
            refuse(self._side_loop.agent, f"{path} has changed")
        self._checkpoints.refresh()
        self._life.load = load.replaced(began=time.time_ns())
        self._begin_checkpoints(load)
        self._life.advance(Phase.LOADING)
        self.renew_caches()

    def renew_caches(self) -> None:
        """In a process that goes on from a checkpoint, have what the app keeps of files renewed.

        What has changed since it began to keep anything, processes before have seen to without a
        reload, and a checkpoint has not heard of it. Nor does it know what the app has looked for
        in vain: `os.path.exists` raises no event.
        """
        load = self._life.load
        refreshed = load.go.refreshed if load and load.began > self._caches_began else ()
        found = self._state.baselines.wanted_since(self._caches_began)
        for path in dict.fromkeys([*found, *refreshed]):
            try:
                self._state.refreshers.tell([path])
            except Exception as exc:  # noqa: BLE001  it is the code of a framework, or of the app
                self._start_cold(f"what was made of {path} cannot be renewed: {exc!r}")

    def _refresh_as_asked(self, patterns: Patterns) -> None:
        baselines = self._state.baselines

        def needs_no_reload(path: str) -> bool:
            return patterns.refreshes(path) and not baselines.is_loaded(path)

        self._state.refreshers.add(needs_no_reload, needs_no_reload)

    @property
    def _life(self) -> Life:
        return self._side_loop.agent.life

    def _announce(self, load: Load) -> None:
        self._life.load = load
        self._side_loop.call(self._life.go_heard.set)  # a farewell may have been heard in its place
        self._side_loop.agent.link.send(Going(load.began))
        self._state.baselines.begin_load(load.began, load.go.changed, load.go.late)

    def _wait_out_burst(self, load: Load) -> None:
        """Wait for the end of a burst of changes."""
        if load.go.settle:
            self._side_loop.wait_for(quiet(load.root, load.go.changed, asyncio.sleep))
        forget_archives()

    def _read_environment(self, load: Load) -> None:
        """Set the variables of the environment files; from now on these are watched."""
        changed = load.go.changed
        for path, sentence in read_files(load.env_files, self._state.baselines).items():
            if not changed or path in changed:
                self._side_loop.agent.link.notice(sentence)

    def _begin_checkpoints(self, load: Load, ahead: float = 0.0) -> None:
        go = load.go
        has_any = go.checkpoints or go.checkpoint_at_end  # else there are to be none
        keep = load.settings.keep if has_any else ()
        self._checkpoints.begin(go.checkpoints, at_end=go.checkpoint_at_end, keep=keep, ahead=ahead)


def refuse(agent: Agent, reason: str) -> NoReturn:
    """End a process that was to go on from a checkpoint: another one has to load in its place."""
    agent.link.send(CheckpointRefused(reason))
    agent.shutdown.vanish(RELOAD)
