"""--live: open pages of the app load themselves again when the new code answers, not before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.browsing import in_chromium, kinds, streams, until_streams
from tests.live.proxying import PREFIX, Proxy

if TYPE_CHECKING:
    from tests.live.browsing import Browser, Tab
    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.without_standby

APP = """\
from page import PAGE
POLICIES = {
    "/self": "default-src 'self'; style-src 'unsafe-inline'; img-src data:",
    "/nonce": "script-src 'nonce-c29tZQ==' 'strict-dynamic'; connect-src 'self'",
    "/none": "default-src 'none'; img-src data:",
}
def app(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/html; charset=utf-8"), ("ETag", '"same"')]
    if path in POLICIES:
        headers.append(("Content-Security-Policy", POLICIES[path]))
    start_response("200 OK", headers)
    return [PAGE.replace("METHOD", environ["REQUEST_METHOD"]).encode()]
"""
PAGE = '''\
PAGE = """<!doctype html>
<html lang=en><title>shop</title><link rel=icon href=data:,>
<h1>METHOD: one</h1>
<form method=post><input name=a><button>send</button></form>
<div style="height: 5000px">tall</div></html>
"""
'''
SHOP = {"app.py": APP, "page.py": PAGE}


def wait(tab: Tab, seconds: float = 1) -> None:
    """Let time pass in which nothing is to happen."""
    tab.run("return new Promise(done => setTimeout(done, arguments[0]))", 1000 * seconds)


@in_chromium
def test_live_pages_of_eight_tabs_follow_each_save(
    serve: Serve, browser: Browser, tab: Tab
) -> None:
    """Seven windows are seen at a time: with a stream each, none of their requests would pass."""
    served = serve("app.py", "--live", files=SHOP)
    tabs = [tab, browser.tab(), *(browser.tab("window") for _ in range(6))]
    for one in tabs:
        one.drive().open(served.port, "/cart").until_shown("GET: one")
    until_streams(served, 1)
    asked = browser.requests(served.port)
    assert kinds(asked).count("Document") == kinds(asked).count("Script") == 8
    wait(tabs[-1])
    assert browser.requests(served.port) == asked  # nothing is polled

    served.edit("page.py", "one", "two")
    served.until(lambda: served.output.count(" GET /cart") >= 15, "what is seen loads itself")
    for one in tabs:
        one.drive().until_shown("GET: two")
    until_streams(served, 1)
    assert served.output.count(" GET ") == 16


@in_chromium
def test_live_pages_follow_template_and_handler_through_an_error(
    serve: Serve, browser: Browser, tab: Tab
) -> None:
    served = serve("app.py", "--live", files=SHOP)
    tab.resize(800, 300)
    tab.open(served.port, "/cart?page=2#last").until_shown("GET: one")
    until_streams(served, 1)
    tab.run("scrollTo(0, 1500)")
    history = tab.run("return history.length")

    served.edit("page.py", "one", "two")
    tab.until_shown("GET: two")
    tab.until("return scrollY === 1500", "it is where it was")
    until_streams(served, 1)
    served.edit("app.py", "PAGE.replace(", "PAGE.replace('two', 'three').replace(")
    tab.until_shown("GET: three")
    until_streams(served, 1)

    served.edit("page.py", '"""<', "<")
    tab.until_shown("SyntaxError")
    until_streams(served, 1)
    wait(tab, 0.1)
    seen = tab.run("return [document.scrollingElement.scrollHeight > innerHeight, scrollY]")
    assert seen == [True, 0]
    served.edit("page.py", "= <", '= """<')
    tab.until_shown("GET: three")
    tab.until("return scrollY === 1500", "it is where it was")
    assert tab.url.endswith("/cart?page=2#last")
    assert tab.run("return history.length") == history
    assert not tab.all("script")  # the document is the app's

    assert kinds(browser.requests(served.port)).count("Document") == 5


@in_chromium
def test_live_pages_wait_for_the_new_code_to_answer(
    serve: Serve, browser: Browser, tab: Tab
) -> None:
    served = serve("app.py", "--live", "--verbose", files=SHOP)
    tab.open(served.port).until_shown("GET: one")
    until_streams(served, 1)
    os.mkfifo(served.directory / "gate")

    served.write("page.py", "open('gate').read()\n" + PAGE.replace("one", "two"))
    served.until_told("page.py: reloading")
    wait(tab)
    assert "GET: one" in tab.text
    assert kinds(browser.requests(served.port)).count("Document") == 1

    served.open_gate("gate")
    tab.until_shown("GET: two")
    assert kinds(browser.requests(served.port)).count("Document") == 2


@in_chromium
def test_live_pages_come_back_from_an_error_of_a_request(serve: Serve, tab: Tab) -> None:
    served = serve("app.py", "--live", files=SHOP)
    tab.open(served.port).until_shown("GET: one")
    until_streams(served, 1)
    tab.run("scrollTo(0, 1500)")

    served.edit("app.py", "PAGE.rep", "PAGES.rep")
    tab.until_shown("The application failed to answer this request.")
    assert tab.one("h1").startswith("NameError: ")
    until_streams(served, 1)
    served.edit("app.py", "PAGES.rep", "PAGE.rep")
    tab.until_shown("GET: one")
    tab.until("return scrollY === 1500", "it is where it was")


@in_chromium
def test_live_pages_keep_to_the_policy_of_the_app(serve: Serve, browser: Browser, tab: Tab) -> None:
    served = serve("app.py", "--live", files=SHOP)
    text = "one"
    for path in "/self", "/nonce":
        tab.open(served.port, path).until_shown(f"GET: {text}")
        until_streams(served, 1)
        served.edit("page.py", text, text := text + " more")
        tab.until_shown(f"GET: {text}")

    tab.open(served.port, "/none").until_shown(f"GET: {text}")
    until_streams(served, 0)
    seen = kinds(browser.requests(served.port))
    served.edit("page.py", text, "last")
    served.until_told("fresh in", 3)
    wait(tab, 0.3)
    assert kinds(browser.requests(served.port)) == seen  # nor is a breach of it reported


@in_chromium
def test_live_leaves_the_answer_to_a_form_alone(serve: Serve, tab: Tab) -> None:
    """To load it again would be to send the form again."""
    served = serve("app.py", "--live", files=SHOP)
    tab.open(served.port).until_shown("GET: one")
    tab.click("button")
    tab.until_shown("POST: one")
    until_streams(served, 0)

    served.edit("page.py", "one", "two")
    served.until_told("fresh in")
    wait(tab, 0.3)
    assert "POST: one" in tab.text

    tab.run("history.back()")  # to a page that has become old meanwhile
    tab.until_shown("GET: two")


@in_chromium
def test_live_pages_are_kept_by_the_browser_as_they_were(serve: Serve, tab: Tab) -> None:
    """Who goes back finds what was typed: to listen keeps no page out of that cache."""
    served = serve("app.py", "--live", files=SHOP)
    tab.open(served.port, "/form").until_shown("GET: one")
    tab.run("document.querySelector('input').value = 'typed'")
    tab.run("location.href = '/next'")
    tab.until("return location.pathname === '/next'", "the next page")
    until_streams(served, 1)
    tab.run("history.back()")
    tab.until("return location.pathname === '/form'", "the page before")
    assert tab.run("return document.querySelector('input').value") == "typed"
    assert served.output.count(" GET /form") == 1

    until_streams(served, 1)
    served.edit("page.py", "one", "two")
    tab.until_shown("GET: two")


@in_chromium
def test_live_pages_outlive_the_supervisor(serve: Serve, browser: Browser, tab: Tab) -> None:
    served = serve("app.py", "--live", files=SHOP)
    tab.open(served.port).until_shown("GET: one")
    until_streams(served, 1)
    served.stop()
    served.edit("page.py", "one", "two")

    before = len(browser.requests(served.port))
    wait(tab)
    assert len(browser.requests(served.port)) - before <= 6
    assert "GET: one" in tab.text

    serve("app.py", "--live", "--port", str(served.port))
    tab.until_shown("GET: two")


@in_chromium
def test_a_live_page_that_is_hidden_has_no_stream(serve: Serve, tab: Tab) -> None:
    served = serve("app.py", "--live", files=SHOP)
    tab.open(served.port).until_shown("GET: one")
    until_streams(served, 1)
    tab.minimize()
    until_streams(served, 0)
    served.edit("page.py", "one", "two")
    served.until_told("fresh in")
    assert streams(served) == 0
    assert "GET: one" in tab.text

    tab.restore()
    tab.until_shown("GET: two")


def break_and_mend_unseen(served: Served, tab: Tab) -> None:
    """Break the app and mend it, before somebody who is not to be told what is wrong."""
    served.edit("page.py", '"""<', "<")
    tab.until_shown("The application failed to load.")
    assert "SyntaxError" not in tab.text
    until_streams(served, 1)
    served.edit("page.py", "= <", '= """<')


@in_chromium
def test_live_pages_work_behind_a_proxy(serve: Serve, browser: Browser, tab: Tab) -> None:
    served = serve("app.py", "--live", files=SHOP)
    with Proxy(served.port) as proxy:
        tab.open(proxy.port, f"{PREFIX}/deep/down").until_shown("GET: one")
        until_streams(served, 1)
        served.edit("page.py", "one", "two")
        tab.until_shown("GET: two")
        until_streams(served, 1)

        break_and_mend_unseen(served, tab)
        tab.until_shown("GET: two")
        assert {Path(path).parent.as_posix() for path in proxy.asked} == {
            "/deep",
            "/deep/.asyncreload",
        }


@in_chromium
def test_a_page_that_never_changes_is_not_loaded_for_ever(serve: Serve, tab: Tab) -> None:
    """As a cache has it, or a service worker."""
    served = serve("app.py", "--live", files=SHOP)
    with Proxy(served.port, keeps="/") as proxy:
        tab.open(proxy.port, f"{PREFIX}/").until_shown("GET: one")
        until_streams(served, 1)
        served.edit("page.py", "one", "two")
        served.until(lambda: proxy.asked.count("/") == 2, "it is loaded again")
        until_streams(served, 1)
        wait(tab, 0.3)
        assert proxy.asked.count("/") == 2

        served.edit("page.py", "two", "three")
        served.until(lambda: proxy.asked.count("/") == 3, "it is loaded again")


@in_chromium
def test_live_pages_are_for_other_machines_too_and_reports_are_not(serve: Serve, tab: Tab) -> None:
    served = serve("app.py", "--live", files=SHOP)
    tab.open(served.port, host="shop.test").until_shown("GET: one")
    until_streams(served, 1)
    break_and_mend_unseen(served, tab)
    tab.until_shown("GET: one")
    until_streams(served, 1)
    served.edit("page.py", "one", "two")
    tab.until_shown("GET: two")
