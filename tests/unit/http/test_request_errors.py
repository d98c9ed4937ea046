"""What an app lets pass: shown on this machine, told once, cut off if the answer has begun."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload.child.http import request_errors
from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.wsgi import answer
from tests.unit.http.exchange import (
    CLIENT,
    GET,
    NEVER_WAITS,
    SITE,
    pair,
    receive,
    tcp_pair,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from asyncreload.child.pages.error_report import Report

HERE = b"GET /cart?page=2 HTTP/1.1\r\nHost: localhost\r\n"
BROWSER = HERE + b"Accept: text/html\r\n\r\n"
CURL = HERE + b"\r\n"


def fails(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
    answers: dict[str, list[bytes]] = {}
    try:
        return answers["<inner>"]
    except KeyError as exc:
        raise ValueError("outer") from exc


def exchange(
    app: WSGIApplication, request: bytes, *, client: tuple[str, int] = CLIENT
) -> tuple[bytes, bytes]:
    """Return head and body. Raises ConnectionResetError if the connection is reset."""
    with pair(tcp_pair) as (browser, server):
        browser.sendall(request)
        errors = RequestErrors("state-1", live=False)
        answer(server, client, NEVER_WAITS, app=app, site=SITE, errors=errors)
        server.close()
        head, _, body = receive(browser).partition(b"\r\n\r\n")
    return head, body


# --- before anything is sent ---------------------------------------------------------------------


def test_a_browser_is_shown_the_report() -> None:
    head, body = exchange(fails, BROWSER)
    assert head.startswith(b"HTTP/1.0 500 Internal Server Error\r\n")
    assert b"\r\nContent-Type: text/html; charset=utf-8" in head
    assert b"GET /<wbr>cart?page=2" in body
    assert b"ValueError" in body
    assert b"KeyError: &#x27;&lt;inner&gt;&#x27;" in body
    assert b"<inner>" not in body
    assert b"state-1" in body


def test_an_error_in_an_old_process_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The pool that the request needs may be closed by then."""
    for is_ending in (True, False):
        errors = RequestErrors("", live=False, is_ending=lambda: is_ending)  # noqa: B023
        errors.report(ZeroDivisionError("mine"), "GET /", 0)
        told = "in the old process, which has begun to end: ZeroDivisionError: mine"
        assert (told in capsys.readouterr().err) is is_ending


def test_a_missing_package_is_named_in_the_terminal_and_in_the_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = ModuleNotFoundError("No module named 'yaml'", name="yaml")
    app = RequestErrors("state-1", live=False).report(missing, "GET /", 0)
    (text,) = app({"REMOTE_ADDR": CLIENT[0], "HTTP_HOST": "localhost"}, lambda *_: print)
    for told in (capsys.readouterr().err, text.decode()):
        assert "\n  pip install PyYAML\n" in told


def test_curl_is_told_in_plain_text() -> None:
    head, body = exchange(fails, CURL)
    assert b"\r\nContent-Type: text/plain; charset=utf-8" in head
    assert body.startswith(b"ValueError: outer\n")
    assert b"\nin GET /cart?page=2\n" in body


@pytest.mark.parametrize(
    ("request_", "client"), [(CURL, ("10.0.0.9", 1)), (GET + b"", CLIENT)], ids=["far", "host"]
)
def test_a_stranger_learns_that_it_failed(request_: bytes, client: tuple[str, int]) -> None:
    assert exchange(fails, request_, client=client)[1] == (
        b"The application failed to answer this request.\n"
    )


def test_a_browser_of_a_stranger_gets_a_page_that_comes_back() -> None:
    body = exchange(fails, BROWSER, client=("10.0.0.9", 1))[1]
    assert b"<h1>The application failed to answer this request.</h1>" in body
    assert b'data-state="state-1"' in body
    for secret in (b"ValueError", b"KeyError", b"cart", b".py"):
        assert secret not in body


def test_middleware_cannot_make_a_stranger_a_neighbour() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ |= {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
        return fails(environ, start_response)

    assert b"ValueError" not in exchange(app, BROWSER, client=("10.0.0.9", 1))[1]


def test_headers_that_the_app_has_set_are_not_sent() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Set-Cookie", "a=b"), ("Content-Length", "3")])
        return fails(environ, start_response)

    head, body = exchange(app, CURL)
    assert b"Set-Cookie" not in head
    assert b"Content-Length: %d" % len(body) in head


def test_one_traceback_without_our_frames_and_the_access_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exchange(fails, CURL)
    told = capsys.readouterr().err
    place = f"{os.path.relpath(__file__)}:{fails.__code__.co_firstlineno + 5}"
    assert told.splitlines()[0][len("12:00:00 ") :] == f"ValueError: outer · {place}"
    assert told.count("Traceback") == 2  # the error and its cause
    assert "asyncreload/" not in told
    assert "wsgiref" not in told
    assert told.splitlines()[-1].split()[1:4] == ["GET", "/cart?page=2", "500"]


# --- when the answer has begun -------------------------------------------------------------------


def late(*headers: tuple[str, str], status: str = "200 OK") -> WSGIApplication:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response(status, list(headers))
        yield b"part"
        raise ZeroDivisionError

    return app


def test_without_a_length_the_connection_is_reset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConnectionResetError):
        exchange(late(), CURL)
    told = capsys.readouterr().err
    assert told.count("Traceback") == 1
    last = told.splitlines()[-1]
    assert " GET /cart?page=2 200 " in last
    assert last.endswith(" · cut off")


def test_a_length_that_is_not_reached_tells_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    head, body = exchange(late(("Content-Length", "9")), CURL)
    assert b"Content-Length: 9" in head
    assert body == b"part"
    assert capsys.readouterr().err.endswith(" · cut off\n")


def test_an_answer_that_is_complete_is_not_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert exchange(late(("Content-Length", "4")), CURL)[1] == b"part"
    assert exchange(late(), CURL.replace(b"GET", b"HEAD"))[1] == b""
    told = capsys.readouterr().err
    assert told.count("Traceback") == 2
    assert "cut off" not in told


def test_a_write_before_the_error_counts_as_begun(capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])(b"part")
        return fails(environ, start_response)

    with pytest.raises(ConnectionResetError):
        exchange(app, CURL)
    assert capsys.readouterr().err.endswith(" · cut off\n")


# --- failed imports ------------------------------------------------------------------------------


@pytest.mark.parametrize("is_import", [False, True])
def test_a_failed_import_is_left_to_be_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_import: bool
) -> None:
    monkeypatch.setattr(request_errors, "is_import_failure", lambda _error: is_import)
    told: list[tuple[Report, int]] = []
    errors = RequestErrors(
        "1", live=False, on_import_failure=lambda report, began: told.append((report, began))
    )
    errors.report(ValueError("x"), "GET /", 7)
    assert [began for _, began in told] == [7] * is_import
    assert bool(capsys.readouterr().err) is not is_import


def test_where_nobody_waits_for_it_it_is_told_like_any_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(request_errors, "is_import_failure", lambda _error: True)
    RequestErrors("", live=False).report(ValueError("x"), "GET /", 7)
    assert re.fullmatch(r"\d\d:\d\d:\d\d ValueError: x\n", capsys.readouterr().err)


def test_what_an_error_names_is_told(tmp_path: Path) -> None:
    told: list[tuple[tuple[str, ...], int]] = []
    errors = RequestErrors("1", live=False, on_error=lambda *error: told.append(error))
    errors.report(FileNotFoundError(2, "absent", str(tmp_path / "page.html")), "GET /", 7)
    assert told == [((str(tmp_path / "page.html"),), 7)]
