"""P4: whatever is saved, the port answers and says why, and the next save recovers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asyncreload
from tests.live.driving import COMMAND, DEADLINE, LOGGED, LONG, SPEAKS_ASGI, Answer, lay_out
from tests.live.failing import (
    DIED,
    FAILED,
    PACKAGE,
    SILENT,
    TRACEBACK,
    Benches,
    app_of,
    no_core_dumps,
    serving,
    soon,
)
from tests.live.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.conftest import Serve
    from tests.live.driving import Connection
    from tests.live.failing import Bench

# --- the failures ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """A way to fail.

    code: what is run at the moment of the failure.
    source: instead of it, the bytes of a module that fails when it is loaded.
    says: what the report starts with.
    """

    code: str = ""
    source: bytes = b""
    says: str = ""


RAISING = {
    "SyntaxError": Failure(source=b"def app(:\n", says="SyntaxError: "),
    "not UTF-8": Failure(source=b'VERSION = "caf\xe9"\n', says="SyntaxError: "),
    "missing module": Failure(
        source=b"import nowhere_to_be_found\n",
        says="ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    ),
    "exception": Failure(
        "raise RuntimeError('broken on purpose')", says="RuntimeError: broken on purpose"
    ),
    "sys.exit()": Failure("sys.exit()", says="SystemExit"),
    "sys.exit(0)": Failure("sys.exit(0)", says="SystemExit: 0"),
    "sys.exit(3)": Failure("sys.exit(3)", says="SystemExit: 3"),
    # It is shown when a moment has passed in which it did not turn out to be Ctrl-C.
    "KeyboardInterrupt": Failure("raise KeyboardInterrupt", says="KeyboardInterrupt"),
}
UNFIT = {
    "no such attribute": Failure(source=b"apple = 1\n", says='"pkg/app.py:app": module'),
    "not callable": Failure(source=b"app = 5\n", says='"pkg/app.py:app" is no application'),
}
DELETED = {"deleted": Failure("os.unlink(__file__)", says='There is no file "pkg/app.py"')}
DYING = {
    "os._exit(7)": Failure("os._exit(7)", says="exit code 7"),
    "os._exit(0)": Failure("os._exit(0)", says="exit code 0"),
    "os._exit(3)": Failure("os._exit(3)", says="exit code 3"),
    "SIGKILL": Failure("os.kill(os.getpid(), signal.SIGKILL)", says="killed by SIGKILL"),
    "segfault": Failure("ctypes.string_at(0)", says="killed by SIGSEGV"),
    "os.abort()": Failure("os.abort()", says="killed by SIGABRT"),
}
HANGING = {
    "endless loop": Failure("while True: pass"),
    # In a function: on Python 3.11 and 3.12 no `try` around a loop covers the jump at its end.
    "loop that swallows": Failure(
        "def loop():\n    while True: pass\n"
        "while True:\n    try: loop()\n    except BaseException: pass"
    ),
    "sleep": Failure("time.sleep(1000)"),
    "lock": Failure("lock = threading.Lock()\nlock.acquire()\nlock.acquire()"),
    "recv": Failure("ours, theirs = socket.socketpair()\nours.recv(1)"),
}
SILENCING = {
    "holds the GIL": Failure("open('silent', 'a').close()\nctypes.PyDLL(None).sleep(1000)")
}

# What swallows its interrupt has half a second of CPU time, however long that takes beside others.
PATIENCE = {"loop that swallows": DEADLINE, "holds the GIL": SILENT}

FAILURES = RAISING | UNFIT | DELETED | DYING | HANGING | SILENCING
MOMENTS = ("first load", "reload", "idle", "in a request")
LOADING, RUNNING = MOMENTS[:2], MOMENTS[2:]

# --- the stage -------------------------------------------------------------------------------

TARGET = "pkg/app.py:app"
# The package is loaded, and counts, before the module in it that fails.
GOOD = {"pkg/__init__.py": LOGGED, "pkg/app.py": app_of("good")}
OPTIONS = ("--grace", "0.5")
VERSIONS = count(1)
EXIT = DYING["os._exit(7)"].code


@pytest.fixture(scope="module", autouse=True)
def without_core_dumps() -> Iterator[None]:
    with no_core_dumps():
        yield


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    with closing(Benches(tmp_path_factory, TARGET, *OPTIONS, files=GOOD)) as benches:
        yield benches


class Play:
    """One failure at one moment, and what must hold for all of them."""

    def __init__(self, bench: Bench, name: str, moment: str) -> None:
        self.bench = bench
        self.name = name
        self.failure = FAILURES[name]
        self.moment = moment
        self.loads = 0 if moment == "first load" else bench.load_count  # it may be loading already

    def break_at_load(self) -> None:
        """Save what fails when it is loaded; at the first load it is there already."""
        if self.moment != "first load":
            save_broken(self.bench.directory, self.failure)

    def break_later(self) -> None:
        """Tell the app how to fail; and to do so once it is idle, if that is the moment."""
        code = self.failure.code
        if self.failure.source:
            (self.bench.directory / "pkg/lazy.py").write_bytes(self.failure.source)
            code = "import pkg.lazy"
        self.bench.write("fail", code)
        self.arm()

    def arm(self) -> None:
        if self.moment == "idle":
            self.bench.body("/arm")

    def ask_for_it(self) -> Connection | None:
        """If it is to fail in a request, send that, and return the connection."""
        return None if self.moment == "idle" else self.bench.connect().send("/fail")

    def mend(self, within: float = soon()) -> None:
        """Save what is right: that recovers, and costs one load; nothing but saves cost any."""
        self.bench.version = f"version {next(VERSIONS)}"
        self.bench.replace("pkg/app.py", app_of(self.bench.version))
        self.bench.fresh(self.bench.version, within)
        assert self.bench.load_count == self.loads + 1, self.bench.told

    def expect_report(self, status: int, title: str) -> Answer:
        """Every request gets the report, in good time."""
        answers = [self.bench.timed(self.bench.get, 2 * soon(), "a report") for _ in range(3)]
        assert [answer.status for answer in answers] == [status] * 3, self.bench.told
        first, *_ = answers[0].body.splitlines()
        assert first.startswith(title), f"{answers[0].body}\n{self.bench.told}"
        assert PACKAGE not in answers[0].body
        return answers[0]

    def expect_told_once(self, text: str) -> None:
        self.bench.until(lambda: text in self.bench.told, f"{text!r} is told")
        assert self.bench.told.count(text) == 1, f"{text!r} in:\n{self.bench.told}"
        assert PACKAGE not in self.bench.told


def save_broken(project: Path, failure: Failure) -> None:
    """Save, in one instant, what fails when it is loaded; delete what fails by that."""
    path = project / "pkg/app.py"
    if failure in DELETED.values():
        path.unlink()
        return
    (project / "begun").unlink(missing_ok=True)
    new = path.with_name("new")
    at_load = f"open('begun', 'a').close()\n{failure.code}"
    new.write_bytes(failure.source or app_of("broken", at_load=at_load).encode())
    new.replace(path)


# --- the courses that things may take --------------------------------------------------------


def is_reported(play: Play) -> None:
    play.break_at_load()
    answer = play.expect_report(500, play.failure.says)
    found = play.failure not in DELETED.values()
    play.loads += found
    assert play.bench.load_count == play.loads, play.bench.told
    play.expect_told_once(FAILED)
    assert play.failure.says in play.bench.told
    if play.failure.code and found:
        play.expect_told_once(TRACEBACK)
        place = play.bench.directory / "pkg/app.py"
        assert re.match(rf"{re.escape(str(place))}:\d+", answer.body.splitlines()[1])
    play.mend()
    play.expect_told_once(FAILED)
    assert play.bench.told.count(TRACEBACK) <= 1, play.bench.told


def is_refused(play: Play) -> None:
    """There is nobody yet whose requests could wait, and it may be a mistyped name."""
    play.break_at_load()
    assert play.bench.wait() == 2
    assert re.search(r'asyncreload: error: .*"pkg/app\.py', play.bench.told), play.bench.told
    assert TRACEBACK not in play.bench.told


def fails_alone(play: Play) -> None:
    """Only the thread or the request that it happens in; the app goes on."""
    play.break_later()
    failing = play.ask_for_it()
    raises = play.failure not in HANGING.values()
    if failing and raises:
        assert failing.receive().status == 500
    if raises and "sys.exit" not in play.failure.code:  # which ends a thread without a word
        play.bench.until(lambda: TRACEBACK in play.bench.told, "the app's traceback is printed")
    before = play.bench.version
    assert [play.bench.body() for _ in range(3)] == [before] * 3
    play.mend()
    assert FAILED not in play.bench.told
    if failing:
        failing.close()


def fails_to_import(play: Play) -> None:
    """The load has failed after all, in a request that imports the project's code."""
    play.break_later()
    failing = play.ask_for_it()
    assert failing
    assert failing.receive().status == 500
    play.expect_report(500, play.failure.says)
    play.expect_told_once(FAILED)
    play.mend()
    play.expect_told_once(FAILED)
    assert play.bench.told.count(TRACEBACK) == 1, play.bench.told


def deletes_itself(play: Play) -> None:
    play.break_later()
    asked = play.ask_for_it()
    if asked:
        assert asked.receive() == Answer(200, play.bench.version)
    path = play.bench.directory / "pkg/app.py"
    play.bench.until(lambda: not path.exists(), "it is deleted")
    play.expect_report(500, play.failure.says)
    play.expect_told_once(FAILED)
    play.mend()


def dies(play: Play) -> None:
    restarted = play.failure == DYING["SIGKILL"] and play.moment in RUNNING
    if play.moment in LOADING:
        phase = "while loading"
        play.break_at_load()
        play.loads += 1
    else:
        phase = "while serving" if play.moment == "idle" else "while answering GET /fail"
        play.break_later()
        die(play, 1)
    if restarted:  # it had been serving well, and nobody can tell who killed it
        play.bench.fresh("good")
        play.loads += 1
        play.arm()
        die(play, 2)
    play.expect_report(503, f"{play.failure.says} {phase}")
    assert play.bench.load_count == play.loads, play.bench.told
    play.expect_told_once(f"{DIED}{play.failure.says} {phase}; waiting for a change")
    play.mend()
    assert play.bench.told.count(DIED) == 1 + restarted
    assert TRACEBACK not in play.bench.told


def die(play: Play, number: int) -> None:
    """Die once more, and wait until that is told: else a request may be answered.

    It may have died already, if that was armed. number: of its deaths, when this one is told.
    """
    asked = play.ask_for_it()
    if asked:
        with pytest.raises(ConnectionError):
            asked.receive()
    play.bench.until(lambda: play.bench.told.count(DIED) >= number, "the death is told")


def hangs(play: Play) -> None:
    """Requests wait in the meantime, and get the mended code."""
    play.break_at_load()
    waiting = play.bench.connect().send()
    play.loads += 1
    play.bench.until((play.bench.directory / "begun").exists, "the load hangs")
    play.mend(PATIENCE.get(play.name, soon()))
    assert waiting.receive() == Answer(200, play.bench.version), play.bench.told
    assert TRACEBACK not in play.bench.told, play.bench.told


def falls_silent(play: Play) -> None:
    play.break_later()
    asked = play.ask_for_it()
    play.bench.until((play.bench.directory / "silent").exists, "the child falls silent")
    waiting, before = play.bench.connect().send(), play.bench.version
    play.mend(SILENT)
    assert waiting.receive().body in {before, play.bench.version}, play.bench.told
    if asked:
        asked.close()


# --- the matrix ------------------------------------------------------------------------------

Course = Callable[[Play], None]
Matrix = dict[tuple[str, str], Course | str]


def every(group: dict[str, Failure], moments: tuple[str, ...], course: Course | str) -> Matrix:
    return dict.fromkeys(product(group, moments), course)


IMPORTED = {name: failure for name, failure in RAISING.items() if failure.source}
MATRIX: Matrix = {
    **every(RAISING, LOADING, is_reported),
    **every(RAISING, RUNNING, fails_alone),
    **every(IMPORTED, RUNNING[1:], fails_to_import),
    **every(UNFIT, LOADING, is_reported),
    **every(UNFIT, RUNNING, "what the target names is looked up when it is loaded, not again"),
    **every(DELETED, LOADING[:1], is_refused),
    **every(DELETED, LOADING[1:], is_reported),
    **every(DELETED, RUNNING, deletes_itself),
    **every(DYING, MOMENTS, dies),
    **every(HANGING, LOADING, hangs),
    **every(HANGING, RUNNING, fails_alone),
    **every(SILENCING, LOADING, hangs),
    **every(SILENCING, RUNNING, falls_silent),
}
"""What happens when something fails at some moment, or why nothing can."""


def test_p4_the_matrix_is_complete() -> None:
    assert set(MATRIX) == set(product(FAILURES, MOMENTS))
    assert all(MATRIX.values())


@pytest.mark.parametrize("failure", FAILURES)
def test_p4_survives(failure: str, benches: Benches, tmp_path: Path) -> None:
    """The moments are played side by side, each on a supervisor of its own."""

    def play(moment: str, course: Course) -> None:
        with stage(failure, moment, benches, tmp_path) as set_up:
            course(set_up)

    with ThreadPoolExecutor() as pool:
        plays = {
            moment: pool.submit(play, moment, course)
            for moment in MOMENTS
            if callable(course := MATRIX[failure, moment])
        }
    failed = []
    for moment, played in plays.items():
        if (exc := played.exception()) is not None:
            exc.add_note(f"{failure}, {moment}")
            failed.append(exc)
    if failed:
        raise BaseExceptionGroup(failure, failed)


@contextmanager
def stage(failure: str, moment: str, benches: Benches, tmp_path: Path) -> Iterator[Play]:
    """Supply a supervisor: one of its own for a first load, and for what counts its restarts."""
    first = moment == "first load"
    if not first and failure != "SIGKILL":
        yield Play(benches.take(moment), failure, moment)
        return
    place = tmp_path / moment
    lay_out(place / "project", files=GOOD)
    if first:
        save_broken(place / "project", FAILURES[failure])
    with serving(place, TARGET, OPTIONS) as bench:
        assert first or bench.body() == "good"
        yield Play(bench, failure, moment)


# --- what mends ------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False], ids=["first load", "reload"])
@pytest.mark.parametrize("kind", ["module", "package", "config"])
def test_p4_creating_what_is_missing_mends(tmp_path: Path, kind: str, *, first: bool) -> None:
    """A module, a package, and a file that is no Python at all."""
    reads = "open('conf/app.toml').read()" if kind == "config" else "__import__('later').NUMBER"
    name = {"module": "later.py", "package": "later/__init__.py", "config": "conf/app.toml"}[kind]
    broken = app_of("broken", top=LOGGED).replace('"broken"', reads)
    files = {"app.py": broken if first else app_of("good", top=LOGGED)}
    with serving(tmp_path, files=files) as bench:
        if not first:
            assert bench.body() == "good"
            bench.replace("app.py", broken)
        loads = 1 if first else 2
        answer = bench.get()
        assert answer.status == 500
        assert ("later" if kind != "config" else "FileNotFoundError") in answer.body
        assert bench.get().status == 500
        assert bench.load_count == loads
        text = "made" if kind == "config" else 'NUMBER = "made"\n'
        made = bench.directory / name
        made.parent.mkdir(exist_ok=True)
        made.with_name("other").write_text(text)
        made.with_name("other").replace(made)
        bench.fresh("made")
        assert bench.load_count == loads + 1, bench.told


@pytest.mark.both_interfaces
def test_p4_a_broken_save_after_a_broken_save_is_told_too(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": "raise RuntimeError(1)\n"}) as bench:
        assert "RuntimeError: 1" in bench.get().body
        bench.replace("app.py", "raise RuntimeError(2)\n")
        assert "RuntimeError: 2" in bench.get().body
        bench.until_told(FAILED, 2)
        assert bench.told.count(TRACEBACK) == 2
        bench.replace("app.py", app_of("mended"))
        bench.fresh("mended")


@pytest.mark.both_interfaces
def test_p4_taking_a_broken_save_back_recovers(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": app_of("good", top=LOGGED)}) as bench:
        assert bench.body() == "good"
        bench.replace("app.py", "def app(:\n")
        assert bench.get().status == 500
        bench.replace("app.py", app_of("good", top=LOGGED))
        bench.fresh("good")
        assert bench.load_count == 2


@pytest.mark.both_interfaces
def test_p4_a_directory_that_went_and_came_back_ends_nothing(tmp_path: Path) -> None:
    """As by `git checkout` of a branch that has not got it, and back: it is another one then."""
    with serving(tmp_path, files={"app.py": app_of("good")}) as bench:
        assert bench.body() == "good"
        aside = tmp_path / "aside"
        shutil.copytree(bench.directory, aside)
        shutil.rmtree(bench.directory)
        aside.rename(bench.directory)
        bench.fresh("good")
        bench.replace("app.py", "def app(:\n")
        assert bench.get().status == 500
        bench.until_told(FAILED)
        bench.replace("app.py", app_of("mended"))
        bench.fresh("mended")


# --- killed from outside ---------------------------------------------------------------------


def kill(bench: Bench) -> int:
    """Kill the child that answers, and wait until it is dead; return who it was."""
    pid = int(bench.body("/pid"))
    os.kill(pid, signal.SIGKILL)
    bench.until(lambda: not is_alive(pid), "the child is dead")
    return pid


@pytest.mark.both_interfaces
def test_p4_killed_from_outside_it_starts_again_but_not_twice(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": app_of("good", top=LOGGED)}) as bench:
        first = kill(bench)
        bench.fresh("good")
        assert bench.load_count == 2
        # It may not have got to its next line since it answered us.
        died = re.compile(r"killed by SIGKILL while (serving|answering GET /pid)")
        bench.until(lambda: died.search(bench.told), "its death is told")
        bench.until_told("; starting again")
        assert kill(bench) != first
        answer = bench.get()
        assert answer.status == 503, bench.told
        assert died.match(answer.body)
        assert bench.load_count == 2
        bench.replace("app.py", app_of("mended", top=LOGGED))
        bench.fresh("mended")
        assert bench.load_count == 3


def test_p4_whoever_reports_is_killed_and_another_one_reports(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": f"{LOGGED}raise RuntimeError(1)\n"}) as bench:
        for _ in range(2):
            assert "RuntimeError: 1" in bench.get().body
            for child in bench.children():  # the one that stands by is no better off
                os.kill(child, signal.SIGKILL)
                bench.until(lambda child=child: not is_alive(child), "the child is dead")  # type: ignore[misc]
        bench.replace("app.py", app_of("mended"))
        bench.fresh("mended")


@pytest.mark.skipif(SPEAKS_ASGI, reason="its loop accepts all")
def test_p4_only_requests_in_flight_fail_at_a_crash(tmp_path: Path) -> None:
    """All others wait in the kernel, where no crash reaches them."""
    code = 'with open("in", "a") as f: f.write("x")\ntime.sleep(1000)'
    files = {"app.py": app_of("good"), "fail": code}
    with serving(tmp_path, "app.py", ("--threads", "2"), files=files) as bench:
        pid = int(bench.body("/pid"))
        doomed = [bench.connect().send("/fail") for _ in range(2)]
        inside = bench.directory / "in"
        bench.until(lambda: inside.exists() and inside.read_text() == "xx", "both are in flight")
        waiting = [bench.connect().send() for _ in range(20)]
        early = [bench.connect() for _ in range(20)]
        os.kill(pid, signal.SIGKILL)
        assert [one.receive().body for one in waiting] == ["good"] * 20, bench.told
        assert [one.send().receive().body for one in early] == ["good"] * 20, bench.told
        for one in doomed:
            with pytest.raises(ConnectionError):
                one.receive()


def test_p4_a_crash_under_traffic_fails_only_what_was_sent_before(tmp_path: Path) -> None:
    with serving(tmp_path, files={"app.py": app_of("good"), "fail": EXIT}) as bench:
        assert bench.body() == "good"
        crashed = threading.Event()
        late: list[Answer | Exception] = []

        def ask() -> None:
            for _ in range(30):
                is_late = crashed.is_set()
                try:
                    answer: Answer | Exception = bench.connect().send().receive()
                except OSError as exc:
                    answer = exc
                if is_late:
                    late.append(answer)

        with ThreadPoolExecutor() as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            with pytest.raises(ConnectionError):
                bench.connect().send("/fail").receive()
            bench.until_told(f"{DIED}exit code 7 while answering ")
            assert "GET /fail" in bench.told
            crashed.set()
        assert [one.result() for one in asking] == [None] * 4
        late.append(bench.get())
        assert {one.status if isinstance(one, Answer) else one for one in late} == {503}


@pytest.mark.parametrize("phase", ["while loading", "while serving"])
def test_p4_a_save_right_after_a_crash_is_seen(tmp_path: Path, phase: str) -> None:
    """Nobody watches just then: one process is dead, and the next has only begun to look."""
    with serving(tmp_path, files={"app.py": app_of("good"), "fail": EXIT}) as bench:
        assert bench.body() == "good"
        for number in range(5 if LONG else 3):
            if phase == "while loading":
                loads = bench.load_count
                bench.replace("app.py", f"{LOGGED}os._exit(7)\n")
                bench.until_loads(loads + 1)
                pid = bench.loads()[-1]
                bench.until(lambda pid=pid: not is_alive(pid), "it is dead")  # type: ignore[misc]
            else:
                with pytest.raises(ConnectionError):
                    bench.connect().send("/fail").receive()
            bench.replace("app.py", app_of(f"version {number}"))
            bench.fresh(f"version {number}", DEADLINE)  # for that, two processes start


# --- what is told ----------------------------------------------------------------------------


def test_p4_a_slow_load_is_told_and_where_it_is(tmp_path: Path) -> None:
    app = app_of("slow", at_load="time.sleep(1000)  # here")
    with serving(tmp_path, files={"app.py": app}) as bench:
        bench.until_told("still loading after 3 s, at ")
        assert re.search(r"app\.py:\d+: time\.sleep\(1000\)  # here", bench.told), bench.told
        bench.replace("app.py", app_of("mended"))
        bench.fresh("mended")
        assert bench.told.count("still loading") == 1


@pytest.mark.parametrize("asks", [True, False], ids=["asked meanwhile", "not asked"])
@pytest.mark.parametrize("way", ["by file", "by import"])
def test_p4_what_a_linked_directory_leads_to_goes_and_comes(
    serve: Serve, project: Path, way: str, *, asks: bool
) -> None:
    """Nothing changes in the directory in which the link is."""
    code = 'def app(environ, start):\n    start("200 OK", [])\n    return [b"%s"]\n'
    lay_out(project, files={"work/main.py": "from shop.app import app\n", "work/x": ""})
    lay_out(project, files={"src/shop/app.py": code % "one"})
    (project / "work" / "shop").symlink_to("../src/shop")
    target = "shop/app.py" if way == "by file" else "main.py"
    command = ("sh", "-c", f"cd work && exec {' '.join(COMMAND)} {target} --port 0", "sh")
    served = serve(command=command)
    assert served.body() == "one"
    (project / "src" / "shop").rename(project / "src" / "old")
    if asks:
        assert served.get().status == 500
    served.until_told("waiting for a change")
    (project / "src" / "old").rename(project / "src" / "shop")
    assert served.body() == "one"
    served.replace("src/shop/app.py", code % "two")
    assert served.body() == "two"


AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") * (os.geteuid() == 0)
"""Root may enter every directory."""


@pytest.mark.skipif(bool(AS_ANYBODY) and not shutil.which("setpriv"), reason="needs util-linux")
def test_p4_a_current_directory_that_is_closed_for_a_moment(serve: Serve, project: Path) -> None:
    code = 'def app(environ, start):\n    start("200 OK", [])\n    return [b"%s"]\n'
    served = serve("app.py", files={"app.py": code % "one"}, command=(*AS_ANYBODY, *COMMAND))
    assert served.body() == "one"
    os.chmod(project, 0)
    try:
        waiting = served.connect().send()
        served.until_told("cannot start a process: Permission denied")
    finally:
        os.chmod(project, 0o755)
    assert waiting.receive().status in {200, 503}  # the latter where 3 s have passed
    served.until(lambda: served.get().body == "one", "it is served again")


def test_p4_a_current_directory_that_is_gone(serve: Serve, project: Path) -> None:
    code = 'def app(environ, start):\n    start("200 OK", [])\n    return [b"%s"]\n'
    served = serve("app.py", files={"app.py": code % "one"})
    assert served.body() == "one"
    project.rename(project.parent / "elsewhere")
    answer = served.get()
    assert answer.status == 503
    assert "No process can be started for the app: No such file or directory" in answer.body
    assert str(project) not in answer.body
    lay_out(project, files={"app.py": code % "two"})
    served.until(lambda: served.get().body == "two", "it is served again")


def test_p4_a_save_while_asyncreload_is_installed_anew(serve: Serve, project: Path) -> None:
    """For a moment, no process can boot."""
    package = project / "lib" / "asyncreload"
    shutil.copytree(Path(asyncreload.__file__).parent, package)
    code = 'def app(environ, start):\n    start("200 OK", [])\n    return [b"%s"]\n'
    command = ("env", f"PYTHONPATH={package.parent}", *COMMAND)
    options = ("--no-standby", "--no-checkpoints")
    served = serve("app.py", *options, files={"app.py": code % "one"}, command=command)
    assert served.body() == "one"
    (package / "protocol.py").rename(package / "gone")
    served.replace("app.py", code % "two")
    waiting = served.connect().send()
    served.until_told("no process starts any more")
    (package / "gone").rename(package / "protocol.py")
    assert waiting.receive().body == "two"
