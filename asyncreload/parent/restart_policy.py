"""What follows when a child has ended: what the next one is told, or the end of us all."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import asdict
from typing import Any

from asyncreload import lockfile
from asyncreload.events import Crashed
from asyncreload.parent.child_run import ChildRun
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.process import describe
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, Go
from asyncreload.settings import Settings
from asyncreload.target import Target

log: logging.Logger = logging.getLogger("asyncreload")

RELOAD = 3
SIGNALLED = 128

# All in seconds.
BURST = 0.1  # a change that follows another one, or its load, so soon belongs to the same burst
STURDY = 2.0  # an app that lived so long since it was killed may be started again at once
INTERRUPT = 0.5  # until the Ctrl-C that ended a child has reached us, too
FRENZY = 0.1  # between two starts of a process that somebody keeps killing

_FROM_OUTSIDE = {
    -signal.SIGKILL,
    -signal.SIGTERM,
    -signal.SIGINT,
    -signal.SIGHUP,
    -signal.SIGQUIT,
}


class RestartPolicy:
    """Decides what comes next, by how a child ended and by what came before."""

    def __init__(
        self,
        settings: Settings,
        target: Target | None,
        address: tuple[str, int],
        lock: str,
        feed: EventLog,
    ) -> None:
        self._settings = asdict(settings)
        self._target = target.fields() if target else None
        self._address = address
        self._lock = lock
        self._event_log = feed
        self._files: dict[str, Any] = {}
        self._last_restart = self._last_load = float("-inf")
        self.last_change: float = float("-inf")
        """When files were last changed, or a reload asked for, by the loop's clock."""
        self.paths: tuple[str, ...] = ()
        """The files that have changed since the app, or a report, was last there to answer."""
        self.crash: Crashed | None = None
        """The last crash."""

    def first(self) -> Go:
        """Return what the first child is told."""
        return self._go()

    async def after(self, life: ChildRun, code: int) -> Go | int:
        """Return what the next child is told, or the exit code of us all."""
        meant = life.left is not None and life.left.code == code
        if lockfile.is_gone(self._lock):
            return 0
        if life.cold:
            return life.go
        if life.silenced or life.changed or (meant and code == RELOAD):
            return self._reload(life)
        if meant and code == 0:
            return 0
        if meant and code > SIGNALLED:
            # If that was Ctrl-C or the terminal's end, it was for us as well.
            await asyncio.sleep(INTERRUPT)
            code = SIGNALLED - code
        return await self._after_crash(life, code)

    def answered(self) -> tuple[str, ...]:
        """Return what has changed, now that requests are answered with it, or with a report."""
        # Until then, nobody has seen what a load would have brought that was given up.
        paths, self.paths = self.paths, ()
        self._last_load = asyncio.get_running_loop().time()
        return paths

    def remember(self, files: dict[str, Any]) -> None:
        """Take note of the project's files, as a child saw them."""
        self._files = files

    def _go(self, **fields: Any) -> Go:
        explain = log.isEnabledFor(logging.DEBUG)
        return Go(self._settings, self._target, self._address, explain=explain, **fields)

    def _reload(self, life: ChildRun) -> Go:
        now = asyncio.get_running_loop().time()
        changed = life.changed or FilesChanged({}, loading=False)
        in_burst = changed.loading or now - max(self.last_change, self._last_load) < BURST
        self.last_change = now
        self._files = self._files | changed.files
        self.paths = tuple(dict.fromkeys([*self.paths, *changed.files]))
        return self._go(changed=changed.files, settle=in_burst)

    async def _after_crash(self, life: ChildRun, code: int) -> Go:
        now = asyncio.get_running_loop().time()
        if life.phase in {Phase.WARM, Phase.REPORTING}:
            # Somebody kills our own code. It goes on, but not in a frenzy.
            await asyncio.sleep(FRENZY)
            return life.go
        outside = code in _FROM_OUTSIDE and life.phase is Phase.SERVING
        again = outside and now - self._last_restart > STURDY
        self.crash = Crashed(code, f"{describe(code)} {life.phase.when}", again)
        self.paths = ()
        self._event_log.tell(self.crash)
        if again:
            self._last_restart = now
            return self._go()
        return self._go(
            crash=(describe(code), life.phase.when),
            watched=self._files | life.go.changed | life.files,
            since=life.since,
        )
