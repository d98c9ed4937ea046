"""`--refresh`: files whose change restarts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.browsing import in_chromium, kinds, until_streams
from tests.live.conftest import Serve
from tests.live.driving import LOGGED

if TYPE_CHECKING:
    from tests.live.browsing import Browser, Tab

pytestmark = pytest.mark.without_standby

WAYS = pytest.mark.parametrize("way", [(), ("--no-inotify",)], ids=["events", "polling"])
APP = f"""{LOGGED}
import sys
sys.path.append("pages")
import texts
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{{texts.GREETING}} {{open('pages/a.html').read()}}".encode()]
"""
FILES = {"app.py": APP, "pages/texts.py": "GREETING = 'one'\n", "pages/a.html": "one"}


@WAYS
def test_a_file_that_is_read_afresh_needs_no_reload(serve: Serve, way: tuple[str, ...]) -> None:
    served = serve("app.py", "--refresh", "pages", *way, files=FILES)
    assert served.body() == "one one"
    served.write("pages/a.html", "two")
    assert served.body() == "one two"
    served.until_told("a.html changed · no reload needed")
    served.write("pages/b.html", "new")
    served.until_told("b.html changed · no reload needed")
    assert len(served.loads()) == 1
    # A module is code, wherever it is.
    served.write("pages/texts.py", "GREETING = 'three'\n")
    assert served.body() == "three two"
    assert len(served.loads()) == 2


def test_a_file_that_is_to_be_watched_needs_a_reload(serve: Serve) -> None:
    patterns = ("--refresh", "pages", "--watch", "pages/a.html", "--ignore", "c.html")
    served = serve("app.py", *patterns, files=FILES)
    assert served.body() == "one one"  # else they may be there before the first look
    served.write("pages/c.html", "ignored")
    served.write("pages/b.html", "new")
    served.until_told("b.html changed · no reload needed")
    served.write("pages/a.html", "two")
    served.until_loads(2)
    assert served.body() == "one two"
    assert "c.html" not in served.output


def test_a_load_that_fails_may_be_mended_by_such_a_file(serve: Serve) -> None:
    broken = FILES | {"app.py": APP + "assert open('pages/a.html').read() == 'good'\n"}
    served = serve("app.py", "--refresh", "pages", files=broken)
    assert served.get().status == 500
    served.write("pages/a.html", "good")
    assert served.body() == "one good"


# --- in a browser ---------------------------------------------------------------------------------

PAGES = """\
import os
TYPES = {"html": "text/html", "css": "text/css"}
def app(environ, start_response):
    name = environ["PATH_INFO"][1:] or "page.html"
    path = os.path.join("pages", name)
    if not os.path.exists(path):
        start_response("404 Not Found", [])
        return []
    headers = [("Content-Type", TYPES[name.rpartition(".")[2]]), ("Cache-Control", "max-age=600")]
    start_response("200 OK", headers)
    return [open(path).read().replace("PID", str(os.getpid())).encode()]
"""
PAGE = """\
<!doctype html><title>shop</title><link rel=icon href=data:,>
<link rel=stylesheet href="/site.css?v=1"><link rel=stylesheet href=/theme.css>
<h1>one</h1><p>PID</p><input id=name><div style="height: 5000px">tall</div>
"""
COLOUR = "return getComputedStyle(document.querySelector('h1')).color"


@in_chromium
def test_a_style_sheet_is_swapped_in_the_open_page(
    serve: Serve, browser: Browser, tab: Tab
) -> None:
    """What was typed, and how far the page was scrolled, stays."""
    files = {"app.py": PAGES, "pages/page.html": PAGE, "pages/site.css": "h1 { color: red }"}
    files |= {"pages/theme.css": "@import '/base.css';", "pages/base.css": ""}
    served = serve("app.py", "--live", "--refresh", "pages", files=files)
    tab.open(served.port).until_shown("one")
    until_streams(served, 1)
    tab.type_and_scroll("half a name", 900, "#name")
    process = tab.one("p")

    for colour, told in [("blue", "rgb(0, 0, 255)"), ("green", "rgb(0, 128, 0)")]:
        for passing in ("red", "pink", "white"):  # each before the last one has come
            served.write("pages/site.css", f"h1 {{ color: {passing} }}")
        served.write("pages/site.css", f"h1 {{ color: {colour} }}")
        tab.until(f"{COLOUR} === arguments[0]", f"it is {colour}", told)
    tab.until("return document.querySelectorAll('link[rel=stylesheet]').length === 2", "no more")
    assert tab.typed_and_scrolled("#name") == ["half a name", 900]
    assert kinds(browser.requests(served.port)).count("Document") == 1

    served.write("pages/page.html", PAGE.replace("one", "two"))
    tab.until_shown("two")
    until_streams(served, 1)
    served.write("pages/base.css", "p { color: blue }")  # the page knows it by @import alone
    tab.until("return !!document.querySelector('#name')", "the page is there")
    served.until(lambda: kinds(browser.requests(served.port)).count("Document") == 3, "it loads")
    tab.until_shown("two")
    assert tab.one("p") == process
