"""What comes of a load: the app is served, or a report is shown, and the parent is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncreload import protocol
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.watch.watch_reasons import reasons
from asyncreload.child.worker_threads import hop
from asyncreload.phase import Phase

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from asyncreload.child.http.front_end import FrontEnd
    from asyncreload.child.lifecycle.load import Load
    from asyncreload.child.lifecycle.parent_link import ParentLink
    from asyncreload.child.pages.error_report import Report
    from asyncreload.child.watch.baselines import Baselines
    from asyncreload.child.watch.change_monitor import ChangeMonitor
    from asyncreload.child.watch.change_scanner import ChangeScanner

# All in seconds.
PATIENCE_WITH_FAILURE = 0.3  # without a change, before a failed load is shown
TOLD_FIRST = 0.01  # that the parent gets to tell of a failed load before its page is there
LEARN_AFTER = 0.02  # after a load, until files are read that it has not: answers go first
ANSWERS_FIRST = 0.5  # that it is put off, at most, while code of the app answers
SETTLED_AFTER = 0.05  # after that, until there is time for other things than requests

TOLD_BEFORE_SETTLED = 500
"""Files of which the parent can be told before the first request without delaying it."""


class LoadOutcome:
    """Opens the front end with what a load has brought. Lives in the side thread's loop.

    enter: enters a phase; returns whether it is the present one then.
    count_loaded: returns how many modules of the project were loaded.
    """

    def __init__(
        self,
        link: ParentLink,
        front_end: FrontEnd,
        baselines: Baselines,
        scanner: ChangeScanner,
        monitor: ChangeMonitor,
        enter: Callable[[Phase], bool],
        count_loaded: Callable[[], int],
    ) -> None:
        self._link = link
        self._front_end = front_end
        self._baselines = baselines
        self._scanner = scanner
        self._monitor = monitor
        self._enter = enter
        self._count_loaded = count_loaded

    def serve(self, app: WSGIApplication | AppLoop, load: Load) -> None:
        """Answer requests with the app."""
        if not self._enter(Phase.SERVING):
            return  # it is on its way out
        self._front_end.serve(app, load.settings, load.go.address)
        seconds = (time.time_ns() - load.began) / 1e9
        loaded = self._count_loaded()
        anew = loaded - load.loaded_before
        is_asgi = isinstance(app, AppLoop)
        self._link.send(protocol.Loaded(seconds, len(self._baselines), loaded, anew, is_asgi))
        if len(self._baselines) <= TOLD_BEFORE_SETTLED:
            self.tell_files(load, settled=False)

    async def settle(self, load: Load) -> None:
        """After `serve`: do what has time until the first requests are answered."""
        await asyncio.sleep(LEARN_AFTER)
        await self._front_end.answered(ANSWERS_FIRST)
        await hop(self._baselines.learn)
        await self._tell_unmatched(load)
        await asyncio.sleep(SETTLED_AFTER)
        await self._front_end.answered(ANSWERS_FIRST)
        if self._enter(Phase.SERVING):  # still
            self.tell_files(load)

    async def _tell_unmatched(self, load: Load) -> None:
        """Warn of patterns that no file fits; not at every reload, as files come and go."""
        watch, refresh = load.settings.watch, load.settings.refresh
        if load.go.changed or not (watch or refresh):
            return
        for text in await hop(self._scanner.unmatched, watch, refresh):
            self._link.notice(f"no file is watched for {text!r}: check the pattern", once=True)

    async def show(self, report: Report, load: Load) -> None:
        """Answer requests with the report of a failed load or of a crash."""
        go = load.go
        await self._watch_what_may_mend(report, load, since=go.since or load.began)
        # A half-written save is mended soon, and a crash has been told already.
        if go.changed and not go.crash and not await self._monitor.is_quiet(PATIENCE_WITH_FAILURE):
            return
        if not self._enter(Phase.REPORTING):
            return
        if go.crash:
            self._link.send(protocol.Reporting())
        else:
            self._tell_failure(report)
            # Whoever sees the page finds the failure in the terminal, too, and among the events.
            await asyncio.sleep(TOLD_FIRST)
            if not self._enter(Phase.REPORTING):
                return
        report = report.replaced(occasion=load.occasion)
        self._front_end.show(report, load.settings, load.go.address)
        self.tell_files(load)

    async def show_late(self, report: Report, load: Load, since: int) -> None:
        """Answer requests with a report, after `serve`: one has imported code that fails.

        since: when that request began, in ns since the epoch; what changed later may mend it.
        """
        # First, so that no request behind the save that mends is answered with the report.
        await self._watch_what_may_mend(report, load, since)
        # Other requests may have failed meanwhile, or the end may have begun.
        if self._enter(Phase.SERVING) and self._enter(Phase.REPORTING):
            self._tell_failure(report)
            self._front_end.show(report, load.settings, load.go.address)
            self.tell_files(load)

    def _tell_failure(self, report: Report) -> None:
        told = protocol.LoadFailed(
            report.title, report.trace, report.place, report.own, report.advice
        )
        self._link.send(told)

    async def _watch_what_may_mend(self, report: Report, load: Load, since: int) -> None:
        watch = self._scanner.watch_what_may_mend
        await hop(watch, load.root, report.mending, since, load.go.changed)

    def tell_files(self, load: Load, *, settled: bool = True) -> None:
        """Tell the parent which of the project's files are watched, and how they were.

        settled: whether there is time for other things than requests by now.
        """
        files = self._baselines.to_json()
        self._link.send(protocol.Watching(files, settled))
        if load.go.explain:
            packages = len(self._baselines) - len(files)
            why = reasons(files, load.env_files, self._scanner.is_asked_for)
            self._link.send(protocol.WatchReasons(why, packages))
