"""Who observes imports in which phase; and the session: imports ahead, and what comes of them."""

from __future__ import annotations

import importlib
import sys
from contextlib import nullcontext
from typing import NoReturn

import pytest

from asyncreload.child.imports.import_observer import Code
from asyncreload.child.preload import session as session_module
from asyncreload.child.preload.conditions import Conditions
from asyncreload.child.preload.recorder import Recorder
from asyncreload.child.preload.refusal import RefusingObserver
from asyncreload.child.preload.session import (
    PreloadSession,
    QuietObserver,
    RecordingObserver,
)
from asyncreload.child.watch.file_kinds import FileKind
from asyncreload.child.watch.file_state import FileState
from asyncreload.phase import Phase
from asyncreload.protocol import Message, Preload, Preloaded, Preloading
from tests.unit.preload.child_runs import ChildRun
from tests.unit.watching import run_here

APP, LIBRARY = "/srv/project/app.py", "/srv/site-packages/library.py"
STATE = FileState((1, 2, 3, 4))


class NotedRecorder(Recorder):
    """Notes what it is told; `fits` is what it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []
        self.fits = True

    def before_import(self, name: str) -> None:
        self.told.append(name)

    def after_compile(self, path: str, code: Code, state: FileState) -> None:
        self.told.append((path, code, state))

    def is_as_before(self, path: str, code: Code, state: FileState) -> bool:
        self.told.append(("compared", path, code, state))
        return self.fits


class ColdStartError(Exception):
    """Raised where the process would end, so that a cold one takes its place."""


def start_cold(reason: str, found: Conditions) -> NoReturn:
    assert bool(found) is reason.startswith("after the load")
    raise ColdStartError(reason)


@pytest.fixture
def recorder() -> NotedRecorder:
    return NotedRecorder()


# --- the observer of a standby -------------------------------------------------------------------


def test_a_standby_refuses_the_projects_modules() -> None:
    observer = RefusingObserver()
    with pytest.raises(ImportError) as caught:
        observer.before_module(APP, "app", FileKind.PROJECT)
    assert str(caught.value) == f"{APP} belongs to the project: a standby does not load it"
    assert observer.has_refused
    observer.begin()
    assert not observer.has_refused


@pytest.mark.parametrize("name", ["library", "library.part"])
def test_a_standby_refuses_what_cannot_be_imported_ahead(name: str) -> None:
    observer = RefusingObserver()
    observer.leave_out(["library"])
    observer.before_module(LIBRARY, "library_too", FileKind.PACKAGE)
    with pytest.raises(ImportError, match=f"^{name} cannot be imported ahead$"):
        observer.before_module(LIBRARY, name, FileKind.PACKAGE)
    assert observer.has_refused


def test_a_standby_loads_packages() -> None:
    observer = RefusingObserver()
    observer.before_module(LIBRARY, "library", FileKind.PACKAGE)
    observer.after_compile(LIBRARY, b"", STATE)
    assert not observer.has_refused


def test_a_standby_does_not_watch_other_code_of_the_project() -> None:
    """Such as an archive, whose contents it may read without loading anything from it."""
    observer = RefusingObserver()
    assert not observer.before_other_code("/srv/project/library.zip")
    assert not observer.has_refused


# --- the observer while requests are served ------------------------------------------------------


def test_what_requests_import_is_recorded(recorder: NotedRecorder) -> None:
    observer = QuietObserver(recorder)
    observer.before_module(LIBRARY, "library", FileKind.PACKAGE)
    observer.before_module(APP, "app", FileKind.PROJECT)
    observer.after_compile(APP, b"code", STATE)
    assert recorder.told == ["library", (APP, b"code", STATE)]


def test_other_code_is_watched_while_requests_are_served(recorder: NotedRecorder) -> None:
    assert QuietObserver(recorder).before_other_code(APP)


# --- the observer of a load ----------------------------------------------------------------------


def test_a_load_is_recorded_and_compared(recorder: NotedRecorder) -> None:
    observer = RecordingObserver(recorder, start_cold, recorder.told.append)
    observer.before_module(LIBRARY, "library", FileKind.PACKAGE)
    observer.after_compile(APP, b"code", STATE)
    observer.before_module(APP, "app", FileKind.PROJECT)
    assert observer.before_other_code("/srv/app.zip")
    compared = ("compared", APP, b"code", STATE)
    assert recorder.told == ["library", compared, APP, "/srv/app.zip"]
    assert observer.loaded == 1


def test_a_load_that_does_something_else_before_its_last_import_starts_cold(
    recorder: NotedRecorder,
) -> None:
    recorder.fits = False
    with pytest.raises(ColdStartError, match=f"^{APP} has changed its imports, or what"):
        RecordingObserver(recorder, start_cold, recorder.told.append).after_compile(
            APP, b"code", STATE
        )


# --- the session ---------------------------------------------------------------------------------


class Session:
    """A session in this process, which plays a child; and what it has sent."""

    def __init__(self, child: ChildRun) -> None:
        self.child = child
        self.sent: list[Message] = []
        self.made: PreloadSession
        self.begin()

    @property
    def told(self) -> list[Message]:
        """What it has sent, but for the progress of its imports."""
        return [message for message in self.sent if not isinstance(message, Preloading)]

    def begin(self) -> None:
        """Be the next child."""
        self.child.start()
        self.sent.clear()
        self.made = PreloadSession(self.sent.append, start_cold)
        self.child.observer = self.made.observer(Phase.WARM)

    def load(self, source: str) -> None:
        """Load an app."""
        self.child.observer = self.made.observer(Phase.LOADING)
        self.child.path(root=True)
        exec(source, {"__name__": "app"})
        self.made.check_load()
        self.child.observer = self.made.observer(Phase.SERVING)

    async def tell(self) -> list[Message]:
        """Return what is told the parent."""
        self.sent.clear()
        await self.made.tell(self.child.root)
        return list(self.sent)

    async def told_preload(self) -> Preload:
        (told,) = await self.tell()
        assert isinstance(told, Preload)
        return told


@pytest.fixture
def session(child: ChildRun, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(session_module, "hop", run_here)
    child.package("library.py")
    child.package("another.py")
    child.module("mine.py", "import library\nVALUE = 1")
    return Session(child)


@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        (Phase.BOOTING, RefusingObserver),
        (Phase.WARM, RefusingObserver),
        (Phase.LOADING, RecordingObserver),
        (Phase.SERVING, QuietObserver),
        (Phase.REPORTING, QuietObserver),
        (Phase.DRAINING, QuietObserver),
        (Phase.GONE, QuietObserver),
    ],
)
def test_each_phase_has_its_observer(session: Session, phase: Phase, kind: type) -> None:
    assert type(session.made.observer(phase)) is kind


@pytest.mark.asyncio
async def test_what_was_loaded_is_told_once(session: Session) -> None:
    session.made.note_arguments(["app.py", "-v"])
    assert await session.tell() == []  # nothing is loaded yet
    session.load("import mine")
    told = await session.told_preload()
    assert "library" in told.modules
    assert "mine" not in told.modules
    assert (told.root, told.argv) == (session.child.root, ("app.py", "-v"))
    assert await session.tell() == []


@pytest.mark.asyncio
async def test_what_a_request_imports_later_is_told_too(session: Session) -> None:
    session.load("import mine")
    first = await session.told_preload()
    exec("import another", {"__name__": "app"})
    assert (await session.told_preload()).modules == (*first.modules, "another")


@pytest.mark.asyncio
async def test_a_standby_imports_ahead_and_tells_what_came_of_it(session: Session) -> None:
    session.load("import mine")
    told = await session.told_preload()
    session.begin()
    session.made.replay(told)
    assert session.told == [Preloaded(())]
    assert Preloading("library") in session.sent  # before it can have died of it
    assert {"library"} == session.child.loaded() & {"library", "mine"}
    session.load("import mine")
    assert (await session.told_preload()).is_like(told)  # its file is older by now


@pytest.mark.asyncio
async def test_a_package_that_asks_for_the_projects_code_has_failed(session: Session) -> None:
    """Also one that copes when it does not get it: it is not the same after that."""
    session.child.package(
        "needy.py", "try:\n    import mine\nexcept ImportError:\n    mine = None\n"
    )
    session.load("import library, needy, mine")
    told = await session.told_preload()
    session.begin()
    session.made.replay(told)
    assert session.told == [Preloaded(("needy",))]


@pytest.mark.asyncio
async def test_a_load_that_ends_under_other_conditions_starts_cold(session: Session) -> None:
    session.load("import mine")
    told = await session.told_preload()
    session.begin()
    session.made.replay(told)
    with pytest.raises(
        ColdStartError, match=r"^after the load these differ: environment variables \(MODE\)$"
    ):
        session.load("import os, mine\nos.environ['MODE'] = 'fast'")
    assert await session.tell() == []  # nor is it told as a load that has ended well


@pytest.mark.asyncio
async def test_what_requests_import_may_change_conditions(session: Session) -> None:
    """It is imported ahead with the rest: before the load has ended, not after it."""
    session.child.package(
        "lazy.py",
        """
        import logging, warnings
        logging.getLogger("lazy").addHandler(logging.NullHandler())
        warnings.filterwarnings("ignore", "lazy")
        """,
    )
    with session.child.app_settings():
        session.load("import mine")
        await session.told_preload()
        exec("import lazy", {"__name__": "app"})
        told = await session.told_preload()
    with session.child.app_settings():
        session.begin()
        session.made.replay(told)
        assert session.told == [Preloaded(())]
        session.load("import mine")
        assert (await session.told_preload()).modules == told.modules


def test_a_load_without_a_replay_may_end_under_any_conditions(session: Session) -> None:
    session.load("import os, mine\nos.environ['MODE'] = 'fast'")


@pytest.mark.asyncio
async def test_code_that_has_changed_above_its_last_import_starts_cold(session: Session) -> None:
    session.load("import mine")
    told = await session.told_preload()
    session.begin()
    session.made.replay(told)
    session.child.module("mine.py", "VALUE = 2\nimport library")
    path = session.child.project / "mine.py"
    with pytest.raises(ColdStartError, match=f"^{path} has changed its imports, or"):
        session.load("import mine")


@pytest.mark.asyncio
async def test_code_that_has_changed_below_its_last_import_goes_on(session: Session) -> None:
    session.load("import mine")
    told = await session.told_preload()
    session.begin()
    session.made.replay(told)
    session.child.module("mine.py", "import library\nVALUE = 'another one'")
    session.load("import mine")


@pytest.mark.asyncio
@pytest.mark.parametrize(("source", "goes_on"), [("NUMBER = 1", True), ("import another", False)])
async def test_a_new_file_goes_on_if_it_imports_nothing(
    session: Session, source: str, *, goes_on: bool
) -> None:
    """It can set nothing up before an import of its own."""
    session.load("import mine")
    told = await session.told_preload()
    session.begin()
    session.made.replay(told)
    session.child.module("newly.py", source)
    with nullcontext() if goes_on else pytest.raises(ColdStartError, match="newly"):
        session.load("import mine, newly")


@pytest.mark.asyncio
async def test_what_serves_asgi_apps_is_ours_and_imported_first_the_next_time(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: list[str] = []

    def import_server() -> None:
        imported.append("server")
        importlib.import_module("another")

    monkeypatch.setattr(session_module, "import_server", import_server)
    session.child.observer = session.made.observer(Phase.LOADING)
    session.child.path(root=True)
    session.made.import_asgi_server()
    session.made.import_asgi_server()
    assert imported == ["server"]
    session.load("import mine")
    told = await session.told_preload()
    assert (told.modules, told.asgi) == (("library",), True)
    session.begin()
    session.made.replay(told)
    assert imported == ["server", "server"]
    assert sys.modules["another"]


@pytest.mark.asyncio
async def test_a_file_of_the_project_that_shadows_a_package_starts_cold(session: Session) -> None:
    session.load("import mine")
    told = await session.told_preload()
    session.begin()
    session.made.replay(told)
    session.child.path(root=True)
    session.made.check_shadowed()
    session.child.module("library.py")
    with pytest.raises(ColdStartError, match=r"^a file of the project has the name of a package$"):
        session.made.check_shadowed()


def test_without_a_replay_a_file_may_have_the_name_of_a_package(session: Session) -> None:
    session.child.module("library.py")
    session.child.path(root=True)
    session.made.check_shadowed()
