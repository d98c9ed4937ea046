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

from asyncreload import lockfile, process_role, protocol
from asyncreload.errors import AsyncreloadError, NestedError
from asyncreload.events import Changed, Crashed, Event, Failed, Ready, Starting, Stopped
from asyncreload.listening import Address, bind, resolve, url_of
from asyncreload.liveness import LivenessCounter
from asyncreload.parent.child_run import ChildRun
from asyncreload.parent.children import LEAVE, Children, cancel, kill_with_descendants
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.process import Process, Surroundings
from asyncreload.parent.restart_policy import RELOAD, RestartPolicy
from asyncreload.parent.standby import Standby
from asyncreload.parent.watchdog import Watchdog
from asyncreload.phase import Phase
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
        self._event_log = EventLog()
        self._children = Children(self.settings.grace)
        self._standby = Standby(self.settings, self._start, self._children.bury)
        self._inheritance: list[int] = []
        self._run_of_child: ChildRun | None = None
        self._looks = count(1)
        self._at_prompt: asyncio.Future[bool] | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._reasons: dict[str, str] = {}
        self._told: set[str] = set()
        self._entered = False
        self._task: asyncio.Task[int] | None = None

    # --- the public face ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if process_role.is_loading():
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
        self._event_log.tell(Starting(self.settings.target, self._url))
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
                self._children.kill()
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
        return self._run_of_child.child.pid if self._run_of_child else None

    def events(self) -> AsyncIterator[Event]:
        """Return an iterator over what happens from now on, until the end.

        Every call gives an iterator of its own. One that is made before anything but `Starting` has
        happened begins with that. Whoever is slow, or stops reading, holds nobody up: the last 256
        events are kept for all readers together, and one that is further behind misses some.
        """
        return self._event_log.read()

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
        old = self._run_of_child
        # A life that only reports a crash loads nothing, although it begins later.
        while (life := self._run_of_child) is old or life is None or life.go.crash:
            if life is not None:
                life.dog.is_impatient = True
                life.child.send(protocol.Reload())
            await self._step(AGAIN)
        await self.ready()

    async def is_debugging(self) -> bool:
        """Tell whether Ctrl-C is meant for a debugger that waits at its prompt in the app."""
        if self._run_of_child is None:
            return False
        self._at_prompt = asyncio.get_running_loop().create_future()
        self._run_of_child.child.send(protocol.Interrupt())
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
            life = self._run_of_child
            if life is None or life.outcome is None:
                await self._step()
                continue
            look = next(self._looks)
            while life is self._run_of_child and life.fresh < look:
                life.child.send(protocol.Look(look))
                await self._step(AGAIN)
            if life.outcome is not None and life.fresh >= look:
                return life.outcome

    async def _step(self, most: float | None = None) -> None:
        """Wait until something happens; or for so many seconds."""
        task = self._opened()
        if self._event_log.has_ended:
            if not task.cancelled():
                task.result()
            raise AsyncreloadError("the app came to its end before it was ready")
        await self._event_log.step(most)

    # --- the story ---------------------------------------------------------------------------

    async def _run(self) -> int:
        entrance, exit_ = socket.socketpair()
        with self._listener, entrance, exit_, closing(LivenessCounter.create()) as self._liveness:
            sockets = (self._listener, entrance, exit_)
            self._inheritance = [*(one.fileno() for one in sockets), self._liveness.descriptor]
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
        self._restart_policy = RestartPolicy(
            self.settings, self._target, (host, port), self._lock, self._event_log
        )
        following: protocol.Go | int = self._restart_policy.first()
        while isinstance(following, protocol.Go):
            life = self._let_go(await self._standby.take(), following)
            await self._accompany(life)
            code = await self._end_of(life)
            life.outcome = None
            following = await self._restart_policy.after(life, code)
        return following

    def _let_go(self, child: Process, go: protocol.Go) -> ChildRun:
        root = self._target.root if self._target else self._surroundings.directory
        dog = Watchdog(child, self._liveness, self._lock, root, self.settings.interval)
        now = asyncio.get_running_loop().time()
        self._run_of_child = ChildRun(child, go, dog, Terminal(), now, time.time_ns())
        child.send(go)
        self._event_log.stir()
        return self._run_of_child

    async def _accompany(self, life: ChildRun) -> None:
        """Follow the life of a child until it has left, or died."""
        guard = self._do(self._guard(life))
        try:
            async for message in life.child.messages():
                self._hear(life, message)
                if life.left and (life.left.lingering or life.left.vanished):
                    break
        finally:
            guard.cancel()

    def _hear(self, life: ChildRun, message: protocol.Message) -> None:
        match message:
            case protocol.Going():
                life.phase = Phase.LOADING
            case protocol.Loaded():
                life.phase = Phase.SERVING
                self._standby.has_loaded(message.seconds)
                self._on_ready(life, message)
            case protocol.LoadFailed():
                life.phase = Phase.REPORTING
                self._restart_policy.answered()
                life.outcome = Failed(message.title, message.trace, message.place, message.own)
                self._event_log.tell(life.outcome)
            case protocol.Reporting():
                life.phase = Phase.REPORTING
                life.outcome = self._restart_policy.crash
                self._event_log.stir()
            case protocol.Watching():
                self._on_settled(life, message)
            case protocol.FilesChanged():
                self._on_change(life, message)
            case protocol.Left():
                life.left = message
                self._answer_prompt(at_prompt=False)
            case protocol.Preload() | protocol.PackagesChanged() | protocol.StartCold():
                self._on_packages(life, message)
            case protocol.Notice() | protocol.WatchReasons():
                self._pass_on(message)
            case _:
                self._on_answer(life, message)

    def _on_ready(self, life: ChildRun, loaded: protocol.Loaded) -> None:
        now = asyncio.get_running_loop().time()
        since = self._restart_policy.last_change if life.go.changed else life.began
        paths = self._restart_policy.answered()
        life.outcome = Ready(life.child.pid, now - since, paths, loaded.files)
        self._event_log.tell(life.outcome)

    def _pass_on(self, message: protocol.Notice | protocol.WatchReasons) -> None:
        """Log what a child has to say; of the reasons, those that are new."""
        if isinstance(message, protocol.Notice):
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

    def _on_settled(self, life: ChildRun, watching: protocol.Watching) -> None:
        life.files = watching.files
        self._restart_policy.remember(watching.files)
        life.dog.watched = tuple(watching.files)
        if watching.settled:
            self._standby.prepare()
            self._standby.remember(watching.files)

    def _on_change(self, life: ChildRun, changed: protocol.FilesChanged) -> None:
        life.changed = changed
        if changed.packages:
            self._standby.forget()
        self._standby.start_next()  # it boots while the old one leaves
        self._event_log.tell(Changed(tuple(changed.files)))
        self._do(self._urge(life))

    def _on_packages(self, life: ChildRun, message: protocol.Message) -> None:
        match message:
            case protocol.Preload():
                self._standby.learn(message)
            case protocol.PackagesChanged():
                self._standby.renew()
            case protocol.StartCold():
                log.debug("starting cold: %s", message.reason)
                self._standby.was_wrong()
                self._standby.start_next()
                life.cold = True

    def _on_answer(self, life: ChildRun, message: protocol.Message) -> None:
        match message:
            case protocol.Pong():
                life.dog.hears()
            case protocol.Fresh():
                life.fresh = max(life.fresh, message.number)
                self._event_log.stir()
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

    async def _guard(self, life: ChildRun) -> None:
        """End a child that is silent while files change."""
        paths = await life.dog.watch()
        files = dict.fromkeys(paths, UNSEEN)
        life.changed = protocol.FilesChanged(files, loading=life.phase is Phase.LOADING)
        life.silenced = True
        self._event_log.tell(Changed(paths))
        await kill_with_descendants(life.child)

    async def _urge(self, life: ChildRun) -> None:
        """Kill a child that has seen a change, but does not come to its end."""
        for _ in range(STEPS):  # when the host blocks the loop, what the child says waits as well
            await asyncio.sleep(LEAVE / STEPS)
        if life is self._run_of_child and life.left is None and not life.child.has_ended():
            life.silenced = True
            life.child.kill()

    def _do(self, chore: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return task

    # --- the ends ----------------------------------------------------------------------------

    async def _start(self) -> Process:
        return await self._children.start(self._inheritance, self._lock, self._surroundings)

    async def _end_of(self, life: ChildRun) -> int:
        """Return the exit code of a child; one that still sends a response goes on alone."""
        if life.left and life.left.lingering:
            self._children.let_linger(life.child)
            return RELOAD
        if life.left and life.left.vanished:
            self._children.reap_later(life.child)
            return RELOAD
        code = await life.child.wait()
        if life.left is None:
            life.terminal.restore()
            await self._children.kill_orphans(self._lock)
        await self._children.bury(life.child)
        return code

    async def _finish(self, *tasks: asyncio.Task[Any]) -> None:
        """End the children, politely at first; then nothing is left of them or the lockfile."""
        try:
            await cancel(*tasks, *self._chores)
            await self._children.stop_waiting()
            await self._standby.end()
            if self._run_of_child is not None:
                await self._children.part_with(self._run_of_child.child)
        finally:
            lockfile.remove(self._lock)
            await self._children.end(self._lock)

    def _on_end(self, task: asyncio.Task[int]) -> None:
        if self._event_log.has_ended:
            return
        # A task that was cancelled before its first step has not come to its own `finally`.
        self._listener.close()
        lockfile.remove(self._lock)
        self._run_of_child = None
        failed = not task.cancelled() and task.exception()
        self._event_log.tell(Stopped(1 if failed else 0 if task.cancelled() else task.result()))


@aiofiles.os.wrap
def _look_up(settings: Settings, directory: str) -> tuple[Target | None, Address]:
    """Find the target's file and the host's address, in a thread: either may take its time."""
    target = None if settings.script else Target.parse(settings.target, directory)
    return target, resolve(settings.host, settings.port)
