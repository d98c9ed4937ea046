"""Fixtures of the live tests; one of them checks after each test that nothing is left."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.live.browsing import Browser, Tab
from tests.live.command_forks import CommandForks
from tests.live.django_projects import start_project
from tests.live.driving import (
    COMMAND,
    LONG,
    NO_CACHES,
    SPEAKS_ASGI,
    Served,
    Speech,
    environment_of,
    lay_out,
    locks,
    spoken,
    stop_all,
    until,
)
from tests.live.processes import PORTABLE, SYSTEM, processes_of

if TYPE_CHECKING:
    from asyncreload.testing import App, Layout


class SpokenLayout:
    """The fixture `supervised`, whose apps speak the interface that a test is run for.

    Those that are written do so; a source that is copied stays as it is.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def __call__(self, *source: str, **options: Any) -> AbstractAsyncContextManager[App]:
        files = {name: spoken(text) for name, text in options.pop("files", {}).items()}
        return self._speaking(self._layout(*source, files=files, **options))

    @asynccontextmanager
    async def _speaking(self, serving: AbstractAsyncContextManager[App]) -> AsyncIterator[App]:
        async with serving as app:
            write = app.write

            async def write_spoken(name: str, text: str) -> Path:
                return await write(name, spoken(text))

            app.write = write_spoken  # type: ignore[method-assign]
            yield app


class Serve(Protocol):
    """Starts a command on a project that is laid out first."""

    def __call__(
        self,
        target: str = "app.py",
        *options: str,
        app: str = "",
        files: dict[str, str] | None = None,
        command: tuple[str, ...] = COMMAND,
    ) -> Served: ...


class Start(Protocol):
    """Starts a command in the project."""

    def __call__(self, *command: str) -> Served: ...


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked with `both_interfaces` once for each."""
    if metafunc.definition.get_closest_marker("both_interfaces") and not SPEAKS_ASGI:
        metafunc.parametrize("interface", ["wsgi", "asgi"], indirect=True)


@pytest.fixture(autouse=True)
def interface(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the apps of a test speak the interface that it is run for."""
    Speech.asgi = SPEAKS_ASGI or getattr(request, "param", "wsgi") == "asgi"
    if Speech.asgi:
        pytest.importorskip("uvicorn")
    yield
    Speech.asgi = SPEAKS_ASGI


@pytest.fixture
def supervised(supervised: Layout) -> SpokenLayout:
    """Do as the fixture of the same name that comes with asyncreload."""
    return SpokenLayout(supervised)


@pytest.fixture(scope="session", autouse=True)
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have commands forked, in the short version; see `forks_nothing`."""
    if LONG or sys.platform != "linux" or PORTABLE:
        yield
        return
    with CommandForks(environment_of(tmp_path_factory.getbasetemp())) as Served.forks:
        yield
    Served.forks = None


@pytest.fixture
def forks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each command be a process of its own, for a test of its start."""
    monkeypatch.setattr(Served, "forks", None)


@pytest.fixture(autouse=True)
def stands_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no standby made in the short version, where a test has nothing to do with it."""
    if not LONG and request.node.get_closest_marker("without_standby"):
        monkeypatch.setattr(Served, "stands_by", False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory for the app's files."""
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def started_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `startproject` makes it, migrated, with an app; made once for all workers."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    directory = common / "startproject"
    with open(common / "startproject.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.exists():
            return directory
        making = tmp_path_factory.mktemp("making")
        start_project(making)
        making.rename(directory)
    return directory


@pytest.fixture
def site(started_project: Path, project: Path, request: pytest.FixtureRequest) -> Path:
    """The same, for one test."""
    shutil.copytree(started_project, project, dirs_exist_ok=True)
    if not LONG and request.node.get_closest_marker("without_standby"):
        lay_out(project, files={"pyproject.toml": "[tool.asyncreload]\nstandby = false\n"})
    return project


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    """The directory of temporary files, of this process and of those that it starts."""
    path = tmp_path / "tmp"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, temp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test after which a process, lockfile, descriptor or thread is left."""
    monkeypatch.setenv("TMPDIR", str(temp))
    # A stale cache is one of the dangers: caches are written as they are for everybody.
    monkeypatch.delenv(NO_CACHES, raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)  # what is printed is compared
    monkeypatch.setattr(tempfile, "tempdir", None)
    threads = set(threading.enumerate())
    before = SYSTEM.own_descriptors()
    yield

    def left() -> list[str]:
        return [
            *(f"process {pid}: {command}" for pid, command in processes_of(tmp_path).items()),
            *(f"lockfile {path}" for path in locks(temp)),
            *(f"thread {thread}" for thread in set(threading.enumerate()) - threads),
            *(f"descriptor {name}" for name in SYSTEM.own_descriptors() - before),
        ]

    try:
        until(lambda: not left(), "nothing is left", 5, lambda: "\n".join(left()))
    finally:
        for pid in processes_of(tmp_path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def serve(tmp_path: Path, project: Path, temp: Path) -> Iterator[Serve]:
    """Start commands that serve; they are stopped at the end, and what they printed is shown."""
    started: list[Served] = []

    def start(
        target: str = "app.py",
        *options: str,
        app: str = "",
        files: dict[str, str] | None = None,
        command: tuple[str, ...] = COMMAND,
    ) -> Served:
        lay_out(project, app, files)
        output = tmp_path / f"output{len(started)}.txt"
        full = [*command, *filter(None, [target]), "--port", "0", *options]
        served = Served(project, temp, full, output)
        started.append(served)
        assert served.port
        return served

    yield start
    stop_all(started)


@pytest.fixture
def start(tmp_path: Path, project: Path, temp: Path) -> Iterator[Start]:
    """Start commands in the project as they are; they are stopped at the end."""
    started: list[Served] = []

    def start(*command: str) -> Served:
        served = Served(project, temp, command, tmp_path / f"started{len(started)}.txt")
        started.append(served)
        return served

    yield start
    stop_all(started)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of a worker: each test has tabs of its own."""
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab of the test's own; at its end, those that it opened are closed too."""
    before = browser.tabs()
    tab = browser.tab()
    yield tab
    tab.drive().restore()
    for handle in browser.tabs():
        if handle not in before:
            Tab(browser, handle).close()
    Tab(browser, before[0]).drive()
