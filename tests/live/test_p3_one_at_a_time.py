"""P3: project code is never loaded in two processes at once, and the old one ends in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from tests.live.commands import free_port
from tests.live.driving import DEADLINE, LONG, Answer, standby
from tests.live.failing import TRACEBACK, Benches, serving, soon
from tests.live.processes import LIVES, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.failing import Bench

RELOADS = 50 if LONG else 4

# Each line: what happened, in which process, and which processes of the lines before live.
JOURNAL = (
    LIVES
    + """\
import atexit, os, signal, subprocess, sys, threading, time
def note(what):
    with open("journal", "a+") as file:
        file.seek(0)
        others = {int(line.split()[1]) for line in file} - {os.getpid()}
        alive = ",".join(str(pid) for pid in sorted(others) if lives(pid)) or "-"
        file.write(f"{what} {os.getpid()} {alive}\\n")
note("import")
time.sleep(0.02)
atexit.register(note, "atexit")
"""
)
APP = (
    JOURNAL
    + """\
VERSION = "%s"
%s
def stream(environ, count, pause):
    for number in range(count):
        yield f"{VERSION} {number}\\n".encode()
        time.sleep(pause)
def silent():
    open("silent", "w").close()
    threading.Event().wait()
    yield b""
def app(environ, start_response):
    path = environ["PATH_INFO"]
    kind = "text/event-stream" if path in ("/events", "/silent") else "text/plain"
    start_response("200 OK", [("Content-Type", kind)])
    if path == "/pid":
        return [str(os.getpid()).encode()]
    if path == "/short":
        time.sleep(0.03)
    if path == "/never":
        open("never", "w").close()
        threading.Event().wait()
    if path == "/stream":
        return stream(environ, 30, 0.1)
    if path == "/endless":
        return stream(environ, 10**9, 0.02)
    if path == "/events":
        return stream(environ, 10**9, 0.5)
    if path == "/silent":
        return silent()
    return [VERSION.encode()]
"""
)


def app_of(version: object, extra: str = "") -> str:
    return APP % (version, extra)


Line = tuple[str, int, str]


def journal(bench: Bench) -> list[Line]:
    """Return what happened, in which process, beside which others."""
    lines = (line.split() for line in bench.read("journal").splitlines())
    return [(what, int(pid), alive) for what, pid, alive in lines]


def assert_one_after_another(lines: list[Line], *endings: str) -> None:
    """Each process's code has ended, and its files are closed, before that of the next begins."""
    pids = [pid for what, pid, _ in lines if what == "import"]
    expected = [(what, pid, "-") for pid in pids for what in ("import", *endings)]
    assert lines == expected[: -len(endings)]


@pytest.mark.both_interfaces
def test_p3_never_two_at_a_time_over_many_reloads(tmp_path: Path) -> None:
    """With short requests under way all the time: each is answered, by a code that was current."""
    with serving(tmp_path, "app.py", ("--no-access-log",), files={"app.py": app_of(0)}) as bench:
        assert bench.body() == "0"
        begun, saved = [0], [0]
        enough = threading.Event()

        def ask() -> list[str]:
            wrong = []
            while not enough.is_set():
                oldest = saved[-1]
                answer = bench.connect().send("/short").receive()
                if answer.status != 200 or not oldest <= int(answer.body) <= begun[-1]:
                    wrong.append(f"{answer} after save {oldest}")
            return wrong

        with ThreadPoolExecutor() as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            try:
                for number in range(1, RELOADS + 1):
                    if number % 2:
                        standby(bench)  # it begins by itself, the others when they are told to
                    begun.append(number)
                    bench.replace("app.py", app_of(number))
                    saved.append(number)
                    bench.fresh(str(number))
            finally:
                enough.set()
        assert [one.result() for one in asking] == [[]] * 3, bench.output
        assert_one_after_another(journal(bench), "atexit")
        assert len({pid for _, pid, _ in journal(bench)}) == RELOADS + 1


CLAIMS = """\
import atexit, fcntl, os, socket, sqlite3
lock = open("lock", "a")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
port = socket.socket()
port.bind(("127.0.0.1", %d))
port.listen()
database = sqlite3.connect("data.db", timeout=0, isolation_level=None)
database.execute("PRAGMA locking_mode=EXCLUSIVE")
database.execute("BEGIN EXCLUSIVE")
os.close(os.open("pid", os.O_CREAT | os.O_EXCL))
atexit.register(os.unlink, "pid")
ballast = bytearray(%d)
for page in range(0, len(ballast), 4096):
    ballast[page] = 1
VERSION = "%s"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(str(os.getpid()) if environ["PATH_INFO"] == "/pid" else VERSION).encode()]
"""
"""Each of what only one process can hold is taken at import, and never waited for.

That comes first, while the kernel still takes down the memory that the old process has filled."""


@pytest.mark.parametrize(
    ("size", "reloads"),
    [(0, 200 if LONG else 6), (10**9, 200 if LONG else 2)],
    ids=["small", "1 GB"],
)
def test_p3_what_only_one_can_hold_never_collides(tmp_path: Path, size: int, reloads: int) -> None:
    """A lock, a port, an exclusive database and a pid file, though nobody waits for the kernel."""
    port = free_port()
    files = {"app.py": CLAIMS % (port, size, 0)}
    with serving(tmp_path, "app.py", ("--no-access-log",), files=files) as bench:
        assert bench.body() == "0"
        for number in range(1, reloads + 1):
            if number % 2:
                standby(bench)  # it begins by itself, the others when they are told to
            bench.replace("app.py", CLAIMS % (port, size, number))
            bench.fresh(str(number), DEADLINE)  # 1 GB is more than it is promised for
        assert "failed" not in bench.output


SCRIPT = (
    JOURNAL
    + """\
import asyncreload
VERSION = "%s"
def app(environ, start_response):
    start_response("200 OK", [])
    return [VERSION.encode()]
try:
    asyncreload.run(app, port=0, reload=True)
finally:
    note("finally")
"""
)


@pytest.mark.both_interfaces
def test_p3_finally_and_atexit_run_before_the_next_import(tmp_path: Path) -> None:
    """The process that `python app.py` started becomes the supervisor: it is the first to end."""
    files = {"app.py": SCRIPT % 0}
    with serving(tmp_path, "app.py", files=files, command=[sys.executable]) as bench:
        assert bench.body() == "0"
        for number in range(1, 4):
            if number % 2:
                standby(bench, journal(bench)[-1][1])
            bench.replace("app.py", SCRIPT % number)
            bench.fresh(str(number))
        (imported, first, _), (ended, same, _), *rest = journal(bench)
        assert (imported, ended) == ("import", "atexit")
        assert first == same == bench.pid
        lines = [(what, pid, alive.replace(str(first), "-")) for what, pid, alive in rest]
        assert_one_after_another(lines, "finally", "atexit")
        assert len({pid for _, pid, _ in lines}) == 4


SLOW = """\
def slow():
    time.sleep(0.3)
    note("slow")
atexit.register(slow)
"""


def test_p3_atexit_handlers_get_their_time(tmp_path: Path) -> None:
    """They are promised half a second, in which nothing interrupts them."""
    with serving(tmp_path, files={"app.py": app_of(0, SLOW)}) as bench:
        assert bench.body() == "0"
        for number in range(1, 4):
            bench.replace("app.py", app_of(number, SLOW))
            bench.fresh(str(number))
        assert_one_after_another(journal(bench), "slow", "atexit")
        assert TRACEBACK not in bench.told


def test_p3_an_event_stream_without_an_event_so_far_ends_as_well(tmp_path: Path) -> None:
    with serving(tmp_path, "app.py", ("--grace", "60"), files={"app.py": app_of("old")}) as bench:
        stream = bench.connect().send("/silent")
        bench.until((bench.directory / "silent").exists, "the app waits for an event")
        bench.replace("app.py", app_of("new"))
        bench.fresh("new")
        assert stream.receive() == Answer(200, "")
        bench.hang_up()


# --- those who take longer -------------------------------------------------------------------


@pytest.mark.both_interfaces
def test_p3_a_long_response_goes_on_while_the_new_code_answers(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": app_of("old")}) as bench:
        old = int(bench.body("/pid"))
        stream = bench.stream("/stream").until("old 0")
        bench.replace("app.py", app_of("new"))
        bench.fresh("new")
        assert is_alive(old)
        lines = [f"old {number}\n" for number in range(30)]
        assert stream.receive() == Answer(200, "".join(lines)), bench.output
        bench.until(lambda: not is_alive(old), "the old process is gone", soon())
        new = int(bench.body("/pid"))
        # Its code had ended, though, before the new one's was loaded.
        assert journal(bench) == [
            ("import", old, "-"),
            ("atexit", old, "-"),
            ("import", new, str(old)),
        ]


def test_p3_an_event_stream_does_not_go_on_in_the_old_process(tmp_path: Path) -> None:
    """Its client connects again, to the new code, as under ASGI."""
    with serving(tmp_path, "app.py", ("--grace", "60"), files={"app.py": app_of("old")}) as bench:
        old = int(bench.body("/pid"))
        stream = bench.stream("/events").until("old 0")
        bench.replace("app.py", app_of("new"))
        bench.fresh("new")
        # Not by a reset, which would raise.
        bench.until(lambda: not stream.some(), "the stream ends", soon())
        bench.until(lambda: not is_alive(old), "its code has ended, too", soon())
        assert TRACEBACK not in bench.told


@pytest.mark.both_interfaces
def test_p3_at_most_one_old_process_lingers(tmp_path: Path) -> None:
    with serving(tmp_path, "app.py", ("--grace", "60"), files={"app.py": app_of(1)}) as bench:
        first = int(bench.body("/pid"))
        ended = bench.stream("/endless").until("1 1")
        bench.replace("app.py", app_of(2))
        bench.fresh("2")
        second = int(bench.body("/pid"))
        ended.until("1 20")
        spared = bench.stream("/endless").until("2 1")
        bench.replace("app.py", app_of(3))
        bench.fresh("3")
        third = int(bench.body("/pid"))
        bench.until(lambda: not is_alive(first), "the first is ended by the third", soon())
        spared.until("2 20")
        bench.replace("app.py", app_of(4))
        bench.fresh("4")
        bench.until(lambda: not is_alive(third), "the third had nothing to do", soon())
        bench.until(lambda: not is_alive(second), "the second is ended by the fourth", soon())
        pids = [pid for what, pid, _ in journal(bench) if what == "import"]
        assert_one_after_another([(*line[:2], "-") for line in journal(bench)], "atexit")
        assert pids[:3] == [first, second, third]
        bench.hang_up()  # else the end would wait for grace


@pytest.mark.both_interfaces
def test_p3_one_that_lingers_is_gone_after_grace(tmp_path: Path) -> None:
    with serving(tmp_path, "app.py", ("--grace", "1"), files={"app.py": app_of("old")}) as bench:
        old = int(bench.body("/pid"))
        with closing(bench.stream("/endless").until("old 0")) as stream:
            began = time.monotonic()
            bench.replace("app.py", app_of("new"))
            bench.fresh("new")
            bench.until(lambda: not is_alive(old), "grace is over", 1 + soon())
            assert time.monotonic() - began > 1
            with suppress(ConnectionResetError):  # by a reset, where nothing else tells
                while stream.some():  # the client is told
                    pass
        bench.fresh("new")


FEED = """\
import os, signal, subprocess
VERSION = "%s"
ours = subprocess.Popen(["sleep", "600"])
def fed():
    lines = "i=0; while [ $i -lt 40 ]; do echo $i; i=$((i + 1)); sleep 0.05; done"
    feeder = subprocess.Popen(["sh", "-c", lines], stdout=subprocess.PIPE)
    yield from feeder.stdout
    yield b"end"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["PATH_INFO"]
    if path == "/fed":
        return fed()
    if path == "/crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    return [{"/pid": str(os.getpid()), "/ours": str(ours.pid)}.get(path, VERSION).encode()]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans of a crash are not found")
def test_p2_a_crash_takes_nothing_of_a_process_that_lingers(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": FEED % 1}) as bench:
        bench.fresh("1")
        stream = bench.stream("/fed").until("1\n")
        bench.replace("app.py", FEED % 2)
        bench.fresh("2")
        theirs = int(bench.body("/ours"))
        with suppress(OSError):
            bench.connect().send("/crash").receive()
        bench.until(lambda: not is_alive(theirs), "what the crash has left is gone", soon())
        lines = [f"{number}\n" for number in range(40)]
        assert stream.receive() == Answer(200, "".join([*lines, "end"])), bench.output


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans of a crash are not found")
def test_p5_what_one_that_lingers_leaves_at_its_death_ends(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": FEED % 1}) as bench:
        bench.fresh("1")
        old, theirs = int(bench.body("/pid")), int(bench.body("/ours"))
        bench.stream("/fed").until("1\n")
        bench.replace("app.py", FEED % 2)
        bench.fresh("2")
        assert is_alive(theirs)
        os.kill(old, signal.SIGKILL)
        bench.until(lambda: not is_alive(theirs), "what it has left is gone", soon())
        assert is_alive(int(bench.body("/ours")))
        bench.fresh("2")


# --- those who will not leave ----------------------------------------------------------------

OBSTACLES = {
    "a handler that never returns": ("", "/never"),
    "an endless response": ("", "/endless"),
    "a thread that is no daemon": ("threading.Thread(target=time.sleep, args=(60,)).start()", ""),
    "an atexit handler that sleeps": ("atexit.register(time.sleep, 60)", ""),
    "an atexit handler that raises": ("atexit.register(lambda: 1 / 0)", ""),
    "SIGINT ignored": ("signal.signal(signal.SIGINT, signal.SIG_IGN)", ""),
    "SIGINT handled": ("signal.signal(signal.SIGINT, lambda *_: None)", ""),
    "SIGINT blocked": ("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})", ""),
    "SIGTERM ignored": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", ""),
    "SIGTERM handled": ("signal.signal(signal.SIGTERM, lambda *_: time.sleep(60))", ""),
    "SIGCHLD ignored": ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", ""),
    "an import that ignores SIGINT": (
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        None,
    ),
    "an import that handles SIGINT": (
        "signal.signal(signal.SIGINT, lambda *_: None)\nwhile True: time.sleep(60)",
        None,
    ),
    "an import that blocks SIGINT": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\ntime.sleep(60)",
        None,
    ),
}
"""What the app has in it, and the path whose request makes it happen; None: loading does."""


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    files = {"app.py": app_of("good")}
    options = ("--grace", "0.5")
    with closing(Benches(tmp_path_factory, "app.py", *options, files=files)) as benches:
        yield benches


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_p3_nothing_delays_the_next_fresh_answer(benches: Benches, obstacle: str) -> None:
    """Promised is less than a second; and that the old process is gone after `grace`."""
    bench = benches.take("bench")
    extra, path = OBSTACLES[obstacle]
    before = len(journal(bench))
    bench.replace("app.py", app_of("old", extra))
    if path is None:
        bench.until(lambda: len(journal(bench)) >= before + 2, "the load has begun")
    else:
        bench.fresh("old")
    old = journal(bench)[-1][1]
    if path:
        under_way = bench.stream(path)
        if path == "/endless":
            under_way.until("old 0")
        else:
            bench.until((bench.directory / "never").exists, "it is being answered")
    bench.version = f"without {obstacle}"
    bench.replace("app.py", app_of(bench.version))
    bench.fresh(bench.version)
    bench.until(lambda: not is_alive(old), "the old process is gone", 0.5 + soon())
    bench.hang_up()


# --- what the app started --------------------------------------------------------------------

FAMILY = """import multiprocessing, subprocess, sys
def work():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1000)
fork = multiprocessing.get_context("fork")
workers = [fork.Process(target=work, daemon=daemon) for daemon in (True, False)]
for worker in workers:
    worker.start()
sleeper = subprocess.Popen(["sleep", "1000"])
leader = subprocess.Popen(["sleep", "1000"], start_new_session=True)
pids = [*(worker.pid for worker in workers), sleeper.pid, leader.pid]
if sys.platform == "linux":  # elsewhere nobody finds an orphan
    command = "setsid sleep 1000 >/dev/null 2>&1 & echo $!"
    pids.append(int(subprocess.check_output(["sh", "-c", command])))
with open("family", "w") as file:
    file.write(" ".join(map(str, pids)))
"""


def family(bench: Bench) -> list[int]:
    found = [int(pid) for pid in bench.read("family").split()]
    assert len(found) == (5 if sys.platform == "linux" else 4)
    assert all(map(is_alive, found))
    return found


def test_p3_what_the_app_started_ends_with_it(tmp_path: Path) -> None:
    """At a reload, at a crash, and at the end: workers, subprocesses and orphans."""
    with serving(tmp_path, files={"app.py": app_of(1, FAMILY)}) as bench:
        assert bench.body() == "1"
        old = family(bench)
        bench.replace("app.py", app_of(2, FAMILY))
        bench.fresh("2")
        bench.until(lambda: not any(map(is_alive, old)), "the first family is gone", soon())
        old = family(bench)
        if sys.platform == "linux":
            os.kill(int(bench.body("/pid")), signal.SIGKILL)
            bench.until_told("starting again")
            bench.fresh("2")
            bench.until(lambda: not any(map(is_alive, old)), "the second family is gone", soon())
            old = family(bench)
        began = time.monotonic()
        assert bench.stop() == 143
        assert not any(map(is_alive, old)), bench.output
        assert time.monotonic() - began < 5 + soon()  # multiprocessing waits for a worker in atexit


HELD = """\
import fcntl, time
lock = open("lock", "a")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1.5)
    return [b"old"]
"""


def test_p3_a_load_that_a_last_request_has_made_fail_is_repeated_after_that(tmp_path: Path) -> None:
    """Nobody has to save anything for that: the old process has held the lock meanwhile."""
    with serving(tmp_path, "app.py", files={"app.py": HELD}) as bench:
        bench.body()
        slow = bench.connect().send("/slow")
        time.sleep(0.3)  # not a wait: it is being answered
        bench.replace("app.py", HELD.replace("old", "new"))
        assert bench.get().status == 500
        assert slow.receive().body == "old"
        bench.until(lambda: bench.get().body == "new", "it has loaded again")
        bench.until_told("the process that was still answering has ended: loading again")
