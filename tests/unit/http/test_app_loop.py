"""The loop of an ASGI app: it runs until it is woken, goes on when interrupted, and is cleared."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.http import app_loop as app_loop_module
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.imports.interface import AsgiApp

if TYPE_CHECKING:
    from asyncreload.child.imports.interface import Receive, Scope, Send

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="it needs the main thread"
)


class App:
    """Tells what becomes of it.

    at_startup: called in its startup, with itself.
    """

    def __init__(self, at_startup: Any = lambda app: None) -> None:
        self.at_startup = at_startup
        self.events: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.events.append("startup")
        scope["state"]["key"] = "value"
        self.at_startup(self)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.events.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    def start_task(self, name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(self._work(name), name=name))

    async def _work(self, name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.events.append(f"{name} ended")


class Made:
    """An app's loop, and the pipe that wakes it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.loop = AppLoop(AsgiApp(app))
        self.failures: list[dict[str, Any]] = []
        self.loop.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.out, self.into = os.pipe()

    def wake(self) -> None:
        os.write(self.into, b"w")

    def wait(self) -> None:
        self.loop.run_until_readable(self.out)
        assert os.read(self.out, 1) == b"w"

    def run_once(self) -> None:
        """Iterate the loop some times, then return."""
        self.loop.loop.run_until_complete(asyncio.sleep(0))
        self.loop.loop.run_until_complete(asyncio.sleep(0))

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)
        for task in asyncio.all_tasks(self.loop.loop):
            task.cancel()
        self.run_once()
        self.loop.loop.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    else:
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture
def made(kind: str) -> Iterator[Made]:
    one = Made(App())
    yield one
    one.close()
    asyncio.set_event_loop(None)


def test_the_loop_is_uvloops_where_that_is_installed(made: Made, kind: str) -> None:
    assert type(made.loop.loop).__module__.partition(".")[0] == kind
    assert asyncio.get_event_loop() is made.loop.loop


def test_another_error_in_uvloop_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ModuleType("uvloop")
    monkeypatch.setitem(sys.modules, "uvloop", broken)
    with pytest.raises(AttributeError):
        app_loop_module._new_loop()


WITHOUT_DESCRIPTORS = """\
import os, resource
import uvloop
from asyncreload.child.http.app_loop import _new_loop

def with_free(count):
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    limit = os.dup(0) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for file in (*files, limit - 1):
        os.close(file)
    try:
        _new_loop()
    except OSError as exc:
        os._exit(exc.errno)
    os._exit(0)

for count in range(15):
    if (pid := os.fork()) == 0:
        with_free(count)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_when_no_descriptors_are_left_it_fails_and_nothing_is_aborted() -> None:
    """What is below uvloop aborts the process when there are some, but too few."""
    pytest.importorskip("uvloop")
    run = [sys.executable, "-c", WITHOUT_DESCRIPTORS]
    codes = subprocess.check_output(run, text=True).split()
    assert {*codes[:5]} == {str(errno.EMFILE)}
    assert {*codes} == {str(errno.EMFILE), "0"}


def test_the_app_starts_up(made: Made) -> None:
    made.loop.start_up()
    assert made.app.events == ["startup"]
    assert made.loop.lifespan_state == {"key": "value"}


def test_it_runs_until_it_is_woken(made: Made) -> None:
    done: list[int] = []

    async def work() -> None:
        for number in range(3):
            await asyncio.sleep(0)
            done.append(number)
        made.wake()

    task = made.loop.loop.create_task(work())
    made.wait()
    assert done == [0, 1, 2]
    assert task.done()
    made.wake()  # before it waits
    made.wait()


def test_it_is_woken_from_another_thread(made: Made) -> None:
    thread = threading.Thread(target=made.wake)
    made.loop.loop.call_soon(thread.start)
    made.wait()
    thread.join()


def test_an_interrupt_is_raised_and_it_goes_on(made: Made) -> None:
    """Blocked code is interrupted; whatever else is running in the loop goes on."""
    made.loop.start_up()
    steps: list[str] = []

    async def blocked() -> None:
        steps.append("blocked")
        raise KeyboardInterrupt

    async def other() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        steps.append("other")
        made.wake()

    tasks = [made.loop.loop.create_task(blocked()), made.loop.loop.create_task(other())]
    with pytest.raises(KeyboardInterrupt):
        made.wait()
    made.wait()
    assert steps == ["blocked", "other"]
    assert isinstance(tasks[0].exception(), KeyboardInterrupt)
    made.loop.shut_down(is_busy=False)
    assert made.app.events == ["startup", "shutdown"]
    assert made.failures == []


def test_an_interrupted_wait_leaves_nothing_behind(made: Made) -> None:
    """What has woken it is read by the wait that follows, once."""

    def interrupt() -> None:
        made.wake()
        raise KeyboardInterrupt

    made.loop.loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        made.wait()
    assert not made.loop.loop.remove_reader(made.out)
    made.wait()
    assert made.failures == []


SIGNALLED = """\
def work():
    try:
        signal.raise_signal(signal.SIGINT)
        for _ in range(10):  # it comes at one of the next instructions
            pass
        done.append("work")
    finally:
        done.append("left")
"""


@pytest.mark.parametrize(
    ("module", "done"),
    [("uvicorn.protocols", ["work", "left", "next"]), ("app", ["left", "next"])],
)
def test_ctrl_c_breaks_off_code_of_the_app_alone(made: Made, module: str, done: list[str]) -> None:
    told: list[str] = []
    names: dict[str, Any] = {"__name__": module, "signal": signal, "done": told}
    exec(SIGNALLED, names)
    made.loop.loop.call_soon(names["work"])
    with pytest.raises(KeyboardInterrupt):
        made.wait()
    made.loop.loop.call_soon(told.append, "next")
    made.wake()
    made.wait()
    assert told == done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_the_apps_if_it_handles_it(made: Made) -> None:
    heard: list[int] = []

    def handle(number: int, _frame: object) -> None:
        heard.append(number)
        made.wake()

    before = signal.signal(signal.SIGINT, handle)
    try:
        made.loop.loop.call_soon(signal.raise_signal, signal.SIGINT)
        made.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


# The end


def begin_both(made: Made) -> None:
    """Start a task in the app's startup, and one in a request."""
    made.app.at_startup = lambda app: app.start_task("startup's")
    made.loop.start_up()
    made.loop.loop.call_soon(made.app.start_task, "request's")
    made.run_once()


def test_all_is_cancelled_when_nothing_is_sent_any_more(made: Made) -> None:
    begin_both(made)

    made.loop.shut_down(is_busy=False)

    assert made.app.events[:2] == ["startup", "shutdown"]
    assert sorted(made.app.events[2:]) == ["request's ended", "startup's ended"]
    assert not asyncio.all_tasks(made.loop.loop)
    assert made.failures == []


def test_what_does_not_heed_that_it_is_cancelled_is_not_waited_for_long(made: Made) -> None:
    """Such as a request that waits for a thread."""
    lets_go: list[bool] = []

    async def stubborn() -> None:
        while not lets_go:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)

    task = made.loop.loop.create_task(stubborn())
    made.loop.start_up()
    made.loop.shut_down(is_busy=False, patience=0.0)
    assert made.app.events[:2] == ["startup", "shutdown"]
    assert not task.done()
    lets_go.append(True)
    task.cancel()
    made.loop.loop.run_until_complete(task)


def test_what_may_belong_to_a_response_goes_on(made: Made) -> None:
    begin_both(made)

    made.loop.shut_down(is_busy=True)

    assert made.app.events == ["startup", "shutdown", "startup's ended"]
    assert asyncio.all_tasks(made.loop.loop) == {made.app.tasks[1]}


def test_a_task_that_raises_when_it_is_cancelled(made: Made) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ZeroDivisionError("mine") from None

    made.loop.start_up()
    task = made.loop.loop.create_task(stubborn())
    made.run_once()

    made.loop.shut_down(is_busy=False)

    [failure] = made.failures
    assert failure["task"] is task
    assert str(failure["exception"]) == "mine"


def test_a_task_that_takes_its_time_is_waited_for(made: Made) -> None:
    ended: list[bool] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            ended.append(True)

    task = made.loop.loop.create_task(slow())  # kept: nobody else does, and it may be collected
    made.run_once()
    made.loop.shut_down(is_busy=False)
    assert ended == [True]
    assert task.cancelled()


@pytest.mark.parametrize("is_busy", [False, True])
def test_async_generators_are_closed(made: Made, *, is_busy: bool) -> None:
    closed: list[bool] = []
    kept: list[Any] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def use() -> None:
        iterator = numbers()
        kept.append(iterator)
        await anext(iterator)

    made.loop.loop.run_until_complete(use())
    made.loop.shut_down(is_busy=is_busy)
    assert closed == ([] if is_busy else [True])  # a response may still use it
    made.loop.loop.run_until_complete(made.loop.loop.shutdown_asyncgens())


def test_it_is_shut_down_once(made: Made) -> None:
    made.loop.start_up()
    made.loop.shut_down(is_busy=False)
    made.loop.shut_down(is_busy=False)
    assert made.app.events == ["startup", "shutdown"]


def test_an_interrupted_shutdown_goes_on(made: Made) -> None:
    """The app's shutdown is not begun anew; what is left is cancelled, and the app hears of it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        made.app.events.append("shutdown")
        made.loop.loop.call_soon(interrupt)
        try:
            await asyncio.Event().wait()
        finally:
            made.app.events.append("cancelled")

    def interrupt() -> None:
        raise KeyboardInterrupt

    interrupted = AppLoop(AsgiApp(app))
    made.loop.loop.close()
    made.loop = interrupted
    interrupted.start_up()
    with pytest.raises(KeyboardInterrupt):
        interrupted.shut_down(is_busy=False)
    assert made.app.events == ["shutdown"]

    interrupted.shut_down(is_busy=False)

    assert made.app.events == ["shutdown", "cancelled"]
    assert not asyncio.all_tasks(interrupted.loop)


def test_a_task_that_does_not_end_is_left_when_it_is_interrupted(made: Made) -> None:
    ends = asyncio.Event()

    async def endless() -> None:
        try:
            await ends.wait()
        except asyncio.CancelledError:
            made.loop.loop.call_soon(interrupt)
            await ends.wait()

    def interrupt() -> None:
        raise KeyboardInterrupt

    task = made.loop.loop.create_task(endless())
    made.run_once()
    with pytest.raises(KeyboardInterrupt):
        made.loop.shut_down(is_busy=False)
    made.loop.loop.call_soon(ends.set)  # so that a wait would end
    made.loop.shut_down(is_busy=False)
    assert not task.done()


def test_a_startup_that_raises_can_be_cleared(made: Made) -> None:
    def fail(app: App) -> None:
        app.start_task("startup's")
        raise SystemExit(3)

    made.app.at_startup = fail
    with pytest.raises(SystemExit):
        made.loop.start_up()
    made.loop.shut_down(is_busy=False)
    assert made.app.events == ["startup", "startup's ended"]


def test_a_startup_that_is_interrupted_can_be_cleared(made: Made) -> None:
    """A save during the startup interrupts it: the app gives up what it has."""
    ended: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            asyncio.get_running_loop().call_soon(interrupt)
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    def interrupt() -> None:
        raise KeyboardInterrupt

    made.loop.loop.close()
    made.loop = AppLoop(AsgiApp(app))
    with pytest.raises(KeyboardInterrupt):
        made.loop.start_up()
    made.loop.shut_down(is_busy=False)
    assert ended == [True]
    assert not asyncio.all_tasks(made.loop.loop)


def test_for_the_last_responses_it_runs_until_it_is_stopped() -> None:
    app_loop = AppLoop(AsgiApp(App()))
    heard = threading.Event()
    app_loop.loop.call_later(0.01, heard.set)
    runs = threading.Thread(target=app_loop.run_on)
    runs.start()
    assert heard.wait(5)
    app_loop.stop()
    runs.join(5)
    assert not runs.is_alive()
    app_loop.loop.close()
    app_loop.stop()  # once more does no harm
