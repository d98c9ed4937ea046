"""The next child: booted already, and waiting for its `go`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asyncreload.errors import AsyncreloadError
from asyncreload.parent.process import Process

_MOST_TRIES = 5


class Standby:
    """Makes children, at best before they are needed. There is no other way to a child.

    start: starts a process.
    bury: kills and reaps one.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Process]],
        bury: Callable[[Process], Awaitable[None]],
    ) -> None:
        self._start = start
        self._bury = bury
        self._making: asyncio.Task[Process] | None = None

    def prepare(self) -> None:
        """Begin to make the next child if that has not begun."""
        if self._making is None:
            self._making = asyncio.create_task(self._make(), name="asyncreload standby")

    async def take(self) -> Process:
        """Return the next child; it has booted, and waits.

        Raises `AsyncreloadError` when children end before they have booted.
        """
        while True:
            self.prepare()
            assert self._making is not None  # noqa: S101  for the type checker
            try:
                child = await self._making
            finally:
                self._making = None
            if not child.has_ended():
                return child
            await self._bury(child)  # somebody killed it while it waited

    def cancel(self) -> list[asyncio.Task[Process]]:
        """Give up on the next child; return what is to be awaited."""
        if self._making is None:
            return []
        self._making.cancel()
        return [self._making]

    async def _make(self) -> Process:
        code = 0
        for _ in range(_MOST_TRIES):
            child = await self._start()
            if await child.has_booted():
                return child
            code = await child.wait()
            await self._bury(child)
            if code >= 0:  # it has said why; after a signal from outside it is worth another try
                break
        raise AsyncreloadError(
            f"the child process ended with exit code {code} before it could load anything; "
            "what it printed above says why"
        )
