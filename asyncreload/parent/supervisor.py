"""The one loop: take the child that stands by, tell it to go, wait for its end, take the next."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import closing
from itertools import count
from types import TracebackType
from typing import Any, Self

import aiofiles.os

from asyncreload import lockfile, protocol, role
from asyncreload.errors import AsyncreloadError, NestedError
from asyncreload.events import Changed, Crashed, Event, Failed, Ready, Starting, Stopped
from asyncreload.listening import Address, bind, resolve, url_of
from asyncreload.parent.family import LEAVE, Family, cancel, kill_with_descendants
from asyncreload.parent.feed import Feed
from asyncreload.parent.life import Life
from asyncreload.parent.process import Process, Surroundings
from asyncreload.parent.standby import Standby
from asyncreload.parent.succession import RELOAD, Succession
from asyncreload.parent.watchdog import Watchdog
from asyncreload.pulse import Pulse
from asyncreload.settings import Settings
from asyncreload.target import Target
from asyncreload.terminal import Terminal

log: logging.Logger = logging.getLogger("asyncreload")
log.addHandler(logging.NullHandler())  # who sets up no logging is told nothing

_touch = aiofiles.os.wrap(lockfile.touch)

# In seconds.
PROMPT = 0.3  # what a child gets to say that Ctrl-C is for its debugger
AGAIN = 1.0  # until a child that has not answered is asked once more

STEPS = 10
"""In how many naps a wait is divided that is not to count when the host blocks the loop."""

UNSEEN = (None, "", False)
"""How a file was that only we have looked at."""


async def supervise(target: str, **options: Any) -> int:
    """Serve `target`, reloading it at every save, until cancelled or until the app is done.

    Returns the exit code. The options are the fields of `Settings`; the exceptions are those of
    `Supervisor`.
    """
    async with Supervisor(target, **options) as supervisor:
        return await supervisor.wait()


class Supervisor:
    """Serves a target while its context is open: `async with Supervisor("app.py") as server:`.

    The options are the fields of `Settings`. A supervisor serves once, in one event loop.

    Raises, on entry: `SettingsError` for an option that cannot work; `TargetError` when the target
    names no file, or nothing that could be one; `BindError`; `LockfileError`; `NestedError`
    when called by an app while it is being loaded.
    """

    def __init__(self, target: str, **options: Any) -> None:
        self.settings: Settings = Settings(target=target, **options)
        self._surroundings = Surroundings(os.getcwd())
        self._feed = Feed()
        self._family = Family(self.settings.grace)
        self._standby = Standby(self.settings, self._start, self._family.bury)
        self._inheritance: list[int] = []
        self._life: Life | None = None
        self._looks = count(1)
        self._at_prompt: asyncio.Future[bool] | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._reasons: dict[str, str] = {}
        self._told: set[str] = set()
        self._entered = False
        self._task: asyncio.Task[int] | None = None

    # --- the public face ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if role.is_loading():
            raise NestedError(
                "supervise() was called by an app while it is being loaded: call it in a program "
                "of its own, or in a subprocess of the app"
            )
        if self._entered:
            raise AsyncreloadError("a Supervisor serves once: make another one")
        self._entered = True
        self._target, address = await _look_up(self.settings, self._surroundings.directory)
        self._listener = bind(address, self.settings.host, self.settings.port)
        try:
            self._lock = lockfile.create()
        except BaseException:
            self._listener.close()
            raise
        self._url = url_of(self._listener)
        self._feed.tell(Starting(self.settings.target, self._url))
        self._task = asyncio.create_task(self._run(), name="asyncreload")
        self._task.add_done_callback(self._on_end)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task = self._opened()
        task.cancel()
        cancelled: BaseException | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as again:
                # Somebody is in a hurry: without the children there is nothing to wait for.
                cancelled = again
                self._family.kill()
        self._on_end(task)
        failure = None if task.cancelled() else task.exception()
        if cancelled is not None:
            raise cancelled
        if exc is None and failure:
            raise failure

    @property
    def url(self) -> str:
        """Where the app is served. Raises `AsyncreloadError` before the context is entered."""
        self._opened()
        return self._url

    @property
    def pid(self) -> int | None:
        """The process ID of the child that answers, or is about to; None if there is none."""
        return self._life.child.pid if self._life else None

    def events(self) -> AsyncIterator[Event]:
        """Return an iterator over what happens from now on, until the end.

        Every call gives an iterator of its own. One that is made before anything but `Starting` has
        happened begins with that. Whoever is slow, or stops reading, holds nobody up: the last 256
        events are kept for all readers together, and one that is further behind misses some.
        """
        return self._feed.read()

    async def wait(self) -> int:
        """Wait until the app is done; return its exit code, or 0 when the context is left first.

        Raises `AsyncreloadError` when no process of the app can be started.
        """
        task = self._opened()
        await asyncio.wait([task])
        return 0 if task.cancelled() else task.result()

    async def ready(self) -> None:
        """Wait until the app answers with the files as they are now.

        While its load fails it waits on, for the save that mends it. Raises `AsyncreloadError`
        when the supervisor ends first.
        """
        while not isinstance(await self._outcome(), Ready):
            await self._step()

    async def reload(self) -> None:
        """Load the app afresh as if a file had been saved, and wait until it is ready.

        Raises `AsyncreloadError` when the supervisor ends first.
        """
        old = self._life
        # A life that only reports a crash loads nothing, although it begins later.
        while (life := self._life) is old or life is None or life.go.crash:
            if life is not None:
                life.dog.is_impatient = True
                life.child.send(protocol.Reload())
            await self._step(AGAIN)
        await self.ready()

    async def is_debugging(self) -> bool:
        """Tell whether Ctrl-C is meant for a debugger that waits at its prompt in the app."""
        if self._life is None:
            return False
        self._at_prompt = asyncio.get_running_loop().create_future()
        self._life.child.send(protocol.Interrupt())
        await asyncio.wait({self._at_prompt}, timeout=PROMPT)
        return self._at_prompt.done() and self._at_prompt.result()

    # --- what others wait for ----------------------------------------------------------------

    def _opened(self) -> asyncio.Task[int]:
        if self._task is None:
            raise AsyncreloadError(
                "the supervisor serves nothing yet: enter it by `async with Supervisor(...)`"
            )
        return self._task

    async def _outcome(self) -> Ready | Failed | Crashed:
        """Return how the load of the files ended as they are now, once requests are answered."""
        self._opened()
        while True:
            life = self._life
            if life is None or life.outcome is None:
                await self._step()
                continue
            look = next(self._looks)
            while life is self._life and life.fresh < look:
                life.child.send(protocol.Look(look))
                await self._step(AGAIN)
            if life.outcome is not None and life.fresh >= look:
                return life.outcome

    async def _step(self, most: float | None = None) -> None:
        """Wait until something happens; or for so many seconds."""
        task = self._opened()
        if self._feed.has_ended:
            if not task.cancelled():
                task.result()
            raise AsyncreloadError("the app came to its end before it was ready")
        await self._feed.step(most)

    # --- the story ---------------------------------------------------------------------------

    async def _run(self) -> int:
        entrance, exit_ = socket.socketpair()
        with self._listener, entrance, exit_, closing(Pulse.create()) as self._pulse:
            sockets = (self._listener, entrance, exit_)
            self._inheritance = [*(one.fileno() for one in sockets), self._pulse.descriptor]
            heart = asyncio.create_task(self._beat())
            story = asyncio.create_task(self._serve())
            try:
                await asyncio.wait({story, heart}, return_when=asyncio.FIRST_COMPLETED)
                if story.done():
                    return story.result()
                log.warning("the lockfile %s was deleted: stopping", self._lock)
                return 0
            finally:
                await self._finish(story, heart)

    async def _serve(self) -> int:
        host, port = self._listener.getsockname()[:2]
        self._succession = Succession(
            self.settings, self._target, (host, port), self._lock, self._feed
        )
        following: protocol.Go | int = self._succession.first()
        while isinstance(following, protocol.Go):
            life = self._let_go(await self._standby.take(), following)
            await self._accompany(life)
            code = await self._end_of(life)
            life.outcome = None
            following = await self._succession.after(life, code)
        return following

    def _let_go(self, child: Process, go: protocol.Go) -> Life:
        root = self._target.root if self._target else self._surroundings.directory
        dog = Watchdog(child, self._pulse, self._lock, root, self.settings.interval)
        now = asyncio.get_running_loop().time()
        self._life = Life(child, go, dog, Terminal(), now, time.time_ns())
        child.send(go)
        self._feed.stir()
        return self._life

    async def _accompany(self, life: Life) -> None:
        """Follow the life of a child until it has left, or died."""
        guard = self._do(self._guard(life))
        try:
            async for message in life.child.messages():
                self._hear(life, message)
                if life.left and (life.left.lingering or life.left.vanished):
                    break
        finally:
            guard.cancel()

    def _hear(self, life: Life, message: protocol.Message) -> None:
        match message:
            case protocol.Going():
                life.phase = "while loading"
            case protocol.Loaded():
                life.phase = "while serving"
                self._standby.was_right()
                self._on_ready(life, message)
            case protocol.Failed():
                life.phase = "while reporting"
                self._succession.answered()
                life.outcome = Failed(message.title, message.trace, message.place, message.own)
                self._feed.tell(life.outcome)
            case protocol.Watching():
                self._on_settled(life, message)
            case protocol.Changed():
                self._on_change(life, message)
            case protocol.Left():
                life.left = message
                self._answer_prompt(at_prompt=False)
            case protocol.Recipe() | protocol.Outdated() | protocol.Cold():
                self._on_packages(life, message)
            case protocol.Told() | protocol.Explained():
                self._pass_on(message)
            case _:
                self._on_answer(life, message)

    def _on_ready(self, life: Life, loaded: protocol.Loaded) -> None:
        now = asyncio.get_running_loop().time()
        since = self._succession.last_change if life.go.changed else life.began
        paths = self._succession.answered()
        life.outcome = Ready(life.child.pid, now - since, paths, loaded.files)
        self._feed.tell(life.outcome)

    def _pass_on(self, message: protocol.Told | protocol.Explained) -> None:
        """Log what a child has to say; of the reasons, those that are new."""
        if isinstance(message, protocol.Told):
            if message.text not in self._told:
                log.warning("%s", message.text)
            if message.once:
                self._told.add(message.text)
            return
        packages = f"{message.packages} files of them, looked at seldom"
        for path, reason in {**message.reasons, "installed packages": packages}.items():
            if self._reasons.get(path) != reason:
                log.debug("watching %s: %s", path, reason)
                self._reasons[path] = reason

    def _on_settled(self, life: Life, watching: protocol.Watching) -> None:
        life.files = watching.files
        self._succession.remember(watching.files)
        life.dog.watched = tuple(watching.files)
        if life.phase == "while loading":  # what it serves is the report of a crash
            life.phase = "while reporting"
            life.outcome = self._succession.crash
            self._feed.stir()
        if watching.settled:
            self._standby.prepare()
            self._standby.remember(watching.files)

    def _on_change(self, life: Life, changed: protocol.Changed) -> None:
        life.changed = changed
        if changed.packages:
            self._standby.forget()
        self._standby.hurry()  # it boots while the old one leaves
        self._feed.tell(Changed(tuple(changed.files)))
        self._do(self._urge(life))

    def _on_packages(self, life: Life, message: protocol.Message) -> None:
        match message:
            case protocol.Recipe():
                self._standby.learn(message)
            case protocol.Outdated():
                self._standby.renew()
            case protocol.Cold():
                log.debug("starting cold: %s", message.reason)
                self._standby.was_wrong()
                self._standby.hurry()
                life.cold = True

    def _on_answer(self, life: Life, message: protocol.Message) -> None:
        match message:
            case protocol.Pong():
                life.dog.hears()
            case protocol.Fresh():
                life.fresh = max(life.fresh, message.number)
                self._feed.stir()
            case protocol.Debugging():
                self._answer_prompt(at_prompt=True)

    def _answer_prompt(self, *, at_prompt: bool) -> None:
        if self._at_prompt is not None and not self._at_prompt.done():
            self._at_prompt.set_result(at_prompt)

    # --- beside the story --------------------------------------------------------------------

    async def _beat(self) -> None:
        """Touch the lockfile until somebody deletes it."""
        told = False
        while True:
            await asyncio.sleep(lockfile.pace(self.settings.interval))
            try:
                await _touch(self._lock)
            except FileNotFoundError:
                return
            except OSError as exc:
                if not told:
                    log.warning("cannot touch the lockfile: %s; going on", exc)
                told = True

    async def _guard(self, life: Life) -> None:
        """End a child that is silent while files change."""
        paths = await life.dog.watch()
        files = dict.fromkeys(paths, UNSEEN)
        life.changed = protocol.Changed(files, loading="loading" in life.phase)
        life.silenced = True
        self._feed.tell(Changed(paths))
        await kill_with_descendants(life.child)

    async def _urge(self, life: Life) -> None:
        """Kill a child that has seen a change, but does not come to its end."""
        for _ in range(STEPS):  # when the host blocks the loop, what the child says waits as well
            await asyncio.sleep(LEAVE / STEPS)
        if life is self._life and life.left is None and not life.child.has_ended():
            life.silenced = True
            life.child.kill()

    def _do(self, chore: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return task

    # --- the ends ----------------------------------------------------------------------------

    async def _start(self) -> Process:
        return await self._family.start(self._inheritance, self._lock, self._surroundings)

    async def _end_of(self, life: Life) -> int:
        """Return the exit code of a child; one that still sends a response goes on alone."""
        if life.left and life.left.lingering:
            self._family.let_linger(life.child)
            return RELOAD
        if life.left and life.left.vanished:
            self._family.reap_later(life.child)
            return RELOAD
        code = await life.child.wait()
        if life.left is None:
            life.terminal.restore()
            await self._family.kill_orphans(self._lock)
        await self._family.bury(life.child)
        return code

    async def _finish(self, *tasks: asyncio.Task[Any]) -> None:
        """End the children, politely at first; then nothing is left of them or the lockfile."""
        try:
            await cancel(*tasks, *self._chores)
            await self._family.stop_waiting()
            await self._standby.end()
            if self._life is not None:
                await self._family.part_with(self._life.child)
        finally:
            lockfile.remove(self._lock)
            await self._family.end(self._lock)

    def _on_end(self, task: asyncio.Task[int]) -> None:
        if self._feed.has_ended:
            return
        # A task that was cancelled before its first step has not come to its own `finally`.
        self._listener.close()
        lockfile.remove(self._lock)
        self._life = None
        failed = not task.cancelled() and task.exception()
        self._feed.tell(Stopped(1 if failed else 0 if task.cancelled() else task.result()))


@aiofiles.os.wrap
def _look_up(settings: Settings, directory: str) -> tuple[Target | None, Address]:
    """Find the target's file and the host's address, in a thread: either may take its time."""
    target = None if settings.script else Target.parse(settings.target, directory)
    return target, resolve(settings.host, settings.port)
