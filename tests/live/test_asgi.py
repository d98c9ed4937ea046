"""What is different for ASGI apps: WebSockets, streams, the lifespan, and code that blocks."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.live.driving import COMMAND, LONG, Connection, Served, lay_out, request
from tests.live.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.conftest import Serve, Start

pytest.importorskip("uvicorn")

pytestmark = pytest.mark.without_standby

RELOADS = 200 if LONG else 5
GRACE = 5.0
"""Seconds that a response gets at a reload, and the app at the end."""
AT_ONCE = 4.0
"""Seconds, for a busy machine; what was waited for would take `GRACE`, or for ever."""

APP = """\
import asyncio, atexit, json, os, time
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
    if path == "/cleaning":
        LOG.with_name("cleaning").touch()
        try:
            await asyncio.sleep(1000)
        finally:
            log("request cleaned up")
    if path == "/thread":
        LOG.with_name("thread").touch()
        await asyncio.shield(asyncio.to_thread(time.sleep, 60))
    if path == "/block":
        LOG.with_name("blocks").touch()
        time.sleep(1000)
    if path == "/held":
        LOG.with_name("held").touch()
        while not LOG.with_name("go").exists():
            await asyncio.sleep(0.01)
    if path == "/stuck":
        while True:
            try:
                LOG.with_name("stuck").touch()
                time.sleep(1000)
            except KeyboardInterrupt:
                pass
    if path == "/raise":
        raise LookupError("of the app")
    if path == "/page":
        return await answer(send, "<h1>page</h1>", b"text/html")
    if path == "/background":
        await answer(send, VERSION)
        await asyncio.sleep(0.5)
        log("background done")
        return
    if path == "/pid":
        return await answer(send, str(os.getpid()))
    if path == "/state":
        return await answer(send, scope["state"]["started"])
    await answer(send, VERSION)
"""


FORKING = """\
import asyncio, atexit, os
SELF = os.getpid()

@atexit.register
def end():
    if os.getpid() != SELF:
        with open("ended", "w") as file:
            file.write("by atexit")

def tell(text):
    with open("told.new", "w") as file:
        file.write(text)
    os.rename("told.new", "told")

async def beside():
    await asyncio.sleep(0)
    if os.getpid() != SELF:
        tell("it has gone on with what the app has under way")

async def fork():
    task = asyncio.create_task(beside())
    pid = os.fork()
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if not os.path.exists("told"):
            tell(f"exit code {{code}}")
        await task
    else:
        {in_fork}

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/fork":
        await fork()
    if scope["path"] == "/task":
        await asyncio.create_task(fork())
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": str(os.getpid() - SELF).encode()}})
"""


class Kept:
    """A client that has one connection for all its requests, and never opens another."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._connection.connect()
        self._connection.auto_open = 0

    def body(self, path: str = "/", data: bytes | Iterator[bytes] | None = None) -> str:
        """Ask, and return the body of the answer."""
        self._connection.request("POST" if data else "GET", path, data)
        return self._read(self._connection.getresponse(), 200)

    def send(self, data: bytes) -> None:
        self._connection.sock.sendall(data)

    def rest(self, status: int = 200) -> str:
        """Return the body of the answer to what was sent by `send`."""
        response = HTTPResponse(self._connection.sock)
        response.begin()
        return self._read(response, status)

    def _read(self, response: HTTPResponse, status: int) -> str:
        body = response.read().decode()
        assert response.status == status, body
        return body

    @property
    def is_closed(self) -> bool:
        """Whether the last answer said that the connection would be closed."""
        return self._connection.sock is None

    def close(self) -> None:
        self._connection.close()


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
    def kept(self) -> Iterator[Kept]:
        made = Kept(self.served.port)
        try:
            yield made
        finally:
            made.close()

    @contextmanager
    def websocket(self) -> Iterator[WebSocket]:
        # By a socket: else an old `websockets` has no way to leave out a proxy.
        plain = socket.create_connection(("127.0.0.1", self.served.port), 5)
        with connect("ws://127.0.0.1/ws", sock=plain) as one:
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


@contextmanager
def ended_during(bench: Bench, name: str) -> Iterator[Connection]:
    """Press Ctrl-C while a request is answered, which says so by a file; all ends at once."""
    asked = Connection(bench.served.port).send(f"/{name}")
    bench.until_exists(name)
    with at_once():
        bench.served.signal(2)
        yield asked
        assert bench.served.wait() == 130


def test_p1_each_save_is_answered_by_the_next_request(bench: Bench) -> None:
    for _ in range(RELOADS):
        version = bench.save()
        assert bench.served.body() == version
        assert bench.served.body("/state") == version


def test_p1_on_a_connection_that_was_opened_before(bench: Bench) -> None:
    early = bench.served.connect()
    version = bench.save()
    assert early.send().receive().body == version


def test_p1_on_a_connection_that_is_kept(bench: Bench) -> None:
    with bench.kept() as kept:
        for _ in range(RELOADS):
            assert kept.body() == f"v{bench.number}"
            version = bench.save()
            assert kept.body() == version


def test_p1_the_second_request_of_a_connection_is_looked_at_as_the_first(bench: Bench) -> None:
    """It arrives together with the first, whose answer then waits for the save."""
    both = request("/held").replace(b"Connection: close\r\n", b"") + request("/")
    with socket.create_connection(("127.0.0.1", bench.served.port), 5) as connection:
        connection.sendall(both)
        bench.until_exists("held")
        version = bench.save()
        bench.served.write("go", "")
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    bodies = re.findall(rb"v\d+", data.replace(b"uvicorn", b""))
    assert bodies == [b"v0", version.encode()], data


@pytest.mark.parametrize("part", [1, 20, -2])
def test_p1_half_of_a_head_was_there_before_the_save(bench: Bench, part: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with bench.kept() as kept:
        assert kept.body() == "v0"
        kept.send(head[:part])
        version = bench.save()
        assert bench.served.body() == version
        kept.send(head[part:])
        assert kept.rest() == version
        assert kept.body() == version


def test_p2_kept_connections_lose_nothing(bench: Bench) -> None:
    """Clients ask all the time, each on one connection, while files are saved."""
    is_over = threading.Event()
    answers: list[list[str]] = []

    def ask() -> None:
        told: list[str] = []
        with bench.kept() as kept:
            while not is_over.is_set():
                told.append(kept.body())
        answers.append(told)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    with bench.kept() as idle:
        for _ in range(RELOADS):
            version = bench.save()
            assert bench.served.body() == version
        is_over.set()
        for thread in threads:
            thread.join(10)
        assert idle.body() == version
    assert len(answers) == 4  # else one has failed
    for told in answers:
        versions = [int(body[1:]) for body in told]
        assert versions == sorted(versions)
        assert versions[-1] >= RELOADS - 1


def test_p2_kept_connections_hold_up_neither_a_reload_nor_the_end(bench: Bench) -> None:
    with bench.kept() as one, bench.kept() as other:
        old = int(one.body("/pid"))
        assert other.body() == "v0"
        version = bench.save()
        assert bench.served.body() == version
        bench.served.until(lambda: not is_alive(old), "the old process is gone", GRACE / 2)
        assert [one.body(), other.body()] == [version, version]
        bench.served.signal_group(2)
        bench.served.until(lambda: bench.served.process.poll() == 130, "it has ended", GRACE / 2)
    assert "Traceback" not in bench.served.output


def test_p2_a_request_on_a_kept_connection_outlives_an_app_that_does_not_end(bench: Bench) -> None:
    """The app's loop cannot hand the connection over: it never runs again."""
    with bench.kept() as kept:
        assert kept.body() == "v0"
        bench.served.connect().send("/stuck")
        bench.until_exists("stuck")
        kept.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        version = bench.save()
        assert kept.rest() == version


def test_p2_a_kept_connection_meets_a_load_that_fails(bench: Bench) -> None:
    with bench.kept() as kept:
        assert kept.body() == "v0"
        bench.served.edit("app.py", "VERSION =", "VERSION !=")
        kept.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert "NameError" in kept.rest(500)


def test_a_body_without_a_length_is_the_last_of_its_connection(bench: Bench) -> None:
    with bench.kept() as kept:
        assert kept.body(data=iter([b"a", b"b"])) == "v0"
        assert kept.is_closed


@pytest.mark.parametrize("path", ["/fork", "/task"])
@pytest.mark.parametrize("in_fork", ["pass", "raise LookupError", "await task"])
def test_p3_a_fork_that_comes_back_out_of_a_request_ends(
    serve: Serve, path: str, in_fork: str
) -> None:
    served = serve("app.py", files={"app.py": FORKING.format(in_fork=in_fork)})
    assert served.body(path) == "0"  # and not of the fork
    assert served.read("told") == "exit code 0"
    assert served.read("ended") == "by atexit"
    assert served.body() == "0"


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


@pytest.mark.parametrize("reloads", [0, 1])
def test_p2_code_that_blocks_the_loop_is_interrupted(bench: Bench, reloads: int) -> None:
    """Also right after a reload, when the first requests have the time for themselves."""
    for _ in range(reloads):
        version = bench.save()
        assert bench.served.body() == version
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


def test_p5_the_end_cancels_a_request_which_cleans_up_and_is_answered(bench: Bench) -> None:
    with ended_during(bench, "cleaning") as asked:
        assert asked.receive().status == 503
    assert "v0 request cleaned up" in bench.log
    assert bench.log[-1] == "v0 atexit"
    assert re.search(r"GET /cleaning 503 .+ · cancelled\n", bench.served.output)
    assert "Traceback" not in bench.served.output


def test_p5_the_end_does_not_wait_for_a_thread_of_a_request(bench: Bench) -> None:
    with ended_during(bench, "thread") as asked:
        pass
    asked.close()
    assert "GET /thread" in bench.served.output


def test_p5_ctrl_c_during_the_startup_is_no_error(serve: Serve) -> None:
    """Starlette says that it has failed, as it is cancelled."""
    source = APP.replace(
        '    state["started"] = VERSION\n',
        """    LOG.with_name("starts").touch()
    try:
        await asyncio.sleep(60)
    except BaseException:
        await send({"type": "lifespan.startup.failed", "message": "cancelled"})
        raise
""",
    )
    served = serve("app.py", files={"app.py": source})
    served.until((served.directory / "starts").exists, "it starts up")
    served.signal(2)
    assert served.wait() == 130
    assert "Traceback" not in served.output
    assert "never retrieved" not in served.output


def test_pages_are_live(serve: Serve) -> None:
    served = serve("app.py", "--live", files={"app.py": APP})
    navigation = b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nHost"
    with socket.create_connection(("127.0.0.1", served.port), 5) as browser:
        browser.sendall(request("/page").replace(b"Host", navigation))
        data = b"".join(iter(lambda: browser.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    assert body.startswith(b"<h1>page</h1><script async src=")
    assert re.search(rb"content-length: (\d+)", head)[1] == b"%d" % len(body)  # type: ignore[index]


def test_without_the_extra_the_first_start_ends(project: Path, start: Start) -> None:
    hide = "import sys\nsys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
    hide += "sys.modules.pop('uvicorn', None)\n"
    lay_out(project, files={"app.py": hide + APP})
    served = start(*COMMAND, "app.py", "--port", "0")
    assert served.wait() == 2
    assert served.output.endswith(  # on a slow machine, what is served is told before
        "asyncreload: error: this is an ASGI app: install what serves it, with "
        "pip install uvicorn websockets, which is what the extra asgi brings\n"
    )


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


SLOW_END = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        with open("steps", "a", buffering=1) as steps:
            for step in range(30):
                steps.write("one\\n")
                await asyncio.sleep(0.1)
        return
    if scope["path"] == "/long":
        open("begun", "w").close()
        await asyncio.sleep(2)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"v0"})
"""
CUT_OFF = "was not done after 0.5 s and was cut off"


def test_a_shutdown_that_is_cut_off_does_not_run_on_beside_a_last_response(serve: Serve) -> None:
    served = serve("app.py", files={"app.py": SLOW_END})
    assert served.body() == "v0"
    begun, steps = served.directory / "begun", served.directory / "steps"
    for number in (1, 2):
        under_way = served.connect().send("/long")
        served.until(begun.exists, "it is being answered")
        served.edit("app.py", f'b"v{number - 1}"', f'b"v{number}"')
        assert served.body() == f"v{number}"
        done = steps.read_text()
        assert done.count("one") > 1
        assert under_way.receive().status == 200
        assert steps.read_text() == done
        served.until(lambda: served.output.count(CUT_OFF) == number, "it is told")  # noqa: B023
        for file in (begun, steps):
            file.unlink()


LAST_WORDS = """
import asyncio
import time

async def block():
    time.sleep(60)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    open("begun" + scope["path"][1:], "w").close()
    if scope["path"] == "/group":
        async with asyncio.TaskGroup() as group:
            await group.create_task(block())
    if scope["path"] == "/long":
        await wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"v0"})
    if scope["path"] == "/after":
        await wait()

async def wait():
    try:
        await asyncio.sleep(60)
    finally:
        with open("cleaned up", "a") as file:
            file.write("one\\n")
"""


def test_what_outlives_grace_is_cancelled_and_cleans_up(serve: Serve) -> None:
    served = serve("app.py", "--grace", "0.5", files={"app.py": LAST_WORDS})
    long = served.connect().send("/long")
    after = served.connect().send("/after")
    for name in ("long", "after"):
        served.until((served.directory / f"begun{name}").exists, f"{name} is under way")
    served.edit("app.py", 'b"v0"', 'b"v1"')
    assert served.body() == "v1"
    answer = long.receive()
    assert (answer.status, "Please ask again" in answer.body) == (503, True)
    assert after.receive().body == "v0"
    cleaned_up = served.directory / "cleaned up"
    served.until(lambda: cleaned_up.exists() and cleaned_up.read_text() == "one\n" * 2, "both have")
    served.until_told("GET /after: what goes on behind its response cut off")
    assert "Traceback" not in served.output


def test_p2_code_that_blocks_the_loop_within_a_group_is_interrupted(serve: Serve) -> None:
    """As any handler is behind the middleware of Starlette."""
    served = serve("app.py", files={"app.py": LAST_WORDS})
    blocking = served.connect().send("/group")
    served.until((served.directory / "begungroup").exists, "it blocks")
    served.edit("app.py", 'b"v0"', 'b"v1"')
    assert served.body() == "v1"
    assert blocking.receive().status == 503
    served.until_told("it blocked the event loop")
    assert "Traceback" not in served.output


def test_a_websocket_is_answered_by_its_version_while_the_load_fails(serve: Serve) -> None:
    """Clients take HTTP/1.0 for something else than a server that has a bad moment."""
    served = serve("app.py", files={"app.py": LAST_WORDS})
    served.replace("app.py", "app = (")
    assert served.get().status == 500
    with socket.create_connection(("127.0.0.1", served.port), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"\r\nConnection: close\r\n" in answer
