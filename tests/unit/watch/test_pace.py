"""Looks come the more seldom, the more they cost: within limits."""

from __future__ import annotations

import pytest

from asyncreload.child.watch.pace import Pace


@pytest.mark.parametrize(
    ("pace", "cost", "pause"),
    [
        (Pace.ASKED, 0.0, 0.0),
        (Pace.ASKED, 0.0012, 1.0),
        (Pace.UNASKED, 0.0012, 2.0),
        (Pace.UNASKED, 1.0, 5.0),
        (Pace.PACKAGES, 0.0, 2.0),
        (Pace.PACKAGES, 1.0, 5.0),
        (Pace.SWEEP, 0.004, 40.0),
        (Pace.SWEEP, 1.0, 60.0),
    ],
)
def test_a_pause_is_a_multiple_of_the_cost_within_limits(
    pace: Pace, cost: float, pause: float
) -> None:
    assert pace.pause(cost) == pytest.approx(pause)
