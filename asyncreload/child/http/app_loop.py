"""The event loop of an ASGI app. It runs in the main thread, which belongs to the app."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from importlib import import_module
from threading import Event
from typing import TYPE_CHECKING, Any

from asyncreload.child.http.lifespan import Lifespan
from asyncreload.child.http.loop_interrupts import interrupted_between_steps
from asyncreload.forks import end_if_forked

if TYPE_CHECKING:
    from asyncreload.child.imports.interface import AsgiApp


_STOPS_WITHIN = 0.05
"""Seconds that the loop gets to stop; code of the app may block it."""
_DESCRIPTORS_OF_A_LOOP = 10
"""At least as many as uvloop opens for a loop: 7 in version 0.23."""


class _State(Enum):
    """How far the app's life has come."""

    UP = auto()
    SHUT_DOWN = auto()
    CLEARED = auto()


class AppLoop:
    """Runs an ASGI app, in the main thread. Methods are called there.

    The loop is uvloop's where that is installed, as under uvicorn.
    """

    def __init__(self, app: AsgiApp) -> None:
        self.app: AsgiApp = app
        self.loop: asyncio.AbstractEventLoop = _new_loop()
        """May be used in other threads by `call_soon_threadsafe`."""
        asyncio.set_event_loop(self.loop)
        self._lifespan = Lifespan(app.call)
        self._state = _State.UP
        self._of_startup: set[asyncio.Task[Any]] = set()
        self._is_stopped = False
        self._has_stopped = Event()
        self._process = os.getpid()

    @property
    def lifespan_state(self) -> dict[str, Any]:
        """What the app's startup wants each request to have."""
        return self._lifespan.state

    def start_up(self) -> None:
        """Have the app start up; raises what it raises."""
        self._complete(self._lifespan.start())
        self._of_startup = asyncio.all_tasks(self.loop)

    def run_until_readable(self, descriptor: int) -> None:
        """Run the loop until there is something to read.

        What interrupts the main thread in the app's code is raised here: KeyboardInterrupt.
        """
        readable: asyncio.Future[None] = self.loop.create_future()

        def on_readable() -> None:
            if not readable.done():
                readable.set_result(None)

        self.loop.add_reader(descriptor, on_readable)
        try:
            self._complete(readable)
        finally:
            self.loop.remove_reader(descriptor)

    def shut_down(self, *, is_busy: bool, patience: float | None = None) -> None:
        """Have the app shut down, and cancel what it has running.

        Called again, it goes on where it was interrupted.

        is_busy: whether responses are still sent. What was not begun at the startup may belong to
            them, and is not cancelled.
        patience: seconds that what is cancelled gets; None for as long as it takes.
        """
        if self._state is _State.UP:
            self._state = _State.SHUT_DOWN
            self._complete(self._lifespan.stop())
        if self._state is _State.SHUT_DOWN:
            self._state = _State.CLEARED
            running = asyncio.all_tasks(self.loop)
            self._cancel(running & self._of_startup if is_busy else running, patience)
            if not is_busy:
                self._complete(self.loop.shutdown_asyncgens())

    def run_on(self) -> None:
        """Run the loop for the last responses, until `stop` is called."""
        while not self._is_stopped:
            with suppress(BaseException), self._running():
                self.loop.run_forever()
        self._has_stopped.set()

    def cut_off_shutdown(self) -> None:
        """Have the app's own shutdown cancelled, if it goes on. Called in another thread."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._lifespan.cut_off)

    def cancel_last(self) -> None:
        """Have all that runs in the loop cancelled. Called in another thread."""

        def cancel() -> None:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()

        with suppress(RuntimeError):  # it is closed
            self.loop.call_soon_threadsafe(cancel)

    def stop(self) -> None:
        """Have `run_on` return, and wait for that, but not for long. Called in another thread.

        Else the loop would wait by descriptors that are closed, for which libuv aborts the process.
        """
        self._is_stopped = True
        with suppress(RuntimeError):  # it is closed
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._has_stopped.wait(_STOPS_WITHIN)

    def _complete(self, awaitable: Awaitable[object]) -> None:
        """Run the loop until that is done; raise what it raises, and KeyboardInterrupt."""
        future = asyncio.ensure_future(awaitable, loop=self.loop)
        while not future.done():
            try:
                with self._running():
                    self.loop.run_until_complete(future)
            except RuntimeError:
                # The app has stopped the loop; or an interrupt has, of which uvloop tells twice.
                if self.loop.is_closed() or future.done():
                    raise

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Where the loop is run. A fork of the app that comes back out of it ends."""
        try:
            with interrupted_between_steps(self.loop):
                yield
        finally:
            end_if_forked(self._process)

    def _cancel(self, tasks: set[asyncio.Task[Any]], patience: float | None) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            self._complete(asyncio.wait(tasks, timeout=patience))
        for task in filter(asyncio.Task.done, tasks):
            if not task.cancelled() and (error := task.exception()):
                told = {"message": "unhandled exception at the end", "exception": error}
                self.loop.call_exception_handler(told | {"task": task})


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    _check_descriptors()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _check_descriptors() -> None:
    """Raise OSError unless there are descriptors left for a loop: libuv aborts the process then."""
    opened: list[int] = []
    try:
        while len(opened) < _DESCRIPTORS_OF_A_LOOP:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for descriptor in opened:
            os.close(descriptor)
