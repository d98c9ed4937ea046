"""The supervisor: serves an app, and reloads it at every save."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Self, Unpack

from asyncreload import lockfile, process_role
from asyncreload.current_directory import existing_directory
from asyncreload.django.manage_script import find_manage_py, script_of
from asyncreload.editors import VARIABLE, editor_url
from asyncreload.errors import AsyncreloadError, NestedError, TargetError
from asyncreload.events import Crashed, Event, Failed, Ready, Starting, Stopped
from asyncreload.ini_files import is_ini, program_of
from asyncreload.listening import Address, bind, network_url_of, resolve, url_of
from asyncreload.networks import DOCKER
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.gateways import default_gateways
from asyncreload.parent.inheritance import Inheritance
from asyncreload.parent.process import Surroundings
from asyncreload.parent.run_loop import RunLoop
from asyncreload.parent.threads import in_thread
from asyncreload.protocol import AskPrompt, Interrupt, ShowPrompt
from asyncreload.settings import Options, Settings
from asyncreload.target import Target

log: logging.Logger = logging.getLogger("asyncreload")
log.addHandler(logging.NullHandler())  # who sets up no logging is told nothing

ASK_AGAIN = 1.0
"""Seconds until a child that has not answered is asked once more; nobody is given up for it."""


async def supervise(target: str | os.PathLike[str], **options: Unpack[Options]) -> int:
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
    when called by an app while it is being loaded; OSError when no descriptor is left.
    """

    def __init__(self, target: str | os.PathLike[str], **options: Unpack[Options]) -> None:
        text = os.fspath(target) if isinstance(target, os.PathLike) else target
        self.settings: Settings = Settings.of(text, options)
        self._surroundings = Surroundings(existing_directory())
        self._event_log = EventLog()
        self._looks = count(1)
        self._entered = False
        self._url = ""
        self._run_loop: RunLoop | None = None
        self._task: asyncio.Task[int] | None = None

    async def __aenter__(self) -> Self:
        if process_role.is_loading():
            raise NestedError(
                "an app starts a Supervisor while it is being loaded by another: do that in a "
                "program of its own, or in a subprocess"
            )
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise AsyncreloadError(
                "asyncreload needs an event loop of asyncio, and none is running here: under trio, "
                "say, call asyncio.run(supervise(...)) in a thread"
            ) from None
        if self._entered:
            raise AsyncreloadError("a Supervisor serves once: make another one")
        self._entered = True
        target, address, settings = await _look_up(self.settings, self._surroundings.directory)
        listener = bind(address, self.settings.host, self.settings.port)
        self._url = url_of(listener)
        inheritance = Inheritance(listener)
        try:
            lock = lockfile.create()
        except BaseException:
            inheritance.close()
            raise
        self._run_loop = RunLoop.compose(
            settings, target, inheritance, lock, self._surroundings, self._event_log
        )
        if DOCKER in settings.trust:
            log.warning("trust: %s is nobody here, as there is no default gateway", DOCKER)
        started = Starting(self.settings.target, self._url, network_url_of(listener))
        self._event_log.tell(started)
        self._task = asyncio.create_task(self._run_loop.run(), name="asyncreload")
        self._task.add_done_callback(self._on_end)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop, task = self._opened()
        task.cancel()
        cancelled: BaseException | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as again:
                # Asked twice: without the children there is nothing to wait for.
                cancelled = again
                loop.kill()
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
        run = self._run_loop.current if self._run_loop else None
        return run.child.pid if run else None

    def events(self) -> AsyncIterator[Event]:
        """Return an iterator over what happens from now on, until the end.

        Every call gives an iterator of its own. One that is made before anything but `Starting` has
        happened begins with that. Whoever is slow, or stops reading, holds nobody up: the last 256
        events are kept for all readers together, and one that is further behind misses some.
        """
        return self._event_log.read()

    async def wait(self) -> int:
        """Wait until the app is done; return its exit code, or 0 when the context is left first.

        Raises `AsyncreloadError` when no process of the app can be started, `MissingExtraError`
        when what serves it is not installed, and `AbsentTargetError` when there is none.
        """
        _, task = self._opened()
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
        """Load the app from nothing, and wait until it is ready.

        No checkpoint is used for that load, and nothing that was imported ahead.

        Raises `AsyncreloadError` when the supervisor ends first.
        """
        loop, _ = self._opened()
        old = loop.current
        while (run := loop.current) is None or run is old or not run.loads_from_nothing:
            if run is not None:
                run.reload()
            await self._step(ASK_AGAIN)
        await self.ready()

    async def is_debugging(self) -> bool:
        """Tell whether Ctrl-C is meant for a debugger that waits at its prompt in the app.

        If there is none, the app ends as it does after Ctrl-C.
        """
        return await self._is_at_prompt(Interrupt(time.monotonic()))

    async def has_prompt(self) -> bool:
        """Tell whether a debugger waits at its prompt in the app: what is typed is meant for it."""
        return await self._is_at_prompt(AskPrompt())

    def leave_prompt(self) -> bool:
        """Tell whether the terminal's cursor stands behind a prompt of the app's `input()`.

        Whoever asks prints a line now, and begins a new one first.
        """
        return self._run_loop is not None and self._run_loop.leave_prompt()

    def show_prompt(self) -> None:
        """Have that prompt shown again, behind the line."""
        run = self._run_loop.current if self._run_loop else None
        if run is not None:
            run.child.send(ShowPrompt())

    async def _is_at_prompt(self, question: Interrupt | AskPrompt) -> bool:
        run = self._run_loop.current if self._run_loop else None
        return run is not None and await run.is_at_prompt(question)

    # --- what others wait for ----------------------------------------------------------------

    def _opened(self) -> tuple[RunLoop, asyncio.Task[int]]:
        if self._run_loop is None or self._task is None:
            raise AsyncreloadError(
                "the supervisor serves nothing yet: enter it by `async with Supervisor(...)`"
            )
        return self._run_loop, self._task

    async def _outcome(self) -> Ready | Failed | Crashed:
        """Return how the load of the files ended as they are now, once requests are answered."""
        loop, _ = self._opened()
        while True:
            run = loop.current
            if run is None or run.outcome is None:
                await self._step()
                continue
            number = next(self._looks)
            while run is loop.current and run.fresh < number:
                run.look(number)
                await self._step(ASK_AGAIN)
            if run.outcome is not None and run.fresh >= number:
                return run.outcome

    async def _step(self, most: float | None = None) -> None:
        """Wait until something happens; or for so many seconds."""
        _, task = self._opened()
        if self._event_log.has_ended:
            if task.cancelled():
                raise AsyncreloadError("the supervisor was left: nothing is served any more")
            task.result()
            raise AsyncreloadError("the app came to its end before it was ready")
        await self._event_log.step(most)

    def _on_end(self, task: asyncio.Task[int]) -> None:
        if self._event_log.has_ended or self._run_loop is None:
            return
        self._run_loop.close()
        failed = not task.cancelled() and task.exception()
        self._event_log.tell(Stopped(1 if failed else 0 if task.cancelled() else task.result()))


@in_thread
def _look_up(settings: Settings, directory: str) -> tuple[Target | None, Address, Settings]:
    """Find the target's file and the host's address, in a thread: either may take its time.

    Also return the settings as the children get them: see `_with_...`.
    """
    settings = _with_program(settings, directory)
    target = None if settings.script else Target.parse(settings.target, directory)
    settings = _with_editor(_with_gateways(settings))
    return target, resolve(settings.host, settings.port), settings


def _with_program(settings: Settings, directory: str) -> Settings:
    """Return settings with what the child runs, if the target is served by a program of ours."""
    if settings.script:
        return settings
    if manage_py := find_manage_py(settings.target, directory):
        return replace(settings, script=script_of(manage_py), door="django")
    if not is_ini(settings.target):
        return settings
    file = settings.target.partition("#")[0]
    if not os.path.isfile(os.path.join(directory, file)):
        raise TargetError(f'There is no file "{file}" in {directory}: check the name.')
    return replace(settings, script=program_of(settings.target))


def _with_gateways(settings: Settings) -> Settings:
    """Return settings that trust the gateways in the place of `docker`, if there are any."""
    if DOCKER not in settings.trust or not (gateways := default_gateways()):
        return settings
    named = (text for text in settings.trust if text != DOCKER)
    return replace(settings, trust=(*named, *gateways))


def _with_editor(settings: Settings) -> Settings:
    """Return settings with the editor that the environment names, if they name none."""
    if settings.editor or not (editor := os.environ.get(VARIABLE, "")):
        return settings
    try:
        editor_url(editor)
    except ValueError as exc:  # another program may understand it
        log.warning("%s in the environment is not used: %r %s", VARIABLE, editor, exc)
        return settings
    return replace(settings, editor=editor)
