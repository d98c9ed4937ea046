"""What comes before the first code of the project, in its order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from asyncreload.child.lifecycle import load_start as module
from asyncreload.child.lifecycle.life import Life
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.load_start import LoadStart
from asyncreload.errors import EnvironmentFileError
from asyncreload.exit_codes import RELOAD
from asyncreload.phase import Phase
from asyncreload.protocol import CheckpointRefused, Going, Message
from asyncreload.settings import Settings
from tests.unit.lifecycle.stand_ins import load_of
from tests.unit.watching import HOUR


class VanishedError(Exception):
    """Stands for the end of the process."""


class ColdStartError(Exception):
    """Another process is to load."""


class Bench:
    """Stands for all that a load is begun with, and notes what is done."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.life = Life()
        self.life.advance(Phase.WARM)
        self.found: list[str] = []
        self.outdated: list[str] = []
        self.differing = ""
        self.wanted: dict[str, int] = {}
        self.cannot_renew = False
        self.agent = SimpleNamespace(life=self.life, link=self, shutdown=self)
        self.baselines = SimpleNamespace(
            begin_load=lambda _since, changed, _late: self.log.append(("begin load", [*changed])),
            adopt=lambda _files: self.log.append("adopt"),
            wanted_since=lambda moment: [path for path, at in self.wanted.items() if at > moment],
        )
        searches = SimpleNamespace(scan_all=lambda: self.found)
        self.scanner = SimpleNamespace(
            searches=searches,
            watch_patterns=lambda _patterns: self.log.append("watch"),
            watch_again=lambda: self.log.append("watch again"),
            opened=SimpleNamespace(install=lambda: self.log.append("hear of files")),
        )
        self.modules = SimpleNamespace(take_start=lambda _began: self.outdated)
        self.preload = SimpleNamespace(
            check_shadowed=lambda: self.log.append("check shadowed"),
            import_asgi_server=lambda: self.log.append(("asgi server", self.life.phase)),
            replay_seconds=0.7,
        )
        self.refreshers = SimpleNamespace(
            add=lambda _use, _wants: self.log.append("refreshers"), tell=self.tell
        )
        checkpoints = SimpleNamespace(
            begin=lambda before, *, at_end, keep, ahead: self.log.append(
                ("checkpoints", before, at_end, keep, ahead, self.life.phase)
            ),
            refresh=lambda: self.log.append("refresh"),
        )
        validity = SimpleNamespace(differing=lambda: self.differing)
        parts = (self, self, checkpoints, validity, lambda: 0, self.start_cold)
        self.start = LoadStart(*(cast("Any", part) for part in parts))

    def tell(self, paths: list[str]) -> None:
        self.log.append(f"renew {paths}")
        if self.cannot_renew:
            raise ValueError("no")

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()
        self.log.append("burst")

    def call(self, function: Callable[[], object]) -> None:
        function()

    def send(self, message: Message) -> None:
        self.log.append(message)

    def notice(self, text: str) -> None:
        self.log.append(text)

    def vanish(self, code: int) -> NoReturn:
        raise VanishedError(code)

    def start_cold(self, reason: str) -> NoReturn:
        raise ColdStartError(reason)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "speaks_asgi_likely", lambda _file: False)
    monkeypatch.setattr(module, "read_files", lambda _files, _baselines: {})
    bench = Bench()
    monkeypatch.setattr(module, "forget_archives", lambda: bench.log.append("forget archives"))
    return bench


def test_a_load_from_nothing_is_told_and_watched_before_anything_is_read(bench: Bench) -> None:
    load = load_of(checkpoints=("views.py",))
    bench.start.begin(load)
    assert bench.log == [
        Going(load.began),
        ("begin load", []),
        "hear of files",
        "adopt",
        "check shadowed",
        "forget archives",
        "watch",
        ("checkpoints", ("views.py",), False, (), 0.7, Phase.LOADING),
    ]
    assert bench.life.go_heard.is_set()
    assert bench.life.load is not None
    assert bench.life.load.began > load.began


def test_the_end_of_a_burst_is_waited_for_before_patterns_are_looked_at(bench: Bench) -> None:
    bench.start.begin(load_of(settle=True))
    assert bench.log.index("burst") < bench.log.index("watch")


@pytest.mark.parametrize("kind", ["found", "outdated"])
def test_one_that_has_imported_ahead_what_does_not_fit_gives_way(bench: Bench, kind: str) -> None:
    setattr(bench, kind, ["/library.py"])
    with pytest.raises(ColdStartError, match="has"):
        bench.start.begin(load_of())
    assert bench.life.phase is Phase.WARM


def test_what_serves_asgi_is_imported_by_us_and_not_by_the_app(bench: Bench) -> None:
    bench.start.begin(load_of(asgi=True))
    assert ("asgi server", Phase.WARM) in bench.log


@pytest.mark.parametrize("last", [None, False])
def test_a_source_is_guessed_at_only_while_the_app_has_not_been_loaded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, last: bool | None
) -> None:
    monkeypatch.setattr(module, "speaks_asgi_likely", lambda _file: True)
    bench.start.begin(load_of(asgi=last))
    assert (("asgi server", Phase.WARM) in bench.log) is (last is None)


def test_a_crash_is_reported_and_nothing_is_read_for_it(bench: Bench) -> None:
    bench.start.begin(load_of(crash=("killed", "while serving"), asgi=True))
    assert bench.log[-1] == "watch"
    assert bench.life.phase is Phase.LOADING


def with_environment(path: str) -> Settings:
    settings = Settings(target="app.py")
    object.__setattr__(settings, "env_file", (path,))  # python-dotenv need not be there
    return settings


@pytest.mark.parametrize(
    ("changed", "told"), [({}, True), ({"/other.py": None}, False), ({"/.env": None}, True)]
)
def test_an_environment_file_that_is_not_there_is_told_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], *, told: bool
) -> None:
    sentences = {"/.env": "there is no /.env: going on without it"}
    monkeypatch.setattr(module, "read_files", lambda _files, _baselines: sentences)
    bench.start.begin(load_of(settings=with_environment("/.env"), changed=changed))
    assert ("there is no /.env: going on without it" in bench.log) is told


def test_one_that_cannot_be_read_is_a_failed_load(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_files: object, _baselines: object) -> NoReturn:
        raise EnvironmentFileError

    monkeypatch.setattr(module, "read_files", fail)
    with pytest.raises(EnvironmentFileError):
        bench.start.begin(load_of(settings=with_environment("/.env")))
    assert bench.life.phase is Phase.LOADING


def resumed(**fields: Any) -> Load:
    return load_of(os.curdir, changed={"/views.py": None}, settle=True, **fields)


def test_a_process_that_goes_on_looks_whether_it_may_after_the_burst(bench: Bench) -> None:
    load = resumed(checkpoint_at_end=True)
    bench.start.resume(load)
    assert bench.log == [
        Going(load.began),
        ("begin load", ["/views.py"]),
        "burst",
        "forget archives",
        "watch again",
        "refresh",
        ("checkpoints", (), True, (), 0.0, Phase.WARM),
    ]
    assert bench.life.phase is Phase.LOADING


def test_it_has_renewed_what_was_kept_of_files_that_have_changed_since_the_load_began(
    bench: Bench,
) -> None:
    bench.start.begin(load_of())
    bench.log.clear()
    bench.wanted = {"/old.html": 1, "/new.html": time.time_ns() + HOUR}
    bench.start.resume(resumed())
    assert bench.log[-1] == "renew ['/new.html']"
    bench.start.resume(resumed(refreshed=("/new.html", "/late.mo")))
    assert bench.log[-2:] == ["renew ['/new.html']", "renew ['/late.mo']"]
    bench.cannot_renew = True
    with pytest.raises(ColdStartError, match=r"/new\.html cannot be renewed"):
        bench.start.renew_caches()


def test_a_load_from_nothing_has_nothing_to_renew(bench: Bench) -> None:
    bench.start.begin(load_of(refreshed=("/new.html",)))
    bench.start.renew_caches()
    assert not [told for told in bench.log if str(told).startswith("renew")]


def test_it_ends_when_what_it_rests_on_has_changed(bench: Bench) -> None:
    bench.differing = "/models.py"
    with pytest.raises(VanishedError) as vanished:
        bench.start.resume(resumed())
    assert vanished.value.args == (RELOAD,)
    assert bench.log[-1] == CheckpointRefused("/models.py has changed")
    assert bench.life.phase is Phase.WARM


@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_to_be_kept_is_kept_where_there_are_checkpoints(
    bench: Bench, *, wanted: bool
) -> None:
    load = load_of(settings=Settings(target="app.py", keep=("big",)), checkpoint_at_end=wanted)
    bench.start.begin(load)
    assert bench.log[-1] == ("checkpoints", (), wanted, ("big",) * wanted, 0.7, Phase.LOADING)
