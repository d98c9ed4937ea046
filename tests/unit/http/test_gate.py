"""The gate of a server that does not reload lets every request pass."""

from __future__ import annotations

import pytest

from asyncreload.child.http.gate import Gate, OpenGate


@pytest.mark.asyncio
async def test_an_open_gate_suspects_nothing_and_is_never_stale() -> None:
    gate: Gate = OpenGate()
    assert gate.check() == []
    assert not await gate.stale(["app.py"])
