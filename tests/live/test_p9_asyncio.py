"""P9: at home in any loop, and cancelled at any point; nothing is left, and nothing blocks."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import threading
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import asyncreload
from asyncreload import Changed, Failed, Ready, Supervisor, supervise
from tests.live.driving import LONG, Connection, lay_out, until, write
from tests.live.processes import SYSTEM, children, state_of

HELLO = """\
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"app={VERSION}".encode()]
"""
DEADLINE = 30.0
OURS = os.path.dirname(asyncreload.__file__ or "")


async def body(server: Supervisor) -> str:
    port = int(server.url.rstrip("/").rpartition(":")[2])
    return (await asyncio.to_thread(lambda: Connection(port, DEADLINE).send().receive())).body


# --- loops -----------------------------------------------------------------------------------


def eager_loop() -> asyncio.AbstractEventLoop:
    if sys.version_info < (3, 12):
        pytest.skip("there are no eager tasks before Python 3.12")
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def uv_loop() -> asyncio.AbstractEventLoop:
    uvloop = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


if find_spec("uvloop"):
    uv_loop().close()  # it keeps a pipe as long as the process lives

LOOPS = {"asyncio": asyncio.new_event_loop, "eager": eager_loop, "uvloop": uv_loop}


async def serve_several(project: Path, number: int) -> None:
    """Serve apps at a time, reload them side by side, and leave while they are at work."""

    async def serve(which: int) -> None:
        async with Supervisor(str(project / f"app{which}.py"), port=0) as server:
            events = server.events()
            await server.ready()
            assert await body(server) == f"app={which}"
            write(project / f"app{which}.py", HELLO.replace('"1"', '"new"'))
            assert await body(server) == "app=new"
            await server.reload()
            found = [type(await anext(events)) for _ in range(6)]
            assert found[1:] == [Ready, Changed, Ready, Changed, Ready]
            served.append(which)
            await server.wait()

    served: list[int] = []
    numbers = range(number)
    lay_out(project, files={f"app{n}.py": HELLO.replace('"1"', f'"{n}"') for n in numbers})
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        serving = [tasks.create_task(serve(which)) for which in numbers]
        while len(served) < len(numbers):
            await asyncio.sleep(0.01)
        for task in serving:
            task.cancel()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.both_interfaces
@pytest.mark.parametrize("name", LOOPS)
def test_p9_several_in_one_loop(project: Path, name: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(serve_several(project, 3 if LONG else 2))


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_p9_in_the_loops_of_two_threads(project: Path, name: str) -> None:
    failures: list[BaseException] = []

    def serve(directory: Path) -> None:
        try:
            directory.mkdir()
            with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
                runner.run(serve_several(directory, 2 if LONG else 1))
        except BaseException as exc:  # noqa: BLE001  it is raised below
            failures.append(exc)

    threads = [threading.Thread(target=serve, args=(project / side,)) for side in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE)
    assert failures == []


@pytest.mark.both_interfaces
@pytest.mark.parametrize("name", LOOPS)
def test_p9_timeout_around_it(project: Path, name: str) -> None:
    """`asyncio.timeout` is what ends it, and so a TimeoutError comes out of it."""
    lay_out(project, files={"app.py": HELLO})

    async def main() -> None:
        for seconds in (0, 0.001, 0.05, 0.3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds):
                    await supervise(str(project / "app.py"), port=0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(main())


@pytest.mark.both_interfaces
@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_p9_silent_child_is_replaced(project: Path, name: str) -> None:
    """The shell that watches over it is started in any loop."""
    lay_out(project, files={"app.py": HELLO})

    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            async with Supervisor(str(project / "app.py"), port=0) as server:
                await server.ready()
                silent = server.pid
                assert silent is not None
                os.kill(silent, signal.SIGSTOP)
                await asyncio.to_thread(until, lambda: state_of(silent) == "T", "it is stopped")
                write(project / "app.py", HELLO.replace('"1"', '"2"'))
                assert await body(server) == "app=2"
                assert server.pid != silent

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(main())


@pytest.mark.both_interfaces
def test_p9_failure_in_the_group_ends_it(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervise(str(project / "app.py"), port=0))
            await asyncio.sleep(0.2)
            raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        asyncio.run(main())


# --- cancelled at every await ----------------------------------------------------------------


@types.coroutine
def stepped(
    work: Coroutine[Any, Any, Any], on_suspension: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """Run a coroutine, and call back whenever it is suspended."""
    value, error = None, None
    while True:
        try:
            awaited = work.send(value) if error is None else work.throw(error)
        except StopIteration as done:
            return done.value
        on_suspension()
        try:
            value, error = (yield awaited), None
        except BaseException as exc:  # noqa: BLE001  it is the coroutine's
            error = exc


class Suspensions:
    """Counts the suspensions of all tasks of the loop, and cancels one task at some of them."""

    def __init__(self, *at: int) -> None:
        self.count = 0
        self.victim: asyncio.Task[None] | None = None
        self._at = at

    def factory(
        self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any
    ) -> asyncio.Task[Any]:
        async def run() -> Any:
            return await stepped(work, self._on_suspension)

        task = asyncio.Task(run(), loop=loop, **options)
        # One that is cancelled before its first step has not come to it.
        task.add_done_callback(lambda _: work.close())
        return task

    def _on_suspension(self) -> None:
        if self.victim is None or self.victim.done():
            return
        self.count += 1
        if self.count in self._at:
            self.victim.cancel()


async def use_all(target: str) -> None:
    """Await everything that there is to await."""
    async with Supervisor(target, port=0, grace=0.5) as server:
        events = server.events()
        await server.ready()
        while not isinstance(await anext(events), Ready):
            pass
        await server.reload()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await server.wait()


def run_and_cancel(target: str, *at: int) -> int:
    """Cancel `use_all` at the given suspensions; return how many there were."""
    suspensions = Suspensions(*at)
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        loop.set_task_factory(suspensions.factory)
        suspensions.victim = asyncio.create_task(use_all(target))
        await asyncio.wait({suspensions.victim}, timeout=DEADLINE)
        assert suspensions.victim.done()
        if not suspensions.victim.cancelled():
            suspensions.victim.result()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    gc.collect()
    assert complaints == []
    return suspensions.count


@contextmanager
def unchanged(temp: Path) -> Iterator[None]:
    """Check that no process, descriptor, thread or file is left."""

    def state() -> object:
        return (
            SYSTEM.own_descriptors(),
            children(os.getpid()),
            threading.active_count(),
            [*temp.iterdir()],
        )

    gc.collect()
    before = state()
    yield
    until(lambda: state() == before, "all is as before", report=lambda: f"{before}\n{state()}")


@pytest.mark.both_interfaces
def test_p9_cancelled_at_every_await(project: Path, temp: Path) -> None:
    """Which there are depends on the moment, so their number is only a guide."""
    lay_out(project, files={"app.py": HELLO})
    target = str(project / "app.py")
    number = run_and_cancel(target)
    print(number, "suspensions")
    assert number > 20
    for at in range(1, number + 1, 1 if LONG else 1 + number // 4):
        print("cancelled at", at)
        with unchanged(temp):
            run_and_cancel(target, at)


@pytest.mark.both_interfaces
def test_p9_cancelled_twice(project: Path, temp: Path) -> None:
    """Somebody is in a hurry: the second time comes while the first is being obeyed."""
    lay_out(project, files={"app.py": HELLO})
    target = str(project / "app.py")
    chosen = random.Random(2)
    for _ in range(200 if LONG else 3):
        at = chosen.randint(1, 120)
        again = at + chosen.randint(1, 12)
        print("cancelled at", at, again)
        with unchanged(temp):
            run_and_cancel(target, at, again)


@pytest.mark.both_interfaces
def test_p9_cancelled_at_random_instants(project: Path, temp: Path) -> None:
    """Many, ten at a time, in one process."""
    seed = random.randrange(1_000_000)
    print("seed", seed)
    chosen = random.Random(seed)
    lay_out(project, files={"app.py": HELLO})

    async def one() -> None:
        task = asyncio.create_task(supervise(str(project / "app.py"), port=0, grace=0.5))
        await asyncio.sleep(chosen.random() ** 2)
        task.cancel()
        await asyncio.wait({task}, timeout=DEADLINE)
        assert task.cancelled()

    async def main() -> None:
        for _ in range(20 if LONG else 2):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(10):
                    tasks.create_task(one())
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with unchanged(temp):
        asyncio.run(main())


# --- nothing blocks the loop -----------------------------------------------------------------

MOST = 0.005
"""Seconds of the loop's thread that one step of ours may take."""
TRIES = 3
"""A step that is slow by its nature is slow each time; one on a busy machine is not."""
BLOCKING = {
    "ftplib.connect",
    "os.listdir",
    "os.scandir",
    "os.walk",
    "shutil.rmtree",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.getnameinfo",
    "subprocess.run",
    "time.sleep",
}
"""Calls that may take however long; found by their audit events."""


class Detector:
    """Measures every step that the loop takes; those of the test should do next to nothing."""

    def __init__(self) -> None:
        self.slow: list[str] = []
        self.blocking: list[str] = []
        self._step = ""
        self._thread = 0
        sys.addaudithook(self._on_audit)

    def run(self, handle: asyncio.Handle, run: Callable[[asyncio.Handle], None]) -> None:
        """Take a step, and measure it."""
        self._step, self._thread = repr(handle), threading.get_ident()
        began = time.thread_time()
        try:
            run(handle)
        finally:
            took = time.thread_time() - began
            if took > MOST:
                self.slow.append(f"{took * 1000:.1f} ms: {self._step}")
            self._step = ""

    def _on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._step and event in BLOCKING and threading.get_ident() == self._thread:
            self.blocking.append(f"{event}{arguments}: {self._step}")


async def live_through_all(project: Path) -> None:
    """Start, serve, reload, break, mend, and end an app of some size."""
    app = (project / "app.py").read_text()
    async with Supervisor(str(project / "app.py"), host="localhost", port=0) as server:
        events = server.events()
        await server.ready()
        await server.reload()
        for text, kind in (("1/0", Failed), (app, Ready), (app + "#", Ready)):
            write(project / "app.py", text)
            while not isinstance(await anext(events), kind):
                pass
            await asyncio.sleep(0.2)  # the standby is made


def detect(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[None]]
) -> tuple[list[str], list[str]]:
    """Return what was slow in every one of several tries, and what blocked in any."""
    detector = Detector()
    run = asyncio.Handle._run
    monkeypatch.setattr(asyncio.Handle, "_run", lambda self: detector.run(self, run))

    async def main() -> None:
        await work()

    gc.freeze()  # the collector is to have nothing to do with what all the other tests have left
    try:
        for _ in range(TRIES):
            detector.slow.clear()
            asyncio.run(main())
            print(*detector.slow, sep="\n")
            if not detector.slow:
                break
    finally:
        gc.unfreeze()
    return detector.slow, detector.blocking


@pytest.mark.both_interfaces
def test_p9_never_blocks_the_loop(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"module{number}" for number in range(300)]
    modules = {f"{name}.py": "X = 1\n" * 10 for name in names}
    lay_out(project, files={"app.py": f"import {', '.join(names)}\n{HELLO}", **modules})
    slow, blocking = detect(monkeypatch, lambda: live_through_all(project))
    assert slow == []
    assert blocking == []


@pytest.mark.parametrize("kind", ["busy", "blocking"])
def test_p9_detector_detects(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def block() -> None:
        if kind == "blocking":
            os.listdir("/")
            return
        until_then = time.thread_time() + 2 * MOST
        while time.thread_time() < until_then:
            pass

    async def work() -> None:
        asyncio.get_running_loop().call_soon(block)
        await asyncio.sleep(0)

    slow, blocking = detect(monkeypatch, work)
    assert (bool(slow), bool(blocking)) == (kind == "busy", kind == "blocking")
