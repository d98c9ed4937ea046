"""P5 and P3: what an app starts is gone with it, to the last one, and is reaped meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import COMMAND, locks, port_is_free, standby, until
from tests.live.failing import finds_orphans, kill_quietly, soon
from tests.live.processes import is_alive, parents, processes_of, state_of, zombies

if TYPE_CHECKING:
    from tests.live.conftest import Serve
    from tests.live.driving import Served

RELOADS = 200 if os.environ.get("ASYNCRELOAD_LONG") == "1" else 3

# It takes a lock that what it starts inherits: the next load fails if any of that is left.
LOCKING = """\
import fcntl, os, signal, subprocess, sys, time
VERSION = 0
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{VERSION}".encode()]
lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
def tell():
    with open("up", "a") as file:
        file.write(f"{os.getpid()}\\n")
"""
FAMILIES = {
    "a manager whose workers ignore SIGTERM": """
def work():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell()
    time.sleep(600)
    os._exit(0)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        if os.fork() == 0:
            work()
        os.wait()
""",
    "a daemon": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        tell()
        time.sleep(600)
    os._exit(0)
os.wait()
""",
    "a fork storm": """
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell()
    for _ in range(300):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        time.sleep(0.001)
    time.sleep(600)
    os._exit(0)
""",
    "a chain of forks": """
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell()
    while True:  # each lives but a moment, and leaves an orphan
        if os.fork():
            os._exit(0)
        time.sleep(0.002)
""",
    "a large worker": """
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    large = bytearray(%d)
    for place in range(0, len(large), 4096):
        large[place] = 1
    tell()
    time.sleep(600)
    os._exit(0)
""",
}
LARGE = 1_000_000_000 if RELOADS > 3 else 200_000_000


LOSE_THEIR_PARENTS = ("a daemon", "a fork storm", "a chain of forks")
ALL = [
    pytest.param(name, marks=finds_orphans if name in LOSE_THEIR_PARENTS else [])
    for name in FAMILIES
]


@pytest.mark.parametrize("family", ALL)
def test_p3_no_process_of_the_old_code_meets_the_new_one(serve: Serve, family: str) -> None:
    source = LOCKING + FAMILIES[family].replace("%d", str(LARGE))
    served = serve(files={"app.py": source, "up": ""})
    for version in range(RELOADS):
        assert served.body() == str(version), served.output
        served.until(lambda: served.read("up"), "it is up")
        served.write("up", "")
        served.edit("app.py", f"VERSION = {version}", f"VERSION = {version + 1}")
    assert served.body() == str(RELOADS)
    served.until(lambda: served.read("up"), "it is up")
    assert served.stop() == 143
    until(lambda: not processes_of(served.directory.parent), "all are gone", soon())


# --- reaped ------------------------------------------------------------------------------------

LEAVING = """\
import multiprocessing, os, subprocess, time
kept = subprocess.Popen(["sh", "-c", "exit 7"])
multi = multiprocessing.get_context("spawn").Process(target=exit, args=(8,))
multi.start()
forked = os.fork()
if not forked:
    os._exit(9)
spawned = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 10"], {})
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/leave":
        subprocess.run(["sh", "-c", "sleep 0.01 & exit 0"])
    if environ["PATH_INFO"] != "/codes":
        return [str(os.getpid()).encode()]
    multi.join()
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (forked, spawned)]
    return [f"{kept.wait()} {multi.exitcode} {ends}".encode()]
"""


def test_p5_orphans_are_reaped_and_no_exit_code_is_taken(serve: Serve) -> None:
    """What the app started itself stays a zombie until the app asks, however late that is."""
    served = serve(files={"app.py": LEAVING})
    (child,) = {int(served.body("/leave")) for _ in range(5)}
    served.until(lambda: len(zombies(child)) == 4, "only the app's own are left")
    time.sleep(2)  # not a wait: the time in which nothing may happen to them
    assert len(zombies(child)) == 4
    assert served.body("/codes") == "7 8 [9, 10]"
    served.until(lambda: not zombies(child), "none is left")


IN_A_NAMESPACE = ("unshare", "-pf", "--mount-proc", "--kill-child=SIGKILL")


def may_unshare() -> bool:
    return os.geteuid() == 0 and os.system("unshare -pf --mount-proc true 2>/dev/null") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has containers")
@pytest.mark.skipif(not may_unshare(), reason="only root may make a namespace for process IDs")
def test_p5_a_supervisor_that_is_process_1_reaps_what_comes_to_it(serve: Serve) -> None:
    """As in a container. The child is killed, so that it cannot reap what the app started."""
    app = """\
import os, subprocess
started = subprocess.Popen(["sleep", "600"])
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getppid()} {os.getpid()}".encode()]
"""
    served = serve(files={"app.py": app}, command=(*IN_A_NAMESPACE, *COMMAND))
    parent, _ = served.body().split()
    assert parent == "1"
    (first,) = (p for p, above in parents().items() if above == served.pid)
    sleeper = next(p for p, c in processes_of(served.directory.parent).items() if c == "sleep 600 ")
    try:
        os.kill(parents()[sleeper], signal.SIGKILL)
        served.until(lambda: not is_alive(sleeper), "the orphan is killed")
        served.body()
        served.until(lambda: not zombies(first), "it is reaped")
    finally:
        os.kill(first, signal.SIGTERM)  # `unshare` itself heeds no such signal
        served.wait()


# --- whoever is left ---------------------------------------------------------------------------

SERVING = """\
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""


def assert_nothing_is_left(served: Served, within: float = soon()) -> None:
    def left() -> list[object]:
        bound = [] if port_is_free(served.port) else ["the port"]
        return [*processes_of(served.directory.parent).items(), *locks(served.temp), *bound]

    until(lambda: not left(), "nothing is left", within, lambda: f"{left()}\n{served.output}")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody continues it")
@pytest.mark.parametrize("options", [[], ["--no-standby"]])
def test_p5_a_stopped_tree_ends_with_its_supervisor(serve: Serve, options: list[str]) -> None:
    """As by a debugger, or a container that is paused; nobody continues it."""
    app = "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    served = serve("app.py", *options, files={"app.py": app + SERVING})
    served.body()
    if not options:
        standby(served, min(served.children()))
    tree = list(processes_of(served.directory.parent))
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    served.until(lambda: {state_of(pid) for pid in tree} == {"T"}, "all are stopped")
    served.signal(signal.SIGKILL)
    served.wait()
    assert_nothing_is_left(served)


@finds_orphans
def test_p5_when_the_whole_group_is_killed_a_daemon_ends_too(serve: Serve) -> None:
    """The standby is in a group of its own, and ends what the app had started."""
    app = "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    served = serve(files={"app.py": app + SERVING})
    served.body()
    standby(served, min(served.children()))
    served.signal_group(signal.SIGKILL)
    served.wait()
    assert_nothing_is_left(served)


INSTANTS = 100 if RELOADS > 3 else 4


def test_p5_sigkill_at_any_instant_after_sigterm_leaves_nothing(serve: Serve) -> None:
    for number in range(INSTANTS):
        served = serve(files={"app.py": SERVING})
        served.body()
        served.signal(signal.SIGTERM)
        time.sleep(number * 0.2 / INSTANTS)  # not a wait: the instant that is tried
        kill_quietly(served.pid)
        served.wait()
        assert_nothing_is_left(served)


# --- no thread can be had ----------------------------------------------------------------------

# What `ulimit -u` does, which does not hold for root: no thread, while there is a file "none".
WITHOUT_THREADS = """\
import _thread, os
plain = _thread.start_new_thread
def start(*args):
    if os.path.exists(os.environ["NONE"]):
        raise RuntimeError("can't start new thread")
    return plain(*args)
_thread.start_new_thread = start
import threading
threading._start_new_thread = start
"""


def test_p5_it_goes_on_when_threads_can_be_had_again(
    serve: Serve, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is killed while there are none: its end is heard, and the next one serves."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT_THREADS)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("NONE", str(project / "none"))
    served = serve("app.py", "--no-standby", files={"app.py": SERVING})
    assert served.body() == "served"
    served.write("none", "")
    (child,) = served.children()
    os.kill(child, signal.SIGKILL)
    served.until_told("starting again")
    time.sleep(1)  # not a wait: it has to bear this for a while
    (served.directory / "none").unlink()
    assert served.body() == "served"
    served.write("none", "")
    served.signal(signal.SIGTERM)
    assert served.wait() == 143, served.output
    assert_nothing_is_left(served)
