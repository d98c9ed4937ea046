"""Stand-ins for what an agent works with: the main thread, the parent, the end of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict
from types import FrameType, SimpleNamespace
from typing import Any, cast

from asyncreload.child.lifecycle.life import Life
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.shutdown import ProcessEnd
from asyncreload.finalization import Finalization
from asyncreload.lockfile import Verdict
from asyncreload.phase import Phase
from asyncreload.protocol import Go, Message
from asyncreload.settings import Settings
from asyncreload.target import Target


class MainThread:
    """Is woken and interrupted, and notes that."""

    def __init__(self) -> None:
        self.woken = 0
        self.interrupted = 0
        self.signalled = 0
        self.cut_off = 0
        self.cancelled = 0
        self.frame: Any = None
        self.on_wait: Callable[[], None] = lambda: None
        self.moved = False
        self.waited_also_for: list[int | None] = []

    def rest(self) -> None:
        pass

    def cut_off_shutdown(self) -> None:
        self.cut_off += 1

    def cancel_last(self) -> None:
        self.cancelled += 1

    def wake(self) -> None:
        self.woken += 1

    def wait(self, also_for: int | None = None) -> None:
        self.waited_also_for.append(also_for)
        self.on_wait()

    def run(self, _job: Callable[[], None]) -> bool:
        return False

    def interrupt(self) -> FrameType | None:
        self.interrupted += 1
        found: FrameType | None = self.frame
        return found

    def has_moved(self, _frame: FrameType, _instruction: int) -> bool:
        return self.moved

    def signal(self) -> None:
        self.signalled += 1

    def place(self) -> str:
        return "app.py:1: import slow"


class Link:
    """A parent that hears all and says what it is told to."""

    lock = "/tmp/asyncreload.test.lock"
    noted = nullcontext
    running: tuple[str, ...] = ()

    def unanswered(self) -> tuple[str, ...]:
        return self.running

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.notices: list[str] = []
        self.verdict = Verdict.FRESH
        self.hears_end = True
        self.is_own_parent = True
        self.is_parent_gone = False
        self.removed_lockfile = False
        self.beats = 0
        self.say: Callable[[Message], None]
        self.end: Callable[[], None]
        self.on_parents_end: Callable[[], None]

    def listen(self, on_message: Callable[[Message], None], on_end: Callable[[], None]) -> None:
        self.say, self.end = on_message, on_end

    def hear_end(self, on_end: Callable[[], None]) -> bool:
        self.on_parents_end = on_end
        return self.hears_end

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def notice(self, text: str, *, once: bool = False) -> None:
        del once
        self.notices.append(text)

    def has_lost_parent(self) -> bool:
        return self.is_parent_gone

    def check(self, _interval: float) -> Verdict:
        return self.verdict

    def beat(self) -> None:
        self.beats += 1

    def remove_lockfile(self) -> None:
        self.removed_lockfile = True

    def fileno(self) -> int:
        return 99


class NoFinalization(Finalization):
    """Notes what it was asked for."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def has_del(self) -> None:
        self.done.append("has del")

    def flush(self) -> None:
        self.done.append("flush")

    def run(self) -> None:
        self.done.append("run")


class Farewells:
    """Processes have left when a test says so."""

    def __init__(self) -> None:
        self.left: set[int] = set()

    def fileno(self) -> int:
        return 98

    def is_heard(self, pid: int) -> bool:
        return pid in self.left


class End(ProcessEnd):
    """Notes how the process would have ended."""

    def __init__(self) -> None:
        self.finalization: NoFinalization = NoFinalization()
        super().__init__(self.finalization, cast("Any", Farewells()))
        self.exited: list[int] = []
        self.vanished: list[tuple[int, int]] = []

    def exit(self, code: int) -> None:
        self.exited.append(code)

    def vanish(self, code: int, channel: int) -> None:  # type: ignore[override]  # it does return
        self.vanished.append((code, channel))


class AppProcesses:
    """Nothing was started; notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def reap_orphans(self) -> None:
        self.asked.append("reap orphans")

    async def end(self) -> None:
        self.asked.append("end")

    async def end_family(self) -> None:
        self.asked.append("end family")


class FrontEnd:
    """Takes no requests; says what is asked of it."""

    def __init__(self) -> None:
        self.closed: list[bool] = []
        self.waited: list[tuple[str, float]] = []
        self.busy = 0
        self.lasts = False
        """Whether a response is sent for ever."""
        self.delegated: list[int] = []
        self.has_closed_delegated = False
        self.has_cut_off = False
        self.refused: list[str] = []
        """What is answered by 503 when it is cut off."""
        self.has_listeners = True
        self.refreshed: list[list[str]] = []
        self.resumed = 0

    def close(self, *, hand_over: bool) -> None:
        self.closed.append(hand_over)

    def refresh(self, paths: list[str]) -> None:
        self.refreshed.append(paths)

    def resume(self) -> None:
        self.resumed += 1

    def delegate_close(self, descriptors: Iterable[int]) -> None:
        self.delegated += descriptors

    def close_delegated(self) -> None:
        self.has_closed_delegated = True

    def cut_off(self) -> list[str]:
        self.has_cut_off = True
        return self.refused

    async def answered(self, seconds: float) -> None:
        self.waited.append(("answered", seconds))

    async def quiet(self, seconds: float) -> None:
        self.waited.append(("quiet", seconds))
        if self.lasts:
            await asyncio.Event().wait()


class Shutdown:
    """Notes with which codes an end was begun."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.begun: list[int] = []

    def begin(self, code: int) -> None:
        self.code = code
        self.begun.append(code)


class Monitor:
    """Looks when it is told to, and finds nothing unless it is told so."""

    def __init__(self) -> None:
        self.fresh = True
        self.changed: list[list[str]] = []
        self.ran: list[dict[str, object]] = []

    async def is_fresh(self) -> bool:
        return self.fresh

    def on_change(self, paths: list[str]) -> None:
        self.changed.append(paths)

    async def run(self, interval: float, **how: object) -> None:
        self.ran.append({"interval": interval} | how)


def load_of(root: str = "/project", settings: Settings | None = None, **fields: Any) -> Load:
    """Return a load as the parent orders it."""
    settings = settings or Settings(target="app.py", access_log=False)
    target = Target.parse("app.py", root, must_exist=False).fields()
    go = Go(asdict(settings), target, ("127.0.0.1", 8000), **fields)
    return Load(go, settings, root, 1)


def life_at_work(phase: Phase = Phase.LOADING, *, grace: float = 5.0) -> Life:
    """Return the life of a process that has heard `Go`."""
    life = Life()
    life.go_heard.set()
    life.load = load_of(settings=Settings(target="app.py", grace=grace))
    life.advance(phase)
    return life


async def settle() -> None:
    """Let all that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def frame(instruction: int = 7) -> Any:
    """Return what stands for a frame at an instruction."""
    return SimpleNamespace(f_lasti=instruction)
