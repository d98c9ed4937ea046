"""What is in the way of a checkpoint: each thing is held here, by this very process."""

from __future__ import annotations

import fcntl
import mmap
import multiprocessing
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from asyncreload.child.checkpoint import obstacles as module
from asyncreload.child.checkpoint.obstacles import Obstacles
from asyncreload.child.checkpoint.registrations import Registrations
from asyncreload.descendants import children_of_all_threads

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="by /proc")


class NoRegistrations:
    """Nothing was registered, unless a test says so."""

    told = ""

    def obstacle(self) -> str:
        return self.told


def threads() -> set[int]:
    return set(map(int, os.listdir("/proc/self/task")))


def descriptors() -> set[int]:
    listed = list(map(int, os.listdir("/proc/self/fd")))  # its own is closed by now
    return {number for number in listed if os.path.exists(f"/proc/self/fd/{number}")}


class Bench:
    """Obstacles to which all that this process holds by now is ours."""

    def __init__(self) -> None:
        self.registrations = NoRegistrations()
        self.threads, self.descriptors = threads(), descriptors()
        self.children = set(children_of_all_threads(os.getpid()))  # such as another test's browser
        self.obstacles = Obstacles(
            cast("Registrations", self.registrations),
            lambda: self.threads,
            lambda: self.descriptors,
            lambda: self.children,
            self.parked,
        )
        self.held = ExitStack()
        """What our other threads hold until they stand still."""

    @contextmanager
    def parked(self) -> Iterator[None]:
        self.held.close()
        yield

    def obstacle(self) -> str:
        return self.obstacles.first()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name in [*module._DEBUGGERS, *module._RESTARTING, "gevent.monkey", "eventlet.patcher"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    lines = Path("/proc/self/maps").read_text().splitlines()
    others = [line.split(maxsplit=5)[-1] for line in lines if "/dev/shm/" in line]
    # Another test may have had multiprocessing set up what it shares; that stays in this process.
    monkeypatch.setattr(module, "_OURS", (module._OURS, *others))
    bench = Bench()
    assert bench.obstacle() == ""
    return bench


def test_what_our_threads_have_open_for_a_moment_is_no_obstacle(bench: Bench) -> None:
    bench.held.callback(os.close, os.open("/proc/self/mounts", os.O_RDONLY))
    assert bench.obstacle() == ""


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """What is entered here is let go after the test."""
    with ExitStack() as stack:
        yield stack


def test_what_is_registered_is_in_the_way(bench: Bench) -> None:
    bench.registrations.told = "the project has an atexit handler (app.bye)"
    assert bench.obstacle() == "the project has an atexit handler (app.bye)"


# --- what runs ---------------------------------------------------------------------------------


@pytest.fixture
def thread(held: ExitStack) -> Callable[[], None]:
    """Starts a thread that waits; it ends with the test."""

    def start() -> None:
        begun, over = threading.Event(), threading.Event()

        def run() -> None:
            begun.set()
            over.wait()

        thread = threading.Thread(target=run)
        thread.start()
        held.callback(thread.join)
        held.callback(over.set)
        begun.wait()

    return start


def test_a_thread_is_in_the_way_unless_it_is_ours(bench: Bench, thread: Callable[[], None]) -> None:
    thread()
    assert bench.obstacle().startswith("a thread runs (")
    bench.threads = threads()
    assert bench.obstacle() == ""


def test_a_thread_that_starts_itself_again_in_a_fork_is_none(
    bench: Bench, thread: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threads()
    thread()
    (new,) = threads() - before
    with open(f"/proc/self/task/{new}/comm") as file:  # its own one from Python 3.14 on
        name = file.read().strip()
    monkeypatch.setattr(module, "_BACKGROUND", name)
    assert bench.obstacle() == ""


@pytest.mark.parametrize("library", ["numpy", "scipy"])
def test_threads_that_a_library_ends_at_a_fork_are_gone_after_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    found = ["python"]

    def fork() -> int:
        found.clear()
        raise OSError  # in the place of a process that is not needed

    monkeypatch.setattr(module, "_other_threads", lambda _: list(found))
    assert bench.obstacle() == "a thread runs (python)"
    monkeypatch.setattr(module, "own_fork", fork)
    monkeypatch.setitem(sys.modules, library, ModuleType(library))
    assert bench.obstacle() == ""


def test_without_such_a_library_nothing_is_forked(
    bench: Bench, thread: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread()
    monkeypatch.setattr(module, "own_fork", lambda: pytest.fail("it forks"))
    assert bench.obstacle().startswith("a thread runs (")


def no_process() -> int:
    raise OSError


def test_no_process_for_such_a_fork_leaves_the_thread_in_the_way(
    bench: Bench, thread: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread()
    monkeypatch.setattr(module, "own_fork", no_process)
    monkeypatch.setitem(sys.modules, "numpy", ModuleType("numpy"))
    assert bench.obstacle().startswith("a thread runs (")


@pytest.mark.parametrize("setting", ["settrace", "setprofile"])
@pytest.mark.parametrize("owner", [sys, threading])
def test_a_tracer_or_profiler_is_in_the_way(bench: Bench, owner: object, setting: str) -> None:
    before = getattr(owner, setting.replace("set", "get"))()
    getattr(owner, setting)(lambda *_: None)
    try:
        assert bench.obstacle() == "a tracer, a profiler or a debugger is at work"
    finally:
        getattr(owner, setting)(before)
    assert bench.obstacle() == ""


def test_a_tool_that_monitors_is_in_the_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {5: "a debugger"}
    monitoring = SimpleNamespace(get_tool=names.get)
    monkeypatch.setattr(sys, "monitoring", monitoring, raising=False)
    assert bench.obstacle() == "a tracer, a profiler or a debugger is at work"
    names.clear()
    assert bench.obstacle() == ""


@pytest.mark.parametrize("name", ["pydevd", "debugpy", "coverage.tracer", "coverage.collector"])
def test_a_debugger_that_is_loaded_is_in_the_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert bench.obstacle() == f"{name} is loaded"


@pytest.mark.parametrize(
    ("name", "asked", "library"),
    [
        ("gevent.monkey", "is_module_patched", "gevent"),
        ("eventlet.patcher", "is_monkey_patched", "eventlet"),
    ],
)
@pytest.mark.parametrize("patches", [True, False])
def test_green_threads_are_in_the_way_where_they_replace_threads(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    asked: str,
    library: str,
    *,
    patches: bool,
) -> None:
    patcher = ModuleType(name)
    setattr(patcher, asked, lambda what: patches and what.startswith("thread"))
    monkeypatch.setitem(sys.modules, name, patcher)
    assert bench.obstacle() == (f"{library} has replaced threads" if patches else "")


def test_a_timer_is_in_the_way(bench: Bench) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 1000)
    try:
        assert bench.obstacle() == "a timer runs"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert bench.obstacle() == ""


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_a_handler_of_ended_processes_is_in_the_way(bench: Bench, handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGCHLD, handler)
    try:
        assert bench.obstacle() == "the ends of processes are handled (SIGCHLD)"
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert bench.obstacle() == ""


def test_a_process_is_in_the_way_until_it_has_been_waited_for(bench: Bench) -> None:
    # By a thread: the kernel lists the children of each by itself.
    others = {*children_of_all_threads(os.getpid())}  # of tests that ran here before
    bench.children = others
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        bench.descriptors = descriptors()
        assert bench.obstacle() == f"a process that was started is there ({process.pid})"
        bench.children = others | {process.pid}
        assert bench.obstacle() == ""
        bench.children = others
        assert process.stdin
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie by now
        assert bench.obstacle() == f"a process that was started is there ({process.pid})"
    assert bench.obstacle() == ""


# --- what is open ------------------------------------------------------------------------------


def pipe(held: ExitStack) -> None:
    for end in os.pipe():
        held.callback(os.close, end)


def terminal_master(held: ExitStack) -> None:
    for end in os.openpty():
        held.callback(os.close, end)


def event_queue(held: ExitStack) -> None:
    held.enter_context(select.epoll())


def a_socket(held: ExitStack) -> None:
    held.enter_context(socket.socket())


def memory_file(held: ExitStack) -> None:
    held.callback(os.close, os.memfd_create("app"))


def process_descriptor(held: ExitStack) -> None:
    held.callback(os.close, os.pidfd_open(os.getpid()))


def file_of_a_process(held: ExitStack) -> None:
    held.callback(os.close, os.open("/proc/self/status", os.O_RDONLY))


OPEN: dict[Callable[[ExitStack], None], str] = {
    pipe: "a descriptor is open (pipe:",
    a_socket: "a descriptor is open (socket:",
    event_queue: "a descriptor is open (anon_inode:[eventpoll])",
    process_descriptor: "a descriptor is open (anon_inode:[pidfd])",
    terminal_master: "a descriptor is open (/dev/",
    memory_file: "a file is open for writing (/memfd:app",
    file_of_a_process: "a descriptor is open (/proc/",
}


@pytest.mark.parametrize("hold", OPEN, ids=lambda hold: hold.__name__)
def test_a_descriptor_is_in_the_way_until_it_is_closed(
    bench: Bench, held: ExitStack, hold: Callable[[ExitStack], None]
) -> None:
    hold(held)
    assert bench.obstacle().startswith(OPEN[hold])
    held.close()
    assert bench.obstacle() == ""


@pytest.mark.parametrize("mode", ["w", "r+", "a+", "w+", "x"])
def test_a_file_is_in_the_way_that_may_be_written_anywhere(
    bench: Bench, tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "data"
    if mode != "x":
        path.touch()
    with path.open(mode):
        assert bench.obstacle() == f"a file is open for writing ({path})"
    assert bench.obstacle() == ""


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_file_is_not_that_is_read_or_appended_to(bench: Bench, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "log"
    path.touch()
    with path.open(mode):
        assert bench.obstacle() == ""


def test_nor_are_a_directory_and_plain_devices(bench: Bench, held: ExitStack) -> None:
    held.callback(os.close, os.open("/", os.O_RDONLY))
    for name in ("null", "zero", "full", "random", "urandom"):
        held.callback(os.close, os.open(f"/dev/{name}", os.O_RDWR))
    assert bench.obstacle() == ""


def test_nor_is_what_is_ours(bench: Bench, held: ExitStack) -> None:
    memory = os.memfd_create("asyncreload")
    held.callback(os.close, memory)
    os.truncate(memory, 8)
    held.enter_context(closing(mmap.mmap(memory, 8)))
    assert bench.obstacle() == ""


def test_a_database_is_in_the_way_also_one_that_is_only_read(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (x)")
        database.commit()
        assert str(path) in bench.obstacle()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.execute("SELECT * FROM t").fetchall()
        assert bench.obstacle() == f"a database is open ({path})"
    assert bench.obstacle() == ""


def flock(file: int) -> None:
    fcntl.flock(file, fcntl.LOCK_SH)


def lockf(file: int) -> None:
    fcntl.lockf(file, fcntl.LOCK_SH)


@pytest.mark.parametrize("lock", [flock, lockf])
def test_a_lock_is_in_the_way_also_on_a_file_that_is_only_read(
    bench: Bench, tmp_path: Path, lock: Callable[[int], None]
) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open() as file:
        lock(file.fileno())
        assert bench.obstacle() == f"a lock is held on {path}"
        fcntl.flock(file, fcntl.LOCK_UN)
        fcntl.lockf(file, fcntl.LOCK_UN)
        assert bench.obstacle() == ""


# --- memory ------------------------------------------------------------------------------------


def test_memory_that_is_shared_is_in_the_way(bench: Bench) -> None:
    with mmap.mmap(-1, 4096):  # shared with what is forked
        assert bench.obstacle().startswith("memory is shared (/dev/zero")
    assert bench.obstacle() == ""


def test_a_file_in_memory_is_in_the_way_if_it_may_be_written(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 10)
    with path.open("r+b") as file:
        whole = mmap.mmap(file.fileno(), 10)
    with whole:
        bench.descriptors = descriptors()  # one of the file is among them, which Python has made
        assert bench.obstacle() == f"memory is shared ({path})"
    for access in (mmap.ACCESS_READ, mmap.ACCESS_COPY):
        with path.open("rb") as read, mmap.mmap(read.fileno(), 10, access=access):
            assert bench.obstacle() == ""


def test_a_semaphore_of_multiprocessing_is_in_the_way(bench: Bench) -> None:
    lock = multiprocessing.get_context("fork").Lock()
    assert bench.obstacle().startswith("memory is shared (/dev/shm/")
    del lock
    assert bench.obstacle() == ""
