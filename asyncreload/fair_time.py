"""Timeouts that do not punish a process for a machine that is slow.

A process that is to answer within a second may be fine, and just get no processor: others use it
all, or its memory was swapped out. So what is measured is the time that it could have used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from asyncreload.process_state import ProcessState

STEP = 0.1
"""Seconds between two looks at the process. A step that lasts longer, as when the host blocks our
event loop and we cannot hear the process either, counts no more than that."""
_EPSILON = 1e-9

Read = Callable[[], Awaitable[ProcessState | None]]
Sleep = Callable[[float], Awaitable[object]]


@asynccontextmanager
async def fair_timeout(
    read: Read, seconds: float, most: float | None = None, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[None]:
    """Like `asyncio.timeout`, but in time that a process could have used: see `fair_sleep`.

    most: seconds by the clock after which it is over in any case.

    Raises TimeoutError when the time is over.
    """
    async with asyncio.timeout(most) as timeout:
        timer = asyncio.ensure_future(fair_sleep(read, seconds, sleep))

        def expire(timer: asyncio.Future[None]) -> None:
            if not timer.cancelled() and timer.exception() is None:
                with suppress(RuntimeError):  # what was to be done in time is done just now
                    timeout.reschedule(asyncio.get_running_loop().time())

        timer.add_done_callback(expire)
        try:
            yield
        finally:
            timer.cancel()


async def fair_sleep(read: Read, seconds: float, sleep: Sleep = asyncio.sleep) -> None:
    """Sleep until a process has had so many seconds in which it could have acted.

    While it wants to run, only the CPU time counts that it gets; while it sleeps or is stopped,
    time counts in full. What cannot be read counts in full, too.

    read: returns the state of the process; or of several, of which one may end, and be counted no
        more.
    """
    step = min(STEP, seconds)
    had = 0.0
    before: ProcessState | None = None
    while had < seconds - _EPSILON:
        await sleep(step)
        now = await read()
        if now is None or before is None or not now.wants_to_run:
            had += step
        else:
            had += max(0.0, min(step, now.cpu_seconds - before.cpu_seconds))
        before = now
