"""The lifespan of an ASGI app: its startup before the first request, its shutdown after the last.

https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from asyncreload.child.http.error_log import log_error
from asyncreload.child.pages.error_report import Report
from asyncreload.errors import LifespanError

if TYPE_CHECKING:
    from asyncreload.child.imports.interface import AsgiCallable, Message

_RAISES_WITHIN = 1.0
"""Seconds that an app has to raise what it has just said to have failed with."""


class Lifespan:
    """Drives the lifespan of an app. Used in the app's loop.

    An app need not know of it: one that raises at once, as Django's does, is served all the same.
    """

    def __init__(self, app: AsgiCallable) -> None:
        self._app = app
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._has_heard = False
        self._is_up = False
        self._was_cut_off = False
        self.state: dict[str, Any] = {}
        """What the app wants each of its requests to have."""

    async def start(self) -> None:
        """Have the app start up.

        Raises what it raises there; `LifespanError` when it says no more than that it has failed.
        """
        task = self._task = asyncio.create_task(self._run(self._task_scope()), name="lifespan")
        answer = await self._ask(task, "lifespan.startup")
        if self._task is not task:
            return  # stopped meanwhile, by Ctrl-C: what it says of that is no failure
        if answer["type"] == "lifespan.startup.failed":
            await asyncio.wait({task}, timeout=_RAISES_WITHIN)
            raise _error_of(task) or LifespanError(
                f"the app's startup has failed: {answer.get('message') or 'it does not say why'}"
            )
        self._is_up = answer["type"] == "lifespan.startup.complete"
        if (error := _error_of(task)) and self._has_heard:
            # It may not know of lifespans, and have taken the message for a request's.
            kind = type(error).__name__
            _tell(f"the app raised {kind} ({error}) at its startup, and is served all the same")

    async def stop(self) -> None:
        """Have the app shut down, if it has started up; tell in the terminal what it raises."""
        task, self._task = self._task, None
        self._stopping = task
        if task is None:
            return
        if not self._is_up:
            task.cancel()  # it may be within its startup
            await asyncio.wait({task})
            return
        answer = await self._ask(task, "lifespan.shutdown")
        if self._was_cut_off:
            return  # which is told: that it was cancelled then is no failure of the app's
        if answer["type"] == "lifespan.shutdown.failed":
            await asyncio.wait({task}, timeout=_RAISES_WITHIN)
            if _error_of(task) is None:
                _tell(f"the app's shutdown has failed: {answer.get('message', '')}")
        if error := _error_of(task):
            log_error(Report.from_exception(error), "in the app's shutdown")

    def cut_off(self) -> None:
        """Cancel the app's shutdown: there is no more time for it."""
        if self._stopping is not None:
            self._was_cut_off = True
            self._stopping.cancel()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task in which the app lives; None once it has been told to shut down."""
        return self._task

    def _task_scope(self) -> dict[str, Any]:
        versions = {"version": "3.0", "spec_version": "2.0"}
        return {"type": "lifespan", "asgi": versions, "state": self.state}

    async def _run(self, scope: dict[str, Any]) -> None:
        await self._app(scope, self._receive, self._send)

    async def _ask(self, task: asyncio.Task[None], what: str) -> Message:
        """Tell the app something; return its answer, and an empty one when it has ended."""
        self._to_app.put_nowait({"type": what})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait({task, answer}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return {"type": ""}

    async def _receive(self) -> Message:
        message = await self._to_app.get()
        self._has_heard = True
        return message

    async def _send(self, message: Message) -> None:
        if not str(message.get("type")).startswith("lifespan."):
            self._has_heard = False  # it takes this for a request
            raise RuntimeError(f"{message.get('type')} is no message of a lifespan")
        self._answers.put_nowait(message)


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _tell(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # standard error may be closed, or None
        sys.stderr.write(f"{text}\n")
