"""The next child: a process that has booted, has imported the packages, and waits for `Go`."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from asyncreload.parent.preload_plan import PreloadPlan
from asyncreload.parent.preparation import Preparation, Stage
from asyncreload.parent.process import Process
from asyncreload.parent.stopgap import Stopgap
from asyncreload.protocol import KnownFiles, Preload
from asyncreload.settings import Settings

log: logging.Logger = logging.getLogger("asyncreload")

# All in seconds.
SLOW = 3.0  # until a person is told what a reload waits for
LOOK_EVERY = 0.25  # between two looks at a process that is waited for

LONGEST_REPLAY = (1.5, 1.0)
"""A replay is waited for so many times as long as the last load from nothing took, plus seconds."""

_WAITS_FOR = {
    Stage.BOOTING: "still starting the next process after {:g} s: "
    "Python itself takes long to start here",
    Stage.PRELOADING: "the next process is still importing packages after {:g} s: "
    "the reload waits for it",
}


class Standby:
    """Prepares processes, at best before they are needed. There is no other way to a child.

    A reload waits for a process that boots as long as that lives, and for one that imports
    packages as long as that is likely to be sooner than a start from nothing. Being late never
    counts as being wrong.

    start: starts a process.
    reap: kills one and waits for its end.
    look_every: seconds.
    stopgap: answers while no process can be started.
    roots: the directories of the project. Where Python itself runs code in them when it starts, no
        process is started before the last child has ended.
    """

    def __init__(
        self,
        settings: Settings,
        start: Callable[[], Awaitable[Process]],
        reap: Callable[[Process], Awaitable[None]],
        stopgap: Stopgap,
        clock: Callable[[], float] = time.monotonic,
        look_every: float = LOOK_EVERY,
        roots: Sequence[str] = (),
    ) -> None:
        self._is_kept_ready = settings.standby
        self._plan = PreloadPlan(replays=settings.standby and settings.preload == "packages")
        self._start = start
        self._reap = reap
        self._stopgap = stopgap
        self._clock = clock
        self._look_every = look_every
        self._roots = [os.path.join(root, "") for root in roots]
        self._next: Preparation | None = None
        self._from_nothing: Preparation | None = None
        self._taken_has_preloaded = False
        self._may_start_early = True
        self._discarded: set[asyncio.Task[None]] = set()

    @property
    def has_preloaded(self) -> bool:
        """Whether packages were imported ahead in the process that was taken last."""
        return self._taken_has_preloaded

    def prepare(self) -> None:
        """Begin to prepare the next child if that has not begun, and one is kept ready."""
        if self._is_kept_ready:
            self.start_next()

    def start_next(self) -> None:
        """Begin to prepare the next child if that has not begun: it will be needed at once.

        But not where Python itself runs code of the project: the last child has to end before.
        """
        if self._may_start_early:
            self._begin_next()

    def _begin_next(self) -> Preparation:
        if self._next is None:
            self._next = self._new_preparation(preloads=self._may_start_early)
        return self._next

    def learn(self, preload: Preload) -> None:
        """Take note of what the present child has imported; a standby that lacks it is replaced."""
        if self._plan.learn(preload):
            self.renew()

    def remember(self, files: dict[str, Any]) -> None:
        """Take note of how the project's files are, and tell the next child."""
        self._plan.known_files = files
        if self._next is not None and (child := self._next.result):
            child.send(KnownFiles(files))

    def renew(self) -> None:
        """Replace the standby: what it has loaded is not what a child would load now."""
        if self._next is not None:
            log.debug("standby: installed packages have changed; it is replaced")
            self._discard_all()
            self.prepare()

    def forget(self) -> None:
        """Have the next child start cold."""
        self._plan.forget()
        self._discard_all()

    def was_wrong(self, reason: str, found: Mapping[str, Any]) -> None:
        """Note that a replay could not stand for a cold start; the next child starts cold.

        found: the conditions after its load that were not those of the load replayed.
        """
        self._plan.was_wrong(reason, found)
        self._discard_all()

    def has_loaded(self, seconds: float) -> None:
        """Note that the child that was taken last has loaded the app, and how long that took."""
        if self._taken_has_preloaded:
            self._plan.was_right(seconds)
        else:
            self._plan.cold_load = seconds

    def expected_load(self) -> float:
        """Return how many seconds a load on the process that stands by is expected to take.

        Infinite as long as none is ready that has imported packages.
        """
        if self._next is None or self._next.result is None or not self._next.has_preloaded:
            return math.inf
        return self._plan.expected_load(self._next.replay_seconds)

    async def take(self) -> Process:
        """Return the next child; it has booted, and waits.

        Raises `AsyncreloadError` when children end before they have booted, and OSError when none
        can be started for good.
        """
        try:
            return await self._take()
        finally:
            self._stopgap.close()

    async def _take(self) -> Process:
        asked = began = self._clock()
        told, early = False, self._next
        while True:
            candidates = self._candidates()
            for one in candidates:
                if one.task.done() and (child := await self._claim(one, is_early=one is early)):
                    return child
                if not one.task.done() and one.is_stopped():
                    self._discard(one)
            if candidates[-1].stage is Stage.STARTING:
                began = self._clock()  # nothing is slow yet; why there is no process is told
                if candidates[-1].lack and began - asked >= SLOW:
                    self._stopgap.open(candidates[-1].lack)
            if not told and self._clock() - began >= SLOW:
                told = _tell_what_is_waited_for(candidates[-1].stage)
            await asyncio.wait(
                {one.task for one in candidates},
                timeout=self._look_every,
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def take_ready(self) -> Process | None:
        """Return the next child if it stands by; none is started, as the last one is still there.

        None as well if Python has run code of the project in it, in `sitecustomize` say: that may
        be older than the save by now.
        """
        one = self._next
        if one is None or one.result is None or one.result.ran_at_start:
            return None
        return await self._claim(one, is_early=True)

    async def end(self) -> None:
        """Give up on the next child."""
        self._discard_all()
        while self._discarded:
            await asyncio.wait(self._discarded)

    def _candidates(self) -> list[Preparation]:
        """Return what is being prepared, of which the first that is ready will be taken.

        A replay is a part of what a start from nothing does, so it takes no longer than the last
        one of those: it is waited for, whatever is left of it. If it takes half as long again and
        a second more, it may never end. Then a process is started that imports nothing ahead. The
        replay goes on beside it, for the next reload.
        """
        first = self._begin_next()
        times, margin = LONGEST_REPLAY
        longest = self._plan.cold_load * times + margin
        if self._from_nothing is None and first.has_preloaded_for(longest):
            log.debug("standby: its imports take longer than a load; starting from nothing")
            self._from_nothing = self._new_preparation(preloads=False)
        return [first] if self._from_nothing is None else [first, self._from_nothing]

    async def _claim(self, done: Preparation, *, is_early: bool) -> Process | None:
        """Return the process that is ready; None if it cannot be used.

        Somebody may have killed or stopped it since. Or Python has run code of the project in it
        while the last child was still there (`is_early`): that is older than the save.
        """
        child = done.task.result()
        self._note_code_at_start(child.ran_at_start)
        is_old = is_early and not self._may_start_early
        if child.has_ended() or child.is_stopped() or is_old:
            self._forget(done)
            await self._reap(child)
            return None
        if done is self._next and self._from_nothing is not None:
            self._discard(self._from_nothing)
        self._forget(done)
        self._taken_has_preloaded = done.has_preloaded
        return child

    def _note_code_at_start(self, ran: tuple[str, ...]) -> None:
        paths = [path for path in ran if any(path.startswith(root) for root in self._roots)]
        if paths and self._may_start_early and self._is_kept_ready:
            log.warning(
                "no process stands by for the next reload: Python itself runs %s of the project "
                "when it starts (sitecustomize, or a .pth file); import it in the app instead",
                paths[0],
            )
        self._may_start_early = not paths

    def _new_preparation(self, *, preloads: bool) -> Preparation:
        return Preparation(self._plan, self._start, self._reap, self._clock, preloads=preloads)

    def _forget(self, one: Preparation) -> None:
        if one is self._next:
            self._next = None
        else:
            self._from_nothing = None

    def _discard(self, one: Preparation) -> None:
        self._forget(one)
        task = asyncio.create_task(one.undo())
        self._discarded.add(task)
        task.add_done_callback(self._discarded.discard)

    def _discard_all(self) -> None:
        for one in (self._next, self._from_nothing):
            if one is not None:
                self._discard(one)


def _tell_what_is_waited_for(stage: Stage) -> bool:
    """Say in one line why a reload takes so long; tell whether there was anything to say."""
    if text := _WAITS_FOR.get(stage):
        log.warning("%s", text.format(SLOW))
    return bool(text)
