"""P9: what an async program gets from a `Supervisor`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload import (
    AsyncreloadError,
    Changed,
    Crashed,
    Event,
    Failed,
    Ready,
    Starting,
    Stopped,
    Supervisor,
)
from tests.live.driving import LONG, Connection, lay_out, until
from tests.live.processes import is_alive

if TYPE_CHECKING:
    from asyncreload.testing import App, Layout

pytestmark = pytest.mark.asyncio

Serving = Callable[..., AbstractAsyncContextManager["App"]]

HELLO = """\
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"app={VERSION}".encode()]
"""
DEADLINE = 60.0


@pytest.fixture
def serving(supervised: Layout) -> Serving:
    """Serve an app, ready to answer; and all of this for not longer than the deadline."""

    @asynccontextmanager
    async def serve(text: str = HELLO, **files: str) -> AsyncIterator[App]:
        named = {f"{name}.py": source for name, source in files.items()}
        async with (
            asyncio.timeout(DEADLINE + 60 * LONG),
            supervised(files={"app.py": text, **named}, patience=DEADLINE) as app,
        ):
            await app.supervisor.ready()
            yield app

    return serve


async def next_of(events: AsyncIterator[Event], *kinds: type) -> list[Event]:
    """Read events, and check that they are of these kinds, in this order."""
    found = [await anext(events) for _ in kinds]
    assert list(map(type, found)) == list(kinds)
    return found


@pytest.mark.both_interfaces
async def test_p9_events_tell_the_whole_story(supervised: Layout) -> None:
    async with asyncio.timeout(DEADLINE), supervised(files={"app.py": HELLO}) as app:
        server = app.supervisor
        events = server.events()
        starting, ready = await next_of(events, Starting, Ready)
        assert starting == Starting("app.py", server.url)
        assert isinstance(ready, Ready)
        assert (ready.pid, ready.paths) == (server.pid, ())

        path = str(await app.write("app.py", "1/0"))
        changed, failed = await next_of(events, Changed, Failed)
        assert changed == Changed((path,))
        assert isinstance(failed, Failed)
        assert failed.error == "ZeroDivisionError: division by zero"

        await app.write("app.py", HELLO)
        _, ready = await next_of(events, Changed, Ready)
        assert isinstance(ready, Ready)
        assert ready.paths == (path,)

        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        crashed, ready = await next_of(events, Crashed, Ready)
        assert crashed == Crashed(-9, "killed by SIGKILL while serving", again=True)

        await app.write("app.py", "import os; os._exit(7)")
        _, crashed = await next_of(events, Changed, Crashed)
        assert crashed == Crashed(7, "exit code 7 while loading", again=False)

        reload = asyncio.create_task(server.reload())
        await next_of(events, Changed, Crashed)
        assert not reload.done()
        await app.write("app.py", HELLO)
        await reload
        await next_of(events, Changed, Ready)
    assert [event async for event in events] == [Stopped(0)]


@pytest.mark.both_interfaces
async def test_p9_ready_means_fresh(serving: Serving) -> None:
    """Whoever saves and then waits has the saved code, though nobody has looked at it yet."""
    async with serving() as app:
        server = app.supervisor
        before = server.pid
        await server.ready()
        assert server.pid == before
        await app.write("app.py", HELLO.replace('"1"', '"2"'))
        await server.ready()
        assert server.pid != before
        events = server.events()  # before: it may be told while the writing is awaited
        await app.write("app.py", "broken(")
        waiting = asyncio.create_task(server.ready())
        await next_of(events, Changed, Failed)
        assert not waiting.done()
        await app.write("app.py", HELLO.replace('"1"', '"3"'))
        await waiting
        assert (await app.get()).text == "app=3"


@pytest.mark.both_interfaces
async def test_p9_paths_of_a_load_that_was_given_up_are_told(serving: Serving) -> None:
    """What was saved during a load that is never seen is as new as what ended it."""

    async def until_loads(number: int) -> None:
        def enough() -> bool:
            return app.output.count("endless") >= number

        await asyncio.to_thread(until, enough, f"{number} loads", report=app.report)

    endless = "import other, time\nprint('endless')\ntime.sleep(600)\n"
    async with serving(f"import other\n{HELLO}", other="") as app:
        events = app.supervisor.events()
        path = str(await app.write("app.py", endless))
        assert await next_of(events, Changed) == [Changed((path,))]
        await until_loads(1)
        other = str(await app.write("other.py", "X = 1"))
        assert await next_of(events, Changed) == [Changed((other,))]
        await until_loads(2)
        await app.write("app.py", f"import other\n{HELLO}")
        _, ready = await next_of(events, Changed, Ready)
        assert isinstance(ready, Ready)
        assert sorted(ready.paths) == [path, other]
        await app.write("other.py", "X = 2")
        _, ready = await next_of(events, Changed, Ready)
        assert isinstance(ready, Ready)
        assert ready.paths == (other,)


@pytest.mark.both_interfaces
async def test_p9_reloads_at_the_same_time_are_one(serving: Serving) -> None:
    async with serving() as app:
        server = app.supervisor
        events = server.events()
        await asyncio.gather(*(server.reload() for _ in range(5)))
        _, ready = await next_of(events, Changed, Ready)
        assert isinstance(ready, Ready)
        assert ready.paths == ()
        await server.reload()
        await next_of(events, Changed, Ready)


@pytest.mark.both_interfaces
async def test_p9_reload_starts_from_nothing_also_while_a_save_is_on_its_way(
    serving: Serving,
) -> None:
    """A save just before goes on from a checkpoint, or beside packages imported ahead."""
    text = f"import other, json, decimal\n{HELLO}"
    async with serving(text, other="") as app:
        for number in range(3):  # until it has one for this place
            await app.write("app.py", f"{text}# {number}")
            await app.supervisor.ready()
        events = app.supervisor.events()
        await app.write("app.py", f"{text}# at last")
        await next_of(events, Changed)
        await app.supervisor.reload()
    origins = [event.origin async for event in events if isinstance(event, Ready)]
    assert origins[-1] == "cold"


@pytest.mark.both_interfaces
async def test_p9_reload_ends_a_silent_child(serving: Serving) -> None:
    async with serving() as app:
        server = app.supervisor
        silent = server.pid
        assert silent is not None
        os.kill(silent, signal.SIGSTOP)
        await server.reload()
        assert server.pid != silent
        await asyncio.to_thread(until, lambda: not is_alive(silent), "it is gone")


@pytest.mark.both_interfaces
async def test_p9_readers_that_are_gone_or_slow_hold_nobody_up(serving: Serving) -> None:
    async with serving() as app:
        server = app.supervisor
        slow = server.events()
        gone = asyncio.create_task(anext_of(server))
        await asyncio.sleep(0)
        gone.cancel()
        for _ in range(3):
            await server.reload()
        await next_of(slow, *([Changed, Ready] * 3))


async def anext_of(server: Supervisor) -> Event:
    return await anext(server.events())


@pytest.mark.both_interfaces
async def test_p9_waiting_ends_with_the_supervisor(serving: Serving) -> None:
    """Tasks that wait while another closes the context are told, not cancelled."""
    async with serving() as app:
        server = app.supervisor
        events = server.events()
        await app.write("app.py", "broken(")
        ready = asyncio.create_task(server.ready())
        waits = [asyncio.create_task(server.wait()) for _ in range(2)]
        await next_of(events, Changed, Failed)
    assert await asyncio.gather(*waits) == [0, 0]
    with pytest.raises(
        AsyncreloadError, match="the supervisor was left: nothing is served any more"
    ):
        await ready
    assert await server.wait() == 0
    assert server.pid is None
    assert server.url.startswith("http://127.0.0.1:")


async def test_p9_failure_inside_is_not_hidden_by_ours(serving: Serving) -> None:
    with pytest.raises(ZeroDivisionError):
        async with serving():
            raise ZeroDivisionError


async def test_p9_a_supervisor_serves_once(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    server = Supervisor(str(project / "app.py"), port=0)
    with pytest.raises(AsyncreloadError, match="enter it by `async with Supervisor"):
        print(server.url)
    for use in (server.wait, server.ready, server.reload):
        with pytest.raises(AsyncreloadError, match="enter it by"):
            await use()
    assert server.pid is None
    async with server:
        pass
    with pytest.raises(AsyncreloadError, match="serves once: make another one"):
        await server.__aenter__()


async def test_p9_blocked_loop_harms_no_child(serving: Serving) -> None:
    """Neither does the lockfile's age, nor a message that waits too long, end anybody."""
    async with serving() as app:
        server = app.supervisor
        events = server.events()
        first = server.pid
        time.sleep(30 if LONG else 2)
        assert (await app.get()).text == "app=1"
        assert server.pid == first
        await app.write("app.py", HELLO.replace('"1"', '"2"'))
        port = int(server.url.rstrip("/").rpartition(":")[2])
        waits = Connection(port).send()
        time.sleep(30 if LONG else 2)  # meanwhile the old child leaves, and nobody follows
        assert (await asyncio.to_thread(waits.receive)).body == "app=2"
        await next_of(events, Changed, Ready)


@pytest.mark.both_interfaces
async def test_p9_the_host_is_left_as_it_was(serving: Serving) -> None:
    environment = dict(os.environ)
    numbers = sorted(signal.valid_signals())
    handlers = [signal.getsignal(number) for number in numbers]
    cwd = os.getcwd()
    async with serving() as app:
        server = app.supervisor
        await server.reload()
        assert dict(os.environ) == environment
        assert [signal.getsignal(number) for number in numbers] == handlers
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert os.getcwd() == cwd
