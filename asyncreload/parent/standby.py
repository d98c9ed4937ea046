"""The next child: booted already, warm, and waiting for its `go`."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from asyncreload.errors import AsyncreloadError
from asyncreload.parent.process import Process
from asyncreload.protocol import Data, KnownFiles, Preload
from asyncreload.settings import Settings

log: logging.Logger = logging.getLogger("asyncreload")

_LACKING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC}
    | {errno.ENOENT, errno.ENOTDIR}  # until the current directory is checked out again, say
)
_MOST_TRIES = 5
_MOST_COLD = 2
"""After so many replays in a row that did not fit, an app is not replayed any more."""

# In seconds.
WARM = 60.0  # what a replay may take before it is given up
PATIENCE = 5.0  # how long a reload waits for what is left of a replay
PAUSE = 0.1  # until another try, when the system lacks the means for a process


class Standby:
    """Makes children, at best before they are needed. There is no other way to a child.

    start: starts a process.
    bury: kills and reaps one.
    """

    def __init__(
        self,
        settings: Settings,
        start: Callable[[], Awaitable[Process]],
        bury: Callable[[Process], Awaitable[None]],
    ) -> None:
        self._ahead = settings.standby
        self._replays = settings.standby and settings.preload == "packages"
        self._start = start
        self._bury = bury
        self._preload: Preload | None = None
        self._failed: set[str] = set()
        self._mismatches: Data = {}
        self._colds = 0
        self._lacks = False
        self._files: dict[str, Any] = {}
        self._making: asyncio.Task[Process] | None = None
        self._discarded: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """Begin to make the next child if that has not begun, and is wanted."""
        if self._ahead:
            self.hurry()

    def hurry(self) -> asyncio.Task[Process]:
        """Begin to make the next child if that has not begun: it will be needed at once."""
        if self._making is None:
            self._making = asyncio.create_task(self._make(), name="asyncreload standby")
        return self._making

    def learn(self, preload: Preload) -> None:
        """Take note of what the present child has imported; a standby that lacks it is replaced."""
        if not self._replays:
            return
        preload = self._as_learned(preload)
        if not preload.is_like(self._preload):
            self._preload = preload
            self.renew()

    def remember(self, files: dict[str, Any]) -> None:
        """Take note of how the project's files are, and tell the next child."""
        self._files = files
        if self._making is not None and (child := _made(self._making)):
            child.send(KnownFiles(files))

    def renew(self) -> None:
        """Replace the standby: what it has loaded is not what a child would load now."""
        if self._making is not None:
            self._discard()
            self.prepare()

    def forget(self) -> None:
        """Have the next child start cold."""
        log.debug("standby: what it imported ahead may be outdated; the next one starts cold")
        self._preload, self._mismatches = None, {}
        self._discard()

    def was_wrong(self) -> None:
        """Note that a replay did not fit; the next child starts cold."""
        log.debug("standby: what it imported ahead did not fit")
        self._colds += 1
        self._replays = self._replays and self._colds < _MOST_COLD
        self.forget()

    def was_right(self) -> None:
        """Note that a child has loaded the app."""
        self._colds = 0 if self._preload is not None else self._colds

    async def take(self) -> Process:
        """Return the next child; it has booted, and waits.

        Raises `AsyncreloadError` when children end before they have booted.
        """
        while True:
            making = self.hurry()
            await asyncio.wait({making}, timeout=PATIENCE)
            if not making.done():
                if not self._lacks:
                    self.was_wrong()
                continue
            self._making = None
            child = making.result()
            if not child.has_ended():
                return child
            await self._bury(child)  # somebody killed it while it waited

    async def end(self) -> None:
        """Give up on the next child."""
        self._discard()
        while self._discarded:
            await asyncio.wait(self._discarded)

    def _discard(self) -> None:
        if self._making is None:
            return
        task = asyncio.create_task(self._undo(self._making))
        self._making = None
        self._discarded.add(task)
        task.add_done_callback(self._discarded.discard)

    async def _undo(self, making: asyncio.Task[Process]) -> None:
        making.cancel()
        await asyncio.wait({making})
        if child := _made(making):
            await self._bury(child)

    async def _make(self) -> Process:
        code = 0
        for tried in range(_MOST_TRIES):
            if tried == _MOST_TRIES - 1:
                self._give_up()
            child = await self._start_when_possible()
            try:
                if await child.has_booted():
                    if await self._is_warm(child):
                        child.send(KnownFiles(self._files))
                        return child
                else:
                    code = await child.wait()
            except BaseException:
                await self._bury(child)
                raise
            await self._bury(child)
            if code > 0:  # it has said why; after a signal from outside it is worth another try
                break
        raise AsyncreloadError(
            f"the child process ended with exit code {code} before it could load anything; "
            "what it printed above says why"
        )

    async def _start_when_possible(self) -> Process:
        """Start a process; as long as it lacks descriptors, memory, a directory or such, wait."""
        self._lacks = False
        while True:
            try:
                child = await self._start()
            except OSError as exc:
                if exc.errno not in _LACKING:
                    raise
                if not self._lacks:
                    what = f"{exc.strerror}: {exc.filename}" if exc.filename else exc.strerror
                    log.warning("cannot start a process: %s; trying again", what)
                self._lacks = True
                await asyncio.sleep(PAUSE)
            else:
                self._lacks = False
                return child

    async def _is_warm(self, child: Process) -> bool:
        """Have a child replay the recipe; tell whether it is as good as new after that."""
        if self._preload is None or not self._preload.modules:
            log.debug("standby: process %d is up; nothing is imported ahead", child.pid)
            return True
        try:
            async with asyncio.timeout(WARM):
                warmed = await child.warm(self._preload)
        except TimeoutError:
            warmed = None
        if warmed is None or not (warmed.fits or warmed.failed or warmed.mismatches):
            log.debug("standby: process %d did not survive its imports, or differs", child.pid)
            self._give_up()  # it died of it, or would not end, or is not what it should be
            return False
        if warmed.failed:
            log.debug("standby: left out from now on: %s", ", ".join(warmed.failed))
        elif warmed.mismatches:
            log.debug("standby: %d data differ; comparing once more", len(warmed.mismatches))
        elif warmed.stopped:
            log.debug("standby: process %d leaves off before %s", child.pid, warmed.stopped)
        else:
            known = len(self._preload.modules)
            log.debug("standby: process %d has imported %d modules", child.pid, known)
        self._failed |= {*warmed.failed}
        self._mismatches = self._mismatches | warmed.mismatches
        self._preload = self._as_learned(self._preload)
        return not (warmed.failed or warmed.mismatches)

    def _as_learned(self, preload: Preload) -> Preload:
        kept = tuple(name for name in preload.modules if name not in self._failed)
        return preload.replaced(modules=kept, mismatches=self._mismatches)

    def _give_up(self) -> None:
        """Replay nothing from now on."""
        log.debug("standby: nothing is imported ahead from now on")
        self._preload, self._replays = None, False


def _made(making: asyncio.Task[Process]) -> Process | None:
    """Return the child that has been made, if it has."""
    if not making.done() or making.cancelled() or making.exception():
        return None
    return making.result()
