"""Wait in a loop, for what other tasks and threads do, without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DEADLINE = 10.0
"""Seconds."""


async def until(condition: Callable[[], object]) -> None:
    """Iterate the loop until the condition holds. Raises TimeoutError at the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)
