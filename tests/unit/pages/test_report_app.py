"""The report as an answer: to whom, in what form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from wsgiref.headers import Headers
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from asyncreload.child.http.live_injection import script_tag
from asyncreload.child.pages.error_report import Report
from asyncreload.child.pages.report_app import (
    EVENTS,
    make_report_app,
)
from asyncreload.child.pages.trust import is_loopback, is_loopback_host, may_see_report

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

FAILED = Report(
    status=500,
    title="NameError: name 'sécret' is not defined",
    place="/srv/shop/app.py:7",
    trace="Traceback (most recent call last):\n  x\n",
)
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


def ask(report: Report = FAILED, /, **changes: str) -> tuple[str, dict[str, str], str]:
    return answer_of(make_report_app(report, "state-1"), changes)


def ask_live(**changes: str) -> tuple[str, dict[str, str], str]:
    return answer_of(make_report_app(FAILED, "state-1", live=True), changes)


def answer_of(app: WSGIApplication, changes: dict[str, str]) -> tuple[str, dict[str, str], str]:
    """Status, headers and text of the answer to a request from this machine, but for `changes`."""
    environ: WSGIEnvironment = {
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8000",
        "QUERY_STRING": "",
        **changes,
    }
    setup_testing_defaults(environ)
    answered: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> Any:
        answered[:] = [status, headers]

    result = validator(app)(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        result.close()  # type: ignore[attr-defined]
    status, headers = answered
    told = dict(headers)
    assert len(told) == len(headers)
    assert told["Content-Length"] == str(len(body))
    return status, told, body.decode()


def test_a_terminal_gets_the_text() -> None:
    for accept in ("*/*", "", "application/json"):
        status, headers, text = ask(HTTP_ACCEPT=accept)
        assert status == "500 Internal Server Error"
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert text == FAILED.text()
    assert ask()[2] == FAILED.text()


def test_a_browser_gets_the_page() -> None:
    status, headers, text = ask(HTTP_ACCEPT=HTML)
    assert status == "500 Internal Server Error"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert text.lower().startswith("<!doctype html>")
    assert "sécret" in text
    assert EVENTS in text
    assert "state-1" in text


def test_a_crash_is_unavailable() -> None:
    status, _, text = ask(Report.crash("killed by SIGSEGV", "while serving"))
    assert status == "503 Service Unavailable"
    assert "killed by SIGSEGV while serving" in text


@pytest.mark.parametrize("accept", ["*/*", HTML])
def test_it_is_never_kept_nor_guessed_at(accept: str) -> None:
    for address in ("127.0.0.1", "10.0.0.9"):
        _, headers, _ = ask(HTTP_ACCEPT=accept, REMOTE_ADDR=address)
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "changes",
    [
        {"REMOTE_ADDR": "10.0.0.9"},
        {"REMOTE_ADDR": "::ffff:10.0.0.9"},
        {"HTTP_HOST": "evil.com"},
        {"HTTP_HOST": "192.168.1.5:8000"},
    ],
)
@pytest.mark.parametrize("accept", ["*/*", HTML])
def test_a_stranger_learns_no_name_no_path_and_no_code(
    changes: dict[str, str], accept: str
) -> None:
    status, headers, text = ask(FAILED, HTTP_ACCEPT=accept, **changes)
    assert status == "500 Internal Server Error"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text == "The application failed to load."


def test_a_stranger_learns_of_a_crash_that_it_was_one() -> None:
    report = Report.crash("killed by SIGSEGV", "while serving")
    status, _, text = ask(report, REMOTE_ADDR="10.0.0.9")
    assert (status, text) == ("503 Service Unavailable", "The application crashed.")


@pytest.mark.parametrize(
    ("report", "method", "asks"),
    [
        (FAILED.replaced(request="GET /"), "GET", False),
        (FAILED.replaced(request="POST /"), "POST", True),
        (FAILED.replaced(request="POST /"), "GET", False),  # of another request
        (FAILED, "POST", False),
    ],
)
def test_a_page_that_came_by_post_asks(report: Report, method: str, *, asks: bool) -> None:
    text = ask(report, HTTP_ACCEPT=HTML, REQUEST_METHOD=method)[2]
    assert ('id="ask"' in text) is asks


@pytest.mark.parametrize("accept", ["*/*", HTML])
def test_where_nothing_reloads_everybody_is_a_stranger(accept: str) -> None:
    _, _, text = answer_of(make_report_app(FAILED, ""), {"HTTP_ACCEPT": accept})
    assert text == "The application failed to load."


NAVIGATION = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}


def test_a_live_page_of_a_stranger_can_take_the_script_and_says_no_more() -> None:
    _, headers, text = ask_live(HTTP_ACCEPT=HTML, HTTP_HOST="shop.example", **NAVIGATION)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert re.split("<[^>]*>", text)[-2:] == ["", "The application failed to load."]
    assert len(text) < 120
    assert script_tag("state-1", "500 X", Headers([*headers.items()]), b"<!")
    _, headers, text = ask_live(HTTP_ACCEPT=HTML, HTTP_HOST="shop.example")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text == "The application failed to load."


def test_a_live_report_listens_below_the_path_that_it_has() -> None:
    _, headers, text = ask_live(HTTP_ACCEPT=HTML, **NAVIGATION)
    assert f'data-events="{EVENTS[1:]}"' in text
    assert not script_tag("state-1", "500 X", Headers([*headers.items()]), b"<!")  # it has its own
    assert f'data-events="{EVENTS}"' in ask(HTTP_ACCEPT=HTML, **NAVIGATION)[2]


def test_forwarding_headers_make_nobody_local() -> None:
    changes = {"HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_FORWARDED_HOST": "localhost"}
    _, _, text = ask(FAILED, REMOTE_ADDR="10.0.0.9", **changes)
    assert text == "The application failed to load."


def test_text_that_is_no_utf8_is_told_all_the_same() -> None:
    _, _, text = ask(Report(500, "ValueError: \udc80"))
    assert text.startswith("ValueError: \\udc80\n")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("LocalHost:8000", True),
        ("localhost.", True),
        ("localhost.:8000", True),
        ("shop.localhost:8000", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8000", True),
        ("127.8.9.10:80", True),
        ("[::1]", True),
        ("[::1]:8000", True),
        ("[::ffff:127.0.0.1]:8000", True),
        ("", False),
        (":8000", False),
        ("evil.com", False),
        ("evil.com:8000", False),
        ("127.0.0.1.evil.com", False),
        ("127.0.0.1.evil.com:8000", False),
        ("localhost.evil.com", False),
        ("notlocalhost", False),
        ("evil.com#localhost", False),
        ("0.0.0.0:8000", False),
        ("10.0.0.9:8000", False),
        ("[::]:8000", False),
        ("[2001:db8::1]:8000", False),
        ("[evil.com]", False),
        ("[", False),
        ("localhost:", True),
        ("127.0.0.1.", True),
        ("localhost..", False),
        (".localhost", True),
        ("localhost:evil.com", False),
        ("localhost,evil.com", False),
        ("localhost:8000,evil.com", False),
        ("localhost:80, localhost:80", False),
        ("evil.com@localhost", False),
        ("evil.com:x@localhost", False),
        ("localhost@evil.com", False),
        ("localhost:80@evil.com", False),
        ("127.0.0.1:80@evil.com:80", False),
        ("127.0.0.1%evil.com", False),
        ("[::1]evil.com", False),
        ("[::1].evil.com:80", False),
        ("[::1]:80:80", False),
        ("[localhost]", False),
        ("::1", False),
        ("http://localhost", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("127.1", False),
        ("localhost\n", False),
        ("\u0131ocalhost", False),
    ],
)
def test_hosts_that_name_this_machine(host: str, expected: bool) -> None:  # noqa: FBT001  a parameter of the table above
    assert is_loopback_host(host) is expected
    assert may_see_report({"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": host}) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.9", False),
        ("10.0.0.9", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
        ("2130706433", False),
    ],
)
def test_addresses_of_this_machine(address: str, expected: bool) -> None:  # noqa: FBT001  a parameter of the table above
    assert is_loopback(address) is expected
    assert may_see_report({"REMOTE_ADDR": address, "HTTP_HOST": "localhost"}) is expected


@pytest.mark.parametrize("path", ["http://evil.com/", "evil.com:80", "*"])
def test_what_is_meant_for_a_proxy_is_not_for_this_machine(path: str) -> None:
    here = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
    assert may_see_report(here | {"PATH_INFO": "/"})
    assert not may_see_report(here | {"PATH_INFO": path})


def test_without_address_or_host_nobody_may_see_report() -> None:
    assert not may_see_report({})
    assert not may_see_report({"REMOTE_ADDR": "127.0.0.1"})
    assert not may_see_report({"HTTP_HOST": "localhost"})
