"""What follows when the app raises in a request: it is told in the terminal and to the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncreload.child.http.error_log import log_error
from asyncreload.child.imports.import_failure import is_import_failure
from asyncreload.child.pages.error_report import Report
from asyncreload.child.pages.report_app import make_report_app
from asyncreload.child.pages.trust import THIS_MACHINE, Trust

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

OnImportFailure = Callable[[Report, int], None]
"""Called with a report, and with the time when its request began, in ns since the epoch."""
OnError = Callable[[tuple[str, ...], int], None]
"""Called with the absolute paths of files that an error names, and with that time."""

_IN_OLD_PROCESS = "in the old process, which has begun to end"


class RequestErrors:
    """Reports what the app raises in requests. Changes nothing, so threads may share it.

    state: names this process in the event stream, which pages listen to. Empty for a server that
        does not reload: its clients learn that the app failed, and no more.
    trust: which clients learn more.
    live: whether the event stream is found below any path.
    editor: the template of links that open a file in an editor (editors.py); "" for no links.
    on_import_failure: called in the thread of a request that has imported project code which fails;
        returns when that is told. None where nothing reloads: then it is an error like any other.
    on_error: called in the thread of a request that has failed otherwise.
    is_ending: tells whether the process is on its way out: the app may have shut down already what
        the request needs.
    """

    def __init__(
        self,
        state: str,
        trust: Trust = THIS_MACHINE,
        *,
        live: bool,
        editor: str = "",
        on_import_failure: OnImportFailure | None = None,
        on_error: OnError | None = None,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_ending = is_ending
        self._state = state
        self._trust = trust
        self._live = live
        self._editor = editor
        self._on_import_failure = on_import_failure
        self._on_error = on_error

    def report(self, error: BaseException, request: str, began: int) -> WSGIApplication:
        """Have an error told; return an app that answers the request with its report.

        request: method and path.
        began: when the request began, in ns since the epoch.
        """
        waits = self._on_import_failure is not None and is_import_failure(error)
        report = Report.from_exception(error, request, waits=waits)
        if self._on_import_failure is not None and waits:
            self._on_import_failure(report, began)
        else:
            log_error(report, _IN_OLD_PROCESS if self._is_ending() else "")
            if self._on_error is not None:
                self._on_error(report.mending, began)
        return make_report_app(
            report, self._state, self._trust, live=self._live, editor=self._editor
        )
