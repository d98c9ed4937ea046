"""What is ours around the call of an ASGI app: headers, live pages, reports, ends, access lines."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncreload.child.http.asgi import Exchange, environ_of, target_of
from asyncreload.child.http.asgi_connection import AsgiConnection, Use
from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.wsgi import Site
from asyncreload.child.imports.interface import AsgiApp
from asyncreload.child.pages.trust import THIS_MACHINE
from tests.unit.http.network import iterate

if TYPE_CHECKING:
    from asyncreload.child.imports.interface import Message, Receive, Scope, Send

pytestmark = pytest.mark.asyncio

STATE = "a-1"
SITE = Site("localhost", 8000, threads=4, live_state=STATE)
HTML = [(b"content-type", b"text/html; charset=utf-8")]
TEXT = [(b"content-type", b"text/plain")]
NAVIGATION = [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document")]
TAG = f'<script async src=".asyncreload/live.js" data-state="{STATE}"></script>'.encode()
OWN = {b"date", b"server"}


class Connection:
    """Notes what is done to it. It is lost as soon as it is told to close."""

    def __init__(self) -> None:
        self.use = Use.RESPONSE
        self.is_over = False
        self.may_be_kept = True
        self.done: list[str] = []
        self.told: list[str] = []
        self.lost = asyncio.Event()

    def is_closing(self) -> bool:
        return self.is_over

    def cork(self) -> None:
        self.told.append("cork")

    def uncork(self) -> None:
        self.told.append("uncork")

    def watch(self) -> None:
        self.told.append("watch")

    def end_response(self) -> None:
        self.told.append("end")

    def begin(self, use: Use) -> None:
        self.use = use
        self.done.append(use.name)

    def close(self) -> None:
        self._end("close")

    def reset(self) -> None:
        self._end("reset")

    def _end(self, how: str) -> None:
        self.done.append(how)
        self.is_over = True
        self.lost.set()


class Run:
    """One request and what was sent for it.

    refuse: by the type of a message, what is raised when it is sent, as uvicorn does.
    """

    def __init__(
        self, app: Any, scope: Scope | None = None, site: Site = SITE, *, is_ending: bool = True
    ) -> None:
        self.scope = http() if scope is None else scope
        self.connection = Connection()
        self.sent: list[Message] = []
        self.refuse: dict[str, BaseException] = {}
        errors = RequestErrors(STATE, THIS_MACHINE, live=True)
        connection = cast("AsgiConnection", self.connection)
        self.exchange = Exchange(AsgiApp(app), connection, site, errors, lambda: is_ending)

    async def run(self) -> Run:
        await self.exchange.run(self.scope, self.receive, self.send)
        return self

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] in self.refuse:
            raise self.refuse[message["type"]]
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        pairs = self.sent[0]["headers"]
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.sent]


def http(headers: Any = (), **changes: Any) -> Scope:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/page",
        "raw_path": b"/page",
        "query_string": b"",
        "http_version": "1.1",
        "client": ("127.0.0.1", 5),
        "headers": [(b"host", b"localhost"), *headers],
    }
    return scope | changes


def navigation(**changes: Any) -> Scope:
    return http(NAVIGATION, **changes)


def websocket(*, can_answer: bool = True) -> Scope:
    extensions: dict[str, Any] = {"websocket.http.response": {}} if can_answer else {}
    scope = http(type="websocket", extensions=extensions)
    del scope["method"]
    return scope


def start(status: int = 200, headers: Any = TEXT) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: Any = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


class App:
    """Sends messages, and raises exceptions, one after the other."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for step in self.steps:
            if isinstance(step, BaseException):
                raise step
            await send(step)


async def run(*steps: Any, scope: Scope | None = None, site: Site = SITE) -> Run:
    return await Run(App(*steps), scope, site).run()


# Headers


async def test_an_answer_passes_as_it_is_but_for_headers_of_ours() -> None:
    ran = await run(start(201, [*TEXT, (b"x-a", b"b")]), body(b"a", more=True), body(b"b"))

    assert ran.status == 201
    assert ran.sent[1:] == [body(b"a", more=True), body(b"b")]
    headers = ran.headers
    assert set(headers) == {b"content-type", b"x-a"} | OWN
    assert headers[b"server"] == b"uvicorn"
    assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", headers[b"date"])


KEEP_ALIVE = (b"Connection", b"keep-alive")


@pytest.mark.parametrize("headers", [[], [KEEP_ALIVE]])
@pytest.mark.parametrize(
    ("version", "kind", "may_be_kept"),
    [
        ("1.1", b"text/plain", False),
        ("1.1", b"text/event-stream", True),
        ("1.0", b"text/plain", True),
    ],
)
async def test_what_is_not_kept_is_closed_whatever_the_app_says(
    headers: Any, version: str, kind: bytes, *, may_be_kept: bool
) -> None:
    app = App(start(headers=[(b"content-type", kind), *headers]), body())
    ran = Run(app, http(http_version=version))
    ran.connection.may_be_kept = may_be_kept
    await ran.run()
    told = [value for name, value in ran.sent[0]["headers"] if name.lower() == b"connection"]
    assert told == [b"close"]


async def test_of_a_connection_that_is_kept_the_app_says_what_it_likes() -> None:
    ran = await run(start(headers=[(b"Connection", b"close")]), body())
    assert ran.headers[b"Connection"] == b"close"


async def test_head_and_body_are_sent_in_one_piece() -> None:
    ran = await run(start(), body(b"a", more=True), body(b"b"))
    assert ran.connection.told == ["cork", "uncork", "cork", "uncork", "end"]


async def test_a_response_ends_with_its_last_message_alone() -> None:
    ran = await run(start(), body(b"a", more=True))
    assert "end" not in ran.connection.told
    ran = Run(App(start(), body(b"a")))
    ran.refuse["http.response.body"] = RuntimeError("too little data")
    await ran.run()
    assert "end" not in ran.connection.told


async def test_who_hears_twice_waits_for_the_client_to_go() -> None:
    async def hears(scope: Scope, receive: Receive, send: Send) -> None:
        for watched in (False, False, True):
            assert ("watch" in ran.connection.told) is watched
            await receive()
        await send(start())
        await send(body())

    ran = Run(hears)
    await ran.run()
    assert ran.status == 200


async def test_the_apps_own_date_and_server_stay() -> None:
    ran = await run(start(headers=[(b"Date", b"today"), (b"server", b"mine")]), body())
    assert ran.headers == {b"Date": b"today", b"server": b"mine"}


async def test_an_app_without_headers() -> None:
    ran = await run({"type": "http.response.start", "status": 204}, {"type": "http.response.body"})
    assert set(ran.headers) == OWN
    assert ran.types == ["http.response.start", "http.response.body"]


async def test_what_the_app_makes_of_its_message_afterwards_changes_nothing() -> None:
    message = start(headers=list(TEXT))
    await run(message, body())
    assert message == start()


async def test_other_messages_come_in_their_order() -> None:
    hints = {"type": "http.response.early_hint", "links": []}
    trailers = {"type": "http.response.trailers", "headers": []}
    ran = await run(hints, start(), body(b"a"), trailers)
    assert ran.types == [
        "http.response.early_hint",
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    ran = await run(start(), hints, body(b"a"))
    assert ran.types[:2] == ["http.response.start", "http.response.early_hint"]


# Live pages


@pytest.mark.parametrize("as_sent", [bytes, bytearray, memoryview])
async def test_a_page_gets_a_script(as_sent: Any) -> None:
    length = (b"Content-Length", b"6")
    ran = await run(start(headers=[*HTML, length]), body(as_sent(b"<html>")), scope=navigation())

    assert ran.body == b"<html>" + TAG
    assert ran.headers[b"content-length"] == b"%d" % len(ran.body)
    assert ran.headers[b"vary"] == b"Sec-Fetch-Dest"


async def test_a_page_that_is_streamed_gets_a_script_at_its_end() -> None:
    told: list[int] = []
    blocks = [body(b"<html>", more=True), body(b"more", more=True), body(b"", more=False)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(headers=HTML))
        told.append(len(ran.sent))
        for block in blocks:
            await send(block)
            told.append(len(ran.sent))

    ran = Run(app, navigation())
    await ran.run()

    assert told == [0, 2, 3, 4]  # nothing is held back but the head
    assert ran.sent[1:3] == blocks[:2]
    assert ran.sent[3]["body"] == TAG
    assert b"content-length" not in ran.headers


@pytest.mark.parametrize(
    ("scope", "head", "data"),
    [
        (http(), start(headers=HTML), b"<html>"),
        (navigation(method="HEAD"), start(headers=[*HTML, (b"content-length", b"6")]), b"<html>"),
        (navigation(method="POST"), start(headers=HTML), b"<html>"),
        (navigation(), start(headers=TEXT), b"text"),
        (navigation(), start(headers=[*HTML, (b"content-encoding", b"gzip")]), b"<html>"),
        (navigation(), start(302, HTML), b"<html>"),
    ],
)
async def test_what_is_no_page_stays_as_it_is(scope: Scope, head: Message, data: bytes) -> None:
    ran = await run(head, body(data), scope=scope)

    assert ran.body == data
    assert [pair for pair in ran.sent[0]["headers"] if pair[0] not in OWN] == head["headers"]


async def test_a_page_that_is_empty_for_a_moment_gets_a_script_too() -> None:
    head = start(headers=[*HTML, (b"content-length", b"0")])
    ran = await run(head, body(b""), scope=navigation())

    assert ran.body == TAG
    assert ran.headers[b"content-length"] == b"%d" % len(TAG)


@pytest.mark.parametrize("told", [b"5", b"7"])
async def test_a_page_with_a_wrong_length_gets_no_script(told: bytes) -> None:
    ran = await run(
        start(headers=[*HTML, (b"content-length", told)]), body(b"<html>"), scope=navigation()
    )
    assert ran.body == b"<html>"


async def test_no_live_pages_are_wanted() -> None:
    ran = await run(
        start(headers=HTML), body(b"<html>"), scope=navigation(), site=SITE.replaced(live_state="")
    )
    assert ran.body == b"<html>"


# What the app raises


async def test_an_exception_before_the_head_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    ran = await run(ZeroDivisionError("mine"), scope=navigation())

    assert ran.status == 500
    assert b"ZeroDivisionError" in ran.body
    assert ran.headers[b"Content-Length"] == b"%d" % len(ran.body)
    assert set(ran.headers) > OWN
    told = capsys.readouterr().err
    assert "ZeroDivisionError: mine" in told
    assert re.search(r"GET /page 500 .* ms\n$", told)
    assert "cut off" not in told
    assert ran.connection.done == []


async def test_an_exception_behind_the_head_takes_its_place() -> None:
    ran = await run(start(200), ZeroDivisionError("mine"))
    assert (ran.status, ran.types) == (500, ["http.response.start", "http.response.body"])
    assert b"ZeroDivisionError" in ran.body


@pytest.mark.parametrize(
    "steps",
    [
        (start(999), body(b"x")),
        (start(cast("Any", "200")), body(b"x")),
        (start(cast("Any", None)), body(b"x")),
        (start(200, [("x-app", "1")]), body(b"x")),
        (start(200, [(b"content-length", 1)]), body(b"x")),
        (start(200, [(b"content-length", b"one")]), body(b"x")),
        (start(200, [(b"x-app", b"1\r\nx: 2")]), body(b"x")),
        (start(200, [(b"x app", b"1")]), body(b"x")),
        (start(200, [(b"x:app", b"1")]), body(b"x")),
        (start(200, [(b"", b"1")]), body(b"x")),
        (start(), body("x")),
        (start(), body(None)),
    ],
)
async def test_what_cannot_be_sent_is_reported_before_anything_is(steps: tuple[Message]) -> None:
    """Of some of it, uvicorn tells as well; but only when nothing else can be sent any more."""
    one = await run(*steps)
    assert one.status == 500
    assert re.match(b"(Value|Type)Error: ", one.body)


async def test_what_is_like_bytes_or_a_number_is_sent() -> None:
    head = start(HTTPStatus.ACCEPTED, [(bytearray(b"x-app"), memoryview(b"1"))])
    one = await run(head, body(memoryview(b"he"), more=True), body(bytearray(b"y")))
    assert (one.status, one.headers[b"x-app"], one.body) == (202, b"1", b"hey")


async def test_an_exception_behind_another_message_is_reported() -> None:
    hints = {"type": "http.response.early_hint", "links": []}
    ran = await run(hints, ZeroDivisionError("mine"))
    assert ran.types == [hints["type"], "http.response.start", "http.response.body"]


async def test_starlettes_own_page_is_replaced_by_the_report() -> None:
    ran = await run(start(500), body(b"Internal Server Error"), ZeroDivisionError("mine"))
    assert ran.status == 500
    assert b"ZeroDivisionError" in ran.body
    assert b"Internal Server Error" not in ran.body.splitlines()
    assert ran.types == ["http.response.start", "http.response.body"]


async def test_starlettes_own_page_without_an_exception_is_sent() -> None:
    ran = await run(start(500), body(b"Internal Server Error"))
    assert (ran.status, ran.body) == (500, b"Internal Server Error")
    assert ran.types == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (500, b'{"detail": "Internal Server Error"}'),
        (500, b"<h1>Internal Server Error</h1>"),
        (500, b"Internal Server Error\n"),
        (503, b"Internal Server Error"),
    ],
)
async def test_a_page_that_somebody_wrote_is_kept(
    status: int, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = await run(start(status), body(data), ZeroDivisionError("mine"))

    assert (ran.status, ran.body) == (status, data)
    assert ran.connection.done == []
    told = capsys.readouterr().err
    assert "ZeroDivisionError: mine" in told
    assert f"GET /page {status} " in told
    assert "cut off" not in told


async def test_a_real_starlette() -> None:
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")

    async def fail(request: Any) -> Any:
        raise ZeroDivisionError("mine")

    ran = Run(applications.Starlette(routes=[routing.Route("/page", fail)]))
    await ran.run()

    assert ran.status == 500
    assert b"ZeroDivisionError" in ran.body


async def test_a_real_fastapi_with_a_handler_of_its_own() -> None:
    fastapi = pytest.importorskip("fastapi")
    responses = pytest.importorskip("fastapi.responses")
    app = fastapi.FastAPI()

    async def fail() -> None:
        raise ZeroDivisionError("mine")

    async def handle(request: Any, error: Exception) -> Any:
        return responses.JSONResponse({"error": str(error)}, 500)

    app.add_api_route("/page", fail)
    app.add_exception_handler(Exception, handle)
    ran = await Run(app).run()
    assert (ran.status, ran.body) == (500, b'{"error":"mine"}')


@pytest.mark.parametrize(
    ("headers", "version", "how"),
    [
        ([(b"content-length", b"9")], "1.1", "close"),
        ([(b"content-length", b"9")], "1.0", "close"),
        ([], "1.1", "close"),  # by chunks
        ([], "1.0", "reset"),  # else its end would be that of the connection
    ],
)
async def test_an_exception_within_the_body_cuts_it_off(
    headers: Any, version: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = await run(
        start(headers=headers),
        body(b"a", more=True),
        ZeroDivisionError("mine"),
        scope=http(http_version=version),
    )
    assert ran.body == b"a"
    assert ran.connection.done == [how]
    assert re.search(r"GET /page 200 .* ms · cut off\n$", capsys.readouterr().err)


async def test_it_waits_until_what_is_cut_off_is_closed() -> None:
    """Else uvicorn would complain, too."""
    ran = Run(App(start(), body(b"a", more=True), ZeroDivisionError()))
    ran.connection.lost = asyncio.Event()
    ran.connection.close = lambda: None  # type: ignore[method-assign]
    running = asyncio.create_task(ran.run())
    await iterate()
    assert not running.done()
    ran.connection.lost.set()
    await running


async def test_a_body_that_is_too_short_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    """The protocol raises when it is to send the end."""
    ran = Run(App(start(headers=[(b"content-length", b"9")]), body(b"a")))
    ran.refuse["http.response.body"] = RuntimeError("too little data")
    await ran.run()
    assert ran.connection.done == ["close"]
    assert "RuntimeError: too little data" in (told := capsys.readouterr().err)
    assert "cut off" in told


async def test_a_body_without_a_head_is_reported() -> None:
    ran = Run(App(body(b"a")))
    ran.refuse["http.response.body"] = RuntimeError("Expected 'http.response.start'")
    sending = ran.send

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            ran.refuse.clear()
        await sending(message)

    await ran.exchange.run(ran.scope, ran.receive, send)
    assert ran.status == 500
    assert b"Expected" in ran.body


async def test_an_app_that_ends_behind_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    """What uvicorn makes of it is as it is under uvicorn: it closes the connection."""
    ran = await run(start())
    assert ran.types == ["http.response.start"]
    assert "GET /page 200" in (told := capsys.readouterr().err)
    assert "cut off" in told


async def test_an_app_that_ends_without_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """That is an error of the app's like any other: uvicorn's answer would not come back."""
    ran = await run()
    assert ran.status == 500
    assert b"without sending http.response.start" in ran.body
    assert "GET /page 500" in (told := capsys.readouterr().err)
    assert "without sending http.response.start" in told
    assert "cut off" not in told


async def test_a_keyboard_interrupt_is_answered_by_503(capsys: pytest.CaptureFixture[str]) -> None:
    ran = await run(start(), KeyboardInterrupt())
    assert ran.status == 503
    assert ran.body.startswith(b"Interrupted by a reload")
    assert set(ran.headers) > OWN
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "GET /page 503" in told


async def test_a_keyboard_interrupt_within_a_body_resets_no_connection() -> None:
    ran = await run(
        start(), body(b"a", more=True), KeyboardInterrupt(), scope=http(http_version="1.0")
    )
    assert ran.connection.done == ["close"]


async def test_generator_exit_is_passed_on() -> None:
    """The coroutine is thrown away: nothing may be awaited any more."""
    with pytest.raises(GeneratorExit):
        await run(GeneratorExit())


# Clients that are gone


class ClientDisconnect(Exception):  # noqa: N818  its name is Starlette's
    pass


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), ConnectionResetError(), OSError(), ClientDisconnect()],
    ids=repr,
)
async def test_nothing_is_told_of_a_client_that_is_gone(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = Run(App(start(), body(b"a", more=True), error))
    ran.connection.is_over = True
    ran.connection.lost.set()
    await ran.run()
    told = capsys.readouterr().err
    assert "Error" not in told
    assert told.count("\n") == 1
    assert "cut off" in told


@pytest.mark.parametrize("error", [asyncio.CancelledError(), OSError("mine"), ClientDisconnect()])
async def test_the_same_of_a_client_that_is_there_is_reported(error: BaseException) -> None:
    ran = await Run(App(error), is_ending=False).run()
    assert ran.status == 500


async def test_a_request_that_the_end_cancels_is_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = await run(asyncio.CancelledError())
    assert ran.status == 503
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert told.endswith(" · cancelled\n")


async def test_code_that_holds_the_end_up_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    ran = await run(KeyboardInterrupt())
    assert ran.status == 503
    assert capsys.readouterr().err.endswith(" · it blocked the event loop\n")


async def test_an_interrupt_within_a_group_is_one() -> None:
    """As Starlette's `BaseHTTPMiddleware` passes it on."""
    found = [KeyboardInterrupt(), RuntimeError("No response returned.")]
    nested = BaseExceptionGroup("unhandled errors in a TaskGroup", found)
    ran = await run(BaseExceptionGroup("outer", [nested]))
    assert ran.status == 503
    ran = await run(ExceptionGroup("outer", [RuntimeError("mine")]))
    assert ran.status == 500


async def test_what_is_cancelled_behind_its_response_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = await run(start(), body(b"a"), asyncio.CancelledError())
    assert ran.status == 200
    told = capsys.readouterr().err
    assert told.endswith("GET /page: what goes on behind its response cut off\n")


async def test_what_is_done_in_the_background_is_not_in_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a"))
        written.append(capsys.readouterr().err)

    await Run(app).run()
    assert "GET /page 200" in written[0]
    assert capsys.readouterr().err == ""


async def test_another_error_is_told_when_the_client_is_gone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = Run(App(start(), body(b"a", more=True), ZeroDivisionError("mine")))
    ran.connection.is_over = True
    ran.connection.lost.set()
    await ran.run()
    assert "ZeroDivisionError: mine" in capsys.readouterr().err


# Streams


@pytest.mark.parametrize("kind", [b"text/event-stream", b"multipart/x-mixed-replace; boundary=a"])
async def test_the_head_of_a_stream_is_sent_at_once(kind: bytes) -> None:
    """Its client may wait for that, and what it then asks for may cause the first event."""
    ran = await run(start(headers=[(b"content-type", kind)]), body(b"a", more=True))
    assert ran.connection.done == ["STREAM"]

    ran = Run(App(start(headers=[(b"Content-Type", kind)])))
    sent: list[int] = []
    ran.connection.begin = lambda use: sent.append(len(ran.sent))  # type: ignore[method-assign]
    await ran.run()
    assert sent == [1]  # it may be ended there: with a head


async def test_the_end_of_a_stream_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await run(start(headers=headers), body(b"a", more=True))
    assert "cut off" not in capsys.readouterr().err


async def test_another_response_is_no_stream() -> None:
    ran = await run(start(headers=HTML), body(b"a", more=True), body())
    assert ran.connection.use is Use.RESPONSE


# The access log


async def test_an_access_line(capsys: pytest.CaptureFixture[str]) -> None:
    await run(start(404), body(), scope=http(raw_path=b"/a%20b", query_string=b"c=d"))
    assert re.fullmatch(r"[\d:]+ GET /a%20b\?c=d 404 .* ms\n", capsys.readouterr().err)


async def test_no_access_log(capsys: pytest.CaptureFixture[str]) -> None:
    site = SITE.replaced(access_log=False)
    await run(start(404), body(), site=site)
    await run(accept(), scope=websocket(), site=site)
    assert capsys.readouterr().err == ""


async def test_what_a_request_asks_for() -> None:
    assert target_of(http(raw_path=None, path="/a b/é")) == "/a%20b/%C3%A9"
    assert target_of({"path": "/"}) == "/"


async def test_the_environ_of_a_request() -> None:
    environ = environ_of(http([(b"x-a", b"1"), (b"X-A", b"\xff")], client=None))
    assert environ == {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/page",
        "REMOTE_ADDR": "",
        "HTTP_HOST": "localhost",
        "HTTP_X_A": "1,\xff",
    }


# WebSockets


def accept() -> Message:
    return {"type": "websocket.accept"}


def close(**more: Any) -> Message:
    return {"type": "websocket.close", **more}


def deny(status: int) -> Message:
    return {"type": "websocket.http.response.start", "status": status, "headers": []}


DENIAL = {"type": "websocket.http.response.body", "body": b"no"}


async def test_a_websocket_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    text = {"type": "websocket.send", "text": "a"}
    ran = await run(accept(), text, close(code=1000), scope=websocket())
    assert ran.sent == [accept(), text, close(code=1000)]  # no header of ours
    assert ran.connection.done == ["WEBSOCKET"]
    assert re.fullmatch(r"[\d:]+ WebSocket /page 101 .* ms\n", capsys.readouterr().err)


@pytest.mark.parametrize(("steps", "status"), [([close()], 403), ([deny(401), DENIAL], 401)])
async def test_a_websocket_is_denied(
    steps: list[Any], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = await run(*steps, scope=websocket())
    assert ran.sent == steps
    assert ran.connection.done == []
    assert re.fullmatch(rf"[\d:]+ WebSocket /page {status} .* ms\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(ZeroDivisionError("mine"), 500, 1011), (KeyboardInterrupt(), 503, 1012)],
)
async def test_a_websockets_app_raises(
    error: BaseException, status: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = await run(error, scope=websocket())
    assert ran.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert ran.status == status
    told = capsys.readouterr().err
    assert f"WebSocket /page {status}" in told
    assert ("ZeroDivisionError: mine" in told) == (status == 500)

    ran = await run(error, scope=websocket(can_answer=False))
    assert ran.sent == [close()]
    assert "WebSocket /page 403" in capsys.readouterr().err

    ran = await run(accept(), error, scope=websocket())
    assert ran.sent == [accept(), close(code=code)]


@pytest.mark.parametrize("steps", [[accept(), close()], [close()], [deny(401)]])
async def test_a_websockets_app_raises_behind_its_end(
    steps: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing more can be sent: the protocol would refuse it."""
    ran = await run(*steps, ZeroDivisionError("mine"), scope=websocket())
    assert ran.sent == steps
    told = capsys.readouterr().err
    assert "ZeroDivisionError: mine" in told
    assert told.count("WebSocket /page") == 1


class WebSocketDisconnect(Exception):  # noqa: N818  its name is Starlette's
    pass


async def test_a_websocket_whose_client_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (WebSocketDisconnect(), ZeroDivisionError()):
        ran = Run(App(accept(), error), websocket())
        ran.connection.is_over = True
        await ran.run()
        assert ran.sent == [accept()]
    assert capsys.readouterr().err.count("Traceback") == 1


class WebSocketDisconnected(Exception):  # noqa: N818  its name is Starlette's
    pass


@pytest.mark.parametrize("is_ending", [True, False])
async def test_a_reload_closes_all_websockets_and_none_tells_of_another(
    is_ending: bool,  # noqa: FBT001  a row
    capsys: pytest.CaptureFixture[str],
) -> None:
    for error in (WebSocketDisconnected(), WebSocketDisconnect(), OSError(), ZeroDivisionError()):
        ran = Run(App(accept(), error), websocket(), is_ending=is_ending)
        ran.connection.use = Use.WEBSOCKET
        await ran.run()
    told = capsys.readouterr().err
    assert told.count("Traceback") == (1 if is_ending else 4)


async def test_a_websockets_generator_exit_is_passed_on() -> None:
    with pytest.raises(GeneratorExit):
        await run(GeneratorExit(), scope=websocket())
