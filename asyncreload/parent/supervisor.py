"""The one loop: take the child that stands by, tell it to go, wait for its end, take the next."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import aiofiles.os

from asyncreload import descendants, events, lockfile, protocol, role
from asyncreload.errors import AsyncreloadError, NestedError
from asyncreload.listening import listen, url_of
from asyncreload.parent.process import FAMILY, Process, describe
from asyncreload.parent.standby import Standby
from asyncreload.parent.watchdog import Watchdog
from asyncreload.pulse import Pulse
from asyncreload.settings import Settings
from asyncreload.target import Target
from asyncreload.terminal import Terminal

log = logging.getLogger("asyncreload")
log.addHandler(logging.NullHandler())  # who sets up no logging is told nothing

RELOAD = 3
SIGNALLED = 128

# All in seconds.
BURST = 0.1  # a change that follows another one so soon belongs to the same burst
STURDY = 2.0  # an app that lived so long since it was killed may be started again at once
MARGIN = 0.5  # what a child gets on top of the app's `grace` for an end of its own
LEAVE = 1.0  # what a child gets to leave in a reload, before it is killed
INTERRUPT = 0.5  # until the Ctrl-C that ended a child has reached us, too
FRENZY = 0.1  # between two starts of a process that somebody keeps killing
PROMPT = 0.3  # what a child gets to say that Ctrl-C is for its debugger

UNSEEN = (None, "")
"""How a file was that only we have looked at."""

_FROM_OUTSIDE = {
    -signal.SIGKILL,
    -signal.SIGTERM,
    -signal.SIGINT,
    -signal.SIGHUP,
    -signal.SIGQUIT,
}

_descendants = aiofiles.os.wrap(descendants.descendants)
_marked = aiofiles.os.wrap(descendants.marked)


async def supervise(target: str, **options: Any) -> int:
    """Serve `target`, reloading it at every save, until cancelled or until the app is done.

    Returns the exit code. The options are the fields of `Settings`; the exceptions are those of
    `Supervisor`.
    """
    async with Supervisor(target, **options) as supervisor:
        return await supervisor.wait()


@dataclass(slots=True)
class _Life:
    """What is known of the present child."""

    go: protocol.Go
    dog: Watchdog
    terminal: Terminal
    began: float
    since: int
    phase: str = "before loading"
    left: protocol.Left | None = None
    changed: protocol.Changed | None = None
    files: dict[str, Any] = field(default_factory=dict)
    silenced: bool = False
    cold: bool = False


class Supervisor:
    """Serves a target while its context is open: `async with Supervisor("app.py") as server:`.

    Raises, on entry: `SettingsError` for an option that cannot work; `TargetError` when the target
    names no file, or nothing that could be one; `BindError`; `LockfileError`; `NestedError`
    when called by an app while it is being loaded.
    """

    def __init__(self, target: str, **options: Any) -> None:
        self.settings = Settings(target=target, **options)
        self._children: set[Process] = set()
        self._current: Process | None = None
        self._standby = Standby(self.settings, self._start, self._bury)
        self._inheritance: Sequence[int] = ()
        self._ready = asyncio.Event()
        self._at_prompt: asyncio.Future[bool] | None = None
        self._lingering: asyncio.Task[None] | None = None
        self._reapers: set[asyncio.Task[None]] = set()
        self._files: dict[str, Any] = {}
        self._reasons: dict[str, str] = {}
        self._last_change = float("-inf")
        self._last_restart = float("-inf")

    # --- the public face ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if role.is_loading():
            raise NestedError(
                "supervise() was called by an app while it is being loaded: call it in a program "
                "of its own, or in a subprocess of the app"
            )
        self._cwd = os.getcwd()
        script = self.settings.script
        self._target = None if script else Target.parse(self.settings.target, self._cwd)
        self._listener = listen(self.settings.host, self.settings.port)
        try:
            self._lock = lockfile.create()
        except BaseException:
            self._listener.close()
            raise
        self._task = asyncio.create_task(self._run(), name="asyncreload")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        cancelled: BaseException | None = None
        while not self._task.done():
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError as again:
                # Somebody is in a hurry: without the children there is nothing to wait for.
                cancelled = again
                for child in self._children:
                    child.kill()
        # A task that was cancelled before its first step has not come to its own `finally`.
        self._listener.close()
        lockfile.remove(self._lock)
        if cancelled is not None:
            raise cancelled
        if exc is None and not self._task.cancelled() and (failure := self._task.exception()):
            raise failure

    @property
    def url(self) -> str:
        """Where the app is served."""
        return url_of(self._listener)

    @property
    def pid(self) -> int | None:
        """The process ID of the child that answers, or is about to."""
        return self._current.pid if self._current else None

    async def wait(self) -> int:
        """Wait until the app is done; return its exit code."""
        return await asyncio.shield(self._task)

    async def ready(self) -> None:
        """Wait until the app is loaded and answers."""
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set():
            self._task.result()
            raise AsyncreloadError("the app came to its end before it was ready")

    async def reload(self) -> None:
        """Load the app afresh as if a file had been saved, and wait until it answers."""
        self._ready.clear()
        if self._current:
            self._current.send(protocol.Reload())
        await self.ready()

    async def is_debugging(self) -> bool:
        """Tell whether Ctrl-C is meant for a debugger that waits at its prompt in the app."""
        if self._current is None:
            return False
        self._at_prompt = asyncio.get_running_loop().create_future()
        self._current.send(protocol.Interrupt())
        await asyncio.wait({self._at_prompt}, timeout=PROMPT)
        return self._at_prompt.done() and self._at_prompt.result()

    # --- the story ---------------------------------------------------------------------------

    async def _run(self) -> int:
        self._tell(events.Starting(self.settings.target, self.url))
        lobby = socket.socketpair()
        self._pulse = Pulse.create()
        sockets = (self._listener, *lobby)
        self._inheritance = [*(sock.fileno() for sock in sockets), self._pulse.descriptor]
        heart = asyncio.create_task(self._beat())
        story = asyncio.create_task(self._serve())
        code = 0
        try:
            await asyncio.wait({story, heart}, return_when=asyncio.FIRST_COMPLETED)
            if story.done():
                code = story.result()
            else:
                log.warning("the lockfile %s was deleted: stopping", self._lock)
        finally:
            try:
                await self._finish(story, heart)
            finally:
                self._pulse.close()
                for sock in sockets:
                    sock.close()
                self._tell(events.Stopped(code))
        return code

    async def _serve(self) -> int:
        following: protocol.Go | int = self._go()
        while isinstance(following, protocol.Go):
            child = await self._standby.take()
            self._current = child
            life = await self._accompany(child, following)
            self._ready.clear()
            following = await self._next(life, await self._end_of(child, life))
        return following

    async def _accompany(self, child: Process, go: protocol.Go) -> _Life:
        """Let a child go, and follow its life until it has left, or died."""
        root = self._target.root if self._target else self._cwd
        dog = Watchdog(child, self._pulse, self._lock, root, self.settings.interval)
        life = _Life(go, dog, Terminal(), asyncio.get_running_loop().time(), time.time_ns())
        child.send(go)
        guard = asyncio.create_task(self._guard(child, life))
        try:
            async for message in child.messages():
                self._hear(child, life, message)
                if life.left and (life.left.lingering or life.left.vanished):
                    break
        finally:
            guard.cancel()
        return life

    def _hear(self, child: Process, life: _Life, message: protocol.Message) -> None:
        match message:
            case protocol.Going():
                life.phase = "while loading"
            case protocol.Loaded():
                life.phase = "while serving"
                self._standby.was_right()
                self._on_ready(child, life, message)
            case protocol.Failed():
                life.phase = "while reporting"
                failed = events.Failed(message.title, message.trace, message.place, message.own)
                self._tell(failed)
            case protocol.Watching():
                self._on_settled(life, message)
            case protocol.Changed():
                self._on_change(child, life, message)
            case protocol.Left():
                life.left = message
                self._answer_prompt(at_prompt=False)
            case protocol.Recipe() | protocol.Outdated() | protocol.Cold():
                self._on_packages(life, message)
            case protocol.Told() | protocol.Explained():
                self._pass_on(message)
            case _:
                self._on_answer(life, message)

    async def _guard(self, child: Process, life: _Life) -> None:
        """End a child that is silent while files change."""
        paths = await life.dog.watch()
        files = dict.fromkeys(paths, UNSEEN)
        life.changed = protocol.Changed(files, loading="loading" in life.phase)
        life.silenced = True
        self._tell(events.Changed(paths))
        await _kill_family(child)

    def _urge(self, child: Process, life: _Life) -> None:
        """Kill a child that has seen a change, but does not come to its end."""
        if life.left is None and not child.has_ended():
            life.silenced = True
            child.kill()

    async def _end_of(self, child: Process, life: _Life) -> int:
        """Return the exit code of a child; one that still sends a response goes on alone."""
        if life.left and life.left.lingering:
            self._let_linger(child)
            return RELOAD
        if life.left and life.left.vanished:
            self._reap_later(child)
            return RELOAD
        code = await child.wait()
        if life.left is None:
            life.terminal.restore()
            await self._kill_orphans()
        await self._bury(child)
        return code

    # --- what comes next ---------------------------------------------------------------------

    async def _next(self, life: _Life, code: int) -> protocol.Go | int:
        """Decide what follows: what the next child is told, or the exit code of us all."""
        meant = life.left is not None and life.left.code == code
        if lockfile.is_gone(self._lock):
            return 0
        if life.cold:
            return life.go
        if life.silenced or life.changed or (meant and code == RELOAD):
            return self._reload(life)
        if meant and code == 0:
            return 0
        if meant and code > SIGNALLED:
            # If that was Ctrl-C or the terminal's end, it was for us as well.
            await asyncio.sleep(INTERRUPT)
            code = SIGNALLED - code
        return await self._after_crash(life, code)

    def _go(self, **fields: Any) -> protocol.Go:
        host, port = self._listener.getsockname()[:2]
        target = asdict(self._target) if self._target else None
        explain = log.isEnabledFor(logging.DEBUG)
        return protocol.Go(asdict(self.settings), target, (host, port), explain=explain, **fields)

    def _reload(self, life: _Life) -> protocol.Go:
        now = asyncio.get_running_loop().time()
        changed = life.changed or protocol.Changed({}, loading=False)
        in_burst = changed.loading or now - self._last_change < BURST
        self._last_change = now
        self._files = self._files | changed.files
        return self._go(changed=changed.files, settle=in_burst)

    async def _after_crash(self, life: _Life, code: int) -> protocol.Go:
        now = asyncio.get_running_loop().time()
        if life.phase in {"before loading", "while reporting"}:
            # Somebody kills our own code. It goes on, but not in a frenzy.
            await asyncio.sleep(FRENZY)
            return life.go
        outside = code in _FROM_OUTSIDE and life.phase == "while serving"
        again = outside and now - self._last_restart > STURDY
        self._tell(events.Crashed(code, f"{describe(code)} {life.phase}", again))
        if again:
            self._last_restart = now
            return self._go()
        return self._go(
            crash=(describe(code), life.phase),
            watched=self._files | life.go.changed | life.files,
            since=life.since,
        )

    def _on_ready(self, child: Process, life: _Life, loaded: protocol.Loaded) -> None:
        now = asyncio.get_running_loop().time()
        since = self._last_change if life.go.changed else life.began
        self._ready.set()
        self._tell(events.Ready(child.pid, now - since, tuple(life.go.changed), loaded.files))

    def _on_answer(self, life: _Life, message: protocol.Message) -> None:
        if isinstance(message, protocol.Pong):
            life.dog.hears()
        elif isinstance(message, protocol.Debugging):
            self._answer_prompt(at_prompt=True)

    def _answer_prompt(self, *, at_prompt: bool) -> None:
        if self._at_prompt is not None and not self._at_prompt.done():
            self._at_prompt.set_result(at_prompt)

    def _pass_on(self, message: protocol.Told | protocol.Explained) -> None:
        """Log what a child has to say; of the reasons, those that are new."""
        if isinstance(message, protocol.Told):
            log.warning("%s", message.text)
            return
        packages = f"{message.packages} files of them, looked at seldom"
        for path, reason in {**message.reasons, "installed packages": packages}.items():
            if self._reasons.get(path) != reason:
                log.debug("watching %s: %s", path, reason)
                self._reasons[path] = reason

    def _on_settled(self, life: _Life, watching: protocol.Watching) -> None:
        life.files = self._files = watching.files
        life.dog.watched = tuple(watching.files)
        if life.phase == "while loading":  # what it serves is the report of a crash
            life.phase = "while reporting"
        if watching.settled:
            self._standby.prepare()

    def _on_change(self, child: Process, life: _Life, changed: protocol.Changed) -> None:
        life.changed = changed
        if changed.packages:
            self._standby.forget()
        self._tell(events.Changed(tuple(changed.files)))
        asyncio.get_running_loop().call_later(LEAVE, self._urge, child, life)

    def _on_packages(self, life: _Life, message: protocol.Message) -> None:
        match message:
            case protocol.Recipe():
                self._standby.learn(message)
            case protocol.Outdated():
                self._standby.renew()
            case protocol.Cold():
                log.debug("starting cold: %s", message.reason)
                self._standby.was_wrong()
                life.cold = True

    def _tell(self, event: events.Event) -> None:
        bad = isinstance(event, events.Failed | events.Crashed)
        log.log(logging.ERROR if bad else logging.INFO, "%s", event, extra={"event": event})

    # --- the heartbeat -----------------------------------------------------------------------

    async def _beat(self) -> None:
        """Touch the lockfile until somebody deletes it."""
        told = False
        while True:
            await asyncio.sleep(lockfile.pace(self.settings.interval))
            try:
                await lockfile.touch(self._lock)
            except FileNotFoundError:
                return
            except OSError as exc:
                if not told:
                    log.warning("cannot touch the lockfile: %s; going on", exc)
                told = True

    # --- the ends ----------------------------------------------------------------------------

    async def _start(self) -> Process:
        child = await Process.start(self._inheritance, self._lock, self._cwd)
        self._children.add(child)
        return child

    def _reap_later(self, child: Process) -> None:
        reaper = asyncio.create_task(self._outlive(child, LEAVE))
        self._reapers.add(reaper)
        reaper.add_done_callback(self._reapers.discard)

    def _let_linger(self, child: Process) -> None:
        """Let an old child send its last responses; but only one, and not for ever."""
        if self._lingering is not None:
            self._lingering.cancel()
        self._lingering = asyncio.create_task(self._outlive(child, self.settings.grace + MARGIN))

    async def _outlive(self, child: Process, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                await child.wait()
        except TimeoutError:
            descendants.kill(await _descendants(child.pid))
        finally:
            await self._bury(child)

    async def _bury(self, child: Process) -> None:
        await child.close()
        self._children.discard(child)

    async def _finish(self, *tasks: asyncio.Task[Any]) -> None:
        """End the children, politely at first; then nothing is left of them or the lockfile."""
        try:
            ours = {*tasks, *self._reapers, *([self._lingering] if self._lingering else [])}
            for task in ours:
                task.cancel()
            await asyncio.wait(ours)
            await self._standby.end()
            if self._current in self._children:
                await self._part_with(self._current)
        finally:
            lockfile.remove(self._lock)
            for child in self._children:
                child.kill()
            while self._children:
                await self._bury(next(iter(self._children)))

    async def _kill_orphans(self) -> None:
        """End what an app has started that crashed, and could not end it itself."""
        orphans = await _marked(f"{FAMILY}={self._lock}")
        descendants.kill({*orphans} - {child.pid for child in self._children})

    async def _part_with(self, child: Process) -> None:
        terminal = Terminal()
        child.send(protocol.End())
        try:
            async with asyncio.timeout(self.settings.grace + MARGIN):
                await child.wait()
        except TimeoutError:
            await _kill_family(child)
            terminal.restore()


async def _kill_family(child: Process) -> None:
    """Kill a child and all that it has started, which is found only while it lives."""
    family = await _descendants(child.pid)
    child.kill()
    descendants.kill(family)
