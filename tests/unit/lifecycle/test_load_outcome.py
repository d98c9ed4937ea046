"""What follows a load, and in which order."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload.child.lifecycle import load_outcome
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.load_outcome import LoadOutcome
from asyncreload.child.pages.error_report import Report
from asyncreload.phase import Phase
from asyncreload.protocol import Go, Message
from asyncreload.settings import Settings
from tests.unit.lifecycle.stand_ins import life_at_work
from tests.unit.watching import run_here

pytestmark = pytest.mark.asyncio


class FrontEndAtWork:
    """Answers a request until the test says that it is answered."""

    def __init__(self) -> None:
        self.is_answered = asyncio.Event()
        self.has_closed_delegated = False

    def show(self, report: Report, settings: Settings, address: tuple[str, int]) -> None:
        del report, settings, address

    def close_delegated(self) -> None:
        self.has_closed_delegated = True

    async def answered(self, seconds: float) -> None:
        assert 0 < seconds < 1
        await self.is_answered.wait()


class Surroundings:
    """Stands for the baselines and the link; notes what is done with them."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def learn(self) -> None:
        self.done.append("learn")

    def note_absent(self) -> None:
        pass

    def to_json(self) -> dict[str, object]:
        return {}

    def unmatched(self, watch: tuple[str, ...], refresh: tuple[str, ...]) -> list[str]:
        return [*watch, *refresh]

    def notice(self, text: str, *, once: bool) -> None:
        assert once
        self.done.append(text)

    def watch_what_may_mend(self, *_: object) -> None:
        self.done.append("watch what may mend")

    async def tell(self, root: str) -> None:
        self.done.append(f"tell preload of {root}")

    def send(self, message: Message) -> None:
        self.done.append(type(message).__name__)


def outcome_of(front_end: FrontEndAtWork, around: Surroundings) -> LoadOutcome:
    state = SimpleNamespace(baselines=around, scanner=around, preload=around)
    parts = (around, state, front_end, around)
    return LoadOutcome(life_at_work(Phase.SERVING), *(cast("Any", part) for part in parts))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEARN_AFTER", "SETTLED_AFTER"):
        monkeypatch.setattr(load_outcome, name, 0)
    monkeypatch.setattr(load_outcome, "hop", run_here)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("changed", [{}, {"app.py": None}], ids=["first", "reload"])
async def test_patterns_of_no_file_are_told_at_the_start(changed: dict[str, object]) -> None:
    front_end, around = FrontEndAtWork(), Surroundings()
    front_end.is_answered.set()
    settings = Settings(target="app.py", watch=("*.yam",), refresh=("*.htm",))
    go = Go({}, None, ("127.0.0.1", 1), changed)
    await outcome_of(front_end, around)._settle(Load(go, settings, "/", 0))
    warnings = [f"no file matches '{text}' yet" for text in ("*.yam", "*.htm")]
    assert around.done == ["learn", *warnings * (not changed), "Watching", "tell preload of /"]


@pytest.mark.usefixtures("at_once")
async def test_what_has_time_comes_after_the_first_answers() -> None:
    """It would take the interpreter from them: a large app's first answer takes longer than this.

    Told too early, the parent would also start the next standby beside them.
    """
    front_end, around = FrontEndAtWork(), Surroundings()
    outcome = outcome_of(front_end, around)
    go = Go({}, None, ("127.0.0.1", 1))
    settling = asyncio.create_task(outcome._settle(Load(go, Settings(target="app.py"), "/", 0)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert around.done == []
    assert not front_end.has_closed_delegated
    front_end.is_answered.set()
    await asyncio.wait_for(settling, 5)
    assert around.done == ["learn", "Watching", "tell preload of /"]
    assert front_end.has_closed_delegated


@pytest.mark.usefixtures("at_once")
async def test_what_the_last_child_has_delegated_is_closed_beside_a_report_too() -> None:
    front_end, around = FrontEndAtWork(), Surroundings()
    front_end.is_answered.set()
    load = Load(Go({}, None, ("127.0.0.1", 1)), Settings(target="app.py"), "/", 0)
    await outcome_of(front_end, around)._show(Report.from_exception(ValueError("broken")), load)
    assert around.done == ["watch what may mend", "LoadFailed", "Watching"]
    assert front_end.has_closed_delegated
