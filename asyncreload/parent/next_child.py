"""Where the next child comes from; best first: a checkpoint, the standby, a cold start.

The deepest checkpoint that is valid is taken (`Checkpoints`). If there is none, or a load on the
standby is likely to be sooner, the standby is taken; it has booted, and may have imported packages
(`Standby`). If none stands by, one is started now: a cold start.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncreload.parent.checkpoints import Checkpoints
    from asyncreload.parent.process import Process
    from asyncreload.parent.standby import Standby
    from asyncreload.protocol import Go

AS_LONG = 1.25
"""A standby is preferred to a checkpoint only if that would take more than so many times as long: a
load is not expected to the millisecond."""


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
    return left <= AS_LONG * standby


async def next_child(checkpoints: Checkpoints, standby: Standby, go: Go) -> tuple[Process, Origin]:
    """Return the process that will be told this `Go`, and where it comes from.

    Raises what `Standby.take` raises.
    """
    if (child := await checkpoints.take(go)) is not None:
        return child, Origin.CHECKPOINT
    child = await standby.take()
    return child, Origin.STANDBY if standby.has_preloaded else Origin.COLD
