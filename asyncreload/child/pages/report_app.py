"""The WSGI app that answers in the place of one that has failed or crashed: with a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from asyncreload.child.pages.error_page import POLICY, render
from asyncreload.child.pages.error_report import public_text
from asyncreload.child.pages.navigation import is_navigation
from asyncreload.child.pages.trust import may_see_report

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from asyncreload.child.pages.error_report import Report

EVENTS = "/.asyncreload/events"
"""The path of the event stream."""
_LIVE_EVENTS = ".asyncreload/events"  # relative to the page: a proxy may serve the app below a path
_LIVE_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"
_REASONS = {500: "500 Internal Server Error", 503: "503 Service Unavailable"}


def make_report_app(report: Report, state: str, *, live: bool = False) -> WSGIApplication:
    """Return an app that answers every request with the report.

    A client on another machine learns only that the app failed: see trust.py. The app may be called
    in several threads at once: it changes nothing.

    state: what the event stream of this process tells, so that the page knows when it is outdated.
        Empty for a server that does not reload: there, no client learns more than that.
    live: whether pages on other machines reload themselves as well.
    """

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kind = "text/plain"
        policy = POLICY
        if not state or not may_see_report(environ):
            text = public_text(report)
            if live and is_navigation(environ):  # HTML, so that the script can be appended
                kind = "text/html"
                text = f"<!doctype html><title>{text}</title><p>{text}"
                policy = _LIVE_POLICY
        elif "text/html" in environ.get("HTTP_ACCEPT", ""):
            kind = "text/html"
            events = _LIVE_EVENTS if live else EVENTS
            # After a failed load, nothing has become of what was sent: there, GET is tried.
            asks = bool(report.request) and environ["REQUEST_METHOD"] not in {"GET", "HEAD"}
            text = render(report, events=events, state=state, asks=asks)
        else:
            text = report.text()
        body = text.encode("utf-8", "backslashreplace")
        headers = [
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", policy),
        ]
        start_response(_REASONS[report.status], headers)
        return [body]

    return app
