"""What comes of a load: the app is served, or a report is shown, and the parent is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncreload import protocol
from asyncreload.child.helper_thread import hop
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.watch.watch_reasons import reasons
from asyncreload.phase import Phase
from asyncreload.tasks import Tasks

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from asyncreload.child.http.front_end import FrontEnd
    from asyncreload.child.lifecycle.life import Life
    from asyncreload.child.lifecycle.load import Load
    from asyncreload.child.lifecycle.load_state import LoadState
    from asyncreload.child.lifecycle.parent_link import ParentLink
    from asyncreload.child.pages.error_report import Report
    from asyncreload.child.watch.change_monitor import ChangeMonitor

# All in seconds.
PATIENCE_WITH_FAILURE = 0.3  # without a change, before a failed load is shown
TOLD_FIRST = 0.01  # that the parent gets to tell of a failed load before its page is there
LEARN_AFTER = 0.02  # after a load, until files are read that it has not: answers go first
ANSWERS_FIRST = 0.5  # that it is put off, at most, while code of the app answers
SETTLED_AFTER = 0.05  # after that, until there is time for other things than requests

TOLD_BEFORE_SETTLED = 500
"""Files of which the parent can be told before the first request without delaying it."""


class LoadOutcome:
    """Opens the front end with what a load has brought. Lives in the side thread's loop."""

    def __init__(
        self,
        life: Life,
        link: ParentLink,
        state: LoadState,
        front_end: FrontEnd,
        monitor: ChangeMonitor,
    ) -> None:
        self._life = life
        self._link = link
        self._state = state
        self._front_end = front_end
        self._monitor = monitor
        self._tasks = Tasks()

    def serve(self, app: WSGIApplication | AppLoop, load: Load) -> None:
        """Answer requests with the app."""
        if not self._life.advance(Phase.SERVING):
            return  # it is on its way out
        self._front_end.serve(app, load.settings, load.go.address)
        seconds = (time.time_ns() - load.began) / 1e9
        loaded = self._state.preload.loaded
        anew = loaded - load.loaded_before
        is_asgi = isinstance(app, AppLoop)
        self._link.send(protocol.Loaded(seconds, len(self._state.baselines), loaded, anew, is_asgi))
        if len(self._state.baselines) <= TOLD_BEFORE_SETTLED:
            self.tell_files(load, settled=False)
        self._tasks.start(self._settle(load))

    async def _settle(self, load: Load) -> None:
        """Do what has time until the first requests are answered."""
        await self._close_delegated()
        await hop(self._state.baselines.learn)
        await hop(self._state.scanner.note_absent)
        await self._tell_unmatched(load)
        await asyncio.sleep(SETTLED_AFTER)
        await self._front_end.answered(ANSWERS_FIRST)
        if self._life.advance(Phase.SERVING):  # still
            self.tell_files(load)
        await self._state.preload.tell(load.root)

    async def _close_delegated(self) -> None:
        await asyncio.sleep(LEARN_AFTER)
        await self._front_end.answered(ANSWERS_FIRST)
        await hop(self._front_end.close_delegated)

    async def _tell_unmatched(self, load: Load) -> None:
        """Warn of patterns that no file fits; not at every reload, as files come and go."""
        watch, refresh = load.settings.watch, load.settings.refresh
        if load.go.changed or not (watch or refresh):
            return
        for text in await hop(self._state.scanner.unmatched, watch, refresh):
            self._link.notice(f"no file matches {text!r} yet", once=True)

    def show(self, report: Report, load: Load) -> None:
        """Answer requests with the report of a failed load or of a crash."""
        self._tasks.start(self._show(report, load))

    async def _show(self, report: Report, load: Load) -> None:
        go = load.go
        report = report.after(go.changed)
        await self._watch_what_may_mend(report, load, since=go.since or load.began)
        # A half-written save is mended soon, and a crash has been told already.
        if go.changed and not go.crash and not await self._monitor.is_quiet(PATIENCE_WITH_FAILURE):
            return
        if not self._life.advance(Phase.REPORTING):
            return
        if go.crash:
            self._link.send(protocol.Reporting())
        else:
            self._tell_failure(report)
            # Whoever sees the page finds the failure in the terminal, too, and among the events.
            await asyncio.sleep(TOLD_FIRST)
            if not self._life.advance(Phase.REPORTING):
                return
        report = report.replaced(occasion=load.occasion)
        self._front_end.show(report, load.settings, load.go.address)
        self.tell_files(load)
        await self._close_delegated()

    def show_late(self, report: Report, began: int, on_told: Callable[[], None]) -> None:
        """Answer requests with a report, after `serve`: one has imported code that fails.

        began: when that request began, in ns since the epoch; what changed later may mend it.
        on_told: called when the failure is told, or cannot be any more.
        """
        self._tasks.start(self._fail_late(report, began, on_told))

    async def _fail_late(self, report: Report, began: int, on_told: Callable[[], None]) -> None:
        try:
            if self._life.load is not None and self._life.phase is Phase.SERVING:
                await self._show_late(report, self._life.load, began)
        finally:
            on_told()

    async def _show_late(self, report: Report, load: Load, since: int) -> None:
        # First, so that no request behind the save that mends is answered with the report.
        await self._watch_what_may_mend(report, load, since)
        # Other requests may have failed meanwhile, or the end may have begun.
        if self._life.advance(Phase.SERVING) and self._life.advance(Phase.REPORTING):
            self._tell_failure(report)
            self._front_end.show(report, load.settings, load.go.address)
            self.tell_files(load)

    def note_error(self, named: tuple[str, ...], began: int) -> None:
        """Watch the files that the error of a request names: a save of one is to mend it.

        Among them are templates, which are no modules, and so not watched by themselves.

        began: when that request began, in ns since the epoch; what changed later may mend it.
        """
        if self._life.load is not None and self._life.phase is Phase.SERVING:
            changed = self._life.load.go.changed
            watch = self._state.scanner.watch_files
            self._tasks.start(hop(watch, named, began, changed))

    def _tell_failure(self, report: Report) -> None:
        told = protocol.LoadFailed(
            report.title, report.trace, report.place, report.own, report.advice
        )
        self._link.send(told)

    async def _watch_what_may_mend(self, report: Report, load: Load, since: int) -> None:
        watch = self._state.scanner.watch_what_may_mend
        await hop(watch, load.root, report.mending, since, load.go.changed)

    def tell_files(self, load: Load, *, settled: bool = True) -> None:
        """Tell the parent which of the project's files are watched, and how they were.

        settled: whether there is time for other things than requests by now.
        """
        files = self._state.baselines.to_json()
        self._link.send(protocol.Watching(files, settled))
        if load.go.explain:
            packages = len(self._state.baselines) - len(files)
            scanner = self._state.scanner
            why = reasons(
                files, load.env_files, scanner.is_asked_for, scanner.is_watched_for_refresh
            )
            self._link.send(protocol.WatchReasons(why, packages))
