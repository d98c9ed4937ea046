"""What follows when a child has ended: what the next one is told, or the end of us all."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from asyncreload import lockfile
from asyncreload.events import Crashed
from asyncreload.exit_codes import RELOAD, SIGNALLED
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.process import describe
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, Go, Left
from asyncreload.settings import ASGI, Settings
from asyncreload.style import first_names
from asyncreload.target import Target

log: logging.Logger = logging.getLogger("asyncreload")


# All in seconds.
BURST = 0.1  # a change that follows another one, or its load, so soon belongs to the same burst
STURDY = 2.0  # an app that was killed, and has answered for so long, may be started again at once
INTERRUPT = 0.5  # until the Ctrl-C that ended a child has reached us, too
HEARD_WITHIN = 500_000_000  # nanoseconds until we have heard of a crash, also on a slow machine
KILLED_PAUSE = 0.1  # between two starts of a process that somebody keeps killing

_FROM_OUTSIDE = {
    -signal.SIGKILL,
    -signal.SIGTERM,
    -signal.SIGINT,
    -signal.SIGHUP,
    -signal.SIGQUIT,
}


class EndedRun(Protocol):
    """What counts of a child when it has ended: a `ChildRun` is one."""

    @property
    def go(self) -> Go: ...
    @property
    def since(self) -> int: ...
    @property
    def last_phase(self) -> Phase: ...
    @property
    def left(self) -> Left | None: ...
    @property
    def changed(self) -> FilesChanged | None: ...
    @property
    def files(self) -> dict[str, Any]: ...
    @property
    def unanswered(self) -> tuple[str, ...]: ...
    @property
    def was_silenced(self) -> bool: ...
    @property
    def starts_again(self) -> bool: ...


class RestartPolicy:
    """Decides what comes next, by how a child ended and by what came before.

    target: None for a script.
    address: host and port.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target | None,
        address: tuple[str, int],
        lock: str,
        event_log: EventLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = asdict(settings)
        self._target = target.fields() if target else None
        self._address = address
        self._lock = lock
        self._event_log = event_log
        self._clock = clock
        self.files: dict[str, Any] = {}
        """The project's files, as the last child saw them, with those that have changed since."""
        self._asgi = True if settings.interface == ASGI else None
        self._last_restart = self._last_load = self._last_change = float("-inf")
        self._decided: tuple[FilesChanged, Go] | None = None  # what was said ahead of the end
        self.reload_since: float | None = None
        """When the change was heard of, or the wish to reload, that led to the present load.

        By the clock; None if something else led to it, such as the start or a crash.
        """
        self.paths: tuple[str, ...] = ()
        """The files that have changed since the app, or a report, was last there to answer."""
        self.crash: Crashed | None = None
        """The last crash."""

    def first(self) -> Go:
        """Return what the first child is told."""
        return self._go()

    async def after(self, run: EndedRun, code: int) -> Go | int:
        """Return what the next child is told, or the exit code of us all.

        code: how the child's process ended; -N for signal N.
        """
        meant = run.left is not None and run.left.code == code
        if lockfile.is_gone(self._lock):
            return 0
        if run.starts_again:
            return run.go
        if run.was_silenced or run.changed or (meant and code == RELOAD):
            return self._reload(run)
        if meant and code == 0:
            return 0
        if meant and code > SIGNALLED:
            # If that was Ctrl-C or the terminal's end, it was for us as well.
            await asyncio.sleep(INTERRUPT)
            code = SIGNALLED - code
        return await self._after_crash(run, code)

    def ahead(self, run: EndedRun) -> Go:
        """Return what the next child will be told, as a child has said that it leaves."""
        return self._reload(run)

    def answered(self) -> tuple[str, ...]:
        """Return what has changed, now that requests are answered with it, or with a report."""
        # Until then, nobody has seen what a load would have brought that was given up.
        paths, self.paths = self.paths, ()
        now = self._clock()
        if self._last_load < self._last_restart:
            self._last_restart = now  # a load that takes its time is no life
        self._last_load = now
        return paths

    def has_loaded(self, *, asgi: bool) -> None:
        """Take note of what the app speaks that was loaded."""
        self._asgi = asgi

    def remember(self, files: dict[str, Any]) -> None:
        """Take note of the project's files, as a child saw them."""
        self.files = files

    def _go(self, **fields: Any) -> Go:
        explain = log.isEnabledFor(logging.DEBUG)
        common = {"explain": explain, "asgi": self._asgi}
        return Go(self._settings, self._target, self._address, **common | fields)

    def _reload(self, run: EndedRun) -> Go:
        if self._decided is not None and self._decided[0] is run.changed:
            return self._decided[1]
        now = self._clock()
        changed = run.changed or FilesChanged({}, loading=False)
        in_burst = changed.loading or now - max(self._last_change, self._last_load) < BURST
        self._last_change = self.reload_since = now
        self.files = self.files | changed.files
        self.paths = tuple(dict.fromkeys([*self.paths, *changed.files]))
        go = self._go(changed=changed.files, late=changed.late, settle=in_burst)
        self._decided = (run.changed, go) if run.changed else None
        return go

    async def _after_crash(self, run: EndedRun, code: int) -> Go:
        now = self._clock()
        if run.last_phase in {Phase.WARM, Phase.REPORTING}:
            # Somebody kills our own code. It goes on, but not as fast as it can.
            await asyncio.sleep(KILLED_PAUSE)
            return run.go
        outside = code in _FROM_OUTSIDE and run.last_phase is Phase.SERVING
        again = outside and now - self._last_restart > STURDY
        how, when = describe(code), _when(run)
        self.crash = Crashed(code, f"{how} {when}", again)
        self.paths, self.reload_since = (), None
        self._event_log.tell(self.crash)
        if again:
            self._last_restart = now
            return self._go()
        return self._go(
            crash=(how, when),
            watched=self.files | run.go.changed | run.files,
            since=_may_mend_since(run),
        )


def _may_mend_since(run: EndedRun) -> int:
    """Return from when on a save of any file counts as one that may mend, in ns since the epoch.

    What was saved while the app answered, and is not loaded, has nothing to do with its crash.
    """
    if run.last_phase is not Phase.SERVING:
        return run.since
    return max(run.since, time.time_ns() - HEARD_WITHIN)


def _when(run: EndedRun) -> str:
    """Say what a child was doing, as the end of a sentence."""
    if run.last_phase is not Phase.SERVING or not run.unanswered:
        return run.last_phase.when
    *first, last = first_names(run.unanswered)
    return f"while answering {' and '.join(filter(None, [', '.join(first), last]))}"
