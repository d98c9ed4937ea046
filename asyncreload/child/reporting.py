"""The WSGI application that answers while there is no app to answer: with the report."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from asyncreload.child.live import is_navigation
from asyncreload.child.page import POLICY, html
from asyncreload.child.report import stranger

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from asyncreload.child.report import Report

EVENTS = "/.asyncreload/events"
_LIVE_EVENTS = ".asyncreload/events"  # there, from any page's directory
_LIVE_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z.-]+?)\.?)(?::[0-9]*)?")
_REASONS = {500: "500 Internal Server Error", 503: "503 Service Unavailable"}


def reporting_app(report: Report, state: str, *, live: bool = False) -> WSGIApplication:
    """Return an app that answers every request with the report, but strangers with its outline.

    state: what the event stream of this child tells, so that the page knows when it is outdated.
    live: whether strangers' pages load themselves again as well.
    """

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kind = "text/plain"
        policy = POLICY
        if not is_local(environ):
            text = stranger(report)
            if live and is_navigation(environ):  # a page, to which the script can be added
                kind = "text/html"
                text = f"<!doctype html><title>{text}</title><p>{text}"
                policy = _LIVE_POLICY
        elif "text/html" in environ.get("HTTP_ACCEPT", ""):
            kind = "text/html"
            text = html(report, events=_LIVE_EVENTS if live else EVENTS, state=state)
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


def is_local(environ: WSGIEnvironment) -> bool:
    """Tell whether a request comes from this machine, and was meant for it by its `Host`.

    The latter keeps out the pages of other sites whose name was made to resolve to this machine
    (DNS rebinding). A request that names its host in the place of a path is meant for a proxy.
    """
    return (
        is_loopback(environ.get("REMOTE_ADDR", ""))
        and is_loopback_host(environ.get("HTTP_HOST", ""))
        and environ.get("PATH_INFO", "/")[:1] in {"/", ""}
    )


def is_loopback(address: str) -> bool:
    """Tell whether an IP address is a loopback one, also as IPv4 mapped into IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def is_loopback_host(host: str) -> bool:
    """Tell whether a `Host` header, with or without a port, names the loopback."""
    # As strict as browsers are: two hosts, or a name before an @, are nobody's.
    found = _HOST.fullmatch(host)
    if not found:
        return False
    address, name = found[1], (found[2] or "").lower()
    return name == "localhost" or name.endswith(".localhost") or is_loopback(address or name)
