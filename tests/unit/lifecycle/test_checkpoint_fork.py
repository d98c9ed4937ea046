"""The fork of a checkpoint, as each of the processes sees it. Nothing is forked here."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from asyncreload.child.lifecycle import checkpoint_fork as module
from asyncreload.child.lifecycle.checkpoint_fork import CheckpointFork
from asyncreload.child.lifecycle.load import Load
from asyncreload.exit_codes import ORPHANED, RELOAD
from asyncreload.phase import Phase
from asyncreload.protocol import (
    Booted,
    CheckpointRefused,
    CheckpointTaken,
    GetReady,
    Go,
    Lines,
    Message,
    Obstacle,
)
from tests.unit.lifecycle.stand_ins import life_at_work, load_of


class EndedError(BaseException):
    """Stands for the end of the process."""


class Bench:
    """Stands for all that a fork concerns, and notes what is done with it, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[object] = []
        self.pid = 4321
        self.fails_at: str = ""
        self.orders: list[Message] = [load_of().go]
        self.told = b""
        self.link, self.theirs = socket.socketpair()
        self.pair = ours, theirs = socket.socketpair()
        self.supervisor = theirs.dup()
        """Its end of the link to the checkpoint."""
        monkeypatch.setattr(socket, "socketpair", lambda: (ours, theirs))
        self.code: int | None = None
        self.signals = {signal.SIGUSR1}
        shutdown = SimpleNamespace(
            flush_files=self.note("flush"),
            main_has_left=self.note("main has left"),
            vanish=self.end,
            code=None,
        )
        self.agent = SimpleNamespace(life=life_at_work(), link=self, shutdown=shutdown, orders=self)
        side_loop = SimpleNamespace(
            agent=self.agent,
            parked=self.parked,
            bury=self.note("bury"),
            renew=self.note("renew side loop"),
            call=lambda function: function(),
            hear_signals=lambda blocked: self.log.append(("signals", blocked)),
        )
        legacy = SimpleNamespace(
            app_processes=SimpleNamespace(spare=lambda pid: self.log.append(("spare", pid))),
            rendezvous=self.theirs,
            supervisor=1,
            lock="lock",
            let_go=self.note("let go"),
            renew=lambda _connection: self.log.append("renew legacy"),
            join_supervisors_group=self.note("join group"),
        )
        state = SimpleNamespace(
            modules=SimpleNamespace(scan=self.scan, ran_at_start=()),
            baselines=SimpleNamespace(loaded=lambda: ["/app.py"]),
            preload=SimpleNamespace(loaded=3),
        )
        validity = SimpleNamespace(
            inputs=SimpleNamespace(paths=lambda: ["/data.toml"]), differing=self.note("differing")
        )
        monkeypatch.setattr(module, "own_fork", self.own_fork)
        monkeypatch.setattr(module, "freeze", self.freeze)
        monkeypatch.setattr(module, "Suspension", SimpleNamespace(begin=self.begin))
        monkeypatch.setattr(module, "own_shared_pages", self.own_shared_pages)
        monkeypatch.setattr(module, "stand_still", self.end)
        monkeypatch.setattr(traceback, "print_exc", self.note("traceback"))
        monkeypatch.setattr(os, "_exit", self.end)
        monkeypatch.setattr(os, "setpgid", lambda _pid, _group: self.log.append("own group"))
        streams = {
            name: SimpleNamespace(flush=self.note(f"flush {name}")) for name in ("stdout", "stderr")
        }
        monkeypatch.setattr(module, "sys", SimpleNamespace(**streams))  # pytest has its own
        parts = (legacy, side_loop, state, validity, lambda: [7], self.resume)
        self.fork = CheckpointFork(*(cast("Any", part) for part in parts))

    def note(self, what: str) -> Callable[[], None]:
        def note() -> None:
            self.log.append(what)
            if self.fails_at == what:
                raise OSError(24, "Too many open files")

        return note

    def scan(self, *, is_loading: bool) -> None:
        assert is_loading
        self.log.append("scan")

    def begin(self, descriptors: list[int]) -> Any:
        assert descriptors == [7]
        self.note("suspend")()
        return SimpleNamespace(undo=self.note("undo"), end=self.note("end"), signals=self.signals)

    @contextmanager
    def parked(self) -> Iterator[None]:
        self.log.append("park")
        try:
            yield
        finally:
            self.log.append("let run")

    def own_fork(self) -> int:
        self.note("fork")()
        return self.pid

    def freeze(self, control: socket.socket, supervisor: int, lock: str) -> socket.socket:
        assert (supervisor, lock) == (1, "lock")
        self.note("freeze")()
        return control

    def own_shared_pages(self, goes_on: Callable[[], bool]) -> None:
        self.log.append(("own pages", goes_on()))

    def next_go(self, carry_out: Callable[[Any], object]) -> Go:
        while not isinstance(order := self.orders.pop(0), Go):
            carry_out(order)
        return order

    @property
    def is_any_waiting(self) -> bool:
        return bool(self.orders)

    def send(self, message: Message) -> None:
        self.log.append(message)

    def resume(self, load: Load) -> None:
        self.log.append(("resume", load.loaded_before))
        if self.code is not None:
            raise KeyboardInterrupt

    def end(self, code: int | None = None) -> NoReturn:
        raise EndedError(code)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    for each in (made.link, made.theirs, made.supervisor, *made.pair):
        each.close()


FORKS = [
    *("flush stdout", "flush stderr", "flush"),  # else both would write it
    "park",
    "scan",  # what has been loaded counts among what the checkpoint rests on
    "suspend",  # only now: what our threads have open for a moment is not the app's
    "fork",
    "let run",
]
STANDS_BY = [
    *FORKS,
    "own group",
    "bury",
    "let go",
    "freeze",
    "renew legacy",
    "renew side loop",
    Booted(()),
]
"""What is done in a process that goes on, until it waits for its `Go`."""


def test_the_process_that_is_forked_from_goes_on_at_once(bench: Bench) -> None:
    bench.fork.take("before views.py")
    assert bench.log == [*FORKS, ("spare", bench.pid), "undo"]
    told, rights, *_ = socket.recv_fds(bench.link, 100, 1)
    os.close(rights[0])
    assert told == str(bench.pid).encode()


@pytest.mark.parametrize("step", ["suspend", "fork"])
def test_where_none_can_be_taken_that_is_told_and_the_load_goes_on(bench: Bench, step: str) -> None:
    bench.fails_at = step
    bench.fork.take("views.py")
    assert Obstacle("no checkpoint at views.py: Too many open files") in bench.log
    assert ("undo" in bench.log) is (step == "fork")


def test_a_process_that_goes_on_stands_by_and_then_resumes_the_load(bench: Bench) -> None:
    bench.pid = 0
    bench.agent.life = life_at_work(Phase.BOOTING)
    bench.fork.take("views.py")
    resumed = ["end", ("signals", bench.signals), "join group", ("resume", 3)]
    assert bench.log == STANDS_BY + resumed
    assert bench.agent.life.phase is Phase.WARM


def test_a_checkpoint_tells_what_it_rests_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.pid = 0
    monkeypatch.setattr(module, "freeze", lambda *_: bench.end())
    with pytest.raises(EndedError):
        bench.fork.take("views.py")
    (told,) = Lines().feed(bench.supervisor.recv(10_000))
    assert isinstance(told, CheckpointTaken)
    assert told.place == "views.py"
    assert [*told.read] == ["/app.py", "/data.toml"]


def test_it_gets_ready_while_it_stands_by(bench: Bench) -> None:
    bench.pid = 0
    bench.orders.insert(0, GetReady())
    bench.fork.take("views.py")
    ready = ["differing", ("own pages", False)]
    assert bench.log[len(STANDS_BY) :][:2] == ready  # and no longer once there is its `Go`


@pytest.mark.parametrize("step", ["freeze", "renew side loop"])
def test_a_checkpoint_that_fails_ends_and_the_app_meets_nothing(bench: Bench, step: str) -> None:
    bench.pid, bench.fails_at = 0, step
    with pytest.raises(EndedError) as ended:
        bench.fork.take("views.py")
    assert ended.value.args == (ORPHANED,)


def test_it_gives_way_if_a_file_cannot_be_opened_anew(bench: Bench) -> None:
    bench.pid, bench.fails_at = 0, "end"
    with pytest.raises(EndedError):
        bench.fork.take("views.py")
    reason = "a file that is read cannot be opened (Too many open files)"
    assert CheckpointRefused(reason) in bench.log
    assert "join group" not in bench.log


@pytest.mark.parametrize(("code", "left"), [(RELOAD, True), (None, False)])
def test_an_interrupt_before_the_load_goes_on_is_not_the_apps(
    bench: Bench, code: int | None, *, left: bool
) -> None:
    bench.pid, bench.code = 0, RELOAD
    bench.agent.shutdown.code = code
    with pytest.raises(EndedError) as ended:
        bench.fork.take("views.py")
    assert ("main has left" in bench.log) is left
    assert ("traceback" in bench.log) is not left
    assert ended.value.args == (None if left else ORPHANED,)
