"""P4: a page of another site learns nothing and changes nothing, in a real browser or beside it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.live.browsing import CHROMEDRIVER, CHROMIUM, Browser, Tab
from tests.live.driving import DEADLINE, Served

if TYPE_CHECKING:
    from tests.live.conftest import Serve

pytestmark = pytest.mark.without_standby

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="chromium and chromedriver are not installed"
)
BROKEN = 'SECRET = "swordfish"\n1 / 0  # swordfish\n'
MENDED = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"mended"]
"""
TRY = """
const [url] = arguments;
const tries = [
    fetch(url).then(r => r.text()),
    fetch(url, {mode: "no-cors"}).then(r => r.text()),
    fetch(url, {method: "POST", body: "x"}).then(r => r.text()),
    fetch(url, {credentials: "include", headers: {"X-Any": "1"}}).then(r => r.text()),
];
return Promise.allSettled(tries).then(all => all.map(one => one.value || ""));
"""
LISTEN = """
const [url] = arguments;
return new Promise(done => {
    const source = new EventSource(url);
    source.addEventListener("state", event => done("state " + event.data));
    source.onopen = () => done("open");
    source.onerror = () => { source.close(); done("refused"); };
});
"""


class Page(BaseHTTPRequestHandler):
    """The other site: an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title><link rel=icon href=data:,>")

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def another_site() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def visit(browser: Browser, url: str) -> Tab:
    tab = Tab(browser, browser.tabs()[0]).drive()
    browser.post("url", url=url)
    return tab


OUTLINE = b"The application failed to load.\n"
HERE = "Host: 127.0.0.1:{port}"
FOREIGN_HOSTS = [
    "",
    "Host: evil.example",
    "Host: evil.example:{port}",
    "Host: 127.0.0.1.evil.example",
    "Host: localhost:{port}@evil.example",
    "Host: localhost@evil.example",
    "Host: evil.example:80@127.0.0.1",
    "Host: [::1].evil.example:{port}",
    "Host: 0.0.0.0:{port}",
    "Host: 127.1:{port}",
    "Host: 2130706433",
    "Host: localhost..",
    f"{HERE}\r\nHost: evil.example",
    f"Host: evil.example\r\n{HERE}",
]
FOREIGN_ORIGINS = [
    f"{HERE}\r\nOrigin: http://evil.example",
    f"{HERE}\r\nOrigin: http://127.0.0.1",
    f"{HERE}\r\nOrigin: null",
    f"{HERE}\r\nOrigin: http://127.0.0.1:{{port}}.evil.example",
    f"{HERE}\r\nSec-Fetch-Site: cross-site",
    f"{HERE}\r\nSec-Fetch-Site: same-site\r\nOrigin: http://127.0.0.1:{{port}}",
]
OWN = [
    HERE,
    "Host: localhost",
    "Host: localhost.:{port}",
    "Host: [::1]:{port}",
    "Host: LOCALHOST:{port}",
    f"{HERE}\r\nOrigin: http://127.0.0.1:{{port}}\r\nSec-Fetch-Site: same-origin",
]


def ask(served: Served, target: str, headers: str) -> bytes:
    """Return the beginning of the answer."""
    with socket.create_connection(("127.0.0.1", served.port), DEADLINE) as client:
        head = f"GET {target} HTTP/1.1\r\n{headers}\r\n\r\n".format(port=served.port)
        client.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
            if not (more := client.recv(65536)):
                break
            answer += more
        return answer


def test_p4_whatever_a_request_says_of_its_host_and_origin(serve: Serve) -> None:
    served = serve(files={"app.py": BROKEN})
    served.until_told("the load failed")
    for headers in FOREIGN_HOSTS:
        answer = ask(served, "/", headers)
        if headers.count("Host:") > 1:
            assert answer.startswith(b"HTTP/1.0 400 "), headers
            assert b"swordfish" not in answer, headers
        else:
            assert answer.endswith(OUTLINE), headers
    for headers in OWN:
        assert b"swordfish" in ask(served, "/any?path", headers), headers
    for target in ("http://evil.example/", "evil.example:80", "*"):
        answer = ask(served, target, HERE)
        assert answer.endswith(OUTLINE) or answer.startswith(b"HTTP/1.0 400 "), target
        assert b"swordfish" not in answer, target
    for headers in FOREIGN_ORIGINS:
        answer = ask(served, "/.asyncreload/events", headers)
        assert answer.startswith(b"HTTP/1.1 403 "), headers
        assert b"state" not in answer
    for headers in (*FOREIGN_HOSTS, *OWN):  # that there was a reload is told to every client
        assert b"event: state" in ask(served, "/.asyncreload/events", headers), headers
    assert served.output.count("the load failed") == 1


@needs_browser
def test_p4_other_sites(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    served = serve(files={"app.py": BROKEN})
    served.until_told("the load failed")
    with another_site() as port, Browser(tmp_path_factory.mktemp("browser")) as browser:
        # From its own address: the browser lets it ask, but not read.
        tab = visit(browser, f"http://evil.test:{port}/")
        pids = served.children()
        for name in ("127.0.0.1", "localhost"):
            here = f"http://{name}:{served.port}"
            assert tab.run(TRY, f"{here}/") == [""] * 4
            assert tab.run(TRY, f"{here}/.asyncreload/events")[0] == ""
            assert tab.run(LISTEN, f"{here}/.asyncreload/events") == "refused"
        # Its name now leads to us (DNS rebinding): to the browser we are its own server.
        here = f"http://evil.test:{served.port}"
        tab = visit(browser, f"{here}/")
        assert tab.one("h1") == "The application failed to load."
        assert "swordfish" not in tab.run("return document.documentElement.outerHTML")
        outline = "The application failed to load.\n"
        assert tab.run(TRY, f"{here}/") == [outline] * 4
        assert tab.run(LISTEN, f"{here}/.asyncreload/events") == "open"
        assert served.children() == pids
        served.write("app.py", MENDED)
        tab.until_shown("mended")
