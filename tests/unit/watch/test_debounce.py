"""When a burst of changes is over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncreload.child.watch import debounce
from asyncreload.child.watch.debounce import PATIENCE, QUIET, newest, quiet
from asyncreload.child.watch.file_state import Signature
from tests.unit.watching import SECOND, Clock


class Saves:
    """A directory whose change times are told, not taken from the disk."""

    def __init__(self, root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.clock = clock
        self.began = clock.time_ns()
        self.changed: dict[str, int] = {}
        self.naps: list[float] = []
        self.saves: list[tuple[str, float]] = []
        monkeypatch.setattr(debounce, "signature_at", self.signature_at)

    def signature_at(self, path: str) -> Signature | None:
        at = self.changed.get(path)
        return None if at is None else (0, at, 0, 0)

    def save(self, path: str, seconds: float = 0) -> None:
        self.changed[path] = self.clock.time_ns() + round(seconds * SECOND)

    async def sleep(self, seconds: float) -> None:
        assert len(self.naps) < 1000
        self.naps.append(round(seconds, 6))
        if self.saves:
            path, at = self.saves.pop(0)
            self.clock.advance(round(at * SECOND))
            self.save(path)
            self.clock.advance(round((seconds - at) * SECOND))
        else:
            self.clock.advance(round(seconds * SECOND))

    async def quiet(self, *paths: str) -> list[float]:
        await quiet(str(self.root), paths, self.sleep, self.clock.time_ns)
        return self.naps


@pytest.fixture
def saves(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Saves:
    clock.stand_still()
    for name in ("a.py", "sub/b.py", "page.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return Saves(tmp_path, clock, monkeypatch)


@pytest.mark.asyncio
async def test_quiet_is_there_when_nothing_changed_lately(saves: Saves) -> None:
    saves.save(f"{saves.root}/a.py", -QUIET / SECOND)
    assert await saves.quiet() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["a.py", "sub/b.py", "sub", "."])
async def test_quiet_comes_50_ms_after_the_last_change(saves: Saves, name: str) -> None:
    saves.save(os.path.normpath(f"{saves.root}/{name}"), -0.02)
    assert await saves.quiet() == [0.03]


@pytest.mark.asyncio
async def test_each_save_puts_quiet_off(saves: Saves) -> None:
    saves.save(f"{saves.root}/a.py")
    saves.saves = [(f"{saves.root}/sub/b.py", 0.04), (f"{saves.root}/a.py", 0.01)]
    assert await saves.quiet() == [0.05, 0.04, 0.02]


@pytest.mark.asyncio
async def test_quiet_heeds_the_paths_that_it_is_given(
    saves: Saves, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = str(tmp_path_factory.mktemp("elsewhere") / "config.toml")
    saves.save(elsewhere)
    assert await saves.quiet() == []
    assert await saves.quiet(elsewhere) == [0.05]


@pytest.mark.asyncio
async def test_quiet_heeds_no_other_files(saves: Saves) -> None:
    saves.save(f"{saves.root}/page.html")
    assert await saves.quiet() == []


@pytest.mark.asyncio
async def test_the_deletion_of_the_only_file_of_a_burst_is_heeded(
    saves: Saves, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("elsewhere")
    saves.save(str(directory))
    assert await saves.quiet(str(directory / "gone.py")) == [0.05]


@pytest.mark.asyncio
async def test_a_time_in_the_future_is_not_waited_for(saves: Saves) -> None:
    saves.save(f"{saves.root}/a.py", 3600)
    assert await saves.quiet() == []


@pytest.mark.asyncio
async def test_quiet_is_not_waited_for_for_ever(saves: Saves) -> None:
    saves.save(f"{saves.root}/a.py")
    saves.saves = [(f"{saves.root}/a.py", 0.045)] * 1000
    await saves.quiet()
    waited = saves.clock.time_ns() - saves.began
    assert PATIENCE <= waited <= PATIENCE + QUIET


def test_the_newest_of_no_files_is_long_ago() -> None:
    assert newest([]) == 0
    assert newest(["/missing/a.py"]) == 0
