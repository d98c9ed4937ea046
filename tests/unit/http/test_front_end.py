"""The front end, in a loop on a listening socket: no process, and no thread but its own."""

from __future__ import annotations

import asyncio
import importlib
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.http.front_end import FrontEnd, Supervision
from asyncreload.child.http.lifespan import Lifespan
from asyncreload.child.http.thread_pool import Job
from asyncreload.child.imports.interface import AsgiApp
from asyncreload.child.pages.error_report import Report
from asyncreload.settings import Settings
from tests.unit.http.network import (
    DEADLINE,
    Network,
    has_nothing_to_read,
    iterate,
    network,
    take_all,
)
from tests.unit.looping import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

    from asyncreload.child.imports.interface import Receive, Scope, Send

pytestmark = pytest.mark.asyncio

STATE = "0123456789abcdef"
ADDRESS = ("localhost", 8000)
SETTINGS = Settings(target="", threads=2)
GET = "GET / HTTP/1.1\r\nHost: localhost"
EVENTS = "GET /.asyncreload/events HTTP/1.1\r\nHost: localhost"
LAST = f"{GET}\r\nConnection: close"
"""Of a client that does not ask an ASGI app again."""
NAVIGATION = f"{GET}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document"


class Gate:
    """Suspects a file, or not; and finds that it has changed, or not."""

    def __init__(self) -> None:
        self.suspects: list[str] = []
        self.is_stale = False
        self.asked = 0

    def check(self) -> list[str]:
        return self.suspects

    def is_surely_fresh(self) -> bool:
        return not self.suspects

    async def stale(self, suspects: list[str]) -> bool:
        assert suspects == self.suspects
        self.asked += 1
        return self.is_stale


class App:
    """Answers with a page that names the server, once it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.begun = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.begun += 1
        assert self.may_answer.wait(DEADLINE)
        start_response("200 OK", [("Content-Type", "text/html")])
        return [f"by {environ['SERVER_NAME']}:{environ['SERVER_PORT']}".encode()]


class MainThread:
    """Runs nothing, until it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def run(self, job: Job) -> bool:
        self.jobs.append(job)
        return True


def make(net: Network, gate: Gate | None = None, state: str = STATE) -> FrontEnd:
    return FrontEnd(net.listener, net.lobby, gate or Gate(), MainThread(), Supervision(state))


def body_of(reply: str) -> str:
    return reply.partition("\r\n\r\n")[2]


# Before there is anything to answer with


async def test_before_it_serves_connections_wait_in_the_kernel() -> None:
    async with network() as net:
        front_end = make(net)
        client = net.connect(GET)
        front_end.resume()
        await iterate()
        assert has_nothing_to_read(client)
        assert (front_end.busy, front_end.has_listeners) == (0, False)
        await front_end.answered(DEADLINE)
        await front_end.quiet(DEADLINE)
        front_end.close(hand_over=True)
        assert net.lobby.take() == []


# Serving the app


async def test_the_app_answers() -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(App(), SETTINGS, ADDRESS)
        reply = await net.answer(net.connect(NAVIGATION))
        assert reply.startswith("HTTP/1.0 200 OK\r\n")
        assert body_of(reply) == "by localhost:8000"
        front_end.close(hand_over=False)


async def test_nothing_is_answered_before_the_loops_next_iteration() -> None:
    """A request may crash the process; before that, the parent hears that it has loaded."""
    async with network() as net:
        front_end, app = make(net), App()
        client = net.connect(GET)
        front_end.serve(app, SETTINGS, ADDRESS)
        assert (front_end.busy, app.begun) == (0, 0)
        await net.answer(client)
        front_end.close(hand_over=False)


@pytest.mark.parametrize("is_logged", [True, False])
async def test_requests_are_logged_if_the_settings_say_so(
    capsys: pytest.CaptureFixture[str], *, is_logged: bool
) -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(App(), Settings(target="", access_log=is_logged), ADDRESS)
        await net.answer(net.connect(GET))
        await front_end.quiet(DEADLINE)
        front_end.close(hand_over=False)
    assert (" GET / 200 " in capsys.readouterr().err) is is_logged


async def test_live_pages_get_the_script() -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(App(), Settings(target="", live=True), ADDRESS)
        assert f'data-state="{STATE}"' in body_of(await net.answer(net.connect(NAVIGATION)))
        front_end.close(hand_over=False)


async def test_as_many_requests_are_answered_at_a_time_as_the_settings_say() -> None:
    async with network() as net:
        front_end, app = make(net), App()
        app.may_answer.clear()
        front_end.serve(app, SETTINGS, ADDRESS)
        clients = [net.connect(GET) for _ in range(3)]
        await until(lambda: app.begun == 2)
        await iterate()
        assert (front_end.busy, app.begun) == (2, 2)
        app.may_answer.set()
        for client in clients:
            assert body_of(await net.answer(client))
        await front_end.quiet(DEADLINE)
        assert front_end.busy == 0
        front_end.close(hand_over=False)


async def test_with_one_thread_the_main_thread_answers() -> None:
    async with network() as net:
        main_thread, app = MainThread(), App()
        front_end = FrontEnd(net.listener, net.lobby, Gate(), main_thread)
        front_end.serve(app, Settings(target="", threads=1, access_log=False), ADDRESS)
        first, second = net.connect(GET), net.connect(GET)
        for client in (first, second):
            await until(lambda: main_thread.jobs)
            await iterate()
            (job,) = main_thread.jobs
            main_thread.jobs.clear()
            job()  # this is the main thread
            assert body_of(await net.answer(client)) == "by localhost:8000"
        assert app.begun == 2
        front_end.close(hand_over=False)


# Showing a report


@pytest.mark.parametrize("live", [True, False])
async def test_a_report_is_shown_instead(*, live: bool) -> None:
    async with network() as net:
        front_end = make(net)
        settings = Settings(target="", live=live)
        front_end.show(Report(500, "NameError: no"), settings, ADDRESS)
        reply = await net.answer(net.connect(GET))
        assert reply.startswith("HTTP/1.0 500 ")
        assert body_of(reply).startswith("NameError: no\n")
        page = body_of(await net.answer(net.connect(f"{NAVIGATION}\r\nAccept: text/html")))
        assert f'data-state="{STATE}"' in page
        front_end.close(hand_over=False)


@pytest.mark.parametrize("trust", [(), ("127.0.0.1",)])
@pytest.mark.parametrize("fails", ["the load", "a request"])
async def test_the_settings_say_whom_to_trust(fails: str, trust: tuple[str, ...]) -> None:
    def app(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
        raise NameError("no")

    async with network() as net:
        front_end = make(net)
        settings = Settings(target="", trust=trust, access_log=False)
        if fails == "the load":
            front_end.show(Report(500, "NameError: no"), settings, ADDRESS)
        else:
            front_end.serve(app, settings, ADDRESS)
        request = GET.replace("localhost", "10.0.0.1")
        assert request != GET
        reply = body_of(await net.answer(net.connect(request)))
        assert reply.startswith("NameError: no\n" if trust else "The application failed to ")
        front_end.close(hand_over=False)


@pytest.mark.parametrize("fails", ["the load", "a request"])
async def test_the_settings_say_what_opens_a_file(fails: str) -> None:
    def app(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
        raise NameError("no")

    async with network() as net:
        front_end = make(net)
        settings = Settings(target="", editor="zed", access_log=False)
        if fails == "the load":
            front_end.show(Report(500, "NameError: no", place="/a.py:1"), settings, ADDRESS)
        else:
            front_end.serve(app, settings, ADDRESS)
        page = body_of(await net.answer(net.connect(f"{GET}\r\nAccept: text/html")))
        assert 'href="zed://file/' in page
        front_end.close(hand_over=False)


@pytest.mark.parametrize("crashed", [True, False])
async def test_the_report_of_a_crash_has_the_app_started_again(*, crashed: bool) -> None:
    asked: list[None] = []
    report = Report.crash("exit code 7", "while serving") if crashed else Report(500, "X: no")
    async with network() as net:
        front_end = FrontEnd(
            net.listener,
            net.lobby,
            Gate(),
            MainThread(),
            Supervision(STATE, on_restart=lambda: asked.append(None)),
        )
        front_end.show(report, SETTINGS, ADDRESS)
        post = GET.replace("GET /", "POST /.asyncreload/restart")
        reply = await net.answer(net.connect(f"{post}\r\nContent-Length: 0"))
        assert reply.startswith("HTTP/1.0 202 " if crashed else "HTTP/1.0 500 ")
        await iterate()
        assert asked == ([None] if crashed else [])
        front_end.close(hand_over=False)


async def test_a_request_that_fails_to_import_has_that_told_before_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_for_test.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def imports(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
        importlib.import_module("broken_for_test")
        return []

    told: list[Callable[[], None]] = []

    def on_import_failure(report: Report, _began: int, on_told: Callable[[], None]) -> None:
        front_end.show(report, SETTINGS, ADDRESS)
        told.append(on_told)

    async with network() as net:
        front_end = FrontEnd(
            net.listener,
            net.lobby,
            Gate(),
            MainThread(),
            Supervision(STATE, on_import_failure),
        )
        front_end.serve(imports, SETTINGS, ADDRESS)
        first = net.connect(GET.replace("/ ", "/first "))
        await until(lambda: told)
        second = await net.answer(net.connect(GET))
        assert "\nin GET /first\n" in body_of(second)  # the app is not asked any more
        assert has_nothing_to_read(first)
        (on_told,) = told
        on_told()
        assert body_of(await net.answer(first)) == body_of(second)
        front_end.close(hand_over=False)


# The event stream


@pytest.mark.parametrize("live", [True, False])
async def test_the_event_stream_tells_the_state_until_the_end(*, live: bool) -> None:
    async with network() as net:
        front_end, app = make(net), App()
        front_end.serve(app, Settings(target="", live=live), ADDRESS)
        client = net.connect(EVENTS)
        await until(lambda: front_end.has_listeners)
        assert front_end.busy == 0
        front_end.close(hand_over=True)
        assert body_of(await net.answer(client)).endswith(f"data: {STATE}\n\n")
        assert not front_end.has_listeners
        assert app.begun == 0


async def test_without_a_state_there_is_no_event_stream() -> None:
    async with network() as net:
        front_end, app = make(net, state=""), App()
        front_end.serve(app, Settings(target="", live=True), ADDRESS)
        for request in (EVENTS, NAVIGATION):
            assert body_of(await net.answer(net.connect(request))) == "by localhost:8000"
        assert not front_end.has_listeners
        front_end.close(hand_over=False)


async def test_after_a_refresh_pages_and_reports_are_of_another_state() -> None:
    """A page of the state before is outdated; and whoever listens is told."""

    def fail(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
        raise LookupError

    async with network() as net:
        front_end, failing = make(net), make(net)
        settings = Settings(target="", live=True)
        front_end.serve(App(), settings, ADDRESS)
        listener = net.connect(EVENTS)
        await until(lambda: front_end.has_listeners)
        front_end.refresh(["/srv/site.css"])
        front_end.refresh(["/srv/page.html"])
        assert f'data-state="{STATE}-2"' in body_of(await net.answer(net.connect(NAVIGATION)))
        front_end.close(hand_over=False)
        told = body_of(await net.answer(listener))
        assert f"data: {STATE}-1 {STATE} site.css\n\n" in told
        assert told.endswith(f"data: {STATE}-2 {STATE}-1\n\n")
        failing.serve(fail, settings, ADDRESS)
        failing.refresh(["/srv/page.html"])
        asked = f"{NAVIGATION}\r\nAccept: text/html"
        assert f'data-state="{STATE}-1"' in body_of(await net.answer(net.connect(asked)))
        failing.close(hand_over=False)


# Files that change


async def test_stale_code_does_not_answer_and_the_request_is_handed_over() -> None:
    async with network() as net:
        gate, app = Gate(), App()
        gate.suspects, gate.is_stale = ["app.py"], True
        front_end = make(net, gate)
        front_end.serve(app, SETTINGS, ADDRESS)
        client = net.connect(GET)
        await until(lambda: gate.asked)
        await iterate()
        assert (app.begun, front_end.busy) == (0, 0)
        front_end.close(hand_over=True)
        following = make(net)
        following.serve(App(), SETTINGS, ADDRESS)
        assert body_of(await net.answer(client)) == "by localhost:8000"
        following.close(hand_over=False)


async def test_a_request_that_waits_is_answered_when_the_change_is_taken_back() -> None:
    async with network() as net:
        gate = Gate()
        gate.suspects, gate.is_stale = ["app.py"], True
        front_end = make(net, gate)
        front_end.serve(App(), SETTINGS, ADDRESS)
        client = net.connect(GET)
        await until(lambda: gate.asked)
        await iterate()
        gate.suspects = []
        front_end.resume()
        assert body_of(await net.answer(client)) == "by localhost:8000"
        front_end.close(hand_over=False)


# The end


@pytest.mark.parametrize("hand_over", [True, False])
async def test_at_the_end_connections_are_handed_over_or_closed(*, hand_over: bool) -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(App(), SETTINGS, ADDRESS)
        client = net.connect()
        await iterate()
        front_end.close(hand_over=hand_over)
        left = take_all(net.lobby)
        assert len(left) == hand_over
        for connection in left:
            connection.close()
        assert await net.answer(client) == ""
        queued = net.connect(GET)
        await iterate()
        assert has_nothing_to_read(queued)


async def test_a_request_that_is_being_answered_outlives_the_close() -> None:
    async with network() as net:
        front_end, app = make(net), App()
        app.may_answer.clear()
        front_end.serve(app, SETTINGS, ADDRESS)
        client = net.connect(GET)
        await until(lambda: app.begun)
        front_end.close(hand_over=True)
        for wait in (front_end.answered, front_end.quiet):
            await wait(0)
            waiting = asyncio.create_task(wait(DEADLINE))
            await iterate()
            assert not waiting.done()
            waiting.cancel()
        assert front_end.busy == 1
        app.may_answer.set()
        assert body_of(await net.answer(client)) == "by localhost:8000"
        await front_end.answered(DEADLINE)
        await front_end.quiet(DEADLINE)
        assert front_end.busy == 0


async def test_last_bytes_are_waited_for_by_quiet_alone() -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(App(), SETTINGS, ADDRESS)
        client = net.connect("POST / HTTP/1.1\r\nContent-Length: 9")  # and no body
        await until(lambda: not has_nothing_to_read(client))
        await front_end.answered(DEADLINE)
        assert front_end.busy == 1
        quiet = asyncio.create_task(front_end.quiet(DEADLINE))
        client.close()
        await quiet
        assert front_end.busy == 0
        front_end.close(hand_over=False)


async def test_a_descriptor_is_left_to_the_next_child_to_close() -> None:
    async with network() as net:
        ours, theirs = socket.socketpair()
        with ours:
            front_end = make(net)
            front_end.delegate_close([theirs.fileno()])
            theirs.close()
            ours.setblocking(False)
            net.lobby.take()
            front_end.close_delegated()
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 1), DEADLINE)
            assert data == b""


# An ASGI app


class AsgiSite:
    """Answers with a page, once it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        await self.may_answer.wait()
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"by ASGI"})


def loop_of(app: AsgiSite, loop: asyncio.AbstractEventLoop | None = None) -> AppLoop:
    """As if it were in another thread."""
    made = AppLoop.__new__(AppLoop)
    made.app, made.loop = AsgiApp(app), loop or asyncio.get_running_loop()
    made._lifespan = Lifespan(app)
    return made


@contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_an_asgi_app_answers() -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(loop_of(AsgiSite()), Settings(target="", live=True), ADDRESS)
        assert "by ASGI" in await net.answer(net.connect(LAST))
        page = await net.answer(net.connect(f"{NAVIGATION}\r\nConnection: close"))
        assert f'data-state="{STATE}"' in page
        await front_end.quiet(DEADLINE)
        assert front_end.busy == 0
        front_end.close(hand_over=False)


async def test_a_report_takes_the_place_of_an_asgi_app() -> None:
    """What the app answers already goes on."""
    with loop_in_a_thread() as loop:
        await _a_report_takes_its_place(loop)


async def _a_report_takes_its_place(loop: asyncio.AbstractEventLoop) -> None:
    async with network() as net:
        front_end, app = make(net), AsgiSite()
        app.may_answer.clear()
        front_end.serve(loop_of(app, loop), SETTINGS, ADDRESS)
        first = net.connect(LAST)
        await until(lambda: app.begun)
        front_end.show(Report.from_exception(ZeroDivisionError("mine")), SETTINGS, ADDRESS)
        assert "ZeroDivisionError" in await net.answer(net.connect(LAST))
        loop.call_soon_threadsafe(app.may_answer.set)
        assert "by ASGI" in await net.answer(first)
        assert app.begun == 1
        front_end.close(hand_over=False)
        await until(lambda: not front_end.busy)


async def _first_answer(net: Network, request: str) -> socket.socket:
    """Have an ASGI app answer, on a connection that is kept."""
    client = net.connect(request)
    client.setblocking(False)
    received = b""
    async with asyncio.timeout(DEADLINE):
        while not received.endswith(b"0\r\n\r\n"):
            received += await asyncio.get_running_loop().sock_recv(client, 65536)
    assert b"by ASGI" in received
    return client


async def test_a_report_is_shown_on_a_connection_that_is_kept() -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(loop_of(AsgiSite()), SETTINGS, ADDRESS)
        client = await _first_answer(net, GET)
        front_end.show(Report.from_exception(ZeroDivisionError("mine")), SETTINGS, ADDRESS)
        client.send(f"{GET}\r\n\r\n".encode())
        assert "ZeroDivisionError" in await net.answer(client)
        front_end.close(hand_over=False)
        await until(lambda: not front_end.busy)


@pytest.mark.parametrize("hand_over", [False, True])
async def test_at_the_end_a_kept_connection_is_handed_over_or_closed(*, hand_over: bool) -> None:
    async with network() as net:
        front_end = make(net)
        front_end.serve(loop_of(AsgiSite()), SETTINGS, ADDRESS)
        client = await _first_answer(net, GET)
        front_end.close(hand_over=hand_over)
        await iterate()
        following = make(net)
        following.serve(App(), SETTINGS, ADDRESS)
        with suppress(ConnectionError):
            client.send(f"{GET}\r\n\r\n".encode())
            assert ("by localhost" in await net.answer(client)) is hand_over
        following.close(hand_over=False)


async def test_what_an_asgi_app_does_not_know_is_left_to_the_next_process() -> None:
    async with network() as net:
        front_end, app = make(net), AsgiSite()
        app_loop = loop_of(app)
        busy = asyncio.new_event_loop()  # which the app blocks: it takes nothing
        app_loop.loop = busy
        front_end.serve(app_loop, SETTINGS, ADDRESS)
        client = net.connect(GET)  # it waits in the kernel
        handed, other = net.connect(GET), net.listener.accept()
        assert front_end._acceptor
        front_end._acceptor.take(*other)
        assert front_end.busy == 1
        front_end.close(hand_over=True)
        assert front_end.busy == 0
        busy.close()
        following = make(net)
        following.serve(App(), SETTINGS, ADDRESS)
        assert "by localhost" in await net.answer(client)
        assert "by localhost" in await net.answer(handed)
        following.close(hand_over=False)
        assert app.begun == 0
