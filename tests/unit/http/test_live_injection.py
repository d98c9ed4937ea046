"""Which answers get the script, and that every other one is sent as without it, to the byte."""

from __future__ import annotations

import re
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from wsgiref.headers import Headers

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreload.child.http.live_injection import adapt_headers, script_tag
from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.wsgi import Site, answer
from asyncreload.child.pages.error_page import POLICY
from asyncreload.child.pages.navigation import is_navigation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

STATE = "0123456789abcdef"
TAG = f'<script async src=".asyncreload/live.js" data-state="{STATE}"></script>'.encode()
HTML = ("Content-Type", "text/html; charset=utf-8")
CSP = "Content-Security-Policy"

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
FETCH = ("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
FROM_AFAR = ("Upgrade-Insecure-Requests: 1", "Accept: text/html,*/*")
PAGE = b"<!doctype html><h1>shop</h1>"
CONTROLS = "".join(map(chr, (*range(32), 127)))
"""What no header may contain; newer Pythons refuse it."""


def asked(*headers: str, method: str = "GET") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} / HTTP/1.1", *headers, "")).encode()


def exchange(app: WSGIApplication, request: bytes, *, live: bool = True) -> tuple[bytes, bytes]:
    """Return the head, without what tells the time, and the body of an answer."""
    site = Site("localhost", 8000, 4, access_log=False, live_state=STATE if live else "")
    browser, server = socket.socketpair()
    with browser, server:
        browser.settimeout(5)
        browser.sendall(request)
        errors = RequestErrors(STATE, live=live)
        answer(server, ("10.0.0.9", 1), nullcontext(), app=app, site=site, errors=errors)
        server.close()
        reply = b"".join(iter(lambda: browser.recv(65536), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    return re.sub(rb"\r\nDate: [^\r]*", b"", head), body


def app_of(
    *headers: tuple[str, str], status: str = "200 OK", body: Iterable[bytes] = (PAGE,)
) -> WSGIApplication:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body

    return app


def tag_for(*headers: tuple[str, str], status: str = "200 OK", first: bytes = b"<!") -> bytes:
    return script_tag(STATE, status, Headers([HTML, *headers]), first)


# --- whose request it is ---------------------------------------------------------------------


def environ_of(*headers: str, method: str = "GET") -> dict[str, Any]:
    pairs = (line.split(": ", 1) for line in headers)
    return {"REQUEST_METHOD": method} | {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in pairs
    }


@pytest.mark.parametrize("headers", [NAVIGATION, FROM_AFAR, (*NAVIGATION, *FROM_AFAR)])
def test_a_browser_asks_for_a_page(headers: tuple[str, ...]) -> None:
    assert is_navigation(environ_of(*headers))
    for method in "POST", "HEAD", "PUT", "get":
        assert not is_navigation(environ_of(*headers, method=method))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Accept: text/html",),  # of htmx, Turbo, jQuery
        ("Accept: */*", "Upgrade-Insecure-Requests: 1"),
        FETCH,
        (*FETCH, *FROM_AFAR),
        ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        ("Sec-Fetch-Mode: navigate",),
        ("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: document"),
    ],
)
def test_something_else_is_asked_for(headers: tuple[str, ...]) -> None:
    assert not is_navigation(environ_of(*headers))


# --- which answer it is ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Content-Length", "12"),),
        (("Content-Encoding", "identity"),),
        (("Content-Disposition", "inline"),),
        (("Cache-Control", "max-age=60"),),
    ],
)
@pytest.mark.parametrize("status", ["200 OK", "203 X", "404 Not Found", "500 X", "503 X"])
def test_a_page_gets_the_script(headers: tuple[tuple[str, str], ...], status: str) -> None:
    assert tag_for(*headers, status=status) == TAG


@pytest.mark.parametrize(
    "kind",
    ["text/html", "Text/HTML", " text/html ;charset=latin-1", 'text/html; Charset="UTF-8"'],
)
def test_a_page_is_known_by_its_type(kind: str) -> None:
    assert script_tag(STATE, "200 OK", Headers([("Content-Type", kind)]), b"") == TAG


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/htmlx",
        "application/xhtml+xml",
        "application/json",
        "",
        "text/html; charset=utf-16",
        "text/html; charset='UTF-16LE'",
        'text/html;a=b; charset = "ucs-2"',
        "text/html; charset=utf-32",
    ],
)
def test_other_types_and_wide_encodings_are_left_alone(kind: str) -> None:
    assert script_tag(STATE, "200 OK", Headers([("Content-Type", kind)]), b"") == b""
    assert script_tag(STATE, "200 OK", Headers([]), b"") == b""


@pytest.mark.parametrize("mark", [b"\xfe\xff", b"\xff\xfe"])
def test_a_page_that_begins_in_a_wide_encoding_is_left_alone(mark: bytes) -> None:
    assert tag_for(first=mark) == b""


@pytest.mark.parametrize(
    "header",
    [
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "identity, br"),
        ("Content-Disposition", "attachment"),
        ("Content-Disposition", " Attachment; filename=page.html"),
        ("Cache-Control", "public, No-Transform"),
        ("Content-Length", "-1"),
        ("Content-Length", "+1"),
        ("Content-Length", "1" * 5000),
    ],
)
def test_what_is_not_a_plain_page_is_left_alone(header: tuple[str, str]) -> None:
    assert tag_for(header) == b""


@pytest.mark.parametrize("headers", [(HTML,), (HTML, ("Content-Length", "0"))])
@pytest.mark.parametrize("body", [[], [b""]])
def test_a_page_that_is_empty_for_a_moment_gets_the_script_too(
    headers: tuple[tuple[str, str], ...], body: list[bytes]
) -> None:
    head, shown = exchange(app_of(*headers, body=body), asked(*NAVIGATION))
    assert shown == TAG
    assert b"Content-Length: %d" % len(TAG) in head


def test_a_page_of_two_lengths_is_left_alone() -> None:
    assert tag_for(("Content-Length", "3"), ("Content-Length", "4")) == b""


@pytest.mark.parametrize("code", [100, 204, 205, 206, 301, 302, 303, 304, 307, 308])
def test_what_is_not_shown_is_left_alone(code: int) -> None:
    assert tag_for(status=f"{code} X") == b""


# --- what the page's policy permits ----------------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [
        "default-src 'self'",
        "Default-Src 'SELF'; img-src *",
        "default-src 'none'; script-src 'self'; connect-src 'self'",
        "script-src *",
        "script-src http:",
        "script-src-elem 'self'; script-src 'none'",
        "img-src 'none'",
        "frame-ancestors 'none'; ;",
        "sandbox allow-scripts allow-same-origin; default-src 'self'",
        "default-src 'self'; default-src 'none'",
        "default-src 'self', script-src 'self'",
        "",
    ],
)
def test_a_policy_that_permits_the_own_origin_permits_the_script(policy: str) -> None:
    assert tag_for((CSP, policy)) == TAG


@pytest.mark.parametrize(
    "policy",
    [
        "script-src 'nonce-aB3+/-_='; connect-src 'self'",
        "script-src 'strict-dynamic' 'Nonce-aB3+/-_='",
        "script-src 'nonce-aB3+/-_=', script-src 'self'",
    ],
)
def test_the_nonce_of_a_policy_is_given(policy: str) -> None:
    assert tag_for((CSP, policy)) == TAG.replace(b"></", b' nonce="aB3+/-_="></')


@pytest.mark.parametrize(
    "policy",
    [
        "default-src 'none'",
        "default-src",
        "script-src https://cdn.example",
        "script-src 'unsafe-inline'",
        "script-src 'self' 'strict-dynamic'",
        "script-src-elem 'none'; script-src 'self'",
        "connect-src 'none'",
        "default-src 'self'; connect-src https://api.example",
        "default-src 'nonce-abc'",
        "script-src 'nonce-abc', script-src 'nonce-def'",
        "script-src 'nonce-\"><script>'",
        "default-src 'self', default-src 'none'",
        "sandbox",
        "sandbox allow-scripts",
        POLICY,
    ],
)
@pytest.mark.parametrize("name", [CSP, f"{CSP}-Report-Only"])
def test_where_the_policy_forbids_or_reports_it_there_is_none(name: str, policy: str) -> None:
    assert tag_for((name, policy)) == b""
    assert tag_for((CSP, "default-src 'self'"), (name, policy)) == b""


@given(st.text(st.characters(codec="latin-1", exclude_characters=CONTROLS)))
def test_whatever_a_policy_says_the_tag_is_one(policy: str) -> None:
    nonce = rb'( nonce="[A-Za-z0-9+/_=-]+")?'
    assert re.fullmatch(
        re.escape(TAG).replace(b"></", nonce + b"></") + b"|", tag_for((CSP, policy))
    )


# --- how it is sent --------------------------------------------------------------------------


def test_the_headers_are_true_of_the_page_with_the_script() -> None:
    headers = Headers([HTML, ("ETag", '"1"'), ("Content-Length", "5"), ("Vary", "Cookie")])
    headers.add_header("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")
    adapt_headers(headers, 10)
    assert sorted(headers.items()) == [
        ("Content-Length", "15"),
        HTML,
        ("Vary", "Cookie"),
        ("Vary", "Sec-Fetch-Dest"),
    ]


def test_the_script_is_the_last_of_the_page() -> None:
    for headers in [HTML], [HTML, ("Content-Length", str(len(PAGE)))]:
        head, body = exchange(app_of(*headers), asked(*NAVIGATION))
        assert body == PAGE + TAG
        assert f"\r\nContent-Length: {len(body)}".encode() in head


def test_a_page_that_is_streamed_is_not_held_back() -> None:
    browser, server = socket.socketpair()
    browser.settimeout(5)
    seen: list[bytes] = []

    def blocks() -> Iterator[bytes]:
        yield b"first"
        seen.append(browser.recv(65536))
        yield b"second"
        seen.append(browser.recv(65536))

    with browser, server:
        browser.sendall(asked(*NAVIGATION))
        site = Site("localhost", 8000, 4, access_log=False, live_state=STATE)
        answer(server, ("127.0.0.1", 1), nullcontext(), app=app_of(HTML, body=blocks()), site=site)
        rest = browser.recv(65536)
    assert seen[0].endswith(b"\r\n\r\nfirst")
    assert b"Content-Length" not in seen[0]
    assert seen[1:] == [b"second"]
    assert rest == TAG


def test_a_page_that_the_app_writes_gets_it_too() -> None:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [HTML])
        write(b"first")
        return [b"second"]

    assert exchange(app, asked(*NAVIGATION))[1] == b"firstsecond" + TAG


@pytest.mark.parametrize("said", [len(PAGE) - 1, len(PAGE) + 1])
def test_a_page_that_is_not_as_long_as_it_said_gets_none(said: int) -> None:
    assert exchange(app_of(HTML, ("Content-Length", str(said))), asked(*NAVIGATION))[1] == PAGE


def test_a_page_that_breaks_off_gets_none() -> None:
    def blocks() -> Iterator[bytes]:
        yield PAGE
        raise ValueError

    _, body = exchange(app_of(HTML, body=blocks()), asked(*NAVIGATION))
    assert body == PAGE


def test_what_middleware_makes_of_the_environ_does_not_count() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        posing = "HTTP_X_POSING" in environ
        environ |= environ_of(*(NAVIGATION if posing else FETCH), method="GET" if posing else "PUT")
        return app_of(HTML)(environ, start_response)

    assert exchange(app, asked(*NAVIGATION))[1] == PAGE + TAG
    assert exchange(app, asked(*FETCH, "X-Posing: 1"))[1] == PAGE


def test_an_app_that_raises_is_a_page_that_can_be_mended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def app(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        raise KeyError("shot")

    head, body = exchange(app, asked(*NAVIGATION))
    assert head.startswith(b"HTTP/1.0 500 Internal Server Error\r\n")
    assert body == b"The application failed to answer this request.\n"
    page = asked(*NAVIGATION, "Accept: text/html")
    assert TAG not in exchange(app, page)[1]  # the page of a report has a script of its own
    assert "KeyError: 'shot'" in capsys.readouterr().err
    for request in asked(*FETCH), asked():
        assert exchange(app, request) == exchange(app, request, live=False)


# --- everything else -------------------------------------------------------------------------

STATUSES = st.sampled_from(
    ["200 OK", "201 Created", "204 No", "206 Partial Content", "302 Found", "304 Not", "404 No"]
)
NAMES = {
    "Content-Type": ["text/html", "text/html; charset=utf-8", "text/plain", "image/png"],
    "Content-Encoding": ["gzip", "identity"],
    "Content-Disposition": ["attachment", "inline"],
    "Cache-Control": ["no-transform", "max-age=5"],
    "ETag": ['"1"', 'W/"1"'],
    "Last-Modified": ["Thu, 01 Jan 1970 00:00:00 GMT"],
    "Vary": ["Cookie"],
    CSP: ["default-src 'none'", "default-src 'self'"],
    "Set-Cookie": ["a=b"],
}
HEADERS = st.lists(
    st.sampled_from([(name, value) for name, values in NAMES.items() for value in values]),
    unique_by=lambda pair: pair[0],
)
BODIES = st.lists(st.binary(max_size=40), max_size=4)
REQUESTS = st.sampled_from(
    [
        asked(*fetch, method=method)
        for fetch in (NAVIGATION, FETCH, FROM_AFAR, ())
        for method in ("GET", "HEAD", "POST", "OPTIONS")
    ]
)


@given(STATUSES, HEADERS, BODIES, REQUESTS, st.booleans(), st.booleans())
def test_an_answer_is_the_same_to_the_byte_or_a_page_with_the_script(
    status: str,
    headers: list[tuple[str, str]],
    body: list[bytes],
    request: bytes,
    streams: bool,  # noqa: FBT001  hypothesis gives them by position
    tells: bool,  # noqa: FBT001  the same
) -> None:
    if tells:
        headers = [*headers, ("Content-Length", str(sum(map(len, body))))]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return app_of(*headers, status=status, body=iter(body) if streams else body)(
            environ, start_response
        )

    plain = exchange(app, request, live=False)
    head, shown = exchange(app, request)
    if shown == plain[1]:
        assert head == plain[0]
        return
    given_headers = dict(headers)
    assert shown == plain[1] + TAG
    assert b"GET / " in request
    assert b"navigate" in request or b"Upgrade" in request
    assert status[0] in "24"
    assert status[:3] not in {"204", "206"}
    assert given_headers["Content-Type"].startswith("text/html")
    assert given_headers.get("Content-Encoding") != "gzip"
    assert given_headers.get("Content-Disposition") != "attachment"
    assert given_headers.get("Cache-Control") != "no-transform"
    assert given_headers.get(CSP) != "default-src 'none'"
    changed = re.compile(rb"\r\n(ETag|Last-Modified|Content-Length|Vary: Sec-Fetch-Dest)[^\r]*")
    assert changed.sub(b"", head) == changed.sub(b"", plain[0])
    if found := re.search(rb"Content-Length: (\d+)", head):
        assert int(found[1]) == len(shown)
