"""Whatever a child says, and in whichever order: its run goes on, and never back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreload.phase import Phase
from asyncreload.protocol import Message
from tests.unit.parent.test_child_run import Scene
from tests.unit.test_protocol import MESSAGES

ENDING = {Phase.DRAINING, Phase.GONE}


@pytest.fixture(autouse=True)
def unheard() -> Iterator[None]:
    """What is told may hold surrogates, and pytest-xdist cannot pass them on with the report."""
    log = logging.getLogger("asyncreload")
    log.disabled = True
    yield
    log.disabled = False


@given(st.lists(MESSAGES, max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_messages_are_heard(messages: list[Message]) -> None:
    async def play() -> None:
        scene = Scene.of()
        for message in messages:
            before, last = scene.run.phase, scene.run.last_phase
            after = scene.hears(message)
            assert after is before or before not in ENDING
            assert scene.run.last_phase is last or last is not Phase.SERVING
        await scene.end()
        assert scene.run.phase is Phase.GONE

    asyncio.run(play())
