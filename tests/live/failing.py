"""What the tests of failures share: supervisors that outlive a test, and apps that fail."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import pytest

import asyncreload
from tests.live.driving import COMMAND, DEADLINE, Answer, Connection, Served, lay_out, locks, until
from tests.live.processes import processes_of

T = TypeVar("T")

PACKAGE = str(Path(asyncreload.__file__).parent)
FAILED = "the load failed; waiting for a change"
DIED = "the app died, "
TRACEBACK = "Traceback (most recent call last)"

finds_orphans = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere nobody finds what has lost its parent"
)

SILENT = 6.0
"""Seconds until a child that holds the GIL has been found silent, and been replaced."""


def soon() -> float:
    """Return seconds: promised is one. The rest is for a machine with other things to do now."""
    return min(DEADLINE, max(3.0, 2.0 * os.getloadavg()[0] / (os.cpu_count() or 1)))


class Stream(Connection):
    """A connection whose response is read as it comes."""

    _data = b""

    def some(self) -> str:
        """Return what comes next; nothing at the end."""
        data = self._socket.recv(65536)
        self._data += data
        return data.decode()

    def until(self, text: str) -> Self:
        """Read until a text has come."""
        while text.encode() not in self._data:
            assert self.some(), f"it ended before {text!r}: {self._data[-200:]!r}"
        return self

    def receive(self) -> Answer:
        with self._socket:
            while self.some():
                pass
        return Answer.parse(self._data)


class Bench(Served):
    """A command that may serve many tests, one after another; each marks where it begins."""

    version = "good"
    _mark = 0

    def stream(self, path: str) -> Stream:
        """Send a request whose response is read as it comes."""
        stream = Stream(self.port)
        self._connections.append(stream)
        return stream.send(path)

    def begin(self) -> Self:
        """Tell from here on only what is printed from here on."""
        self._mark = len(self.output)
        return self

    @property
    def told(self) -> str:
        """What was printed since `begin`."""
        return self.output[self._mark :]

    @property
    def load_count(self) -> int:
        """How often code that begins with `LOGGED` was loaded."""
        return len(self.loads())

    def timed(self, ask: Callable[[], T], within: float, what: str) -> T:
        """Return the result of a call, which must come within some seconds."""
        began = time.monotonic()
        result = ask()
        took = time.monotonic() - began
        assert took < within, f"{what} took {took:.1f} s\n{self.told}"
        print(f"{what}: {took:.3f} s")
        return result

    def fresh(self, version: str, within: float | None = None, path: str = "/") -> None:
        """Expect a version as the answer to the very next request; `soon`, if nothing is said."""
        within = soon() if within is None else within
        assert self.timed(lambda: self.body(path), within, "a fresh answer") == version, self.told


B = TypeVar("B", bound=Bench)


def serving(
    place: Path,
    target: str = "app.py",
    options: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
) -> AbstractContextManager[Bench]:
    """Serve a project that is laid out in a directory, where nothing may be left at the end."""
    return serving_as(Bench, place, target, options, files, command)


@contextmanager
def serving_as(
    kind: type[B],
    place: Path,
    target: str,
    options: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
) -> Iterator[B]:
    """Do as `serving` does, with a bench of some other kind."""
    project, temp = place / "project", place / "tmp"
    project.mkdir(exist_ok=True)
    temp.mkdir(exist_ok=True)
    lay_out(project, files=files)
    full = [*command, target, "--port", "0", *options]
    bench = kind(project, temp, full, place / "output.txt")

    def left() -> list[object]:
        return [*processes_of(place).items(), *locks(temp)]

    try:
        yield bench
    finally:
        try:
            bench.stop()
            until(lambda: not left(), "nothing is left", soon(), lambda: f"{left()}\n{bench.told}")
        finally:
            bench.hang_up()
            bench.kill()
            for pid in processes_of(place):
                kill_quietly(pid)
            print(bench.told)


def kill_quietly(pid: int) -> None:
    """Kill a process that may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Benches:
    """Supervisors that serve test after test, as long as they answer; each has a name."""

    def __init__(
        self,
        factory: pytest.TempPathFactory,
        target: str,
        *options: str,
        files: Mapping[str, str],
    ) -> None:
        self._factory = factory
        self._start = partial(serving, target=target, options=options, files=files)
        self._open: dict[str, tuple[Bench, ExitStack]] = {}

    def take(self, name: str) -> Bench:
        """Return one that serves its version."""
        if name in self._open:
            bench, stack = self._open.pop(name)
            with stack:
                if bench.process.poll() is None and bench.get() == Answer(200, bench.version):
                    self._open[name] = bench, stack.pop_all()
                    return bench.begin()
        with ExitStack() as stack:
            place = self._factory.mktemp(name.replace(" ", "-"))
            bench = stack.enter_context(self._start(place))
            assert bench.body() == bench.version
            self._open[name] = bench, stack.pop_all()
        return bench.begin()

    def close(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one[1].close(), self._open.values()))


@contextmanager
def no_core_dumps() -> Iterator[None]:
    """Let crashes on purpose leave no files about."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def app_of(version: str, at_load: str = "", top: str = "") -> str:
    """Return the source of an app that does what a file, `fail`, says when it is told to.

    That is at a request for /fail; and 50 ms after one for /arm, when the process is idle.

    at_load: runs at the end of the import; top: at its beginning.
    """
    return f"""\
{top}
import ctypes, os, signal, socket, sys, threading, time
VERSION = "{version}"
def fail():
    with open("fail") as file:
        source = file.read()
    exec(source, globals())
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        fail()
    if environ["PATH_INFO"] == "/arm":
        timer = threading.Timer(0.05, fail)
        timer.daemon = True
        timer.start()
    start_response("200 OK", [("Content-Type", "text/plain")])
    pid = environ["PATH_INFO"] == "/pid"
    return [(str(os.getpid()) if pid else VERSION).encode()]
{at_load}
"""
