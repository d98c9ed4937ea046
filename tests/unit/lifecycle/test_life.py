"""A process goes from phase to phase, and never back."""

from __future__ import annotations

from asyncreload.child.lifecycle.life import Life
from asyncreload.phase import Phase


def test_a_phase_is_never_gone_back_from() -> None:
    life = Life()
    assert life.advance(Phase.SERVING)
    assert not life.advance(Phase.LOADING)
    assert life.phase is Phase.SERVING
    assert life.advance(Phase.SERVING)
    assert life.advance(Phase.DRAINING)
