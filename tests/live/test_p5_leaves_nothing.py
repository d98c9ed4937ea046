"""P5: whatever dies, and however: no process, no lockfile and no bound port is left."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload import Supervisor
from tests.live.driving import (
    COMMAND,
    LOGGED,
    LONG,
    Connection,
    lay_out,
    locks,
    port_is_free,
    until,
)
from tests.live.failing import finds_orphans, soon
from tests.live.processes import SYSTEM, is_alive, parents, processes_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.conftest import Serve
    from tests.live.driving import Served

APP = (
    """\
import atexit, os
def leave(pid=os.getpid()):
    if os.getpid() == pid:
        with open("left", "a") as log:
            log.write("x")
atexit.register(leave)
"""
    + LOGGED
    + """\
%s
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
)
SERVING = APP % ""
LOADING = APP % "import time; time.sleep(600)"
SPINNING = APP % "while True: pass"
BROKEN = APP % "raise RuntimeError('broken on purpose')"


def exists(served: Served, name: str) -> bool:
    return (served.directory / name).exists()


def reach(served: Served, state: str) -> None:
    """Wait until the child is in the state that its app leads to."""
    if state in {"serving", "reporting"}:
        served.get()
    elif state in {"loading", "spinning"}:
        served.until_loads(1)


def assert_nothing_is_left(served: Served) -> float:
    """Wait until all is gone; return how long that took."""
    began = time.monotonic()

    def left() -> list[object]:
        bound = [] if port_is_free(served.port) else ["the port"]
        return [*processes_of(served.directory.parent).items(), *locks(served.temp), *bound]

    until(lambda: not left(), "nothing is left", soon(), lambda: f"{left()}\n{served.output}")
    return time.monotonic() - began


def delete_lockfile(served: Served) -> None:
    for lock in locks(served.temp):
        lock.unlink()


WAYS: dict[str, tuple[Callable[[Served], None], int]] = {
    "SIGTERM": (lambda served: served.signal(signal.SIGTERM), 143),
    "Ctrl-C": (lambda served: served.signal_group(signal.SIGINT), 130),
    "SIGINT": (lambda served: served.signal(signal.SIGINT), 130),
    "SIGHUP": (lambda served: served.signal(signal.SIGHUP), 129),
    "terminal closed": (lambda served: served.signal_group(signal.SIGHUP), 129),
    "lockfile deleted": (delete_lockfile, 0),
    "SIGKILL": (lambda served: served.signal(signal.SIGKILL), -signal.SIGKILL),
}
STATES = {
    "booting": SERVING,
    "loading": LOADING,
    "spinning": SPINNING,
    "serving": SERVING,
    "reporting": BROKEN,
}


@pytest.mark.parametrize(
    ("way", "state"),
    [
        (way, state)
        for way in WAYS
        for state in STATES
        # To the supervisor alone: it does the same as for its group, whatever the child does.
        if LONG or way not in {"SIGINT", "SIGHUP"} or state == "serving"
    ],
)
def test_p5_nothing_is_left(
    serve: Serve, way: str, state: str, request: pytest.FixtureRequest
) -> None:
    if state == "booting":
        request.getfixturevalue("forks_nothing")
    served = serve(files={"app.py": STATES[state]})
    reach(served, state)
    if way == "SIGKILL":  # before there is a child there is nobody to remove the lockfile
        served.until(served.children, "there is a child")
    end, code = WAYS[way]
    began = time.monotonic()
    end(served)
    assert served.wait(soon()) == code, served.output
    assert_nothing_is_left(served)
    took = time.monotonic() - began
    print(f"gone after {took:.3f} s")
    assert took < soon()
    if way != "SIGKILL":
        loads, left = (exists(served, name) for name in ("loads", "left"))
        assert left or not loads, f"atexit did not run\n{served.output}"
    broken = state == "reporting"
    assert served.output.count("Traceback") == broken, served.output
    assert "KeyboardInterrupt" not in served.output
    assert "the app died" not in served.output  # no crash is told: this was asked for


@pytest.mark.both_interfaces
def test_p5_second_signal_does_not_wait_for_the_app(serve: Serve) -> None:
    """The first waits for `atexit` handlers, up to `grace`."""
    app = APP % "import time; atexit.register(time.sleep, 600); atexit.register(print, 'going')"
    served = serve("app.py", "--grace", "60", files={"app.py": app})
    served.body()
    served.signal_group(signal.SIGINT)
    served.until_told("going")
    assert served.pids()[1:]
    served.signal_group(signal.SIGINT)
    assert served.wait(soon()) == 130
    assert_nothing_is_left(served)


def test_p5_atexit_gets_no_more_than_grace(serve: Serve) -> None:
    app = APP % "import time; atexit.register(time.sleep, 600)"
    served = serve("app.py", "--grace", "0.2", files={"app.py": app})
    served.body()
    served.signal(signal.SIGTERM)
    assert served.wait(soon()) == 143
    assert_nothing_is_left(served)


def test_p5_started_by_nohup_it_outlives_its_terminal(serve: Serve) -> None:
    command = ("nohup", *COMMAND)
    served = serve("app.py", files={"app.py": SERVING}, command=command)
    child = served.body()
    served.signal_group(signal.SIGHUP)
    served.write("app.py", SERVING + "# saved\n")
    assert served.body() != child
    served.signal(signal.SIGTERM)
    assert served.wait(soon()) == 143
    assert_nothing_is_left(served)


@finds_orphans
def test_p5_quit_leaves_nothing(serve: Serve) -> None:
    """It kills the app's process at once, so that what that has started is left to others."""
    app = APP % "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
    served = serve("app.py", "--no-standby", files={"app.py": app})
    served.body()
    served.signal_group(signal.SIGQUIT)
    assert served.wait(soon()) == 131, served.output
    assert_nothing_is_left(served)
    assert "the app died" not in served.output


@pytest.mark.both_interfaces
def test_p5_idle_workers_of_a_pool_are_not_waited_for(serve: Serve) -> None:
    """A handler of multiprocessing would do that, before the older ones of the app."""
    app = APP % "from concurrent.futures import ProcessPoolExecutor; pool = ProcessPoolExecutor(1)"
    app = app.replace("[str(os.getpid())", "[str(pool.submit(abs, -1).result())")
    served = serve("app.py", "--grace", "60", files={"app.py": app})
    assert served.body() == "1"
    served.write("app.py", app.replace("-1", "-2"))
    assert served.body() == "2"
    assert served.read("left") == "x"
    served.signal(signal.SIGTERM)
    assert served.wait(soon()) == 143
    assert served.read("left") == "xx"
    assert_nothing_is_left(served)


@pytest.mark.both_interfaces
def test_p5_an_end_in_the_midst_of_a_reload_waits_for_no_last_response(serve: Serve) -> None:
    """The old process runs its `atexit` handlers by then, and means to linger after that."""
    app = APP % "import time; atexit.register(time.sleep, 0.3); atexit.register(print, 'going')"
    app += """    if environ["PATH_INFO"] == "/slow":
        print("asked")
        time.sleep(60)
    return []
"""
    app = app.replace("    return [str(os.getpid()).encode()]\n", "")
    served = serve("app.py", "--grace", "60", files={"app.py": app})
    with closing(served.connect().send("/slow")):
        served.until_told("asked")
        served.write("app.py", app + "# saved\n")
        served.until_told("going")
        served.signal(signal.SIGTERM)
        assert served.wait(soon()) == 143, served.output
    assert_nothing_is_left(served)


@pytest.mark.both_interfaces
def test_p5_killed_child_is_replaced(serve: Serve) -> None:
    served = serve(files={"app.py": SERVING})
    old = int(served.body())
    waiting = served.connect()
    os.kill(old, signal.SIGKILL)
    served.until(lambda: not is_alive(old), "the child is dead")
    new = int(served.body())
    assert new != old
    assert old not in served.children()
    assert waiting.send().receive().body == str(new)
    assert served.stop() == 143
    assert_nothing_is_left(served)


@pytest.mark.parametrize("which", ["parent", "child", "both"])
@pytest.mark.both_interfaces
def test_p5_suspended_and_resumed_it_serves(serve: Serve, which: str) -> None:
    """As a closed laptop does; time is moved instead of waited for, by the lockfile's age."""
    served = serve(files={"app.py": SERVING})
    child = int(served.body())
    stopped = {"parent": [served.pid], "child": [child], "both": [served.pid, child]}[which]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    served.until(lambda: {state_of(pid) for pid in stopped} == {"T"}, "they are stopped")
    (lock,) = locks(served.temp)
    waiting = served.connect().send()
    if LONG:
        time.sleep(8)  # not a wait: the suspension itself
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)

    def suspected() -> bool:
        os.utime(lock, (0, 0))  # again and again: the supervisor touches it meanwhile
        return "was not touched lately; going on" in served.output

    served.until(suspected, "the child looks at the lockfile")
    assert waiting.receive().body == str(child)
    served.until(lambda: lock.stat().st_mtime > 0, "the lockfile is touched again")
    assert served.body() == str(child)
    served.write("app.py", SERVING + "# edited\n")
    assert served.body() != str(child)


KILLED = pytest.param("kill the child", marks=finds_orphans)


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT", KILLED, "reload"])
def test_p5_what_the_app_has_started_is_gone(serve: Serve, end: str) -> None:
    """A fork, a multiprocessing worker and a subprocess; they hold neither port nor anything."""
    served = serve(app="fork")
    theirs = list(map(int, served.body("/pids").split()))
    assert len(theirs) == 3
    (child,) = {parents()[pid] for pid in theirs}
    if end == "reload":
        served.edit("app.py", 'VERSION = "1"', 'VERSION = "2"')
        served.connect().send()
    elif end == "kill the child":
        os.kill(child, signal.SIGKILL)
    else:
        served.signal(getattr(signal, end))
    until(
        lambda: not any(map(is_alive, theirs)),
        "what the app has started is gone",
        soon(),
        lambda: f"{processes_of(served.directory.parent)}\n{served.output}",
    )
    if end.startswith("SIG"):
        served.wait(soon())
        assert_nothing_is_left(served)
    else:
        assert not set(theirs) & set(map(int, served.body("/pids").split()))


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT, SIGINT", "another"])
def test_p5_what_an_app_has_started_that_lingers_is_gone(serve: Serve, end: str) -> None:
    """It cannot end that itself: it is killed for the sake of whoever is in a hurry."""
    app = APP % "import subprocess, time; atexit.register(print, 'going')"
    app += """    yield b""
    if environ["PATH_INFO"] == "/endless":
        print("started", subprocess.Popen(["sleep", "600"]).pid)
        while True:
            yield b"x"
            time.sleep(0.01)
"""
    app = app.replace("return [str(os.getpid()).encode()]", "yield str(os.getpid()).encode()")
    served = serve("app.py", "--grace", "60", files={"app.py": app})
    served.connect().send("/endless")
    told = served.until(lambda: re.search(r"started (\d+)\n", served.output), "it has started one")
    sleeper = int(told[1])
    served.write("app.py", app + "# saved\n")
    served.body()
    assert is_alive(sleeper)
    if end == "another":
        served.connect().send("/endless")
        served.until_told("started", 2)
        served.write("app.py", app + "# saved again\n")
        served.body()
    else:
        for number in end.split(", "):
            served.signal(getattr(signal, number))
    until(lambda: not is_alive(sleeper), "what it has started is gone", soon())
    if end != "another":
        served.wait(soon())
        assert_nothing_is_left(served)


# --- in an asyncio program -------------------------------------------------------------------


def port_of(supervisor: Supervisor) -> int:
    return int(supervisor.url.rstrip("/").rpartition(":")[2])


async def hold(target: Path, opened: asyncio.Future[Supervisor]) -> None:
    async with Supervisor(str(target), port=0) as supervisor:
        opened.set_result(supervisor)
        await supervisor.wait()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.asyncio
async def test_p5_cancelled_task_leaves_nothing(
    project: Path, temp: Path, tmp_path: Path, state: str
) -> None:
    lay_out(
        project,
        files={
            "app.py": STATES[state]
            .replace('"lo', f'"{project}/lo')
            .replace('"le', f'"{project}/le')
        },
    )
    opened: asyncio.Future[Supervisor] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(hold(project / "app.py", opened))
    port = port_of(await opened)
    if state in {"serving", "reporting"}:
        await asyncio.to_thread(lambda: Connection(port).send().receive())
    elif state in {"loading", "spinning"}:
        loads = project / "loads"
        await asyncio.to_thread(until, loads.exists, "the load begins")
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # At once: who awaits the task may rely on it.
    assert not locks(temp)
    assert port_is_free(port)
    assert not processes_of(tmp_path)
    assert time.monotonic() - began < soon()
    assert (project / "left").exists() or not (project / "loads").exists()


@pytest.mark.asyncio
async def test_p5_cancelled_at_any_step_of_the_loop(
    project: Path, temp: Path, tmp_path: Path
) -> None:
    """Cancel after one step of the event loop, after two, and so on, right from the start."""
    lay_out(project, files={"app.py": "def app(environ, start_response): ...\n"})
    for steps in range(60 if LONG else 15):
        opened: asyncio.Future[Supervisor] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(hold(project / "app.py", opened))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not locks(temp)
        assert not processes_of(tmp_path)


@pytest.mark.asyncio
async def test_p5_left_before_its_first_step(project: Path, temp: Path) -> None:
    """What is opened on entry is closed, though nothing of the supervisor has run yet."""
    lay_out(project, files={"app.py": "def app(environ, start_response): ...\n"})
    async with Supervisor(str(project / "app.py"), port=0) as supervisor:
        port = port_of(supervisor)
    assert not locks(temp)
    assert port_is_free(port)


def test_p5_a_child_that_holds_the_gil_ends_with_its_supervisor(serve: Serve, temp: Path) -> None:
    """It cannot see that; so there is somebody who can, as soon as it has fallen silent."""
    holding = "import ctypes\nctypes.PyDLL(None).sleep(1000)\n"
    served = serve(files={"app.py": holding})

    def executors() -> list[int]:
        found = processes_of(temp.parent).items()
        return [pid for pid, command in found if "kill -9" in command]

    served.until(executors, "somebody stands by to end it")
    served.signal(signal.SIGKILL)
    served.until(lambda: not processes_of(temp.parent), "all are gone")
    assert not locks(temp)


FEW_THREADS = 2  # of one that is still booting
FORKING_HOST = """\
import asyncio, os, time
from asyncreload import Supervisor
async def main():
    async with Supervisor("app.py", port=0) as supervisor:
        await supervisor.ready()
        print("serving app.py at", supervisor.url, flush=True)
        while not os.path.exists("now"):
            await asyncio.sleep(0.01)
        print("forked", os.fork() or time.sleep(600), flush=True)
        await supervisor.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("booted", [True, False])
def test_p5_a_fork_of_the_program_keeps_no_child_alive(serve: Serve, *, booted: bool) -> None:
    """It has our ends of all sockets: no child reads an end, nor does the one that stands by."""
    files = {"app.py": SERVING, "host.py": FORKING_HOST}
    served = serve(files=files, command=(sys.executable, "host.py"))
    served.get()

    def stands_by() -> bool:
        try:
            _, standby = served.children()
            return not booted or SYSTEM.threads(standby) > FEW_THREADS
        except (OSError, ValueError):  # another one is about to come
            return False

    served.until(stands_by, "one stands by")
    children = served.children()
    served.write("now", "")
    told = served.until(lambda: re.search(r"forked (\d+)\n", served.output), "it has forked")
    fork = int(told[1])
    served.signal(signal.SIGKILL)
    try:
        until(lambda: not any(map(is_alive, children)), "its children are gone", soon())
        assert is_alive(fork)
        assert exists(served, "left")
    finally:
        os.kill(fork, signal.SIGKILL)
    assert_nothing_is_left(served)
