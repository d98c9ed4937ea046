"""Drive a headless Chromium through chromedriver: W3C WebDriver is JSON over HTTP, no more.

Every command has a deadline; waits are for conditions, as in `driving`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.live.connections import answered
from tests.live.driving import DEADLINE, until
from tests.live.processes import processes_of

if TYPE_CHECKING:
    from types import TracebackType

    from tests.live.driving import Served

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
in_chromium = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="chromium and chromedriver are not installed"
)
STEP = 0.05
PATIENCE = 30.0  # seconds for one command; the first one starts the browser

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1100,900",
    # As if by the network: a browser trusts no such address, and tells a server less.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)
_LONGER_THAN_AN_ANSWER = 0.05  # seconds from its last byte until its connection is closed
# What a page answers while it is being replaced by another: not an error, look again.
_BETWEEN = ("no such execution context", "document unloaded", "stale element", "aborted by nav")


class WebDriverError(Exception):
    """The browser says that a command failed."""


@dataclass(frozen=True)
class Asked:
    """A request that the browser sent, as its network log tells."""

    url: str
    kind: str  # "Document", "EventSource", ...
    method: str


@dataclass
class Network:
    """What the browser's network log told so far."""

    asked: list[Asked] = field(default_factory=list)

    def note(self, entry: dict[str, Any]) -> None:
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            told = message["params"]
            request = told["request"]
            self.asked.append(Asked(request["url"], told.get("type", ""), request["method"]))


def kinds(asked: list[Asked]) -> list[str]:
    return [one.kind for one in asked]


def streams(served: Served) -> int:
    """Count the connections on which the server has answered, and may go on to.

    Those are event streams: any other ends with its answer, though not in the same instant.
    """
    return len(answered(served.port))


def until_streams(served: Served, count: int) -> None:
    """Wait until so many event streams are open, and have told their state."""
    since: dict[frozenset[bytes], float] = {}

    def stay() -> bool:
        now, found = time.monotonic(), frozenset(answered(served.port))
        kept = since.get(found, now)
        since.clear()
        since[found] = kept
        return len(found) == count and now - kept >= _LONGER_THAN_AN_ANSWER

    served.until(stay, f"{count} event streams are open")


class Browser:
    """A Chromium of its own, with a fresh profile in `directory`. A context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._session = ""
        self.network = Network()
        self._log = directory / "chromedriver.txt"
        self._process = self._start_driver()
        try:
            while (port := until(self._driver_port, "chromedriver starts", report=self._told)) < 0:
                self._process = self._start_driver()
            self._port = port
            self._session = self._begin()
        except BaseException:
            self.quit()
            raise

    def _start_driver(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as sink:
            return subprocess.Popen(
                [str(CHROMEDRIVER), "--port=0"],
                env=os.environ | {"TMPDIR": str(self._directory), "HOME": str(self._directory)},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _driver_port(self) -> int:
        """Return where the driver listens; 0 as long as it does not.

        And -1 when it has ended: it takes a port that is free for IPv6, and may not be for IPv4.
        """
        if found := re.search(r"started successfully on port (\d+)", self._told()):
            return int(found[1])
        has_ended = self._process.poll() is not None
        assert not has_ended or "port not available" in self._told(), self._told()
        return -has_ended

    def _told(self) -> str:
        return self._log.read_text()

    def _begin(self) -> str:
        options = {
            "binary": CHROMIUM,
            "args": [*FLAGS, f"--user-data-dir={self._directory / 'profile'}"],
            "perfLoggingPrefs": {"enableNetwork": True, "enablePage": False},
        }
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL"},
            "timeouts": {"script": 5000, "pageLoad": 10000, "implicit": 0},
            "unhandledPromptBehavior": "ignore",  # an alert is to be noticed
        }
        wanted = {"capabilities": {"alwaysMatch": capabilities}}
        return str(self._call("POST", "/session", wanted)["sessionId"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.quit()

    def quit(self) -> None:
        """End browser and driver, the hard way where they do not end by themselves."""
        try:
            if self._session:
                with suppress(OSError, WebDriverError):
                    self._call("DELETE", f"/session/{self._session}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            until(self._is_gone, "the browser ends", report=lambda: str(self._left()))

    def _left(self) -> dict[int, str]:
        return processes_of(self._directory)

    def _is_gone(self) -> bool:
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not self._left()

    # --- commands --------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            data = None if method != "POST" else json.dumps(body or {})
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        finally:
            connection.close()
        if response.status != 200:
            raise WebDriverError(f"{method} {path}: {value['error']}: {value['message']}")
        return value

    def post(self, command: str, **body: Any) -> Any:
        return self._call("POST", f"/session/{self._session}/{command}", body)

    def get(self, command: str) -> Any:
        return self._call("GET", f"/session/{self._session}/{command}")

    def delete(self, command: str) -> Any:
        return self._call("DELETE", f"/session/{self._session}/{command}")

    # --- tabs ------------------------------------------------------------------------------

    def tab(self, kind: str = "tab") -> Tab:
        """Open a tab in the window, or a window, and drive it."""
        handle = self.post("window/new", type=kind)["handle"]
        return Tab(self, handle).drive()

    def tabs(self) -> list[str]:
        handles = self.get("window/handles")
        assert isinstance(handles, list)
        return handles

    def requests(self, port: int) -> list[Asked]:
        """Return all requests that were sent to a port of this machine so far."""
        for entry in self.post("se/log", type="performance"):
            self.network.note(entry)
        return [asked for asked in self.network.asked if f":{port}/" in asked.url]


class Tab:
    """One page. Commands go to the tab that was last told to `drive`."""

    def __init__(self, browser: Browser, handle: str) -> None:
        self.browser = browser
        self._handle = handle

    def drive(self) -> Self:
        self.browser.post("window", handle=self._handle)
        return self

    def minimize(self) -> None:
        """Hide the tab, with its whole window: a tab behind another counts as seen when driven."""
        self._bounds("minimized")

    def restore(self) -> None:
        self._bounds("normal")

    def _bounds(self, state: str) -> None:
        window = self.devtools("Browser.getWindowForTarget")["windowId"]
        self.devtools("Browser.setWindowBounds", windowId=window, bounds={"windowState": state})

    def close(self) -> None:
        self.drive()
        self.browser.delete("window")

    def open(self, port: int, path: str = "/", host: str = "127.0.0.1") -> Self:
        """Load a page, as if its address had been typed."""
        self.browser.post("url", url=f"http://{host}:{port}{path}")
        return self

    def reload(self) -> Self:
        self.browser.post("refresh")
        return self

    @property
    def url(self) -> str:
        return str(self.browser.get("url"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a function body in JavaScript returns, a promise's value too."""
        return self.browser.post("execute/sync", script=script, args=list(arguments))

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self.browser.post("goog/cdp/execute", cmd=command, params=parameters)

    def until(self, script: str, what: str, *arguments: Any, within: float = DEADLINE) -> Any:
        """Wait until a script returns something true."""

        def ask() -> Any:
            try:
                if found := self.run(script, *arguments):
                    return found
            except WebDriverError as exc:
                if not any(reason in str(exc) for reason in _BETWEEN):
                    raise
            time.sleep(STEP)  # a look keeps two processes busy that others wait for
            return None

        return until(ask, what, within, self.describe)

    def until_shown(self, text: str, within: float = DEADLINE) -> None:
        """Wait until a text can be read in the page."""
        self.until(
            "return document.body && document.body.innerText.includes(arguments[0])",
            f"the page shows {text!r}",
            text,
            within=within,
        )

    def type_and_scroll(self, text: str, pixels: int, field: str = "input") -> None:
        """Type a text into a field, and scroll down."""
        self.run(
            "document.querySelector(arguments[2]).value = arguments[0]; scrollTo(0, arguments[1])",
            text,
            pixels,
            field,
        )

    def typed_and_scrolled(self, field: str = "input") -> Any:
        """Return what stands in a field, and how far the page is scrolled down, in pixels."""
        return self.run("return [document.querySelector(arguments[0]).value, scrollY]", field)

    def describe(self) -> str:
        with suppress(WebDriverError):
            return f"{self.url}\n{self.text}"
        return "(no page)"

    @property
    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def all(self, selector: str) -> list[str]:
        """Return the text of each element that matches, also of what is folded."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        found = self.run(script, selector)
        assert isinstance(found, list)
        return found

    def one(self, selector: str) -> str:
        """Return the text of the only element that matches."""
        (text,) = self.all(selector)
        return text

    def click(self, selector: str) -> None:
        """Click as a user does: the element has to be seen."""
        found = self.browser.post("element", using="css selector", value=selector)
        (element,) = found.values()
        self.browser.post(f"element/{element}/click")

    def screenshot(self, path: Path) -> Path:
        """Take a picture of the whole page, also of what is below the window."""
        told = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))
        return path

    def prefer(self, scheme: str) -> None:
        """Be of a user who prefers "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def resize(self, width: int, height: int) -> None:
        """Have a view of this size; a narrow one is a telephone's."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
