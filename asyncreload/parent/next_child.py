"""Where the next child comes from; best first: a checkpoint, the standby, a cold start.

The deepest checkpoint that is valid is taken (`Checkpoints`). If there is none, or a load on the
standby is likely to be sooner, the standby is taken; it has booted, and may have imported packages
(`Standby`). If none stands by, one is started now: a cold start.

A process that stands by is taken as soon as the last one is known to leave, and told what it will
load. So it begins when it hears the farewell of that one, without waiting for us.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from asyncreload.tasks import cancel

if TYPE_CHECKING:
    from asyncreload.parent.checkpoints import Checkpoints
    from asyncreload.parent.process import Process
    from asyncreload.parent.standby import Standby
    from asyncreload.protocol import Go

log: logging.Logger = logging.getLogger("asyncreload")

AS_LONG = 1.1
SLACK = 0.02
"""A standby is preferred to a checkpoint only if that would take more than so many times as long,
and seconds longer: a load is not expected to the millisecond."""


class Origin(Enum):
    """Where a child comes from, and so how much of its load was done before."""

    CHECKPOINT = "checkpoint"
    """It goes on from the middle of an earlier load."""
    STANDBY = "standby"
    """Its packages were imported ahead."""
    COLD = "cold"
    """It has begun with nothing."""


def is_checkpoint_sooner(left: float, standby: float) -> bool:
    """Tell whether a load is likely to be sooner from a checkpoint than on the standby.

    If the first load has taken the checkpoint before packages were imported, it has none of them. A
    standby that has them is sooner; the checkpoints of its load have them, too.

    left, standby: the seconds that either load is expected to take.
    """
    return left <= AS_LONG * standby + SLACK


class Taken(NamedTuple):
    """The next child."""

    child: Process
    origin: Origin
    go: Go
    """What it is to be told, with the checkpoints that it is to take."""
    waited: float = 0.0
    """Seconds in which no process was ready."""


class NextChild:
    """Takes the process that loads next. Uses the running loop.

    discard: has a process ended that is not needed.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        standby: Standby,
        discard: Callable[[Process], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._checkpoints = checkpoints
        self._standby = standby
        self._discard = discard
        self._told: Go | None = None
        self._taking: asyncio.Task[Taken | None] | None = None

    def take_ahead(self, go: Go, after: int) -> None:
        """Take the process that stands by, if one does, and tell it what it will load.

        after: the process ID of the child that leaves.
        """
        self._told = go
        self._taking = asyncio.create_task(
            self._take_ahead(go, after), name="asyncreload next child"
        )

    async def take(self, go: Go) -> Taken:
        """Return the process that is to load what `go` says.

        One that was taken ahead may have begun, if the last child has said farewell. If that was
        told anything else, it has not: then the last child has not left by itself.

        Raises what `Standby.take` raises.
        """
        taken = await self._taking if self._taking is not None else None
        is_lost = taken is not None and not await _is_well(taken.child)
        self._taking = None
        if taken is not None and is_lost:
            self._discard(taken.child)
        if taken is None or is_lost:
            return await self._take(go)
        return taken if go == self._told else taken._replace(go=self._checkpoints.asked(go))

    @property
    def told_ahead(self) -> Process | None:
        """The process that was told ahead what to load, and so may have begun; None if none was."""
        taking = self._taking
        if taking is None or not taking.done() or taking.cancelled() or taking.exception():
            return None
        taken = taking.result()
        return taken.child if taken is not None else None

    async def end(self) -> None:
        """Take none ahead any more."""
        taking, self._taking = self._taking, None
        if taking is not None:
            await cancel(taking)

    async def _take_ahead(self, go: Go, after: int) -> Taken | None:
        if (child := await self._checkpoints.take(go)) is not None:
            taken = self._as_taken(child, Origin.CHECKPOINT, go)
        elif (child := await self._standby.take_ready()) is not None:
            taken = self._as_taken(child, self._standby_origin(), go)
        else:
            return None
        taken.child.send(taken.go.replaced(after=after))
        log.debug("%s: process %d is to load next", taken.origin.value, taken.child.pid)
        return taken

    async def _take(self, go: Go) -> Taken:
        if (child := await self._checkpoints.take(go)) is not None:
            return self._as_taken(child, Origin.CHECKPOINT, go)
        began = self._clock()
        child = await self._standby.take()
        taken = self._as_taken(child, self._standby_origin(), go)
        return taken._replace(waited=self._clock() - began)

    def _standby_origin(self) -> Origin:
        return Origin.STANDBY if self._standby.has_preloaded else Origin.COLD

    def _as_taken(self, child: Process, origin: Origin, go: Go) -> Taken:
        return Taken(child, origin, self._checkpoints.asked(go))


async def _is_well(child: Process) -> bool:
    """Tell whether a process is to be heard: it can go on, or its end is that of the app.

    If it has begun, whatever has become of it since was the app's doing. If not, somebody has
    killed or stopped it while it stood by.
    """
    return not (child.has_ended() or child.is_stopped()) or await child.has_begun()
