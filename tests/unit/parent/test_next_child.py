"""The next child comes from a checkpoint, from the standby, or from nothing: in this order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import pytest

from asyncreload.parent.next_child import Origin, is_checkpoint_sooner, next_child
from asyncreload.parent.process import Process
from asyncreload.protocol import Go

if TYPE_CHECKING:
    from asyncreload.parent.checkpoints import Checkpoints
    from asyncreload.parent.standby import Standby

FROZEN, WARM = cast("Process", "from a checkpoint"), cast("Process", "has booted")
GO = Go({}, None, ("127.0.0.1", 8000))


class Source:
    """What gives out a process, or None."""

    def __init__(self, child: Process | None, *, has_preloaded: bool = False) -> None:
        self.child = child
        self.has_preloaded = has_preloaded
        self.asked = 0

    async def take(self, _: Go | None = None) -> Process | None:
        self.asked += 1
        return self.child


@pytest.mark.parametrize(
    ("frozen", "has_preloaded", "taken"),
    [
        (FROZEN, True, (FROZEN, Origin.CHECKPOINT)),
        (None, True, (WARM, Origin.STANDBY)),
        (None, False, (WARM, Origin.COLD)),
    ],
)
@pytest.mark.asyncio
async def test_best_first(
    *, frozen: Process | None, has_preloaded: bool, taken: tuple[Process, Origin]
) -> None:
    checkpoints, standby = Source(frozen), Source(WARM, has_preloaded=has_preloaded)
    sources = cast("Checkpoints", checkpoints), cast("Standby", standby)
    assert await next_child(*sources, GO) == taken
    assert standby.asked == (frozen is None)  # it is kept for the next reload


@pytest.mark.parametrize(
    ("left", "standby", "sooner"), [(1.0, math.inf, True), (1.2, 1.0, True), (1.3, 1.0, False)]
)
def test_the_standby_is_preferred_only_where_it_is_clearly_sooner(
    *, left: float, standby: float, sooner: bool
) -> None:
    assert is_checkpoint_sooner(left, standby) is sooner
