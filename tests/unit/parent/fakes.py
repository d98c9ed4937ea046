"""What stands for a process, a watchdog and their surroundings in unit tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import cast

from asyncreload.parent.process import Process
from asyncreload.process_state import ProcessState
from asyncreload.protocol import Go, Going, Left, Message

NO_PROCESS = 2**30
"""A process ID that no system gives, so that nothing is found of it and nothing killed."""
GO = Go({}, None, ("127.0.0.1", 1))


class FakeCheckpoints:
    """There are none, unless a test says so; notes what is asked of it."""

    def __init__(self) -> None:
        self.asked_for: list[str] = []
        self.is_resuming = False
        self.next: Process | None = None

    async def open(self) -> None:
        self.asked_for.append("open")

    def asked(self, go: Go) -> Go:
        return go

    def pids(self) -> set[int]:
        return set()

    def on_change(self, changed: Mapping[str, object]) -> None:
        self.asked_for.append(f"change {' '.join(changed)}".strip())

    def prepare(self) -> None:
        self.asked_for.append("prepare")

    def has_loaded(self, seconds: float) -> None:
        self.asked_for.append(f"loaded in {seconds:g}")

    def has_refreshed(self, files: Iterable[str]) -> None:
        self.asked_for.append(f"refreshed {' '.join(files)}".strip())

    def forget(self) -> None:
        self.asked_for.append("forget")

    def was_refused(self, reason: str) -> None:
        self.asked_for.append(f"refused {reason}")

    async def take(self, go: Go) -> Process | None:
        del go
        child, self.next = self.next, None
        return child

    async def tell_memory(self) -> None:
        pass

    async def end(self) -> None:
        self.asked_for.append("end")


class FakeChild:
    """A child without a process: the test is told what it hears, and says what it says.

    Its seconds are over at once.
    """

    def __init__(self, number: int = 0) -> None:
        self.pid = NO_PROCESS + number
        self.heard: list[Message] = []
        self.answers: Callable[[Message], object] = lambda _: None
        """Called for each message that it hears."""
        self.reaped = False
        self.killed = False
        self.ran_at_start: tuple[str, ...] = ()
        self.stopped = False
        self.announced: int | None = None
        self.had: list[float] = []
        """The seconds that it was given."""
        self.state: ProcessState | None = None
        self._has_begun = False
        self._says: asyncio.Queue[Message | None] = asyncio.Queue()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def process(self) -> Process:
        return cast("Process", self)

    async def read_state(self) -> ProcessState | None:
        return self.state

    # --- the test's side ---------------------------------------------------------------------

    def says(self, *messages: Message) -> None:
        for message in messages:
            self._has_begun |= isinstance(message, Going)
            self._says.put_nowait(message)

    def dies(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)
            self._says.put_nowait(None)

    # --- what a `Process` has ----------------------------------------------------------------

    def send(self, message: Message) -> None:
        self.heard.append(message)
        self.answers(message)

    def announce(self, code: int) -> None:
        self.announced = code

    async def messages(self) -> AsyncIterator[Message]:
        while (message := await self._says.get()) is not None:
            yield message

    async def has_booted(self) -> bool:
        return True

    async def has_begun(self) -> bool:
        return self._has_begun

    async def has_vanished(self) -> bool:
        return any([isinstance(one, Left) and one.vanished async for one in self.messages()])

    def has_ended(self) -> bool:
        return self._code.done()

    def is_stopped(self) -> bool:
        return self.stopped

    async def has_had(self, seconds: float) -> None:
        self.had.append(seconds)
        await asyncio.sleep(0)

    @asynccontextmanager
    async def fair_timeout(self, seconds: float, most: float | None = None) -> AsyncIterator[None]:
        self.had.append(seconds)
        async with asyncio.timeout(0):
            yield

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def stop(self) -> None:
        self.stopped = True

    def kill(self) -> None:
        self.killed = True
        self.dies(-9)

    async def close(self) -> None:
        self.kill()
        self.reaped = True


async def rest() -> None:
    """Let the loop run until nothing is to be done any more."""
    for _ in range(50):
        await asyncio.sleep(0)
