"""P3 and P4 with `--threads 1`: the main thread answers, and a reload interrupts it."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import Answer
from tests.live.failing import TRACEBACK, Benches, serving, soon
from tests.live.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.conftest import Serve

ONE_THREAD = ("--threads", "1")

OWNED = """\
import contextvars, signal, sqlite3, threading
VERSION = "{}"
database = sqlite3.connect(":memory:")
owner = threading.get_ident()
variable = contextvars.ContextVar("variable")
variable.set("import")
def app(environ, start_response):
    (one,) = database.execute("SELECT 1").fetchone()
    assert threading.current_thread() is threading.main_thread()
    assert threading.get_ident() == owner
    assert variable.get() == "import"
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert not environ["wsgi.multithread"]
    start_response("200 OK", [])
    return [VERSION.encode()]
"""
"""What belongs to the thread that has imported the app, or to the main thread of a process."""


def test_p3_one_thread_is_the_main_thread(serve: Serve) -> None:
    served = serve("app.py", *ONE_THREAD, files={"app.py": OWNED.format("old")})
    for _ in range(3):
        assert served.body() == "old"
    served.write("app.py", OWNED.format("new"))
    assert served.body() == "new"
    assert "Error" not in served.output


APP = """\
import atexit, os, signal, socket, threading, time
VERSION = "%s"
%s
def note(what):
    with open("journal", "a") as file:
        file.write(f"{what} {VERSION}\\n")
note("import")
atexit.register(note, "atexit")
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/pid":
        start_response("200 OK", [])
        return [str(os.getpid()).encode()]
    if path != "/":
        open("entered", "w").close()
    if path == "/sleep":
        time.sleep(1000)
    if path == "/wait":
        threading.Event().wait()
    if path == "/loop":
        while True:
            pass
    if path == "/stubborn":
        while True:
            try:
                time.sleep(1000)
            except KeyboardInterrupt:
                pass
    if path == "/body":
        environ["wsgi.input"].read(1)
    start_response("200 OK", [])
    if path == "/stream":
        return stream()
    return [VERSION.encode()]
def stream():
    while True:
        yield b"part "
        time.sleep(0.01)
"""


def app_of(version: str, top: str = "") -> str:
    return APP % (version, top)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    files = {"app.py": app_of("good")}
    options = (*ONE_THREAD, "--grace", "0.5")
    with closing(Benches(tmp_path_factory, "app.py", *options, files=files)) as benches:
        yield benches


IGNORED = "signal.signal(signal.SIGINT, signal.SIG_IGN)"


@pytest.mark.parametrize(
    ("path", "top", "answer"),
    [
        ("/sleep", "", 503),
        ("/wait", "", 503),
        ("/loop", "", 503),
        ("/stream", "", 200),
        ("/stubborn", "", None),
        ("/sleep", IGNORED, None),
    ],
    ids=["sleeps", "waits", "computes", "streams", "catches all", "ignores SIGINT"],
)
def test_p3_a_request_in_the_main_thread_delays_no_reload(
    benches: Benches, path: str, top: str, answer: int | None
) -> None:
    """It is interrupted, so that `atexit` handlers can run; who waits for it gets an answer."""
    bench = benches.take("bench")
    bench.replace("app.py", app_of("old", top))
    bench.fresh("old")
    old = int(bench.body("/pid"))
    entered = bench.directory / "entered"
    entered.unlink(missing_ok=True)
    under_way = bench.stream(path)
    bench.until(entered.exists, "it is being answered")
    if path == "/stream":
        under_way.until("part ")
    waiting = bench.connect().send()
    bench.version = f"after {path} {top}"
    bench.replace("app.py", app_of(bench.version))
    bench.fresh(bench.version)
    assert waiting.receive() == Answer(200, bench.version)
    if answer:
        assert under_way.receive().status == answer
        assert bench.read("journal").splitlines()[-2:] == ["atexit old", f"import {bench.version}"]
    bench.until(lambda: not is_alive(old), "the old process is gone", 0.5 + soon())
    assert TRACEBACK not in bench.told
    bench.hang_up()


@pytest.mark.parametrize("path", ["/", "/sleep"])
def test_p5_ctrl_c_ends_what_the_main_thread_does(tmp_path: Path, path: str) -> None:
    with serving(tmp_path, "app.py", ONE_THREAD, files={"app.py": app_of("old")}) as bench:
        assert bench.body() == "old"
        if path != "/":
            bench.stream(path)
            bench.until((bench.directory / "entered").exists, "it is being answered")
        bench.signal_group(signal.SIGINT)
        assert bench.wait() == 130
        assert TRACEBACK not in bench.told
        assert bench.read("journal") == "import old\natexit old\n"


RAISING = """\
def app(environ, start_response):
    if environ["PATH_INFO"] == "/raise":
        raise KeyboardInterrupt("by the app")
    start_response("200 OK", [])
    return [b"good"]
"""


def test_p4_an_interrupt_that_the_app_raises_itself_ends_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, "app.py", ONE_THREAD, files={"app.py": RAISING}) as bench:
        assert bench.get("/raise").status == 503
        assert bench.body() == "good"
        bench.until_told("KeyboardInterrupt: by the app")


FORKING = """\
import os
def app(environ, start_response):
    pid = os.fork() if environ["PATH_INFO"] == "/fork" else None
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        open("code", "w").write(str(code))
    start_response("200 OK", [])
    return [b"good"] if pid != 0 else []
"""


@pytest.mark.parametrize("threads", ["1", "64"])
def test_p3_a_fork_that_comes_back_out_of_a_request_ends(tmp_path: Path, threads: str) -> None:
    files = {"app.py": FORKING}
    with serving(tmp_path, "app.py", ("--threads", threads), files=files) as bench:
        bench.get("/fork")  # it is the fork that has answered
        bench.until((bench.directory / "code").exists, "the fork has ended")
        assert bench.body() == "good"
        assert bench.read("code") == "0"
        assert TRACEBACK not in bench.told


def test_p3_a_client_that_is_slow_in_the_main_thread_delays_no_reload(tmp_path: Path) -> None:
    with serving(tmp_path, "app.py", ONE_THREAD, files={"app.py": app_of("old")}) as bench:
        assert bench.body() == "old"
        slow = bench.connect().begin_upload("/body")
        bench.until((bench.directory / "entered").exists, "it is being answered")
        bench.replace("app.py", app_of("new"))
        bench.fresh("new")
        assert slow.receive().status == 503
