"""What follows a change: the parent is told, then the end begins; or nothing is reloaded."""

from __future__ import annotations

import asyncio
import linecache
from importlib.util import cache_from_source
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from asyncreload.child.lifecycle import change_response as module
from asyncreload.child.lifecycle.change_response import READ_BEFORE_REFRESH, ChangeResponse
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.load_state import LoadState
from asyncreload.child.preload.conditions import Conditions
from asyncreload.exit_codes import RELOAD
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, Message, PackagesChanged, Refreshed
from asyncreload.settings import Settings
from tests.unit.lifecycle.stand_ins import FrontEnd, Link, Shutdown, life_at_work


class LinkAndShutdown(Link, Shutdown):
    """Notes in which order the parent is told and the end begins."""

    def __init__(self) -> None:
        Link.__init__(self)
        Shutdown.__init__(self)
        self.log: list[object] = []

    def send(self, message: Message) -> None:
        super().send(message)
        self.log.append(type(message))

    def begin(self, code: int) -> None:
        super().begin(code)
        self.log.append(code)


class Bench:
    """Nothing is loaded but what the test says."""

    def __init__(self) -> None:
        self.life, self.front_end, self.link = life_at_work(), FrontEnd(), LinkAndShutdown()
        self.told: list[Load] = []
        self.state = LoadState.begin(print, print, self.link.send, self.start_cold)
        self.response = ChangeResponse(
            self.life,
            cast("Any", self.link),
            self.state,
            cast("Any", self.front_end),
            cast("Any", SimpleNamespace(tell_files=self.told.append)),
            cast("Any", self.link),
        )

    def start_cold(self, reason: str, found: Conditions) -> NoReturn:
        del found
        raise AssertionError(reason)

    def changed(self, *paths: str) -> FilesChanged:
        """Return what the parent is told of these."""
        self.response.on_change([*paths])
        (told,) = (one for one in self.link.sent if isinstance(one, FilesChanged))
        return told


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.SERVING])
def test_a_change_is_told_before_the_end_begins(bench: Bench, phase: Phase) -> None:
    bench.life.advance(phase)
    changed = bench.changed("/app.py")
    assert changed.loading is (phase is Phase.LOADING)
    assert [*changed.files] == ["/app.py"]
    assert not changed.packages
    assert bench.link.log == [FilesChanged, RELOAD]


def test_tracebacks_show_no_text_of_what_has_changed(bench: Bench, tmp_path: Path) -> None:
    """The file has another text than the code that runs on."""
    path = tmp_path / "app.py"
    path.write_text("old = 1 / 0\n")
    assert linecache.getline(str(path), 1) == "old = 1 / 0\n"
    path.write_text("new = 1\n")
    bench.changed(str(path))
    linecache.checkcache(str(path))
    assert linecache.getline(str(path), 1) == ""
    linecache.cache.pop(str(path))


def test_the_cache_of_what_python_runs_at_its_start_goes_with_a_change(
    bench: Bench, tmp_path: Path
) -> None:
    """The next Python would read it before any hook of ours: it may be as young as the save."""
    caches = []
    for name in ("early.py", "late.py"):
        (tmp_path / name).write_text("")
        caches.append(Path(cache_from_source(str(tmp_path / name))))
        caches[-1].parent.mkdir(exist_ok=True)
        caches[-1].touch()
    bench.state.modules.ran_at_start = (str(tmp_path / "early.py"),)
    bench.response.on_change([str(tmp_path / "early.py"), str(tmp_path / "late.py")])
    assert [cache.exists() for cache in caches] == [False, True]


def test_an_environment_file_outdates_what_a_standby_has_imported(bench: Bench) -> None:
    assert bench.life.load is not None
    settings = Settings(target="app.py")
    object.__setattr__(settings, "env_file", ("/project/variables",))  # needs no python-dotenv
    bench.life.load = bench.life.load.replaced(settings=settings)
    assert bench.changed("/project/variables").packages


@pytest.mark.parametrize("name", [".env", ".flaskenv"])
def test_so_does_one_that_the_app_reads_by_itself(bench: Bench, name: str) -> None:
    assert bench.changed(f"/project/{name}").packages


@pytest.mark.asyncio
async def test_what_is_refreshed_is_told_to_who_uses_it_when_requests_are_answered(
    bench: Bench,
) -> None:
    used: list[str] = []

    def use(path: str) -> bool:
        used.append(path)
        return True

    bench.state.refreshers.add(use, lambda _: True)
    assert bench.response.may_refresh("/page.html")
    assert await bench.response.refresh(["/page.html"])
    assert used == ["/page.html"]
    assert bench.front_end.waited == [("answered", READ_BEFORE_REFRESH)]
    bench.response.on_refreshed(["/page.html"])
    assert bench.front_end.refreshed == [["/page.html"]]
    assert bench.link.log == [Refreshed]


@pytest.mark.asyncio
async def test_what_nobody_refreshes_needs_a_reload(bench: Bench) -> None:
    assert not bench.response.may_refresh("/page.html")
    assert not await bench.response.refresh(["/page.html"])


def test_requests_go_on_when_a_change_is_taken_back(bench: Bench) -> None:
    bench.response.on_change_taken_back()
    assert bench.front_end.resumed == 1
    assert bench.link.log == []


def test_a_package_that_comes_or_goes_is_told(bench: Bench) -> None:
    bench.response.on_packages_moved()
    assert bench.link.log == [PackagesChanged]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("phase", "learned", "told"),
    [
        (Phase.SERVING, True, True),
        (Phase.SERVING, False, False),
        (Phase.DRAINING, True, False),
    ],
)
async def test_what_has_been_learned_is_told_after_a_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, phase: Phase, *, learned: bool, told: bool
) -> None:
    bench.life.advance(phase)
    monkeypatch.setattr(bench.state.baselines, "has_learned", lambda: learned)
    await bench.response.after_look()
    assert bench.told == [bench.life.load] * told


@pytest.mark.asyncio
async def test_before_the_load_there_is_nothing_to_tell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.life.load = None
    monkeypatch.setattr(bench.state.baselines, "has_learned", lambda: True)
    await asyncio.wait_for(bench.response.after_look(), 5)
    assert bench.told == []


@pytest.mark.parametrize("at_prompt", [False, True])
def test_the_monitor_learns_what_it_has_to_know(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, at_prompt: bool
) -> None:
    monkeypatch.setattr(module, "is_at_prompt", lambda: at_prompt)
    assert bench.response.is_debugging() is at_prompt
    assert bench.response.phase is Phase.LOADING
    assert bench.response.has_listeners is bench.front_end.has_listeners
