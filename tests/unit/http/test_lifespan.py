"""An app's startup and shutdown: what it answers, raises, or does not know of."""

from __future__ import annotations

import asyncio
import io
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.http import lifespan as lifespan_module
from asyncreload.child.http.lifespan import Lifespan
from asyncreload.errors import LifespanError
from tests.unit.http.network import iterate
from tests.unit.looping import DEADLINE, until

if TYPE_CHECKING:
    from asyncreload.child.imports.interface import Receive, Scope, Send

pytestmark = pytest.mark.asyncio


class App:
    """Answers as is said; tells what it was told.

    startup, shutdown: the messages that it answers by, without "lifespan."; exceptions are raised.
    """

    def __init__(self, startup: list[Any] | None = None, shutdown: list[Any] | None = None) -> None:
        self.answers = {
            "lifespan.startup": ["startup.complete"] if startup is None else startup,
            "lifespan.shutdown": ["shutdown.complete"] if shutdown is None else shutdown,
        }
        self.told: list[str] = []
        self.scope: Scope = {}
        self.ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        try:
            while True:
                message = await receive()
                self.told.append(message["type"])
                for answer in self.answers[message["type"]]:
                    if isinstance(answer, BaseException):
                        await iterate(10)  # it may take its time
                        raise answer
                    if answer is None:
                        return
                    told = answer if isinstance(answer, dict) else {"type": f"lifespan.{answer}"}
                    await send(told)
        finally:
            self.ended = True


async def test_an_app_starts_up_and_shuts_down(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(shutdown=["shutdown.complete", None])
    lifespan = Lifespan(app)

    await lifespan.start()
    assert app.told == ["lifespan.startup"]
    assert not app.ended
    assert lifespan.task is not None
    await lifespan.stop()

    assert app.told == ["lifespan.startup", "lifespan.shutdown"]
    assert lifespan.task is None
    assert capsys.readouterr() == ("", "")


async def test_the_scope_is_the_specifications() -> None:
    app = App()
    lifespan = Lifespan(app)
    await lifespan.start()

    assert app.scope["type"] == "lifespan"
    assert app.scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    app.scope["state"]["key"] = "value"
    assert lifespan.state == {"key": "value"}
    await lifespan.stop()


async def test_a_shutdown_waits_for_its_answer() -> None:
    goes_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await goes_on.wait()
        await send({"type": "lifespan.shutdown.complete"})

    lifespan = Lifespan(app)
    await lifespan.start()
    stopping = asyncio.create_task(lifespan.stop())
    await iterate()
    assert not stopping.done()
    goes_on.set()
    await stopping


async def test_a_startup_waits_for_its_answer() -> None:
    goes_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await goes_on.wait()
        await send({"type": "lifespan.startup.complete"})

    lifespan = Lifespan(app)
    starting = asyncio.create_task(lifespan.start())
    await iterate()
    assert not starting.done()
    goes_on.set()
    await starting


# A startup that fails


async def test_what_a_failed_startup_raises_is_passed_on() -> None:
    """Starlette says that it has failed, and raises."""
    error = ZeroDivisionError("mine")
    app = App([{"type": "lifespan.startup.failed", "message": "a traceback"}, error])
    lifespan = Lifespan(app)

    with pytest.raises(ZeroDivisionError) as caught:
        await lifespan.start()

    assert caught.value is error
    await lifespan.stop()
    assert app.told == ["lifespan.startup"]


@pytest.mark.parametrize("then", [[None], []], ids=["returns", "waits"])
async def test_a_failed_startup_that_raises_nothing(
    then: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan_module, "_RAISES_WITHIN", 0.001)
    app = App([{"type": "lifespan.startup.failed", "message": "no database"}, *then])
    lifespan = Lifespan(app)

    with pytest.raises(LifespanError, match=r"^the app's startup has failed: no database$"):
        await lifespan.start()

    await lifespan.stop()
    assert app.ended
    assert app.told == ["lifespan.startup"]


@pytest.mark.parametrize("message", [{}, {"message": ""}])
async def test_a_failed_startup_that_says_nothing(message: dict[str, str]) -> None:
    lifespan = Lifespan(App([{"type": "lifespan.startup.failed", **message}, None]))

    with pytest.raises(LifespanError, match=r"failed: it does not say why$"):
        await lifespan.start()

    await lifespan.stop()


def closed_stream() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


# Apps that know of no lifespan


async def raises_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """As Django's."""
    raise ValueError("only http")


async def returns_at_once(scope: Scope, receive: Receive, send: Send) -> None: ...


async def takes_it_for_a_request(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200})


async def answers_whatever_it_is(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})


@pytest.mark.parametrize(
    "app",
    [raises_at_once, returns_at_once, takes_it_for_a_request, answers_whatever_it_is],
)
async def test_an_app_that_knows_of_no_lifespan(
    app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lifespan = Lifespan(app)

    await lifespan.start()
    await lifespan.stop()
    await iterate()

    assert capsys.readouterr() == ("", "")
    assert len(asyncio.all_tasks()) == 1  # this one


async def test_an_app_that_raises_after_it_has_heard(capsys: pytest.CaptureFixture[str]) -> None:
    lifespan = Lifespan(App([KeyError("mine")]))

    await lifespan.start()
    await lifespan.stop()

    assert capsys.readouterr().err == (
        "the app raised KeyError ('mine') at its startup, and is served all the same\n"
    )


@pytest.mark.parametrize("stream", [None, closed_stream()])
async def test_standard_error_may_be_closed(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    lifespan = Lifespan(App([KeyError("mine")]))
    await lifespan.start()
    lifespan = Lifespan(App(shutdown=[KeyError("mine")]))
    await lifespan.start()
    await lifespan.stop()


# The end


async def test_a_shutdown_that_fails_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    lifespan = Lifespan(App(shutdown=[{"type": "lifespan.shutdown.failed", "message": "no"}, None]))
    await lifespan.start()

    await lifespan.stop()

    assert capsys.readouterr().err == "the app's shutdown has failed: no\n"


@pytest.mark.parametrize("first", [[], [{"type": "lifespan.shutdown.failed", "message": "no"}]])
async def test_what_a_shutdown_raises_is_told(
    first: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lifespan = Lifespan(App(shutdown=[*first, ZeroDivisionError("mine")]))
    await lifespan.start()

    await lifespan.stop()

    told = capsys.readouterr().err
    headline, second, *_ = told.splitlines()
    assert headline[9:].startswith("in the app's shutdown: ZeroDivisionError: mine · ")
    assert second == "Traceback (most recent call last):"
    assert "lifespan.py" not in told.replace("test_lifespan.py", "")  # none of our frames
    assert told.endswith("ZeroDivisionError: mine\n")
    assert "has failed" not in told


async def test_an_app_whose_lifespan_ended_while_it_served(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lifespan = Lifespan(App(["startup.complete", ZeroDivisionError("mine")]))
    await lifespan.start()
    await iterate()
    assert lifespan.task is not None
    assert lifespan.task.done()

    await lifespan.stop()

    assert capsys.readouterr().err.endswith("ZeroDivisionError: mine\n")


async def test_what_is_within_its_startup_is_cancelled() -> None:
    app = App([])  # hears, and says nothing
    lifespan = Lifespan(app)
    starting = asyncio.create_task(lifespan.start())
    await until(lambda: app.told)
    starting.cancel()
    await asyncio.wait({starting})
    assert not app.ended

    async with asyncio.timeout(DEADLINE):
        await lifespan.stop()

    assert app.ended
    assert app.told == ["lifespan.startup"]


async def test_a_shutdown_that_takes_too_long_is_cut_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.Event().wait()

    lifespan = Lifespan(app)
    await lifespan.start()
    lifespan.cut_off()  # it has not begun
    stopping = asyncio.create_task(lifespan.stop())
    await iterate(10)
    assert not stopping.done()
    lifespan.cut_off()
    await asyncio.wait_for(stopping, DEADLINE)
    assert capsys.readouterr() == ("", "")


async def test_that_a_shutdown_was_cut_off_is_no_failure_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Starlette tells by a traceback what has ended it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await asyncio.Event().wait()
        except BaseException:
            await send({"type": "lifespan.shutdown.failed", "message": traceback.format_exc()})
            raise

    lifespan = Lifespan(app)
    await lifespan.start()
    stopping = asyncio.create_task(lifespan.stop())
    await iterate(10)
    lifespan.cut_off()
    await asyncio.wait_for(stopping, DEADLINE)
    assert capsys.readouterr() == ("", "")


async def test_it_stops_once() -> None:
    app = App()
    lifespan = Lifespan(app)
    await lifespan.stop()  # it has not started
    await lifespan.start()

    await lifespan.stop()
    await lifespan.stop()

    assert app.told == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_message_that_is_no_lifespans_is_refused_while_it_serves() -> None:
    refused: list[RuntimeError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await send({"type": "http.response.start", "status": 200})
        except RuntimeError as exc:
            refused.append(exc)
        await send({"type": "lifespan.shutdown.complete"})

    lifespan = Lifespan(app)
    await lifespan.start()
    await lifespan.stop()

    assert [str(error) for error in refused] == ["http.response.start is no message of a lifespan"]
