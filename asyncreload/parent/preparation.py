"""One process on its way to being the next child: it is started, boots, and imports packages."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from asyncreload.errors import AsyncreloadError
from asyncreload.parent.preload_plan import PreloadPlan
from asyncreload.parent.process import Process
from asyncreload.protocol import KnownFiles

log: logging.Logger = logging.getLogger("asyncreload")

_LACKING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC}
    | {errno.ETXTBSY}  # while the interpreter is replaced
)
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
"""Of the current directory, until it is checked out again, say; or of the interpreter."""
_MOST_TRIES = 12
_MOST_REPLAYS = 8
"""Of these tries: each replay may find packages that the next one is to leave out."""
BOOT_PAUSES = 0.5, 5.0
"""Seconds until another try when processes do not boot any more: at first, and at last."""
RETRY_PAUSE = 0.1
"""Seconds until another try, when the system lacks the means for a process."""


class Stage(Enum):
    """How far a preparation has come."""

    STARTING = auto()
    """There is no process yet; the system may lack the means for one."""
    BOOTING = auto()
    """Python is starting, and our own modules are being imported."""
    PRELOADING = auto()
    """The packages are being imported that the last child has imported."""
    READY = auto()
    """It waits for `Go`."""


class Preparation:
    """Makes one process ready. Several may be started for that, one after the other.

    Made in a running event loop, where it begins at once. Its task returns the process. It raises
    `AsyncreloadError` when processes end before they have booted, and OSError when none can be
    started for good.

    start: starts a process.
    reap: kills one and waits for its end.
    preloads: whether it imports anything; if not, it starts from nothing.
    """

    def __init__(
        self,
        plan: PreloadPlan,
        start: Callable[[], Awaitable[Process]],
        reap: Callable[[Process], Awaitable[None]],
        clock: Callable[[], float],
        *,
        preloads: bool,
    ) -> None:
        self._plan = plan
        self._start = start
        self._reap = reap
        self._clock = clock
        self._preloads = preloads
        self._child: Process | None = None
        self._replays_since: float | None = None
        self.stage: Stage = Stage.STARTING
        self.lack: str = ""
        """Why no process can be started, while that is so, and likely to last."""
        self.has_preloaded: bool = False
        """Whether packages were imported in the process that is, or becomes, ready."""
        self.replay_seconds: float = 0.0
        """How long that took."""
        self.task: asyncio.Task[Process] = asyncio.create_task(
            self._make(), name="asyncreload standby"
        )

    @property
    def result(self) -> Process | None:
        """The process, when it is ready; None before, and when there will be none."""
        if not self.task.done() or self.task.cancelled() or self.task.exception():
            return None
        return self.task.result()

    def is_stopped(self) -> bool:
        """Tell whether somebody has stopped the process, so that it will not become ready."""
        return self._child is not None and self._child.is_stopped()

    def has_preloaded_for(self, seconds: float) -> bool:
        """Tell whether it is not ready so many seconds after its first process began to import."""
        if self._replays_since is None or self.stage is Stage.READY:
            return False
        return self._clock() - self._replays_since > seconds

    async def undo(self) -> None:
        """Give up: end the process, whether it is ready or not."""
        self.task.cancel()
        await asyncio.wait({self.task})
        if child := self.result:
            await self._reap(child)

    async def _make(self) -> Process:
        """Return a process that is ready.

        Once one has booted, the next not doing so is no reason to end: Python, or asyncreload, is
        being installed anew, or the project breaks what Python runs at its start.
        """
        pause, told = BOOT_PAUSES[0], False
        while True:
            made, code = await self._try_often()
            if made is not None:
                self._plan.has_booted = True
                return made
            if not self._plan.has_booted:
                raise AsyncreloadError(
                    f"the child process ended with exit code {code} before it could load anything; "
                    "what it printed above says why"
                )
            if not told:
                log.warning("no process starts any more, as told above; trying again")
            told, self.lack = True, "none comes up any more"
            await asyncio.sleep(pause)
            pause = min(2 * pause, BOOT_PAUSES[1])

    async def _try_often(self) -> tuple[Process | None, int]:
        """Return a process that is ready, or None and the exit code of the last that has ended."""
        code = 0
        for left in reversed(range(_MOST_TRIES)):
            if left < _MOST_TRIES - _MOST_REPLAYS:  # the last tries are the simplest
                self._preloads = False
            self._child = child = await self._start_when_possible()
            try:
                self.stage = Stage.BOOTING
                if await child.has_booted():
                    if await self._preload(child):
                        child.send(KnownFiles(self._plan.known_files))
                        self.stage = Stage.READY
                        return child, 0
                else:
                    code = await child.wait()
            except BaseException:
                await self._reap(child)
                raise
            self.stage = Stage.STARTING
            self._child = None
            await self._reap(child)
            if code > 0:  # it has said why; after a signal from outside it is worth another try
                break
        return None, code

    async def _start_when_possible(self) -> Process:
        """Start a process; as long as it lacks descriptors, memory, a directory or such, wait."""
        told = False
        while True:
            try:
                child = await self._start()
            except OSError as exc:
                if not _may_pass(exc):
                    raise
                if not told:
                    what = f"{exc.strerror}: {exc.filename}" if exc.filename else exc.strerror
                    log.warning("cannot start a process: %s; trying again", what)
                told = True
                self.lack = "" if exc.errno in _LACKING else str(exc.strerror)
                await asyncio.sleep(RETRY_PAUSE)
            else:
                self.lack = ""
                return child

    async def _preload(self, child: Process) -> bool:
        """Have the packages imported; tell whether the process is as good as a new one then."""
        preload = self._plan.preload if self._preloads else None
        self.has_preloaded = preload is not None and preload.is_something
        if preload is None or not preload.is_something:
            log.debug("process %d is up; nothing is imported ahead", child.pid)
            return True
        self.stage = Stage.PRELOADING
        if self._replays_since is None:
            self._replays_since = self._clock()
        began = self._clock()
        preloaded = await child.preload(preload)
        self.replay_seconds = self._clock() - began
        return self._plan.accepts(child.pid, preloaded)


def _may_pass(error: OSError) -> bool:
    """Tell whether another try may succeed.

    A directory may be closed for a moment, the current one too. An interpreter that is there and
    may not be run stays so.
    """
    is_closed = error.errno == errno.EACCES and bool(error.filename)
    return error.errno in _LACKING | _MISSING or (is_closed and not os.path.isfile(error.filename))
