"""What the next child is told, or how it all ends; by how the last child ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from asyncreload.events import Crashed
from asyncreload.parent import restart_policy
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.restart_policy import BURST, HEARD_WITHIN, RestartPolicy
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, Go, Left
from asyncreload.settings import Settings


@dataclass
class Run:
    """What is left of a child."""

    go: Go = field(default_factory=lambda: Go({}, None, ("", 0)))
    since: int = 5
    last_phase: Phase = Phase.SERVING
    left: Left | None = None
    changed: FilesChanged | None = None
    files: dict[str, Any] = field(default_factory=dict)
    unanswered: tuple[str, ...] = ()
    was_silenced: bool = False
    starts_again: bool = False


class Scene:
    """A policy, and what it tells."""

    def __init__(self, lock: Path) -> None:
        lock.touch()
        self.lock = lock
        self.now = 1000.0
        self.event_log = EventLog()
        self.policy = RestartPolicy(
            Settings(target="app.py"),
            None,
            ("", 0),
            str(lock),
            self.event_log,
            clock=lambda: self.now,
        )

    async def after(self, run: Run, code: int) -> Go | int:
        return await self.policy.after(run, code)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(restart_policy, "INTERRUPT", 0)
    monkeypatch.setattr(restart_policy, "KILLED_PAUSE", 0)
    return Scene(tmp_path / "lock")


FILES = {"app.py": [None, "1", False]}


@pytest.mark.asyncio
async def test_the_app_is_done_when_it_has_said_so(scene: Scene) -> None:
    assert await scene.after(Run(left=Left(0)), 0) == 0
    assert isinstance(await scene.after(Run(), 0), Go)  # `os._exit(0)` is a crash


@pytest.mark.asyncio
async def test_all_ends_when_the_lockfile_is_gone(scene: Scene) -> None:
    scene.lock.unlink()
    assert await scene.after(Run(changed=FilesChanged(FILES, loading=False)), 3) == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("run", "code"),
    [
        (Run(changed=FilesChanged(FILES, loading=False), left=Left(3)), 3),
        (Run(changed=FilesChanged(FILES, loading=False)), -9),  # it did not come to its farewell
        (Run(changed=FilesChanged(FILES, loading=False), was_silenced=True), -9),
    ],
)
async def test_a_change_leads_to_a_load(scene: Scene, run: Run, code: int) -> None:
    go = await scene.after(run, code)
    assert isinstance(go, Go)
    assert go.changed == FILES
    assert go.crash is None
    assert scene.policy.paths == ("app.py",)
    assert scene.event_log.recent == []


@pytest.mark.asyncio
async def test_a_reload_that_was_asked_for_needs_no_change(scene: Scene) -> None:
    go = await scene.after(Run(left=Left(3, vanished=True)), 3)
    assert isinstance(go, Go)
    assert go.crash is None


@pytest.mark.asyncio
async def test_a_load_is_measured_from_the_change_or_the_wish_but_for_a_start_or_a_crash(
    scene: Scene,
) -> None:
    assert scene.policy.reload_since is None
    for run in (Run(changed=FilesChanged(FILES, loading=False)), Run(left=Left(3))):
        scene.policy.reload_since = None
        await scene.after(run, 3)
        assert scene.policy.reload_since is not None
    await scene.after(Run(last_phase=Phase.SERVING), -11)
    assert scene.policy.reload_since is None


@pytest.mark.asyncio
async def test_what_is_said_ahead_holds_when_the_child_has_left(scene: Scene) -> None:
    """Else it would count as a burst of two changes."""
    run = Run(changed=FilesChanged(FILES, loading=False))
    ahead = scene.policy.ahead(run)
    assert ahead.changed == FILES
    assert not ahead.settle
    began = scene.policy.reload_since
    scene.now += BURST / 2
    assert await scene.after(run, -9) is ahead
    assert scene.policy.reload_since == began  # of the change, not of the farewell


@pytest.mark.asyncio
async def test_what_has_changed_meanwhile_is_said_instead(scene: Scene) -> None:
    run = Run(changed=FilesChanged(FILES, loading=False))
    scene.policy.ahead(run)
    run.changed = FilesChanged({"other.py": [None, "", False]}, loading=False)
    go = await scene.after(run, -9)
    assert isinstance(go, Go)
    assert [*go.changed] == ["other.py"]
    assert scene.policy.paths == ("app.py", "other.py")


@pytest.mark.asyncio
async def test_a_child_whose_load_does_not_fit_gives_way_to_one_that_is_told_the_same(
    scene: Scene,
) -> None:
    go = Go({}, None, ("", 0), changed=FILES)
    assert await scene.after(Run(go=go, starts_again=True, left=Left(3)), 3) is go


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "phase", "left", "told"),
    [
        (-11, Phase.LOADING, None, ("killed by SIGSEGV", "while loading")),
        (-11, Phase.SERVING, None, ("killed by SIGSEGV", "while serving")),
        (3, Phase.SERVING, None, ("exit code 3", "while serving")),  # it was not announced
        (1, Phase.LOADING, None, ("exit code 1", "while loading")),
        (130, Phase.SERVING, Left(130), ("killed by SIGINT", "while serving")),
    ],
)
async def test_a_crash_is_told_and_reported_by_the_next_child(
    scene: Scene, code: int, phase: Phase, left: Left | None, told: tuple[str, str]
) -> None:
    scene.policy._last_restart = scene.now  # else one that was killed from outside starts again
    before = time.time_ns()
    go = await scene.after(Run(last_phase=phase, left=left, files=FILES), code)
    assert isinstance(go, Go)
    assert go.crash == told
    assert go.watched == FILES
    if phase is Phase.SERVING:  # what was saved long before has nothing to do with it
        assert before - HEARD_WITHIN <= go.since <= time.time_ns()
    else:
        assert go.since == 5
    [crash] = scene.event_log.recent
    assert crash is scene.policy.crash
    assert isinstance(crash, Crashed)
    assert crash.how == " ".join(told)
    assert not crash.again


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("phase", "requests", "when"),
    [
        (Phase.SERVING, ["GET /a"], "while answering GET /a"),
        (Phase.SERVING, ["GET /a", "POST /b"], "while answering GET /a and POST /b"),
        (Phase.SERVING, list("abcde"), "while answering a, b, c and 2 more"),
        (Phase.LOADING, ["GET /a"], "while loading"),
    ],
)
async def test_a_crash_is_told_with_the_requests_that_were_being_answered(
    scene: Scene, phase: Phase, requests: list[str], when: str
) -> None:
    go = await scene.after(Run(last_phase=phase, unanswered=tuple(requests)), -11)
    assert isinstance(go, Go)
    assert go.crash == ("killed by SIGSEGV", when)


@pytest.mark.asyncio
async def test_an_app_that_was_killed_from_outside_starts_again_but_not_twice(
    scene: Scene,
) -> None:
    first = await scene.after(Run(), -9)
    assert isinstance(first, Go)
    assert first.crash is None
    scene.now += restart_policy.STURDY / 2
    second = await scene.after(Run(), -9)
    assert isinstance(second, Go)
    assert second.crash == ("killed by SIGKILL", "while serving")
    scene.now += restart_policy.STURDY * 2
    third = await scene.after(Run(), -9)
    assert isinstance(third, Go)
    assert third.crash is None


@pytest.mark.asyncio
async def test_an_app_that_is_killed_after_each_long_load_is_not_started_for_ever(
    scene: Scene,
) -> None:
    """As by the kernel, for the memory that it takes."""
    scene.policy.answered()
    scene.now += restart_policy.STURDY / 2
    first = await scene.after(Run(), -9)
    assert isinstance(first, Go)
    assert first.crash is None
    for lived in (restart_policy.STURDY / 2, restart_policy.STURDY * 2):
        scene.now += restart_policy.STURDY * 5  # it loads
        scene.policy.answered()
        scene.now += lived
        again = await scene.after(Run(), -9)
        assert isinstance(again, Go)
        assert (again.crash is None) == (lived > restart_policy.STURDY)


@pytest.mark.asyncio
@pytest.mark.parametrize("phase", [Phase.WARM, Phase.REPORTING])
async def test_a_child_that_runs_no_code_of_the_app_is_replaced_without_a_word(
    scene: Scene, phase: Phase
) -> None:
    go = Go({}, None, ("", 0), crash=("exit code 1", "while serving"))
    assert await scene.after(Run(go=go, last_phase=phase), -9) is go
    assert scene.event_log.recent == []


@pytest.mark.parametrize(
    ("loading", "load_took", "pause", "settles"),
    [
        (True, 0.0, 10.0, True),
        (False, 0.0, BURST / 2, True),
        (False, 10.0, BURST / 2, True),  # it came as soon as somebody could look
        (False, 0.0, BURST * 2, False),
        (False, 10.0, BURST * 2, False),
    ],
)
def test_a_burst_is_what_follows_a_change_or_its_load_at_once(
    *, loading: bool, load_took: float, pause: float, settles: bool
) -> None:
    now = 1000.0
    policy = RestartPolicy(
        Settings(target="app.py"), None, ("", 0), "", EventLog(), clock=lambda: now
    )

    def change(*, loading: bool) -> Go:
        return policy._reload(Run(changed=FilesChanged({}, loading=loading)))

    assert not change(loading=False).settle
    now += load_took
    policy.answered()
    now += pause
    assert change(loading=loading).settle is settles
