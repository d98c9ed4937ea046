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
    RESTART,
    make_report_app,
)
from asyncreload.child.pages.trust import Trust

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


def ask_trusting(network: str, /, **changes: str) -> str:
    """The text of the answer where a network is trusted."""
    return answer_of(make_report_app(FAILED, "state-1", Trust((network,))), changes)[2]


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


def test_links_to_the_editor_are_for_those_who_are_trusted() -> None:
    app = make_report_app(FAILED, "state-1", editor="ed://{path}:{line}")
    link = 'href="ed:///srv/shop/app.py:7"'
    assert link in answer_of(app, {"HTTP_ACCEPT": HTML})[2]
    for stranger in ({"REMOTE_ADDR": "10.0.0.9"}, {"HTTP_HOST": "evil.com"}):
        assert "ed://" not in answer_of(app, {"HTTP_ACCEPT": HTML} | stranger)[2]


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
def test_a_stranger_learns_no_name_no_path_and_no_code(changes: dict[str, str]) -> None:
    status, headers, text = ask(FAILED, HTTP_ACCEPT="*/*", **changes)
    assert status == "500 Internal Server Error"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text == "The application failed to load.\n"
    status, headers, text = ask(FAILED, HTTP_ACCEPT=HTML, **changes)
    assert status == "500 Internal Server Error"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert shown(text) == [
        "The application failed to load.",
        "500",
        "Internal Server Error",
        "The application failed to load.",
        "The details are in the terminal of the server.",
        "This page loads itself again after the next save.",
    ]


def shown(page: str) -> list[str]:
    """The texts of a page, without its style and script."""
    page = re.sub("<(style|script)>.*?</\\1>", "", page, flags=re.DOTALL)
    return [*filter(None, (text.strip() for text in re.split("<[^>]*>", page)))]


@pytest.mark.parametrize("live", [True, False])
def test_the_page_of_a_stranger_comes_back_as_every_page(*, live: bool) -> None:
    ask_one = ask_live if live else ask
    _, mine, whole = ask_one(HTTP_ACCEPT=HTML)
    _, theirs, outline = ask_one(HTTP_ACCEPT=HTML, REMOTE_ADDR="10.0.0.9")
    assert theirs["Content-Security-Policy"] == mine["Content-Security-Policy"]
    (script,) = re.findall("<script>.*</script>", outline, re.DOTALL)
    assert script in whole
    listens = re.findall('data-state="state-1" data-events=".*?"', whole)
    assert listens
    assert re.findall('data-state="state-1" data-events=".*?"', outline) == listens
    assert 'id="live"' in outline


def test_a_strangers_request_is_not_told_to_others() -> None:
    report = FAILED.replaced(request="POST /login?token=1")
    text = ask(report, HTTP_ACCEPT=HTML, REMOTE_ADDR="10.0.0.9", REQUEST_METHOD="POST")[2]
    assert "token" not in text
    assert 'id="ask"' in text


def test_whom_one_trusts_sees_all() -> None:
    assert ask_trusting("10.0.0.0/8", REMOTE_ADDR="10.0.0.9") == FAILED.text()
    assert ask_trusting("10.0.0.0/8", REMOTE_ADDR="11.0.0.9") == "The application failed to load.\n"
    told = ask_trusting("10.0.0.0/8", REMOTE_ADDR="10.0.0.9", HTTP_HOST="shop.example")
    assert told == "The application failed to load.\n"


def test_a_stranger_learns_of_a_crash_that_it_was_one() -> None:
    report = Report.crash("killed by SIGSEGV", "while serving")
    status, _, text = ask(report, REMOTE_ADDR="10.0.0.9")
    assert (status, text) == ("503 Service Unavailable", "The application crashed.\n")


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
    assert text == "The application failed to load.\n"


# --- another start after a crash -----------------------------------------------------------------

CRASH = Report.crash("killed by SIGSEGV", "while serving")
POST = {"REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": RESTART}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"HTTP_ORIGIN": "http://localhost:8000"},
        {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "https://proxy.example"},
        {"PATH_INFO": f"/below{RESTART}"},
        {"HTTP_ACCEPT": HTML},
    ],
)
def test_the_report_of_a_crash_starts_the_app_again(changes: dict[str, str]) -> None:
    asked: list[None] = []
    app = make_report_app(CRASH, "state-1", restart=lambda: asked.append(None))
    assert answer_of(app, POST | changes)[0] == "202 Accepted"
    assert asked == [None]


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "http://localhost:8000"},
        {"HTTP_ORIGIN": "http://localhost:9000"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_HOST": "evil.com", "HTTP_ORIGIN": "http://evil.com"},
        {"REMOTE_ADDR": "10.0.0.9", "HTTP_ORIGIN": "http://localhost:8000"},
    ],
)
def test_another_site_and_a_stranger_start_nothing(changes: dict[str, str]) -> None:
    app = make_report_app(CRASH, "state-1", restart=pytest.fail)
    status, _, text = answer_of(app, POST | changes)
    assert (status, text) == ("403 Forbidden", "")


@pytest.mark.parametrize(
    "changes", [{"REQUEST_METHOD": "GET"}, {"REQUEST_METHOD": "HEAD"}, {"PATH_INFO": "/"}]
)
def test_nothing_else_starts_it(changes: dict[str, str]) -> None:
    app = make_report_app(CRASH, "state-1", restart=pytest.fail)
    assert answer_of(app, POST | changes)[0] == "503 Service Unavailable"


def test_only_where_it_can_be_started_is_there_a_button() -> None:
    button = 'id="restart"'
    app = make_report_app(CRASH, "state-1", restart=pytest.fail)
    assert button in answer_of(app, {"HTTP_ACCEPT": HTML})[2]
    assert button not in answer_of(app, {"HTTP_ACCEPT": HTML, "REMOTE_ADDR": "10.0.0.9"})[2]
    assert button not in ask(CRASH, HTTP_ACCEPT=HTML)[2]
    assert ask(CRASH, **POST)[0] == "503 Service Unavailable"


NAVIGATION = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}


def test_a_live_report_keeps_to_its_own_script() -> None:
    for host in ("localhost", "shop.example"):
        _, headers, _ = ask_live(HTTP_ACCEPT=HTML, HTTP_HOST=host, **NAVIGATION)
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert not script_tag("state-1", "500 X", Headers([*headers.items()]), b"<!")


def test_a_live_report_listens_below_the_path_that_it_has() -> None:
    text = ask_live(HTTP_ACCEPT=HTML, **NAVIGATION)[2]
    assert f'data-events="{EVENTS[1:]}"' in text
    assert f'data-events="{EVENTS}"' in ask(HTTP_ACCEPT=HTML, **NAVIGATION)[2]


def test_forwarding_headers_make_nobody_local() -> None:
    changes = {"HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_FORWARDED_HOST": "localhost"}
    _, _, text = ask(FAILED, REMOTE_ADDR="10.0.0.9", **changes)
    assert text == "The application failed to load.\n"


def test_text_that_is_no_utf8_is_told_all_the_same() -> None:
    _, _, text = ask(Report(500, "ValueError: \udc80"))
    assert text.startswith("ValueError: \\udc80\n")
