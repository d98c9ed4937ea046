"""What is different for ASGI apps: WebSockets, streams, the lifespan, and code that blocks."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.live.driving import LONG, Connection, Served, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.conftest import Serve

pytest.importorskip("uvicorn")

RELOADS = 200 if LONG else 5
AT_ONCE = 4.0
"""Seconds, for a busy machine; what was waited for would take the 5 s of `grace`, or for ever."""

APP = """\
import asyncio, atexit, json, time
from pathlib import Path

VERSION = "v0"
LOG = Path(__file__).with_name("log")

def log(text):
    with LOG.open("a") as file:
        file.write(f"{VERSION} {text}\\n")

log("imported")
atexit.register(log, "atexit")

async def lifespan(receive, send, state):
    await receive()
    state["started"] = VERSION
    task = asyncio.create_task(work())
    log("startup")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    log("shutdown")
    await send({"type": "lifespan.shutdown.complete"})

async def work():
    try:
        await asyncio.sleep(1000)
    finally:
        log("task cancelled")

async def websocket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            log(f"disconnected {message['code']}")
            return
        await send({"type": "websocket.send", "text": f"{VERSION} {message['text']}"})

async def stream(receive, send):
    async def until_disconnect():
        while (await receive())["type"] != "http.disconnect":
            pass
    gone = asyncio.create_task(until_disconnect())
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while not gone.done():
        body = f"data: {VERSION}\\n\\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.wait([gone], timeout=0.05)
    log("stream ended")

async def answer(send, text, kind=b"text/plain"):
    headers = [(b"content-type", kind), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send, scope["state"])
    if scope["type"] == "websocket":
        return await websocket(receive, send)
    path = scope["path"]
    if path == "/stream":
        return await stream(receive, send)
    if path == "/slow":
        LOG.with_name("slow").touch()
        await asyncio.sleep(1)
    if path == "/block":
        LOG.with_name("blocks").touch()
        time.sleep(1000)
    if path == "/raise":
        raise LookupError("of the app")
    if path == "/page":
        return await answer(send, "<h1>page</h1>", b"text/html")
    if path == "/background":
        await answer(send, VERSION)
        await asyncio.sleep(0.5)
        log("background done")
        return
    if path == "/state":
        return await answer(send, scope["state"]["started"])
    await answer(send, VERSION)
"""


class Bench:
    """The app above, and what it has logged."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.number = 0

    def save(self) -> str:
        """Save the next version; return it."""
        self.served.edit("app.py", f'"v{self.number}"', f'"v{self.number + 1}"')
        self.number += 1
        return f"v{self.number}"

    @property
    def log(self) -> list[str]:
        return self.served.read("log").splitlines()

    def until_exists(self, name: str) -> None:
        path = self.served.directory / name
        self.served.until(path.exists, f"{name} is there")

    @contextmanager
    def websocket(self) -> Iterator[WebSocket]:
        with connect(f"ws://127.0.0.1:{self.served.port}/ws", proxy=None) as one:
            yield WebSocket(one)


class WebSocket:
    def __init__(self, connection: object) -> None:
        self._connection = connection

    def ask(self, text: str) -> object:
        self._connection.send(text)  # type: ignore[attr-defined]
        return self._connection.recv(timeout=5)  # type: ignore[attr-defined]

    def close_code(self) -> int | None:
        """Wait for the server to close it; return the code."""
        with pytest.raises(ConnectionClosed) as closed:
            self._connection.recv(timeout=5)  # type: ignore[attr-defined]
        return closed.value.rcvd.code if closed.value.rcvd else None


@pytest.fixture
def bench(serve: Serve) -> Bench:
    served = serve("app.py", files={"app.py": APP})
    assert served.body() == "v0"
    return Bench(served)


@contextmanager
def at_once() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_ONCE


def test_p1_each_save_is_answered_by_the_next_request(bench: Bench) -> None:
    for _ in range(RELOADS):
        version = bench.save()
        assert bench.served.body() == version
        assert bench.served.body("/state") == version


def test_p1_on_a_connection_that_was_opened_before(bench: Bench) -> None:
    early = bench.served.connect()
    version = bench.save()
    assert early.send().receive().body == version


def test_p1_a_connection_serves_one_request(bench: Bench) -> None:
    """A second one could be read before the files are checked."""
    with socket.create_connection(("127.0.0.1", bench.served.port), 5) as both:
        both.sendall(request("/").replace(b"Connection: close\r\n", b"") * 2)
        data = b"".join(iter(lambda: both.recv(65536), b""))
    assert data.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in data


def test_p2_a_websocket_is_told_to_come_back_and_delays_nothing(bench: Bench) -> None:
    with bench.websocket() as one, bench.websocket() as other:
        assert one.ask("hello") == "v0 hello"
        version = bench.save()
        with at_once():
            assert bench.served.body() == version
        assert [one.close_code(), other.close_code()] == [1012, 1012]
    assert bench.log.count("v0 disconnected 1012") == 2
    assert "Traceback" not in bench.served.output


def test_p2_a_stream_ends_and_delays_nothing(bench: Bench) -> None:
    stream = Connection(bench.served.port).send("/stream")
    assert stream._socket.recv(10)
    version = bench.save()
    with at_once():
        assert bench.served.body() == version
    with pytest.raises(ConnectionError, match="cut off"):  # and not: reset by peer
        stream.receive()
    assert bench.log.count("v0 stream ended") == 1
    assert "Traceback" not in bench.served.output


def test_p2_a_response_goes_on_while_the_new_code_answers(bench: Bench) -> None:
    slow = bench.served.connect().send("/slow")
    bench.until_exists("slow")
    version = bench.save()
    assert bench.served.body() == version
    assert slow.receive().body == "v0"


def test_p2_code_that_blocks_the_loop_is_interrupted(bench: Bench) -> None:
    blocking = bench.served.connect().send("/block")
    bench.until_exists("blocks")
    waiting = bench.served.connect().send()
    version = bench.save()
    with at_once():
        assert bench.served.body() == version
    assert waiting.receive().body == version
    assert blocking.receive().status == 503
    assert "Traceback" not in bench.served.output


def test_p3_all_of_the_old_app_has_ended_before_the_new_one_begins(bench: Bench) -> None:
    version = bench.save()
    assert bench.served.body() == version
    old = ["imported", "startup", "shutdown", "task cancelled", "atexit"]
    assert bench.log == [*(f"v0 {line}" for line in old), "v1 imported", "v1 startup"]


def test_p3_what_runs_behind_a_response_counts_as_the_response(bench: Bench) -> None:
    assert bench.served.body("/background") == "v0"
    version = bench.save()
    assert bench.served.body() == version
    bench.served.until(lambda: "v0 background done" in bench.log, "the task has ended")


def test_p4_a_startup_that_fails_is_a_failed_load(bench: Bench) -> None:
    works = '    log("startup")'
    fails = """\
    try:
        raise OSError("no database")
    except OSError as exc:
        await send({"type": "lifespan.startup.failed", "message": str(exc)})
        raise"""
    bench.served.edit("app.py", works, fails)
    answer = bench.served.get()
    assert answer.status == 500
    assert "no database" in answer.body
    bench.served.until_told("the load failed; waiting for a change")
    bench.served.edit("app.py", fails, works)
    assert bench.served.body() == "v0"


def test_p4_an_exception_in_a_request_is_shown(bench: Bench) -> None:
    answer = bench.served.get("/raise")
    assert answer.status == 500
    assert "LookupError: of the app" in answer.body
    assert "in GET /raise" in answer.body
    bench.served.until_told("GET /raise 500")
    assert bench.served.output.count("Traceback") == 1
    assert bench.served.body() == "v0"


def test_p5_ctrl_c_shuts_the_app_down(bench: Bench) -> None:
    with bench.websocket() as one:
        assert one.ask("x") == "v0 x"
        bench.served.signal_group(2)
        assert one.close_code() == 1012
    assert bench.served.wait() == 130
    assert bench.log[-3:] == ["v0 shutdown", "v0 task cancelled", "v0 atexit"]
    assert "Traceback" not in bench.served.output


def test_pages_are_live(serve: Serve) -> None:
    served = serve("app.py", "--live", files={"app.py": APP})
    navigation = b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nHost"
    with socket.create_connection(("127.0.0.1", served.port), 5) as browser:
        browser.sendall(request("/page").replace(b"Host", navigation))
        data = b"".join(iter(lambda: browser.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    assert body.startswith(b"<h1>page</h1><script async src=")
    assert re.search(rb"content-length: (\d+)", head)[1] == b"%d" % len(body)  # type: ignore[index]


def test_without_the_extra_the_first_start_ends(serve: Serve) -> None:
    hide = "import sys\nsys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
    hide += "sys.modules.pop('uvicorn', None)\n"
    served = serve("app.py", files={"app.py": hide + APP})
    assert served.wait() == 2
    assert "pip install 'asyncreload[asgi]'" in served.output
    assert "Traceback" not in served.output


HIDDEN = "def app(*args):\n    return _app(*args)\n" + APP.replace("def app(", "def _app(")


def test_the_interface_can_be_named(serve: Serve) -> None:
    served = serve("app.py:app", "--interface", "asgi", files={"app.py": HIDDEN})
    assert served.body() == "v0"


def test_where_the_interface_cannot_be_told_the_first_request_says_so(serve: Serve) -> None:
    served = serve("app.py:app", files={"app.py": HIDDEN})
    answer = served.get()
    assert answer.status == 500
    assert "--interface asgi" in answer.body
    served.until_told("this is an ASGI app in a wrapper that hides it")
    assert "Traceback" not in served.output
    cure = "import functools\napp = functools.wraps(_app)(app)\n"
    served.write("app.py", HIDDEN + cure)
    assert served.body() == "v0"


def test_an_app_behind_a_decorator_of_ones_own(serve: Serve) -> None:
    decorator = (
        "def timed(function):\n"
        "    def wrapper(*args, **options):\n"
        "        return function(*args, **options)\n"
        "    return wrapper\n"
    )
    source = decorator + APP.replace("async def app(", "@timed\nasync def app(")
    served = serve("app.py", files={"app.py": source})
    assert served.body() == "v0"


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_frameworks(serve: Serve, framework: str) -> None:
    pytest.importorskip(framework)
    source = {
        "fastapi": "from fastapi import FastAPI\napp = FastAPI()\n"
        "@app.get('/')\nasync def index(): return {'v': 0}\n"
        "@app.get('/boom')\nasync def boom(): return 1 / 0\n"
        "@app.get('/sync')\ndef sync(): return 'x'\n",
        "starlette": "from starlette.applications import Starlette\n"
        "from starlette.routing import Route\nfrom starlette.responses import JSONResponse\n"
        "async def index(request): return JSONResponse({'v': 0})\n"
        "async def boom(request): return 1 / 0\n"
        "def sync(request): return JSONResponse('x')\n"
        "app = Starlette(routes=[Route('/', index), Route('/boom', boom), Route('/sync', sync)])\n",
    }[framework]
    served = serve("app.py", files={"app.py": source})
    assert json.loads(served.body()) == {"v": 0}
    assert json.loads(served.body("/sync")) == "x"
    served.edit("app.py", "'v': 0", "'v': 1")
    assert json.loads(served.body()) == {"v": 1}
    boom = served.get("/boom")
    assert boom.status == 500
    assert "ZeroDivisionError" in boom.body
    assert served.output.count("Traceback") == 1
