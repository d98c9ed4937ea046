"""The heartbeat of the supervisor: it touches its lockfile again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiofiles.os

from asyncreload import lockfile

log: logging.Logger = logging.getLogger("asyncreload")

_touch = aiofiles.os.wrap(lockfile.touch)


async def touch_until_deleted(
    lock: str, interval: float, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Touch the lockfile every `interval` seconds (but at least two), until somebody deletes it."""
    told = False
    while True:
        await sleep(lockfile.pace(interval))
        try:
            await _touch(lock)
        except FileNotFoundError:
            return
        except (OSError, RuntimeError) as exc:  # the latter when no thread can be had
            if not told:
                log.warning("cannot touch the lockfile: %s; going on", exc)
            told = True
