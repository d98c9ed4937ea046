"""P1 to P6, under whatever comes to the mind of an editor, a user or a kernel.

`ASYNCRELOAD_LONG=1` plays 500 sequences at random, `ASYNCRELOAD_SEQUENCES` any other number.
"""

from __future__ import annotations

import os
import signal
from contextlib import closing, suppress
from itertools import count
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.live.driving import LONG, Answer, Speech, replace, write
from tests.live.endless import ENDLESS, EndlessClients
from tests.live.failing import serving, soon
from tests.live.processes import LIVES, is_alive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.failing import Bench

SEQUENCES = int(os.environ.get("ASYNCRELOAD_SEQUENCES", "500" if LONG else "5"))
STEPS = 12

# Two at a time leave a file, `beside`.
APP = (
    LIVES
    + """\
with open("loads", "a+") as log:
    log.seek(0)
    others = [int(line) for line in log][-5:]
    log.write(f"{os.getpid()}\\n")
if beside := [pid for pid in others if pid != os.getpid() and lives(pid)]:
    with open("beside", "a") as log:
        log.write(f"{os.getpid()} beside {beside}\\n")
import helper
VERSION = "%s"
def app(environ, start_response):
    if environ["PATH_INFO"] == "/exit":
        os._exit(7)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/lazy":
        import lazy
        return [lazy.VERSION.encode()]
    return [f"{VERSION} {helper.VERSION}".encode()]
"""
)
MODULE = 'VERSION = "%s"\n'


def app_of(number: object) -> str:
    return APP % number + (ENDLESS if Speech.asgi else "")


BREAKS = {
    "syntax": ("def broken(:\n", (500, "SyntaxError")),
    "exception": ("raise RuntimeError('on purpose')\n", (500, "RuntimeError: on purpose")),
    "sys.exit": ("import sys\nsys.exit(3)\n", (500, "SystemExit: 3")),
    "import": ("import nowhere_to_be_found\n", (500, "ModuleNotFoundError")),
    "attribute": ("from json import nothing\n", (500, "ImportError: cannot import name")),
    "exits": ("import os\nos._exit(3)\n", (503, "exit code 3 while loading")),
    "dies": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        (503, "killed by SIGKILL while loading"),
    ),
}
DELETED = {
    "app.py": (500, 'There is no file "app.py"'),
    "helper.py": (500, "ModuleNotFoundError: No module named 'helper'"),
    "lazy.py": (500, ""),
}

# --- the ways to save ------------------------------------------------------------------------


def rename(path: Path, text: str) -> None:
    """Move the file away, and another one to its place."""
    with suppress(FileNotFoundError):
        path.rename(path.with_suffix(".bak"))
    replace(path, text)


def recreate(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    write(path, text)


def backdate(path: Path, text: str) -> None:
    """Save with a time that is long past, as an unpacked archive has it."""
    replace(path, text)
    os.utime(path, (1e9, 1e9))


SAVES: dict[str, Callable[[Path, str], None]] = {
    save.__name__: save for save in (write, replace, rename, recreate, backdate)
}

# --- the model -------------------------------------------------------------------------------


class Model:
    """What is on the disk, and so what a request must be answered with.

    wrong: how each file that is broken or missing is reported.
    crashed: how a process that died is reported, until something is saved.
    killed: somebody killed a process: whether the app was started again, or is reported, depends.
    unsure: something was written whose former state is unknown after a crash, so that the app may
        be started again: there are moments in which only the process that died knew of it.
    settled: how many loads there were when all was known; None while something is yet to happen.
    """

    numbers = count()

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.texts: dict[str, str | None] = dict.fromkeys(DELETED)
        self.versions: dict[str, str] = {}
        self.wrong: dict[str, tuple[int, str]] = {}
        self.crashed: tuple[int, str] | None = None
        self.killed = False
        self.unsure = False
        self.settled: int | None = None
        self.died = False
        self.endless = EndlessClients(bench)
        self.story: list[str] = []

    def play(self, step: tuple[str, ...]) -> None:
        name, *arguments = step
        self.story.append(" ".join(step))
        getattr(self, name)(*arguments)

    # --- what is done ------------------------------------------------------------------------

    def save(self, name: str, way: str) -> None:
        self.versions[name] = number = f"{next(self.numbers):05}"
        self.wrong.pop(name, None)
        self._put(name, way, app_of(number) if name == "app.py" else MODULE % number)

    def spoil(self, name: str, way: str, kind: str) -> None:
        text, self.wrong[name] = BREAKS[kind]
        self._put(name, way, f"{text}# {next(self.numbers)}\n")

    def delete(self, name: str) -> None:
        if self.texts[name] is not None:
            (self.bench.directory / name).unlink()
            self.wrong[name] = DELETED[name]
            self._changed(name, None)

    def touch(self, name: str) -> None:
        if self.texts[name] is not None:
            (self.bench.directory / name).touch()
            self._written(name)

    def save_the_same(self, name: str) -> None:
        """Another file with the same bytes."""
        if (text := self.texts[name]) is not None:
            replace(self.bench.directory / name, text)
            self._written(name)

    def kill(self, which: str) -> None:
        """Kill the oldest process, which mostly is the one that answers; or all."""
        self.endless.close()
        pids = self.bench.children()
        for pid in pids[:1] if which == "one" else pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.bench.until(lambda pid=pid: not is_alive(pid), "it is dead")  # type: ignore[misc]
        self.killed = self.died = self.unsure = True
        self.settled = None

    def crash(self) -> None:
        """Ask the app to crash; a report does not mind."""
        self.endless.close()
        with closing(self.bench.connect()) as connection:
            try:
                answer = connection.send("/exit").receive()
            except ConnectionError:
                unsure = self.killed or (self.crashed and self.unsure)
                assert unsure or self.expected[0] == 200, self.told()
                self.crashed, self.died = (503, "exit code 7 while answering GET /exit"), True
                self.settled = None
            else:
                assert self._is_report(answer), self.told(answer)

    # --- what is to be seen ------------------------------------------------------------------

    @property
    def expected(self) -> tuple[int, str]:
        """The status of the answer, and what it begins with."""
        if self.crashed:
            return self.crashed
        for name in ("app.py", "helper.py"):  # app.py imports helper.py, when it gets there
            if name in self.wrong:
                return self.wrong[name]
        return 200, f"{self.versions['app.py']} {self.versions['helper.py']}"

    def request(self) -> None:
        answer = self._get("/")
        if self.expected[0] != 200 or answer.status != 200:
            assert self._is_report(answer), self.told(answer)
        else:
            assert answer == Answer(*self.expected), self.told(answer)
        if Speech.asgi:
            self._check_endless(answer)
        loads = self.bench.load_count
        assert self.settled in {None, loads}, self.told(f"{loads} loads, {self.settled} before")
        self.settled = loads

    def _check_endless(self, answer: Answer) -> None:
        """Expect what would stay for ever to have ended if there was a reload; open it again."""
        try:
            self.endless.check(self.expected[1])
            if answer.status == 200 and not self.endless.are_open:
                self.endless.open(answer.body)
        except AssertionError as exc:
            raise AssertionError(self.told(answer)) from exc

    def request_lazily(self) -> None:
        answer = self._get("/lazy")
        if self.expected[0] != 200 or (self.killed and answer.status == 503):
            assert self._is_report(answer), self.told(answer)
        elif "lazy.py" in self.wrong:
            assert answer.status == 500, self.told(answer)
        else:
            assert answer == Answer(200, self.versions["lazy.py"]), self.told(answer)

    def told(self, what: object = "") -> str:
        story = "\n".join(self.story)
        return f"{what}\nexpected {self.expected} after:\n{story}\n\n{self.bench.told}"

    def _get(self, path: str) -> Answer:
        answer = self.bench.timed(lambda: self.bench.get(path), soon() + 2, "an answer")
        if self.crashed and self.unsure and answer.status != 503:
            self.crashed = None
        return answer

    def _is_report(self, answer: Answer) -> bool:
        if self.killed and answer.status == 503 and answer.body.startswith("killed by SIGKILL"):
            return True
        status, text = self.expected
        return answer.status == status != 200 and answer.body.startswith(text)

    def _put(self, name: str, way: str, text: str) -> None:
        SAVES[way](self.bench.directory / name, text)
        self._changed(name, text)

    def _written(self, name: str) -> None:
        """Note a change that is none, if that can be known."""
        self.unsure = True
        if name == "lazy.py" or self.crashed or self.killed:
            self.settled = None

    def _changed(self, name: str, text: str | None) -> None:
        self.texts[name] = text
        self.settled = None
        if name == "lazy.py":
            self.unsure = True
        else:
            self.crashed, self.killed = None, False


loaded = st.sampled_from(["app.py", "helper.py"])
names = st.sampled_from(list(DELETED))
ways = st.sampled_from(list(SAVES))
saves = st.tuples(st.just("save"), names, ways)
requests = st.tuples(st.just("request"))
steps = st.one_of(
    saves,
    saves,
    requests,
    requests,
    requests,
    st.tuples(st.just("request_lazily")),
    st.tuples(st.just("spoil"), loaded, ways, st.sampled_from(list(BREAKS))),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("touch"), names),
    st.tuples(st.just("save_the_same"), names),
    st.tuples(st.just("kill"), st.sampled_from(["one", "all"])),
    st.tuples(st.just("crash")),
)


@pytest.mark.both_interfaces
def test_p1_to_p6_hold_whatever_happens(tmp_path: Path) -> None:
    """One supervisor lives through all of the sequences."""
    files = {"app.py": app_of(0), "helper.py": MODULE % 0, "lazy.py": MODULE % 0}
    with serving(tmp_path, "app.py", ("--no-access-log",), files=files) as bench:

        @settings(
            max_examples=SEQUENCES,
            deadline=None,
            derandomize=not LONG,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(steps, min_size=STEPS // 2, max_size=STEPS))
        def play(sequence: list[tuple[str, ...]]) -> None:
            model = Model(bench.begin())
            for name in DELETED:
                model.play(("save", name, "replace"))
            model.request()
            with closing(model.endless), closing(bench.connect()) as early:
                for step in sequence:
                    model.play(step)
                model.request()
                if not model.died:  # a process that dies may have had it already
                    answer = early.send().receive()
                    assert answer.status == model.expected[0], model.told(answer)
                    assert answer.body.startswith(model.expected[1]), model.told(answer)
            beside = bench.directory / "beside"
            assert not beside.exists(), model.told(beside.read_text())

        play()
