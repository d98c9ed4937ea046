"""The WSGI app that answers in the place of one that has failed or crashed: with a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from asyncreload.child.pages.error_page import POLICY, render, render_outline
from asyncreload.child.pages.error_report import public_text
from asyncreload.child.pages.trust import THIS_MACHINE, Trust, is_same_origin

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from asyncreload.child.pages.error_report import Report

EVENTS = "/.asyncreload/events"
"""The path of the event stream."""
RESTART = "/.asyncreload/restart"
"""The path below which the report of a crash is asked, by POST, to start the app again."""
_LIVE_EVENTS = ".asyncreload/events"  # relative to the page: a proxy may serve the app below a path
_REASONS = {500: "500 Internal Server Error", 503: "503 Service Unavailable"}
_STARTING, _FORBIDDEN = "202 Accepted", "403 Forbidden"


def make_report_app(
    report: Report,
    state: str,
    trust: Trust = THIS_MACHINE,
    *,
    live: bool = False,
    editor: str = "",
    restart: Callable[[], None] | None = None,
) -> WSGIApplication:
    """Return an app that answers every request with the report.

    A stranger learns only that the app failed, but the page comes back by itself as for everybody.
    The app may be called in several threads at once: it changes nothing.

    state: what the event stream of this process tells, so that the page knows when it is outdated.
        Empty for a server that does not reload: there, no client learns more than that.
    trust: who is no stranger.
    live: whether the event stream is found below any path.
    editor: the template of links that open a file in an editor (editors.py); "" for no links.
    restart: called in any thread when somebody who is trusted asks for another start.
    """
    events = _LIVE_EVENTS if live else EVENTS

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_trusted = bool(state) and trust.may_see_report(environ)
        if restart and environ["REQUEST_METHOD"] == "POST" and _asks_for_restart(environ):
            if may := is_trusted and _is_same_origin(environ):
                restart()
            headers = [("Content-Type", "text/plain"), ("Content-Length", "0")]
            start_response(_STARTING if may else _FORBIDDEN, headers)
            return [b""]
        if state and "text/html" in environ.get("HTTP_ACCEPT", ""):
            kind = "text/html"
            # After a failed load, nothing has become of what was sent: there, GET is tried.
            asks = bool(report.request) and environ["REQUEST_METHOD"] not in {"GET", "HEAD"}
            whole = partial(render, editor=editor, restarts=restart is not None)
            page = whole if is_trusted else render_outline
            text = page(report, events=events, state=state, asks=asks)
        else:
            kind = "text/plain"
            text = report.text() if is_trusted else f"{public_text(report)}\n"
        body = text.encode("utf-8", "backslashreplace")
        headers = [
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", POLICY),
        ]
        start_response(_REASONS[report.status], headers)
        return [body]

    return app


def _asks_for_restart(environ: WSGIEnvironment) -> bool:
    # A proxy may serve the app below a path, and with it the page.
    return str(environ.get("PATH_INFO", "")).endswith(RESTART)


def _is_same_origin(environ: WSGIEnvironment) -> bool:
    site, host = environ.get("HTTP_SEC_FETCH_SITE", ""), environ.get("HTTP_HOST", "")
    return is_same_origin(site, environ.get("HTTP_ORIGIN"), host)
