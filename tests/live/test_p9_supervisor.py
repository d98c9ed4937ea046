"""P9: what an async program gets from a `Supervisor`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

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
from tests.live.driving import LONG, Connection, is_alive, lay_out, until

pytestmark = pytest.mark.asyncio

HELLO = """\
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"app={VERSION}".encode()]
"""
DEADLINE = 20.0


@asynccontextmanager
async def serving(project: Path, app: str = HELLO) -> AsyncIterator[Supervisor]:
    """Serve an app, ready to answer; and all of this for not longer than the deadline."""
    lay_out(project, files={"app.py": app})
    async with (
        asyncio.timeout(DEADLINE + 30 * LONG),
        Supervisor(str(project / "app.py"), port=0) as server,
    ):
        await server.ready()
        yield server


async def body(server: Supervisor) -> str:
    port = int(server.url.rstrip("/").rpartition(":")[2])
    return (await asyncio.to_thread(lambda: Connection(port).send().receive())).body


async def next_of(events: AsyncIterator[Event], *kinds: type) -> list[Event]:
    """Read events, and check that they are of these kinds, in this order."""
    found = [await anext(events) for _ in kinds]
    assert list(map(type, found)) == list(kinds)
    return found


def save(project: Path, text: str) -> str:
    (project / "app.py").write_text(text)
    return str(project / "app.py")


async def test_p9_events_tell_the_whole_story(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    async with (
        asyncio.timeout(DEADLINE),
        Supervisor(str(project / "app.py"), port=0) as server,
    ):
        events = server.events()
        starting, ready = await next_of(events, Starting, Ready)
        assert starting == Starting(str(project / "app.py"), server.url)
        assert isinstance(ready, Ready)
        assert (ready.pid, ready.paths) == (server.pid, ())

        path = save(project, "1/0")
        changed, failed = await next_of(events, Changed, Failed)
        assert changed == Changed((path,))
        assert isinstance(failed, Failed)
        assert failed.error == "ZeroDivisionError: division by zero"

        save(project, HELLO)
        _, ready = await next_of(events, Changed, Ready)
        assert isinstance(ready, Ready)
        assert ready.paths == (path,)

        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        crashed, ready = await next_of(events, Crashed, Ready)
        assert crashed == Crashed(-9, "killed by SIGKILL while serving", again=True)

        save(project, "import os; os._exit(7)")
        _, crashed = await next_of(events, Changed, Crashed)
        assert crashed == Crashed(7, "exit code 7 while loading", again=False)

        reload = asyncio.create_task(server.reload())
        await next_of(events, Changed, Crashed)
        assert not reload.done()
        save(project, HELLO)
        await reload
        await next_of(events, Changed, Ready)
    assert [event async for event in events] == [Stopped(0)]


async def test_p9_ready_means_fresh(project: Path) -> None:
    """Whoever saves and then waits has the saved code, though nobody has looked at it yet."""
    async with serving(project) as server:
        before = server.pid
        await server.ready()
        assert server.pid == before
        save(project, HELLO.replace('"1"', '"2"'))
        await server.ready()
        assert server.pid != before
        save(project, "broken(")
        waiting = asyncio.create_task(server.ready())
        events = server.events()
        await next_of(events, Changed, Failed)
        assert not waiting.done()
        save(project, HELLO.replace('"1"', '"3"'))
        await waiting
        assert await body(server) == "app=3"


async def test_p9_paths_of_a_load_that_was_given_up_are_told(project: Path) -> None:
    """What was saved during a load that is never seen is as new as what ended it."""
    other, loads = project / "other.py", project / "loads"
    endless = f"import other, time\nopen({str(loads)!r}, 'a').write('x')\ntime.sleep(600)\n{HELLO}"

    async def until_loads(number: int) -> None:
        def enough() -> bool:
            return loads.exists() and len(loads.read_text()) >= number

        await asyncio.to_thread(until, enough, f"{number} loads")

    lay_out(project, files={"other.py": ""})
    async with serving(project, f"import other\n{HELLO}") as server:
        events = server.events()
        path = save(project, endless)
        assert await next_of(events, Changed) == [Changed((path,))]
        await until_loads(1)
        other.write_text("X = 1")
        assert await next_of(events, Changed) == [Changed((str(other),))]
        await until_loads(2)
        save(project, f"import other\n{HELLO}")
        _, ready = await next_of(events, Changed, Ready)
        assert isinstance(ready, Ready)
        assert sorted(ready.paths) == [path, str(other)]


async def test_p9_reloads_at_the_same_time_are_one(project: Path) -> None:
    async with serving(project) as server:
        events = server.events()
        await asyncio.gather(*(server.reload() for _ in range(5)))
        _, ready = await next_of(events, Changed, Ready)
        assert isinstance(ready, Ready)
        assert ready.paths == ()
        await server.reload()
        await next_of(events, Changed, Ready)


async def test_p9_reload_ends_a_silent_child(project: Path) -> None:
    async with serving(project) as server:
        silent = server.pid
        assert silent is not None
        os.kill(silent, signal.SIGSTOP)
        await server.reload()
        assert server.pid != silent
        await asyncio.to_thread(until, lambda: not is_alive(silent), "it is gone")


async def test_p9_readers_that_are_gone_or_slow_hold_nobody_up(project: Path) -> None:
    async with serving(project) as server:
        slow = server.events()
        gone = asyncio.create_task(anext_of(server))
        await asyncio.sleep(0)
        gone.cancel()
        for _ in range(3):
            await server.reload()
        await next_of(slow, *([Changed, Ready] * 3))


async def anext_of(server: Supervisor) -> Event:
    return await anext(server.events())


async def test_p9_waiting_ends_with_the_supervisor(project: Path) -> None:
    """Tasks that wait while another closes the context are told, not cancelled."""
    async with serving(project) as server:
        save(project, "broken(")
        ready = asyncio.create_task(server.ready())
        waits = [asyncio.create_task(server.wait()) for _ in range(2)]
        await next_of(server.events(), Changed, Failed)
    assert await asyncio.gather(*waits) == [0, 0]
    with pytest.raises(AsyncreloadError, match="the app came to its end before it was ready"):
        await ready
    assert await server.wait() == 0
    assert server.pid is None
    assert server.url.startswith("http://127.0.0.1:")


async def test_p9_failure_inside_is_not_hidden_by_ours(project: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with serving(project):
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


async def test_p9_blocked_loop_harms_no_child(project: Path) -> None:
    """Neither does the lockfile's age, nor a message that waits too long, end anybody."""
    async with serving(project) as server:
        events = server.events()
        first = server.pid
        time.sleep(30 if LONG else 2)
        assert await body(server) == "app=1"
        assert server.pid == first
        save(project, HELLO.replace('"1"', '"2"'))
        port = int(server.url.rstrip("/").rpartition(":")[2])
        waits = Connection(port).send()
        time.sleep(30 if LONG else 2)  # meanwhile the old child leaves, and nobody follows
        assert (await asyncio.to_thread(waits.receive)).body == "app=2"
        await next_of(events, Changed, Ready)


async def test_p9_the_host_is_left_as_it_was(project: Path) -> None:
    environment = dict(os.environ)
    numbers = sorted(signal.valid_signals())
    handlers = [signal.getsignal(number) for number in numbers]
    cwd = os.getcwd()
    async with serving(project) as server:
        await server.reload()
        assert dict(os.environ) == environment
        assert [signal.getsignal(number) for number in numbers] == handlers
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert os.getcwd() == cwd
