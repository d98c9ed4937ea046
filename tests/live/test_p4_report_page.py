"""P4: the page that says why, as a browser shows it, and what strangers are told."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.browsing import in_chromium, kinds, streams, until_streams
from tests.live.driving import DEADLINE, Answer

if TYPE_CHECKING:
    from tests.live.browsing import Browser, Tab
    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.without_standby

EVENTS = "/.asyncreload/events"

APP = """\
import os
from shop import prices
def app(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        os._exit(7)
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [b"<!doctype html><title>shop</title><link rel=icon href=data:,><h1>",
            f"{environ['REQUEST_METHOD']}: {prices.total(prices.NAMES)}</h1>".encode()]
"""
PRICES = """\
NAMES = "apple", "pear"
def total(names):
    return "total " + str(sum(len(name) for name in names))
TOTAL = total(NAMES)
"""
BROKEN = PRICES.replace("len(name)", "len(name) / 0")
UNREADABLE = PRICES.replace("names):", "names:")
MENDED = PRICES.replace('"pear"', '"pear", "plum"')
SHOP = {"app.py": APP, "shop/__init__.py": "", "shop/prices.py": PRICES}


# --- it appears, and it goes ---------------------------------------------------------------


@in_chromium
def test_p4_an_open_page_turns_into_the_report_and_back_into_the_app(
    serve: Serve, browser: Browser, tab: Tab
) -> None:
    served = serve(files=SHOP)
    tab.open(served.port).until_shown("total 9")

    served.write("shop/prices.py", BROKEN)
    served.until_told("ZeroDivisionError: division by zero")
    assert "total 9" in tab.text  # the app's own pages are left alone
    assert kinds(browser.requests(served.port)) == ["Document"]

    tab.reload().until_shown("division by zero")
    assert tab.run("return document.title") == "ZeroDivisionError: division by zero"
    assert tab.one("h1") == "ZeroDivisionError: division by zero"
    assert tab.one(".verdict") == "500 The application failed to load."
    place = f"{served.directory}/shop/prices.py:3"
    assert tab.one(".place .location") == place
    assert tab.all("summary .location") == [
        place,  # the generator expression, and the function that it is in
        place,
        f"{served.directory}/shop/prices.py:4",
        f"{served.directory}/app.py:2",
    ]
    assert tab.all("mark")[0] == f"3{BROKEN.splitlines()[2]}\n"
    assert not tab.all(".library")

    until_streams(served, 1)
    served.write("shop/prices.py", MENDED)
    tab.until_shown("GET: total 13")
    until_streams(served, 0)
    # Two for the user's own, one for the page's: and a stream from each of the two processes.
    assert sorted(kinds(browser.requests(served.port))) == [
        *["Document"] * 3,
        *["EventSource"] * 2,
    ]


@in_chromium
def test_p4_an_open_report_asks_for_nothing(serve: Serve, browser: Browser, tab: Tab) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    tab.open(served.port).until_shown("division by zero")
    until_streams(served, 1)
    before = browser.requests(served.port)
    assert sorted(kinds(before)) == ["Document", "EventSource"]

    tab.run("return new Promise(done => setTimeout(done, 1000))")  # nothing to wait for

    assert browser.requests(served.port) == before
    assert streams(served) == 1
    assert served.output.count(" GET ") == 1


@in_chromium
def test_p4_an_open_report_shows_the_next_error_by_itself(
    serve: Serve, browser: Browser, tab: Tab
) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    tab.open(served.port).until_shown("division by zero")
    until_streams(served, 1)

    served.write("shop/prices.py", UNREADABLE)

    tab.until_shown("SyntaxError")
    assert tab.one(".request") == "after shop/prices.py changed"
    assert tab.one(".place .location") == f"{served.directory}/shop/prices.py:2"
    assert tab.all("mark") == ["2def total(names:\n", "2from shop import prices\n"]
    assert tab.one(".caret b").endswith("^")
    until_streams(served, 1)

    served.replace("shop/prices.py", MENDED)
    tab.until_shown("GET: total 13")
    assert kinds(browser.requests(served.port)).count("Document") == 3


@in_chromium
def test_p4_a_crash_is_shown_until_the_next_save(serve: Serve, browser: Browser, tab: Tab) -> None:
    served = serve(files=SHOP)
    tab.open(served.port).until_shown("total 9")
    tab.run("fetch('/crash').catch(() => {})")
    served.until_told("exit code 7")

    tab.reload().until_shown("The application crashed.")
    assert tab.one(".verdict b") == "503"
    assert "exit code 7" in tab.one("h1")
    assert "the next save starts the app again" in tab.one(".hint")

    until_streams(served, 1)
    served.write("shop/prices.py", MENDED)
    tab.until_shown("GET: total 13")
    assert kinds(browser.requests(served.port)).count("Document") == 3


@in_chromium
def test_p4_a_button_starts_the_app_again_after_a_crash(serve: Serve, tab: Tab) -> None:
    served = serve(files=SHOP)
    tab.open(served.port).until_shown("total 9")
    tab.run("fetch('/crash').catch(() => {})")
    served.until_told("exit code 7")
    tab.reload().until_shown("The application crashed.")
    until_streams(served, 1)

    tab.click("#restart button")

    tab.until_shown("GET: total 9")


@in_chromium
def test_p4_the_app_comes_back_where_the_user_was(serve: Serve, tab: Tab) -> None:
    """A form is not sent again, and what follows the # is kept: it is a route in many apps."""
    served = serve(files=SHOP)
    tab.open(served.port, "/cart?page=2").until_shown("GET: total 9")
    served.write("shop/prices.py", BROKEN)
    served.until_told("ZeroDivisionError")
    tab.run("""
        const form = document.body.appendChild(document.createElement("form"));
        form.method = "post";
        form.action = "/cart?page=2#last";
        form.submit();
    """)
    tab.until_shown("division by zero")
    history = tab.run("return history.length")

    until_streams(served, 1)
    served.write("shop/prices.py", MENDED)

    tab.until_shown("GET: total 13")
    assert tab.url == f"http://127.0.0.1:{served.port}/cart?page=2#last"
    assert tab.run("return history.length") == history


@in_chromium
def test_p4_a_hidden_report_has_no_stream(serve: Serve, browser: Browser, tab: Tab) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    tab.open(served.port).until_shown("division by zero")
    until_streams(served, 1)

    tab.minimize()
    tab.until("return document.hidden", "the tab is hidden")
    until_streams(served, 0)
    served.write("shop/prices.py", MENDED)
    served.until(lambda: served.get().status == 200, "the app is back")
    assert streams(served) == 0
    assert kinds(browser.requests(served.port)) == ["Document", "EventSource"]
    assert "division by zero" in tab.text

    tab.restore()
    tab.until_shown("GET: total 13")


@in_chromium
def test_p4_a_report_outlives_the_supervisor(serve: Serve, browser: Browser, tab: Tab) -> None:
    """While nobody listens it asks now and then; when the app is served again, it is shown."""
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    tab.open(served.port).until_shown("division by zero")
    until_streams(served, 1)
    served.stop()

    before = len(browser.requests(served.port))
    tab.run("return new Promise(done => setTimeout(done, 1000))")
    assert len(browser.requests(served.port)) - before <= 6

    again = serve("app.py", "--port", str(served.port), files=SHOP)
    assert again.port == served.port
    tab.until_shown("GET: total 9")


# --- streams are cheap ---------------------------------------------------------------------


@in_chromium
def test_p4_many_open_reports_keep_nobody_waiting(serve: Serve, browser: Browser, tab: Tab) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    tabs = [tab, *(browser.tab() for _ in range(7))]
    for one in tabs:
        one.drive().open(served.port).until_shown("division by zero")
    with ExitStack() as stack:
        held = [stack.enter_context(stream(served)) for _ in range(32)]
        assert all(b"data: " in connection.recv(4096) for connection in held)

        began = time.monotonic()
        assert [served.get().status for _ in range(10)] == [500] * 10
        assert time.monotonic() - began < 1

        served.write("shop/prices.py", MENDED)
        assert "GET: total 13" in served.body()
        assert all(not connection.recv(4096) for connection in held)  # each has ended
    for one in tabs:
        one.drive().until_shown("GET: total 13")


# --- hostile names and messages ------------------------------------------------------------

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\u2028&amp;${x}`\udcff\x1b[31m"


@in_chromium
def test_p4_hostile_names_and_messages_are_text(serve: Serve, browser: Browser, tab: Tab) -> None:
    path = f"x{HOSTILE}/{HOSTILE}.py"
    source = f"""\
# </pre></code></script><script>alert(3)</script> <!-- ]]>
def hostile():
    raise type("</style><script>alert(4)</script>", (Exception,), {{}})({HOSTILE!r})
hostile()
"""
    loader = f"""\
import importlib.util
spec = importlib.util.spec_from_file_location("odd", {path!r})
odd = importlib.util.module_from_spec(spec)
spec.loader.exec_module(odd)
"""
    served = serve("app.py", files={"app.py": loader, path: source})

    tab.open(served.port).until("return document.querySelector('h1')", "the report")

    shown = HOSTILE.replace("\udcff", "\\udcff").replace("\x1b", "\\x1b")
    in_one_line = " ".join(shown.split())  # U+2028 separates lines
    message = f"</style><script>alert(4)</script>: {in_one_line}"
    assert tab.one("h1").endswith(message)
    assert tab.run("return document.title").endswith(message)
    place = f"{served.directory}/x{shown}/{shown}.py:3"
    assert tab.one(".place .location") == place
    assert tab.run("return document.querySelector('[data-copy]').dataset.copy") == place
    assert "<script>alert(3)</script>" in tab.all(".lines")[0]
    assert tab.run("return document.querySelectorAll('script, img, [onerror]').length") == 1
    until_streams(served, 1)
    assert kinds(browser.requests(served.port)) == ["Document", "EventSource"]
    # An alert would have made each of these commands fail.


@in_chromium
def test_p4_the_report_allows_no_foreign_code(serve: Serve, browser: Browser, tab: Tab) -> None:
    """Were a text not escaped after all, the policy of the page would still run nothing."""
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    tab.open(served.port).until_shown("division by zero")

    tab.run("""
        window.ran = 0;
        document.body.insertAdjacentHTML("beforeend", "<img src=/x.png onerror='ran = 1'>");
        const script = document.createElement("script");
        script.textContent = "ran = 2";
        document.body.append(script);
        const other = document.createElement("script");
        other.src = "/x.js";
        document.body.append(other);
    """)

    assert tab.run("return new Promise(done => setTimeout(() => done(window.ran), 100))") == 0
    assert kinds(browser.requests(served.port)).count("EventSource") == 1
    assert served.output.count(" GET ") == 1


# --- looks ---------------------------------------------------------------------------------

_CONTRAST = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const [r, g, b] = parse(color).map((c) => {
    c /= 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (parse(color).length === 3) return color;
  }
};
for (const folded of document.querySelectorAll("details")) folded.open = true;
const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
const poor = [];
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
  const pair = [getComputedStyle(element).color, ground(element)].map(light);
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  if (ratio < 4.5) poor.push([element.outerHTML.slice(0, 200), ratio]);
}
return poor;
"""


_LEFT = """
const [selector, sign] = arguments;
const texts = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const at = texts.currentNode.data.indexOf(sign);
  if (at < 0) continue;
  const range = new Range();
  range.setStart(texts.currentNode, at);
  range.setEnd(texts.currentNode, at + 1);
  return range.getBoundingClientRect().left;
}
"""

ODD = """\
def total(names):
\tif names:
\t\tgrö\N{CJK UNIFIED IDEOGRAPH-5927}ße = sum[len(name) for name in names
\treturn 0
"""


@in_chromium
def test_p4_the_report_is_readable(serve: Serve, tab: Tab, tmp_path: Path) -> None:
    """Set ASYNCRELOAD_SHOTS to a directory, to look at it with your own eyes."""
    directory = Path(os.environ.get("ASYNCRELOAD_SHOTS", tmp_path))
    loader = 'import ast, os\nodd = os.path.abspath("odd.py")\nast.parse(open(odd).read(), odd)\n'
    served = serve(files={"app.py": loader, "odd.py": ODD})
    tab.open(served.port).until_shown("was never closed")
    assert tab.all(".library summary")[0] == "1 library call"
    assert "1 library call" in tab.text
    assert "ast.py" not in tab.text
    assert abs(tab.run(_LEFT, "mark", "[") - tab.run(_LEFT, ".caret", "^")) < 1

    for width, height in (1100, 900), (390, 800):
        tab.resize(width, height)
        for scheme in "light", "dark":
            tab.prefer(scheme)
            picture = tab.screenshot(directory / f"{scheme}-{width}.png")
            assert picture.stat().st_size > 10_000
            ground = tab.run("return getComputedStyle(document.body).backgroundColor")
            brightness = sum(map(int, re.findall(r"\d+", ground))) / 3
            assert brightness < 64 if scheme == "dark" else brightness > 192
            assert tab.run(_CONTRAST) == []
        room = tab.run("return document.documentElement.scrollWidth")
        assert room <= width, "the page must be scrolled sideways"


@in_chromium
def test_p4_file_and_line_are_copied(serve: Serve, tab: Tab) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    origin = f"http://127.0.0.1:{served.port}"
    allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    tab.devtools("Browser.grantPermissions", origin=origin, permissions=allowed)
    tab.open(served.port).until_shown("division by zero")

    tab.click(".place [data-copy]")

    tab.until_shown("copied")
    assert tab.run("return navigator.clipboard.readText()") == (
        f"{served.directory}/shop/prices.py:3"
    )


@in_chromium
def test_p4_the_report_needs_no_script(serve: Serve, tab: Tab) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    tab.devtools("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(served.port)

    told = tab.devtools("DOMSnapshot.captureSnapshot", computedStyles=[])
    strings, (document,) = told["strings"], told["documents"]
    shown = [strings[index] for index in document["layout"]["text"] if index >= 0]

    for text in ("division by zero", "The application failed to load.", "prices.py:3"):
        assert any(text in part for part in shown), (text, shown)
    assert "len(name) / 0" in "".join(shown)  # in the colours of source
    assert "copy" not in shown  # a button that could do nothing
    assert not any("loads itself again" in part for part in shown)
    assert streams(served) == 0


# --- strangers -----------------------------------------------------------------------------


def exchange(served: Served, text: str) -> bytes:
    """Send a text as it is, and read all that comes back."""
    with socket.create_connection(("127.0.0.1", served.port), DEADLINE) as connection:
        connection.sendall(text.encode())
        return connection.makefile("rb").read()


def lines_of(served: Served, lines: tuple[str, ...], host: str) -> str:
    host = host or f"127.0.0.1:{served.port}"
    return "".join(f"{line}\r\n" for line in (*lines, f"Host: {host}", ""))


def ask(served: Served, *lines: str, host: str = "") -> Answer:
    """Send a request, and read the whole response."""
    return Answer.parse(exchange(served, lines_of(served, lines, host)))


def connect(served: Served, *lines: str) -> socket.socket:
    """Send a request on a connection that stays open."""
    connection = socket.create_connection(("127.0.0.1", served.port), DEADLINE)
    connection.sendall(lines_of(served, lines, "").encode())
    return connection


def stream(served: Served) -> socket.socket:
    return connect(served, f"GET {EVENTS} HTTP/1.1", "Accept: text/event-stream")


HTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"


def test_p4_a_stranger_learns_no_detail(serve: Serve) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    bare = Answer(500, "The application failed to load.\n")
    hosts = "evil.com", "evil.com:80", "192.168.1.5", "localhost.evil.com", "[2001:db8::1]"
    for host in hosts:
        assert ask(served, "GET / HTTP/1.1", "Accept: */*", host=host) == bare, host
    unnamed = "GET / HTTP/1.0\r\n\r\n"
    assert Answer.parse(exchange(served, unnamed)) == bare
    pages = {ask(served, "GET / HTTP/1.1", HTML, host=host) for host in hosts}
    (page,) = {*pages, Answer.parse(exchange(served, f"GET / HTTP/1.0\r\n{HTML}\r\n\r\n"))}
    assert page.status == 500
    assert "<h1>The application failed to load.</h1>" in page.body
    for secret in "ZeroDivision", "shop", ".py", "len(name)", str(served.directory):
        assert secret not in page.body
    for host in "localhost", "LOCALHOST:1", "shop.localhost", "127.0.0.2:80", "[::1]:80":
        answer = ask(served, "GET / HTTP/1.1", HTML, host=host)
        assert answer.status == 500
        assert "<!doctype html>" in answer.body
        assert "ZeroDivisionError" in answer.body


def test_p4_a_stranger_learns_no_detail_of_a_crash(serve: Serve) -> None:
    served = serve(files=SHOP | {"app.py": "import os\nos._exit(7)\n"})
    answer = ask(served, "GET / HTTP/1.1", "Accept: */*", host="evil.com")
    assert answer == Answer(503, "The application crashed.\n")
    page = ask(served, "GET / HTTP/1.1", HTML, host="evil.com")
    assert "<h1>The application crashed.</h1>" in page.body
    assert "exit code" not in page.body
    assert "exit code 7" in ask(served, "GET / HTTP/1.1", "Accept: */*").body


def test_p4_curl_is_told_in_plain_text(serve: Serve) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    text = lines_of(served, ("GET /any/path HTTP/1.1", "Accept: */*"), "")
    head, _, body = exchange(served, text).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.0 500 Internal Server Error\r\n")
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in head
    assert b"\r\nCache-Control: no-store\r\n" in head
    lines = body.decode().splitlines()
    assert lines[:2] == [
        "ZeroDivisionError: division by zero",
        f"{served.directory}/shop/prices.py:3",
    ]
    assert lines[-1] == "asyncreload: waiting for a change."
    assert b"<" not in body.replace(b"<genexpr>", b"").replace(b"<module>", b"")


def test_p4_head_has_no_body(serve: Serve) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    for accept, kind in (HTML, b"html"), ("Accept: */*", b"plain"):
        head, _, body = exchange(
            served, f"HEAD / HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n\r\n"
        ).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 500 ")
        assert b"\r\nContent-Type: text/%b;" % kind in head
        assert body == b""


def test_p4_the_event_stream_is_for_the_own_page_only(serve: Serve) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})
    wanted = f"GET {EVENTS} HTTP/1.1", "Accept: text/event-stream"
    for host, origin in (
        ("evil.com", f"http://127.0.0.1:{served.port}"),
        ("", "http://evil.com"),
        ("", f"http://127.0.0.1.evil.com:{served.port}"),
        ("", f"http://127.0.0.1:{served.port + 1}"),
        ("", "http://[evil"),
        ("", "null"),
    ):
        lines = [*wanted, f"Origin: {origin}"] if origin else wanted
        assert ask(served, *lines, host=host) == Answer(403, ""), (host, origin)
    with connect(served, *wanted, f"Origin: http://127.0.0.1:{served.port}") as own:
        assert own.recv(15) == b"HTTP/1.1 200 OK"


def test_p4_the_event_stream_tells_its_state_and_ends_with_its_child(serve: Serve) -> None:
    served = serve(files=SHOP | {"shop/prices.py": BROKEN})

    def state() -> tuple[str, socket.socket]:
        connection = stream(served)
        head, _, events = connection.recv(4096).decode().partition("\r\n\r\n")
        assert "\r\nContent-Type: text/event-stream\r\n" in head
        assert "\r\nCache-Control: no-store, no-transform\r\n" in head
        found = re.fullmatch(r"retry: \d+\nevent: state\ndata: (\w+)\n\n", events)
        assert found
        return found[1], connection

    first, connection = state()
    second, other = state()
    assert first == second
    served.write("shop/prices.py", MENDED)
    with connection, other:
        assert connection.recv(4096) == b""
        assert other.recv(4096) == b""
    third, connection = state()
    connection.close()
    assert third != first
