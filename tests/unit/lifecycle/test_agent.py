"""The agent composes the services of the side thread, and goes from phase to phase."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from asyncreload import protocol
from asyncreload.child.lifecycle import load_watch, parent_guard
from asyncreload.child.lifecycle.agent import Agent
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.load_state import LoadState
from asyncreload.child.pages.error_report import Report
from asyncreload.child.preload.conditions import Conditions
from asyncreload.exit_codes import ORPHANED, RELOAD
from asyncreload.lobby import Lobby
from asyncreload.lockfile import Verdict
from asyncreload.phase import Phase
from asyncreload.settings import Settings
from tests.unit.lifecycle.stand_ins import AppProcesses, End, Link, MainThread

pytestmark = pytest.mark.asyncio

SETTINGS = Settings(target="app.py", access_log=False)


class Bench:
    """An agent among stand-ins; its sockets are real, and nobody connects."""

    def __init__(self, root: Path, sockets: list[socket.socket]) -> None:
        self.root = root
        self.main, self.link, self.end = MainThread(), Link(), End()
        self.app_processes = AppProcesses()
        listener, entrance, exit_ = sockets
        self.agent = Agent(
            cast("Any", self.main),
            cast("Any", self.link),
            listener,
            Lobby(entrance, exit_),
            LoadState.begin(self.on_new_file, lambda _path: None, self.link.send, self.start_cold),
            cast("Any", self.app_processes),
            self.end,
        )
        self.running = asyncio.create_task(self.agent.run())

    def on_new_file(self, path: str) -> None:
        self.agent.monitor.on_new_file(path)

    def start_cold(self, reason: str, found: Conditions) -> NoReturn:
        del found
        raise AssertionError(reason)

    async def settle(self) -> None:
        """Let all that can go on go on."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def up(self) -> None:
        while not hasattr(self.link, "say"):
            await asyncio.sleep(0)
        self.agent.life.advance(Phase.WARM)

    def go(self, **fields: Any) -> protocol.Go:
        return protocol.Go(asdict(SETTINGS), None, ("127.0.0.1", 8000), **fields)

    def load(self, **fields: Any) -> Load:
        """Do what the main thread does when it begins to load."""
        load = Load(self.go(**fields), SETTINGS, str(self.root), 1)
        self.agent.life.load = load
        self.agent.life.advance(Phase.LOADING)
        return load

    def sent(self, kind: type[protocol.Message]) -> list[Any]:
        return [message for message in self.link.sent if isinstance(message, kind)]


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [socket.create_server(("127.0.0.1", 0)), *socket.socketpair()]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def make(tmp_path: Path, sockets: list[socket.socket]) -> Callable[[], Bench]:
    return lambda: Bench(tmp_path, sockets)


async def test_what_the_parent_orders_goes_to_the_main_thread(make: Callable[[], Bench]) -> None:
    bench = make()
    await bench.up()
    preload, go = protocol.Preload("/root"), bench.go()
    bench.link.say(preload)
    bench.link.say(go)
    carried_out: list[protocol.Message] = []
    assert bench.agent.orders.next_go(carried_out.append) == go
    assert carried_out == [preload]
    assert bench.main.woken == 2
    assert bench.agent.life.phase is Phase.WARM


async def test_an_app_is_served_and_the_parent_told(make: Callable[[], Bench]) -> None:
    bench = make()
    load = bench.load()
    bench.agent.outcome.serve(lambda _environ, _start: [], load)
    assert bench.agent.life.phase is Phase.SERVING
    assert [type(message) for message in bench.link.sent] == [protocol.Loaded, protocol.Watching]
    assert not bench.sent(protocol.Watching)[0].settled
    bench.agent.front_end.close(hand_over=False)


async def test_on_the_way_out_no_app_is_served(make: Callable[[], Bench]) -> None:
    bench = make()
    load = bench.load()
    bench.agent.life.advance(Phase.DRAINING)
    bench.agent.outcome.serve(lambda _environ, _start: [], load)
    assert bench.link.sent == []


@pytest.mark.parametrize(
    ("crash", "told"),
    [(None, protocol.LoadFailed), (("killed", "while serving"), protocol.Reporting)],
)
async def test_a_report_is_shown_and_the_parent_told(
    make: Callable[[], Bench], crash: tuple[str, str] | None, told: type[protocol.Message]
) -> None:
    bench = make()
    load = bench.load(crash=crash)
    bench.agent.outcome.show(Report.from_exception(ValueError("x")), load)
    while not bench.sent(protocol.Watching):
        await asyncio.sleep(0)
    assert bench.agent.life.phase is Phase.REPORTING
    assert [type(message) for message in bench.link.sent] == [told, protocol.Watching]
    bench.agent.front_end.close(hand_over=False)


async def test_an_import_that_fails_in_a_request_is_a_failed_load_once(
    make: Callable[[], Bench], tmp_path: Path
) -> None:
    bench = make()
    load = bench.load()
    bench.agent.outcome.serve(lambda _environ, _start: [], load)
    (tmp_path / "unloaded.py").touch()
    bench.link.sent.clear()
    told: list[str] = []
    for title in "first", "second":
        report = Report.from_exception(ValueError(title), "GET /")
        bench.agent.outcome.show_late(report, load.began, partial(told.append, title))
    while len(told) < 2:
        await asyncio.sleep(0)
    assert bench.agent.life.phase is Phase.REPORTING
    assert [type(message) for message in bench.link.sent] == [
        protocol.LoadFailed,
        protocol.Watching,
    ]
    assert bench.sent(protocol.LoadFailed)[0].title == "ValueError: first"
    assert str(tmp_path / "unloaded.py") in bench.sent(protocol.Watching)[0].files
    bench.agent.front_end.close(hand_over=False)


async def test_on_the_way_out_no_import_fails_a_load(make: Callable[[], Bench]) -> None:
    bench = make()
    load = bench.load()
    bench.agent.outcome.serve(lambda _environ, _start: [], load)
    bench.agent.monitor.on_change(["/app.py"])
    bench.link.sent.clear()
    told: list[None] = []
    report = Report.from_exception(ValueError(), "GET /")
    bench.agent.outcome.show_late(report, load.began, lambda: told.append(None))
    while not told:
        await asyncio.sleep(0)
    assert not bench.sent(protocol.LoadFailed)


async def test_a_change_is_told_before_the_end_begins(make: Callable[[], Bench]) -> None:
    bench = make()
    bench.load()
    bench.agent.monitor.on_change(["/app.py"])
    assert bench.agent.life.phase is Phase.DRAINING
    (changed,) = bench.sent(protocol.FilesChanged)
    assert changed.loading
    assert [*changed.files] == ["/app.py"]
    assert not changed.packages
    assert bench.agent.shutdown.code == RELOAD


async def test_a_look_that_finds_nothing_is_answered_while_there_is_an_answer(
    make: Callable[[], Bench],
) -> None:
    bench = make()
    await bench.up()
    bench.load()
    bench.link.say(protocol.Look(1))
    await bench.settle()
    assert bench.link.sent == []
    bench.agent.life.advance(Phase.SERVING)
    bench.link.say(protocol.Look(2))
    await bench.settle()
    assert bench.link.sent == [protocol.Fresh(2)]


async def test_the_parents_end_is_ours_and_the_lockfiles(make: Callable[[], Bench]) -> None:
    bench = make()
    await bench.up()
    bench.link.end()
    assert bench.link.removed_lockfile
    await bench.settle()
    assert bench.end.exited == [ORPHANED]


async def given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_parent_gone: bool) -> None:
    """End the channel of a process that goes on from a checkpoint, before its `Go`."""
    monkeypatch.setattr(parent_guard, "HANGS_UP_BEFORE_END", 0)
    bench.link.is_own_parent = False
    await bench.up()
    bench.link.end()
    bench.link.is_parent_gone = is_parent_gone
    await bench.settle()


async def test_a_process_that_the_parent_has_given_up_on_ends_alone(
    make: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor lives, with its lockfile and all that has its mark."""
    bench = make()
    await given_up(bench, monkeypatch, is_parent_gone=False)
    assert bench.end.exited == [RELOAD]
    assert not bench.link.removed_lockfile
    assert "end family" not in bench.app_processes.asked


async def test_if_the_parent_is_dead_the_end_is_that_of_an_orphan(
    make: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()
    await given_up(bench, monkeypatch, is_parent_gone=True)
    assert bench.end.exited == [ORPHANED]
    assert bench.link.removed_lockfile
    assert "end family" in bench.app_processes.asked


async def test_a_parent_that_deletes_its_lockfile_and_says_end_means_what_it_says(
    make: Callable[[], Bench],
) -> None:
    """It deletes the file as soon as it has begun to end; the word may be heard after that."""
    bench = make()
    bench.link.hears_end, bench.link.verdict = False, Verdict.GONE
    await bench.up()
    bench.link.say(protocol.End(143))
    await bench.settle()
    assert bench.end.exited == [143]


async def test_orphans_are_reaped_from_go_on(make: Callable[[], Bench]) -> None:
    bench = make()
    await bench.up()
    await bench.settle()
    assert bench.app_processes.asked == []
    bench.link.say(bench.go())
    await bench.settle()
    assert bench.app_processes.asked == ["reap orphans"]


async def test_a_standby_ends_at_once(make: Callable[[], Bench]) -> None:
    bench = make()
    await bench.up()
    bench.link.say(protocol.End(0))
    await bench.settle()
    assert bench.end.exited == [0]
    assert bench.main.interrupted == 0


async def test_the_watch_begins_with_the_load(
    make: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(load_watch, "UNDISTURBED", 0)
    watched: list[str] = []

    async def run(_interval: float, *, root: str, uses_events: bool) -> None:
        watched.append(root)

    bench = make()
    monkeypatch.setattr(bench.agent.monitor, "run", run)
    await bench.up()
    bench.link.say(bench.go())
    await bench.settle()
    assert watched == []
    bench.load()
    await bench.settle()
    assert watched == [str(tmp_path)]
