"""P4: what clients on other machines are told, and that their pages come back as well.

The address of this machine in its network stands for another machine: who connects to that comes
from it, too.
"""

from __future__ import annotations

import re
import resource
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from asyncreload.events import Failed, Starting
from tests.live.browsing import in_chromium, until_streams
from tests.live.driving import DEADLINE

if TYPE_CHECKING:
    from asyncreload.testing import Layout
    from tests.live.browsing import Tab
    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.without_standby

APP = """\
import os
def app(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        os._exit(7)
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b"<title>shop</title><link rel=icon href=data:,>good"]
"""
MENDED = APP.replace("good", "mended").replace("os._exit(7)", "pass")
FAILURES = {
    "load": (f"{APP}SECRET = 1 / 0\n", "/", "The application failed to load."),
    "request": (
        APP.replace("    start_", "    SECRET\n    start_"),
        "/",
        "The application failed to answer this request.",
    ),
    "crash": (f"SECRET = 1\n{APP}", "/crash", "The application crashed."),
}
EVENTS = "/.asyncreload/events"
EVERYWHERE = ("--host", "0.0.0.0")


@pytest.fixture
def address() -> str:
    """The address of this machine in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address in a network")
        found: str = probe.getsockname()[0]
    if found.startswith("127."):
        pytest.skip("this machine has no address in a network")
    return found


class Client:
    """A connection from an address to the same address."""

    def __init__(self, address: str, port: int, target: str, host: str = "") -> None:
        self._socket = socket.create_connection((address, port), DEADLINE)
        accept = "*/*" if target == EVENTS else "text/html"
        lines = [f"GET {target} HTTP/1.1", f"Host: {host or address}:{port}", f"Accept: {accept}"]
        self._socket.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())

    def receive(self) -> str:
        """Return what comes until the end."""
        data = b""
        while more := self._socket.recv(65536):
            data += more
        return data.decode()

    def receive_event(self) -> str:
        """Return what an event stream tells first."""
        data = b""
        while not data.endswith(b"\n\n") or b"data: " not in data:
            more = self._socket.recv(65536)
            assert more, data
            data += more
        return data.decode()

    def close(self) -> None:
        self._socket.close()


def ask(address: str, port: int, target: str = "/", host: str = "") -> str:
    with closing(Client(address, port, target, host)) as client:
        return client.receive()


def state_in(text: str) -> str:
    """Return the state that a page or a stream tells."""
    (state,) = re.findall(r'data-state="(\w+)"|data: (\w+)\n', text)
    return "".join(state)


def fail(served: Served, address: str, how: str) -> str:
    """Let the app fail; return the page that a stranger gets."""
    source, path, outline = FAILURES[how]
    served.write("app.py", source)
    if how == "crash":
        with closing(Client(address, served.port, path)) as client:
            assert not client.receive()
        served.until_told("the app died")
    served.until(lambda: outline in ask(address, served.port), "it fails")
    page = ask(address, served.port)
    assert "SECRET" not in page
    assert ".py" not in page
    return page


@pytest.mark.parametrize("live", [(), ("--live",)], ids=["plain", "live"])
@pytest.mark.parametrize("how", FAILURES)
def test_p4_a_strangers_page_learns_of_the_repair(
    serve: Serve, address: str, how: str, live: tuple[str, ...]
) -> None:
    served = serve("app.py", *EVERYWHERE, *live, files={"app.py": APP})
    state = state_in(fail(served, address, how))
    with closing(Client(address, served.port, EVENTS)) as client:
        assert state_in(client.receive_event()) == state
        served.write("app.py", MENDED)
        assert client.receive() == ""  # the stream ends
    with closing(Client(address, served.port, EVENTS)) as client:
        assert state_in(client.receive_event()) != state
    assert "mended" in ask(address, served.port)


@pytest.mark.parametrize("how", FAILURES)
def test_p4_who_is_trusted_sees_all_under_an_address_and_no_other_name(
    serve: Serve, address: str, how: str
) -> None:
    served = serve(
        "app.py",
        *EVERYWHERE,
        "--trust",
        "10.255.255.255",
        "--trust",
        address,
        files={"app.py": APP},
    )
    source, path, outline = FAILURES[how]
    served.write("app.py", source)
    if how == "crash":
        ask(address, served.port, path)
        served.until_told("the app died")
    detail = "exit code 7" if how == "crash" else "SECRET"
    served.until(lambda: detail in ask(address, served.port), "the details are told")
    for host in ("localhost", "127.0.0.1", "192.168.0.5"):
        assert detail in ask(address, served.port, host=host)
    for host in ("evil.example", "mybox", f"{address}.evil.example"):
        page = ask(address, served.port, host=host)
        assert outline in page
        assert detail not in page


def test_both_addresses_are_told(serve: Serve, address: str) -> None:
    served = serve("app.py", *EVERYWHERE, files={"app.py": APP})
    both = f"http://127.0.0.1:{served.port}/ and http://{address}:{served.port}/ · "
    served.until_told(f"serving app.py at {both}")
    assert "good" in ask(address, served.port)


@pytest.mark.asyncio
async def test_the_event_tells_the_address_in_the_network(supervised: Layout, address: str) -> None:
    async with supervised(files={"app.py": APP}, host="0.0.0.0") as app:
        assert app.url.startswith("http://127.0.0.1:")
        port = app.url.rpartition(":")[2]
        assert app.events[0] == Starting("app.py", app.url, f"http://{address}:{port}")


@pytest.mark.asyncio
@pytest.mark.parametrize("has_gateway", [True, False])
async def test_p4_the_gateway_is_trusted_when_it_is_asked_for(
    supervised: Layout,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    has_gateway: bool,
) -> None:
    gateways = (address,) if has_gateway else ()
    monkeypatch.setattr("asyncreload.parent.supervisor.default_gateways", lambda: gateways)
    files = {"app.py": FAILURES["load"][0]}
    async with supervised(files=files, host="0.0.0.0", trust="docker") as app:
        assert app.supervisor.settings.trust == ("docker",)
        with pytest.raises(AssertionError, match="the app is not loaded"):
            await app.fresh()
        assert isinstance(app.events[-1], Failed)
        port = int(app.url.rpartition(":")[2].strip("/"))
        assert ("SECRET" in ask(address, port)) is has_gateway
    notice = "trust: docker is nobody here, as there is no default gateway"
    assert (notice in caplog.text) is not has_gateway


def strangers_at_once() -> int:
    """A small part of the descriptors that a process may have."""
    return min(64, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 16)


def test_strangers_leave_streams_for_others(serve: Serve, address: str) -> None:
    served = serve("app.py", *EVERYWHERE, files={"app.py": FAILURES["load"][0]})
    served.until_told("the load failed")
    strangers = [Client(address, served.port, EVENTS) for _ in range(70)]
    try:
        retries = [client.receive_event().count("retry: 50\n") for client in strangers]
        assert sum(retries) == strangers_at_once()
        with closing(Client("127.0.0.1", served.port, EVENTS)) as client:
            assert "retry: 50\n" in client.receive_event()
    finally:
        for client in strangers:
            client.close()
    assert "SECRET" in ask("127.0.0.1", served.port)


# --- in a browser ------------------------------------------------------------------------------


@in_chromium
@pytest.mark.parametrize("live", [(), ("--live",)], ids=["plain", "live"])
@pytest.mark.parametrize("how", FAILURES)
def test_p4_the_page_of_a_stranger_comes_back(
    serve: Serve, tab: Tab, address: str, how: str, live: tuple[str, ...]
) -> None:
    served = serve("app.py", *EVERYWHERE, *live, files={"app.py": APP})
    fail(served, address, how)
    tab.open(served.port, host=address).until_shown(FAILURES[how][2])
    tab.until_shown("This page loads itself again after the next save.")
    assert tab.one("h1") == FAILURES[how][2]
    assert "SECRET" not in tab.run("return document.documentElement.outerHTML")
    until_streams(served, 1)
    served.write("app.py", MENDED)
    tab.until_shown("mended")


@in_chromium
def test_p4_the_page_of_who_is_trusted_is_whole_and_comes_back(
    serve: Serve, tab: Tab, address: str
) -> None:
    served = serve("app.py", *EVERYWHERE, "--trust", address, files={"app.py": APP})
    served.write("app.py", FAILURES["load"][0])
    tab.open(served.port, host=address).until_shown("ZeroDivisionError")
    until_streams(served, 1)
    served.write("app.py", MENDED)
    tab.until_shown("mended")
