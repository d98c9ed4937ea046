"""When the change monitor looks, and what it makes of what it finds.

Its parts are played by others here: scanner, baselines, module scan, listener, and the clock, which
moves when the monitor sleeps.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from asyncreload.child.watch import change_monitor
from asyncreload.child.watch.change_monitor import (
    BUSY_AT_MOST,
    BUSY_FOR,
    DEBOUNCE,
    PATIENCE,
    QUIET_STEP,
    WAKE_COST,
    ChangeMonitor,
)
from asyncreload.child.watch.pace import UNASKED_AFTER, Pace
from asyncreload.child.watch.polling import LimitError
from asyncreload.phase import Phase
from tests.unit.watching import run_here

APP, OTHER, PACKAGES = "/srv/app.py", "/srv/other.py", "/srv/venv/site-packages"
PAGE = "/srv/templates/page.html"
IN_TIME = Pace.SWEEP.soonest / 3
"""Seconds: sooner than what comes without an event."""
LATEST = Pace.ASKED.pause(float("inf"))


class Events:
    """A queue of the kernel's events: a pipe, which is readable when something was written."""

    def __init__(self) -> None:
        self.descriptor, self._tell = os.pipe()
        self.queues = [self.descriptor]

    def tell(self) -> None:
        os.write(self._tell, b".")

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._tell)


class Parts:
    """Plays scanner, baselines, module scan and listener, and notes what happens."""

    def __init__(self) -> None:
        self.now = 100.0
        self.log: list[object] = []
        """What the monitor told its listener, and asked its parts to do."""
        self.naps: list[float] = []
        self.on_nap: Callable[[int], object] = lambda _count: None
        """Called after each sleep of the monitor, with the number of sleeps so far."""
        # The scanner.
        self.cost = 0.0
        self.packages_cost = 0.0
        self.suspects: list[str] = []
        self.saved = "once"
        self.saves_meanwhile: list[str] = []
        self.changed: list[str] = []
        self.unknown: list[str] = []
        self.looks: list[float] = []
        self.took_opened = 0
        self.error: Exception | None = None
        self.look_errors: list[BaseException] = []
        self.has_installed: list[str] = []
        self.events: Events | None = None
        self.limit: LimitError | None = None
        self.is_all_watched = True
        self.incomplete = False
        # Baselines and module scan.
        self.learning = 0
        self.is_module_new = False
        # The listener.
        self.phase = Phase.SERVING
        self.has_listeners = False
        self.is_answering = False
        self.debugs = False
        self.templates: list[str] = []
        """Files that somebody may see to,"""
        self.unhandled: list[str] = []
        """but not to these."""
        self.notices: list[tuple[str, bool]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert len(self.naps) < 1000
        self.naps.append(round(seconds, 6))
        self.now += seconds
        self.on_nap(len(self.naps))

    # --- scanner ---

    def take_opened(self) -> None:
        self.took_opened += 1

    def look(self) -> list[str]:
        if self.look_errors:
            raise self.look_errors.pop()
        return list(self.suspects)

    def begin_afresh(self) -> None:
        self.log.append("afresh")

    @property
    def whole_cost(self) -> float:
        return self.cost + self.packages_cost

    def look_at_all(self, now: float) -> list[str]:
        self.looks.append(now)
        if self.error is not None:
            raise self.error
        return list(self.suspects)

    async def compare(self, suspects: list[str]) -> list[str]:
        self.log.append(("compared", *suspects))
        return [path for path in suspects if path in self.changed]

    def are_unknown(self, paths: list[str]) -> bool:
        return {*paths} <= {*self.unknown}

    def may_refresh(self, path: str) -> bool:
        return path in self.templates

    def states(self, paths: list[str]) -> dict[str, str]:
        return dict.fromkeys(paths, self.saved)

    def accept(self, states: dict[str, str]) -> None:
        self.log.append(("accepted", *states))
        self.changed = [path for path in self.changed if states.get(path) != self.saved]

    def is_package_directory(self, path: str) -> bool:
        return path == PACKAGES

    def installed(self) -> list[str]:
        return self.has_installed

    def is_incomplete(self) -> bool:
        return self.incomplete

    def complete(self, _looking: object) -> None:
        if self.incomplete:
            self.incomplete = False
            self.log.append("completed")

    def use_events(self, root: str) -> Events | None:
        self.log.append(("events", root))
        return self.events

    def use_polling(self) -> None:
        self.log.append("polling")

    def make_cheaper(self) -> bool:
        if self.limit is not None:
            raise self.limit
        return self.is_all_watched

    def doubt(self, path: str) -> None:
        self.log.append(("doubted", path))

    # --- baselines and module scan ---

    def is_learning(self) -> bool:
        return self.learning > 0

    def learn(self) -> None:
        self.learning -= 1
        self.log.append("learned")

    def is_behind(self) -> bool:
        return self.is_module_new

    def scan(self, *, is_loading: bool = False) -> None:
        if self.is_module_new:
            self.is_module_new = False
            self.log.append("scanned while loading" if is_loading else "scanned")

    def take_packages(self) -> None:
        self.log.append("packages taken")

    # --- listener ---

    def is_debugging(self) -> bool:
        return self.debugs

    def on_change(self, paths: list[str]) -> None:
        self.log.append(("changed", *paths))
        self.phase = Phase.DRAINING

    async def refresh(self, paths: list[str]) -> bool:
        if self.saves_meanwhile:
            self.saved = self.saves_meanwhile.pop()
        await asyncio.sleep(0)
        self.log.append(("refresh", *paths))
        return not {*paths}.intersection(self.unhandled)

    def on_refreshed(self, paths: list[str]) -> None:
        self.log.append(("refreshed", *paths))

    def on_change_taken_back(self) -> None:
        self.log.append("taken back")

    def on_packages_moved(self) -> None:
        self.log.append("packages moved")

    async def after_look(self) -> None:
        self.log.append("after look")

    def notice(self, text: str, *, once: bool = False) -> None:
        self.notices.append((text, once))

    # --- what a test does ---

    def save(self, *paths: str) -> None:
        """Have files suspected that have changed."""
        self.suspects = self.changed = [*paths]

    def end_after(self, naps: int) -> None:
        """Have the process end after so many sleeps of the monitor."""

        def end(count: int) -> None:
            if count == naps:
                self.phase = Phase.GONE

        self.on_nap = end

    def told(self) -> list[object]:
        """Return what comes of the looks, but for the looks themselves."""
        ours = ("compared", "events", "doubted", "fork")
        return [
            entry
            for entry in self.log
            if entry not in {"after look", "scanned", "learned"}
            and not (isinstance(entry, tuple) and entry[0] in ours)
        ]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(change_monitor, "hop", run_here)
    return Parts()


@pytest.fixture
def events(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Events]:
    """The kernel tells of changes."""
    parts.events = Events()
    # What is to be called in forks would be kept for ever.
    monkeypatch.setattr(
        change_monitor, "in_forks_of_app", lambda forget: parts.log.append(("fork", forget))
    )
    yield parts.events
    parts.events.close()


def monitor_of(parts: Parts) -> ChangeMonitor:
    part = cast("Any", parts)
    monitor = ChangeMonitor(part, part, part, parts.clock, parts.sleep)
    monitor.listen(part)
    return monitor


async def run(parts: Parts, naps: int, *, uses_events: bool = False) -> list[float]:
    """Let a monitor run for so many sleeps; return how long these were, but for the first."""
    parts.end_after(naps)
    await monitor_of(parts).run(0.1, root="/srv", uses_events=uses_events)
    return parts.naps[1:]


# --- before a request ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_check_only_looks(parts: Parts) -> None:
    monitor = monitor_of(parts)
    assert monitor.check() == []
    parts.save(APP)
    assert monitor.check() == [APP]
    assert parts.log == []


@pytest.mark.asyncio
async def test_what_was_opened_counts_for_a_request_and_not_beside_one(parts: Parts) -> None:
    monitor = monitor_of(parts)
    await monitor.is_fresh()
    assert parts.took_opened == 0
    monitor.check()
    monitor.is_surely_fresh()
    assert parts.took_opened == 2


@pytest.mark.asyncio
async def test_a_check_that_fails_is_made_once_more_without_events(
    parts: Parts, events: Events
) -> None:
    """Whatever it is: the request is to be answered, and not by old code."""
    monitor = monitor_of(parts)
    parts.end_after(2)
    await monitor.run(0.1, root="/srv", uses_events=True)
    assert monitor.event_queues == events.queues
    parts.log.clear()
    parts.suspects = [APP]
    parts.look_errors = [OSError("a queue is gone")]
    assert monitor.check() == [APP]
    assert parts.log == ["polling", "afresh"]
    assert monitor.event_queues == []
    ((text, once),) = parts.notices
    assert "a queue is gone" in text
    assert once


@pytest.mark.asyncio
async def test_a_look_that_fails_in_the_apps_thread_proves_nothing(parts: Parts) -> None:
    monitor = monitor_of(parts)
    assert monitor.is_surely_fresh()
    parts.look_errors = [OSError("a queue is gone")]
    assert not monitor.is_surely_fresh()
    assert parts.log == ["afresh"]
    assert parts.notices == []  # the next look tells


@pytest.mark.asyncio
async def test_an_interrupt_of_a_look_in_the_apps_thread_is_the_apps(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.look_errors = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        monitor.is_surely_fresh()
    assert parts.log == ["afresh"]


@pytest.mark.asyncio
async def test_suspects_that_have_changed_are_stale_and_lead_to_a_reload(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.save(APP)
    assert await monitor.stale([APP, OTHER])
    assert parts.log == [("compared", APP, OTHER), ("changed", APP)]


@pytest.mark.asyncio
async def test_suspects_that_have_not_changed_are_not_stale(parts: Parts) -> None:
    assert not await monitor_of(parts).stale([APP])
    assert parts.log == [("compared", APP)]


@pytest.mark.asyncio
async def test_what_is_not_suspected_is_fresh(parts: Parts) -> None:
    assert await monitor_of(parts).is_fresh()
    assert parts.log == []


@pytest.mark.asyncio
async def test_a_touched_file_is_fresh(parts: Parts) -> None:
    parts.suspects = [APP]
    assert await monitor_of(parts).is_fresh()
    assert parts.log == [("compared", APP)]


@pytest.mark.asyncio
async def test_a_changed_file_is_not_fresh_and_leads_to_a_reload(parts: Parts) -> None:
    parts.save(APP)
    assert not await monitor_of(parts).is_fresh()
    assert parts.told() == [("changed", APP)]


@pytest.mark.asyncio
@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.GONE])
async def test_no_reload_is_begun_twice(parts: Parts, phase: Phase) -> None:
    parts.phase = phase
    monitor_of(parts).on_change([APP])
    assert parts.told() == []


# --- without descriptors -------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("has_changed", [True, False])
async def test_a_request_waits_for_a_descriptor_to_read_a_file_by(
    parts: Parts,
    has_changed: bool,  # noqa: FBT001  a row
) -> None:
    parts.save(APP)
    parts.unknown = [APP]

    def give_back(count: int) -> None:
        if count == 3:
            parts.unknown = []
            parts.changed = [APP] if has_changed else []

    parts.on_nap = give_back
    assert await monitor_of(parts).stale([APP]) is has_changed
    assert parts.naps == [QUIET_STEP] * 3
    assert parts.told() == ([("changed", APP)] if has_changed else [])
    assert parts.notices == []


@pytest.mark.asyncio
async def test_a_request_waits_for_a_descriptor_no_longer_than_it_must(parts: Parts) -> None:
    parts.save(APP)
    parts.unknown = [APP]
    assert await monitor_of(parts).stale([APP])
    assert PATIENCE <= sum(parts.naps) <= PATIENCE + 2 * QUIET_STEP
    assert parts.told() == [("changed", APP)]
    assert [text for text, _ in parts.notices] == [
        "out of file descriptors or memory: files that cannot be read count as changed"
    ]


@pytest.mark.asyncio
async def test_beside_a_file_that_has_changed_no_descriptor_is_waited_for(parts: Parts) -> None:
    parts.save(APP, OTHER)
    parts.unknown = [APP]
    assert await monitor_of(parts).stale([APP, OTHER])
    assert parts.naps == []


@pytest.mark.asyncio
async def test_while_nobody_asks_a_file_that_cannot_be_read_is_looked_at_again(
    parts: Parts,
) -> None:
    parts.suspects = parts.changed = parts.unknown = [APP]

    def give_back(count: int) -> None:
        if count == 4:
            parts.save()
        elif count == 10:
            parts.phase = Phase.GONE

    parts.on_nap = give_back
    await monitor_of(parts).run(0.1, root="/srv", uses_events=False)
    assert QUIET_STEP in parts.naps
    assert parts.told() == []
    assert parts.notices == []


# --- files that need no reload -------------------------------------------------------------------


def refreshed(parts: Parts) -> list[object]:
    return [entry for entry in parts.log if isinstance(entry, tuple) and entry[0] != "compared"]


@pytest.mark.asyncio
async def test_a_file_that_the_app_sees_to_leads_to_no_reload(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.templates = [PAGE]
    parts.save(PAGE)
    assert not await monitor.stale([PAGE])
    assert refreshed(parts) == [("refresh", PAGE), ("accepted", PAGE), ("refreshed", PAGE)]
    assert await monitor.is_fresh()
    assert len(refreshed(parts)) == 3


@pytest.mark.asyncio
async def test_what_is_saved_while_the_app_sees_to_a_file_is_another_change(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.templates = [PAGE]
    parts.save(PAGE)
    parts.saves_meanwhile = ["another"]
    assert not await monitor.stale([PAGE])
    assert not await monitor.stale([PAGE])  # the app may not have seen it
    assert refreshed(parts).count(("refresh", PAGE)) == 2
    assert await monitor.is_fresh()


@pytest.mark.asyncio
async def test_two_looks_that_find_the_same_have_it_seen_to_once(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.templates = [PAGE]
    parts.save(PAGE)
    stale, fresh = await asyncio.gather(monitor.stale([PAGE]), monitor.is_fresh())
    assert (stale, fresh) == (False, True)
    assert refreshed(parts) == [("refresh", PAGE), ("accepted", PAGE), ("refreshed", PAGE)]


@pytest.mark.asyncio
async def test_a_file_that_nobody_sees_to_leads_to_a_reload(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.templates = [PAGE, OTHER]
    parts.unhandled = [OTHER]
    parts.save(PAGE, OTHER)
    assert await monitor.stale([PAGE, OTHER])
    assert refreshed(parts)[1:] == [("changed", PAGE, OTHER)]


@pytest.mark.asyncio
async def test_two_looks_that_find_what_nobody_sees_to_ask_once(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.templates = parts.unhandled = [PAGE]
    parts.save(PAGE)
    stale, fresh = await asyncio.gather(monitor.stale([PAGE]), monitor.is_fresh())
    assert (stale, fresh) == (True, False)
    assert refreshed(parts) == [("refresh", PAGE), ("changed", PAGE)]


@pytest.mark.asyncio
async def test_while_a_reload_is_held_nobody_is_asked_again(parts: Parts) -> None:
    monitor = monitor_of(parts)
    parts.templates = parts.unhandled = [PAGE]
    parts.debugs = True
    parts.save(PAGE)
    for _ in range(3):
        assert await monitor.stale([PAGE])
    assert refreshed(parts) == [("refresh", PAGE)]


@pytest.mark.asyncio
async def test_beside_a_file_that_needs_a_reload_nobody_is_asked(parts: Parts) -> None:
    parts.templates = [PAGE]
    parts.save(PAGE, APP)
    assert await monitor_of(parts).stale([PAGE, APP])
    assert refreshed(parts) == [("changed", PAGE, APP)]


@pytest.mark.asyncio
@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.REPORTING])
async def test_while_the_app_does_not_serve_each_change_is_one(parts: Parts, phase: Phase) -> None:
    """A load may have read the file already; and what is reported may be mended by it."""
    parts.templates, parts.phase = [PAGE], phase
    parts.save(PAGE)
    assert await monitor_of(parts).stale([PAGE])
    assert refreshed(parts) == [("changed", PAGE)]


# --- waiting for the end of a half-written save --------------------------------------------------


@pytest.mark.asyncio
async def test_it_is_quiet_when_nothing_changes_for_that_long(parts: Parts) -> None:
    assert await monitor_of(parts).is_quiet(0.3)
    assert len(parts.naps) == pytest.approx(0.3 / QUIET_STEP, abs=1)
    assert {*parts.naps} == {QUIET_STEP}
    assert parts.told() == []


@pytest.mark.asyncio
async def test_it_is_not_quiet_when_something_changes_meanwhile(parts: Parts) -> None:
    parts.on_nap = lambda count: parts.save(APP) if count == 3 else None
    assert not await monitor_of(parts).is_quiet(0.3)
    assert len(parts.naps) == 3
    assert parts.told() == [("changed", APP)]


@pytest.mark.asyncio
async def test_it_is_not_quiet_in_a_process_that_ends(parts: Parts) -> None:
    parts.end_after(2)
    assert not await monitor_of(parts).is_quiet(0.3)
    assert len(parts.naps) == 2


# --- packages ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_new_package_is_nothing_to_an_app_that_works(parts: Parts) -> None:
    parts.save(PACKAGES)
    assert await monitor_of(parts).is_fresh()
    assert parts.told() == ["packages moved"]


@pytest.mark.asyncio
async def test_a_new_package_is_a_change_if_the_app_has_looked_for_it(parts: Parts) -> None:
    parts.has_installed = ["/packages/optional.py"]
    parts.save(PACKAGES)
    assert not await monitor_of(parts).is_fresh()
    assert parts.told() == ["packages moved", ("changed", "/packages/optional.py")]


@pytest.mark.asyncio
@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.REPORTING])
async def test_a_new_package_may_mend_a_load_that_fails(parts: Parts, phase: Phase) -> None:
    parts.phase = phase
    parts.save(PACKAGES)
    assert not await monitor_of(parts).is_fresh()
    assert parts.told() == [("changed", PACKAGES)]


@pytest.mark.asyncio
async def test_a_new_package_beside_a_changed_file_is_told_with_it(parts: Parts) -> None:
    parts.save(PACKAGES, APP)
    assert not await monitor_of(parts).is_fresh()
    assert parts.told() == [("changed", PACKAGES, APP)]


# --- while somebody debugs -----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_reload_is_held_while_a_debugger_is_at_its_prompt(parts: Parts) -> None:
    """Requests that need the new code wait as well: they are not answered by the old one."""
    parts.debugs = True
    monitor = monitor_of(parts)
    parts.save(APP)
    for _ in range(2):
        assert await monitor.stale([APP])
    assert parts.told() == []
    assert parts.notices == [("app.py changed; reloading when you leave the debugger", False)]


@pytest.mark.asyncio
async def test_at_most_three_files_are_named(parts: Parts) -> None:
    parts.debugs = True
    monitor_of(parts).on_change([f"/srv/{name}.py" for name in "abcd"])
    assert parts.notices == [
        ("a.py, b.py, c.py, 1 more changed; reloading when you leave the debugger", False)
    ]


@pytest.mark.asyncio
async def test_a_reload_that_was_asked_for_is_held_too(parts: Parts) -> None:
    parts.debugs = True
    monitor_of(parts).on_change([])
    assert parts.notices == [("asked to reload; reloading when you leave the debugger", False)]


@pytest.mark.asyncio
async def test_the_reload_begins_when_the_debugger_is_left(parts: Parts) -> None:
    parts.debugs = True
    parts.save(APP)

    def leave(count: int) -> None:
        parts.debugs = count < 4

    parts.on_nap = leave
    await monitor_of(parts).run(0.1, root="/srv", uses_events=False)
    assert parts.told() == [("changed", APP)]
    assert len(parts.looks) == 4
    assert len(parts.notices) == 1


@pytest.mark.asyncio
async def test_a_reload_that_was_asked_for_begins_when_the_debugger_is_left(parts: Parts) -> None:
    """Though no file differs: there is no change that could be taken back."""
    parts.debugs = True

    def leave(count: int) -> None:
        parts.debugs = count < 4

    parts.on_nap = leave
    monitor = monitor_of(parts)
    monitor.on_change([])
    await monitor.run(0.1, root="/srv", uses_events=False)
    assert parts.told() == [("changed",)]


@pytest.mark.asyncio
async def test_a_reload_for_an_installed_package_begins_when_the_debugger_is_left(
    parts: Parts,
) -> None:
    """The next look does not find it any more."""
    parts.debugs = True
    parts.has_installed = ["/packages/optional.py"]
    parts.save(PACKAGES)

    def leave(count: int) -> None:
        if count > 1:
            parts.save()
        parts.debugs = count < 4

    parts.on_nap = leave
    await monitor_of(parts).run(0.1, root="/srv", uses_events=False)
    assert parts.told() == ["packages moved", ("changed",)]
    assert len(parts.notices) == 1


@pytest.mark.asyncio
async def test_a_change_that_is_taken_back_while_it_is_held_is_told_once(parts: Parts) -> None:
    parts.debugs = True
    parts.save(APP)

    def take_back(count: int) -> None:
        if count == 3:
            parts.save()
        elif count == 6:
            parts.phase = Phase.GONE

    parts.on_nap = take_back
    await monitor_of(parts).run(0.1, root="/srv", uses_events=False)
    assert parts.told() == ["taken back"]


@pytest.mark.asyncio
async def test_after_a_change_was_taken_back_the_next_one_is_told_again(parts: Parts) -> None:
    parts.debugs = True
    saves = {1: [APP], 2: [], 3: [OTHER]}

    def save(count: int) -> None:
        parts.save(*saves.get(count, []))
        if count > len(saves):
            parts.phase = Phase.GONE

    parts.on_nap = save
    await monitor_of(parts).run(0.1, root="/srv", uses_events=False)
    assert [text.partition(";")[0] for text, _ in parts.notices] == [
        "app.py changed",
        "other.py changed",
    ]


# --- looks in the background ---------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_first_look_comes_after_an_interval(parts: Parts) -> None:
    await run(parts, 2)
    assert parts.naps[0] == 0.1
    assert parts.looks == [100.1]


@pytest.mark.asyncio
async def test_a_change_ends_the_looks(parts: Parts) -> None:
    parts.save(APP)
    await monitor_of(parts).run(0.1, root="/srv", uses_events=False)
    assert parts.told() == [("changed", APP)]
    assert len(parts.looks) == 1


@pytest.mark.asyncio
async def test_each_look_is_followed_by_what_goes_along_with_it(parts: Parts) -> None:
    await run(parts, 4)
    assert parts.log == ["after look"] * 3


@pytest.mark.asyncio
async def test_what_is_left_to_be_learned_is_learned_after_a_look(parts: Parts) -> None:
    parts.learning = 2
    await run(parts, 4)
    assert parts.log == [*["packages taken", "learned", "after look"] * 2, "after look"]


@pytest.mark.asyncio
async def test_what_is_to_be_watched_in_packages_is_watched_after_a_look(parts: Parts) -> None:
    parts.incomplete = True
    await run(parts, 3)
    assert parts.log[:3] == ["packages taken", "completed", "learned"]
    assert parts.log[3:] == ["after look"] * 2


@pytest.mark.asyncio
async def test_modules_that_no_hook_has_seen_are_taken_in_before_a_look(parts: Parts) -> None:
    parts.is_module_new = True
    await run(parts, 2)
    assert parts.log[0] == "scanned"


@pytest.mark.asyncio
async def test_a_scan_is_told_that_modules_are_being_imported(parts: Parts) -> None:
    parts.is_module_new = True
    parts.phase = Phase.LOADING
    await run(parts, 7)
    assert parts.log[0] == "scanned while loading"


@pytest.mark.asyncio
async def test_modules_that_a_request_has_imported_are_taken_in_before_the_next_one(
    parts: Parts,
) -> None:
    """They may have been saved since, and a loader of the app's own has told nobody of them."""
    monitor = monitor_of(parts)
    for look in (monitor.check, monitor.is_fresh):
        parts.is_module_new = True
        parts.log.clear()
        if asyncio.iscoroutine(found := look()):
            await found
        assert parts.log == ["scanned"]


@pytest.mark.asyncio
async def test_a_look_that_fails_is_told_and_the_next_one_comes(parts: Parts) -> None:
    parts.error = ZeroDivisionError("oh")
    await run(parts, 3)
    (text, once), _ = parts.notices
    assert text.startswith("a look at the files failed:\nTraceback")
    assert text.endswith("ZeroDivisionError: oh\n")
    assert not once
    assert len(parts.looks) == 2


# --- the pace of polling -------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_looks_that_cost_little_come_at_each_interval(parts: Parts) -> None:
    assert await run(parts, 4) == [0.1, 0.1, 0.1]


@pytest.mark.asyncio
async def test_looks_that_cost_more_come_more_seldom(parts: Parts) -> None:
    parts.cost = 0.001
    assert await run(parts, 2) == [round(Pace.ASKED.pause(WAKE_COST + 0.001), 6)]


@pytest.mark.asyncio
async def test_looks_that_nobody_waits_for_may_cost_less(parts: Parts) -> None:
    parts.cost = 0.001
    asked, unasked = (pace.pause(WAKE_COST + 0.001) for pace in (Pace.ASKED, Pace.UNASKED))
    naps = await run(parts, 10)
    count = sum(nap == round(asked, 6) for nap in naps)
    assert naps == [round(asked, 6)] * count + [round(unasked, 6)] * (9 - count)
    assert count == pytest.approx(UNASKED_AFTER / asked, abs=1)


@pytest.mark.asyncio
async def test_looks_at_packages_put_off_what_nobody_waits_for(parts: Parts) -> None:
    """And nothing else: an open page would show an edited style sheet seconds late."""
    parts.cost, parts.packages_cost = 0.0002, 0.002
    naps = await run(parts, 40)
    asked, unasked = Pace.ASKED.pause(WAKE_COST + 0.0002), Pace.UNASKED.pause(WAKE_COST + 0.0022)
    assert {*naps} == {round(asked, 6), round(unasked, 6)}
    parts.phase, parts.has_listeners = Phase.SERVING, True
    parts.naps.clear()
    assert {*await run(parts, 10)} == {round(asked, 6)}


@pytest.mark.asyncio
async def test_a_request_makes_looks_come_sooner_again(parts: Parts) -> None:
    parts.cost = 0.001
    monitor = monitor_of(parts)

    def ask(count: int) -> None:
        if count == 1:
            parts.now += UNASKED_AFTER
        elif count == 2:
            monitor.check()
        elif count == 3:
            parts.phase = Phase.GONE

    parts.on_nap = ask
    await monitor.run(0.1, root="/srv", uses_events=False)
    assert parts.naps[1:] == [
        round(pace.pause(WAKE_COST + 0.001), 6) for pace in (Pace.UNASKED, Pace.ASKED)
    ]


@pytest.mark.asyncio
async def test_an_open_page_waits_for_what_looks_find(parts: Parts) -> None:
    parts.cost, parts.has_listeners = 0.001, True
    assert {*await run(parts, 10)} == {round(Pace.ASKED.pause(WAKE_COST + 0.001), 6)}


@pytest.mark.asyncio
async def test_looks_are_not_put_off_for_ever(parts: Parts) -> None:
    parts.cost = 10.0
    assert await run(parts, 3) == [LATEST, LATEST]


@pytest.mark.asyncio
async def test_looks_are_not_put_off_while_there_is_something_to_be_learned(parts: Parts) -> None:
    parts.cost, parts.learning = 10.0, 2
    assert await run(parts, 3) == [0.1, LATEST]


# --- the load, and the first requests after it ---------------------------------------------------


def takes(parts: Parts, seconds: float) -> None:
    """Have each look take so long, by the clock."""
    parts.is_module_new = True
    scan = parts.scan

    def slow_scan(*, is_loading: bool = False) -> None:
        parts.now += seconds
        scan(is_loading=is_loading)
        parts.is_module_new = True  # there is always another

    parts.scan = slow_scan  # type: ignore[method-assign]


@pytest.mark.asyncio
async def test_a_load_is_left_most_of_the_time(parts: Parts) -> None:
    """It imports all the while, so there is always something to be taken in."""
    parts.phase, parts.learning = Phase.LOADING, 100
    takes(parts, 0.021)
    naps = await run(parts, 25)
    pause = 0.021 + 0.7  # of which a look takes 3 %
    assert parts.looks[:3] == [pytest.approx(100.521 + each * pause) for each in range(3)]
    assert max(naps) == 0.1  # in steps, so that the end of the load is noticed


@pytest.mark.asyncio
async def test_a_short_load_is_not_looked_at(parts: Parts) -> None:
    """What it has read is looked at before the first request."""
    parts.phase = Phase.LOADING

    def go_on(count: int) -> None:
        parts.phase = {3: Phase.SERVING, 4: Phase.GONE}.get(count, parts.phase)

    parts.on_nap = go_on
    await monitor_of(parts).run(0.1, root="/srv", uses_events=False)
    assert parts.looks == [pytest.approx(100.3)]


@pytest.mark.asyncio
async def test_during_a_load_a_look_is_not_put_off_for_ever(parts: Parts) -> None:
    parts.phase = Phase.LOADING
    takes(parts, 10.0)
    await run(parts, 20)
    assert parts.looks[:2] == [pytest.approx(110.5), pytest.approx(121.5)]


@pytest.mark.asyncio
async def test_a_look_does_not_wait_when_the_load_is_over(parts: Parts) -> None:
    parts.phase = Phase.LOADING
    takes(parts, 10.0)
    monitor = monitor_of(parts)

    def go_on(count: int) -> None:
        if count == 8:
            parts.phase = Phase.SERVING
        elif count == 9:
            parts.phase = Phase.GONE

    parts.on_nap = go_on
    await monitor.run(0.1, root="/srv", uses_events=False)
    first = 100 + Pace.LOADING.soonest + 10
    assert parts.looks == [pytest.approx(first), pytest.approx(first + 10, abs=0.4)]


@pytest.mark.asyncio
async def test_the_first_requests_after_a_load_have_the_time_for_themselves(parts: Parts) -> None:
    """Each is preceded by a look of its own."""
    parts.learning = 100
    monitor = monitor_of(parts)
    asked: list[float] = []

    def ask(count: int) -> None:
        if parts.now < 100 + 2 * BUSY_AT_MOST:
            monitor.check()
            asked.append(parts.now)
        else:
            parts.phase = Phase.GONE

    parts.on_nap = ask
    await monitor.run(0.1, root="/srv", uses_events=True)
    assert len(asked) > 10
    assert parts.looks[0] == pytest.approx(100.1 + BUSY_AT_MOST, abs=BUSY_FOR)
    assert parts.log[0] == "packages taken"  # nor was anything else done before


@pytest.mark.asyncio
async def test_a_first_request_that_takes_long_is_waited_for(parts: Parts) -> None:
    monitor = monitor_of(parts)

    def answer(count: int) -> None:
        if count == 1:
            monitor.check()
            parts.is_answering = True
        elif count == 6:
            parts.is_answering = False
        elif count == 7:
            parts.phase = Phase.GONE

    parts.on_nap = answer
    await monitor.run(0.1, root="/srv", uses_events=False)
    assert parts.naps == [0.1] * 7
    assert parts.looks == [pytest.approx(100.6)]  # at everything


@pytest.mark.asyncio
async def test_a_save_is_seen_while_a_first_request_blocks(parts: Parts) -> None:
    """It may block for ever: what goes on then is the reload."""
    monitor = monitor_of(parts)

    def save(count: int) -> None:
        if count == 1:
            monitor.check()
            parts.is_answering = True
        elif count == 3:
            parts.save(APP)

    parts.on_nap = save
    await monitor.run(0.1, root="/srv", uses_events=False)
    assert parts.told() == [("changed", APP)]
    assert parts.naps == [0.1] * 4  # the last one when it has ended


@pytest.mark.asyncio
async def test_looks_that_take_long_come_more_seldom_beside_the_first_requests(
    parts: Parts,
) -> None:
    monitor = monitor_of(parts)
    takes(parts, 1.0)

    def ask(count: int) -> None:
        if count == 1:
            parts.is_answering = True
            monitor.check()
        elif count == 2:
            parts.phase = Phase.GONE

    parts.on_nap = ask
    await monitor.run(0.1, root="/srv", uses_events=False)
    assert parts.naps == [0.1, Pace.FIRST_REQUESTS.pause(1.0)]
    assert parts.looks == []


# --- events of the kernel ------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_kernel_is_not_asked_unless_it_is_wanted(parts: Parts, events: Events) -> None:
    await run(parts, 3)
    assert ("events", "/srv") not in parts.log


@pytest.mark.asyncio
async def test_the_kernel_is_asked_once_and_not_while_loading(parts: Parts, events: Events) -> None:
    parts.phase = Phase.LOADING
    parts.is_all_watched = False

    def serve(count: int) -> None:
        if count == 3:
            assert ("events", "/srv") not in parts.log
            parts.phase = Phase.SERVING
        elif count == 6:
            parts.phase = Phase.GONE

    parts.on_nap = serve
    monitor = monitor_of(parts)
    await monitor.run(0.1, root="/srv", uses_events=True)
    assert parts.log.count(("events", "/srv")) == 1
    assert ("fork", events.close) in parts.log
    assert monitor.event_queues == events.queues


@pytest.mark.asyncio
async def test_the_kernel_is_not_asked_by_a_process_that_ends_after_a_look(
    parts: Parts, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `atexit` handlers run beside that, and would close the queue as it is made."""

    async def compare(suspects: list[str]) -> list[str]:
        parts.phase = Phase.DRAINING
        return []

    monkeypatch.setattr(parts, "compare", compare)
    parts.suspects = [APP]
    await run(parts, 2, uses_events=True)
    assert parts.looks
    assert ("events", "/srv") not in parts.log
    assert parts.notices == []


@pytest.mark.asyncio
async def test_without_events_files_are_looked_at_one_by_one(parts: Parts) -> None:
    """The kernel has none, or the package that asks for them is not installed."""
    monitor = monitor_of(parts)
    parts.end_after(3)
    await monitor.run(0.1, root="/srv", uses_events=True)
    assert len(parts.looks) == 2
    assert monitor.event_queues == []


@pytest.mark.asyncio
async def test_an_event_leads_to_a_look_when_the_save_can_be_expected_to_be_over(
    parts: Parts, events: Events
) -> None:
    events.tell()
    async with asyncio.timeout(IN_TIME):
        assert await run(parts, 4, uses_events=True) == [0.1, DEBOUNCE, 0.1]
    assert len(parts.looks) == 2


@pytest.mark.asyncio
async def test_a_request_leads_to_a_look_as_well(parts: Parts, events: Events) -> None:
    """What it imports is to be looked at soon, too."""
    monitor = monitor_of(parts)

    def ask(count: int) -> None:
        if count == 2:
            monitor.check()
        elif count == 5:
            parts.phase = Phase.GONE

    parts.on_nap = ask
    async with asyncio.timeout(IN_TIME):
        await monitor.run(0.1, root="/srv", uses_events=True)
    assert parts.naps == [0.1, 0.1, DEBOUNCE, 0.1, 0.1]
    assert len(parts.looks) == 1  # at everything; another one at the project


@pytest.mark.asyncio
async def test_a_new_file_leads_to_a_look_as_well(parts: Parts, events: Events) -> None:
    monitor = monitor_of(parts)

    def load(count: int) -> None:
        if count == 2:
            monitor.on_new_file(APP)
        elif count == 4:
            parts.phase = Phase.GONE

    parts.on_nap = load
    async with asyncio.timeout(IN_TIME):
        await monitor.run(0.1, root="/srv", uses_events=True)
    assert ("doubted", APP) in parts.log
    assert parts.naps == [0.1, 0.1, DEBOUNCE, 0.1]


@pytest.mark.asyncio
async def test_without_an_event_everything_is_looked_at_now_and_then(
    parts: Parts, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "soonest", 0)
    assert await run(parts, 4, uses_events=True) == [0.1, DEBOUNCE, 0.1]
    assert len(parts.looks) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["not all is watched", "something to be learned", "held"])
async def test_events_are_not_waited_for_while_looks_are_needed(
    parts: Parts, events: Events, reason: str
) -> None:
    if reason == "not all is watched":
        parts.is_all_watched = False
    elif reason == "something to be learned":
        parts.learning = 1000
    else:
        parts.debugs = True
        parts.save(APP)
    assert await run(parts, 4, uses_events=True) == [0.1, 0.1, 0.1]
    assert len(parts.looks) == 3


@pytest.mark.asyncio
async def test_the_queue_is_left_alone_in_a_process_that_ends(parts: Parts, events: Events) -> None:
    """It may be closed by then, and its number another file's."""
    await run(parts, 2, uses_events=True)
    assert parts.naps == [0.1, 0.1]


@pytest.mark.asyncio
async def test_at_the_kernels_limit_files_are_looked_at_one_by_one(
    parts: Parts, events: Events
) -> None:
    reason = "No space left on device: raise max_user_watches"
    parts.limit = LimitError(reason)
    monitor = monitor_of(parts)

    def lift(count: int) -> None:
        if count == 2:
            parts.limit = None
        elif count == 4:
            parts.phase = Phase.GONE

    parts.on_nap = lift
    await monitor.run(0.1, root="/srv", uses_events=True)
    assert parts.notices == [
        (f"files are looked at one by one, as inotify is at its limit: {reason}", True)
    ]
    assert parts.told() == ["polling"]
    assert parts.log.count(("events", "/srv")) == 1  # the kernel is not asked again
    assert parts.naps == [0.1] * 4
    assert monitor.event_queues == []


@pytest.mark.asyncio
async def test_a_kernel_that_has_no_queue_left_is_not_asked_again(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def use_events(root: str) -> None:
        asked.append(root)
        raise LimitError("Too many open files: raise max_user_instances")

    monkeypatch.setattr(parts, "use_events", use_events)
    await run(parts, 4, uses_events=True)
    assert asked == ["/srv"]
    assert len(parts.notices) == 1
    assert len(parts.looks) == 3


@pytest.mark.asyncio
async def test_a_new_file_is_doubted_also_without_events(parts: Parts) -> None:
    monitor_of(parts).on_new_file(APP)
    assert parts.log == [("doubted", APP)]
