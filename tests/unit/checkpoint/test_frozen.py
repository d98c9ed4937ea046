"""The life of a checkpoint, without any process: forks and ends are a test's own."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncreload.child.checkpoint import frozen as module
from asyncreload.child.checkpoint.frozen import freeze
from asyncreload.protocol import NO_PROCESS, Message, Resumed, ResumedEnded, decode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")

SUPERVISOR, ITS_GROUP, OWN_GROUP = 7, 70, 0


class HasEnded(Exception):  # noqa: N818  it is no error
    """In the place of the process's end."""


class Bench:
    """A checkpoint, and what happens to it. Each end of a process is a pipe that is closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
        self.lock = lock
        self.lock.touch()
        self.supervisor, self.control = socket.socketpair()
        self.supervisor.settimeout(10)
        self.links: list[socket.socket] = []
        self.forks: list[Callable[[], int]] = []
        self.ends: dict[int, tuple[int, int]] = {}
        self.codes: dict[int, int] = {}
        self.has_descriptors = True
        self.groups: list[int] = []
        monkeypatch.setattr(os, "getpgid", {SUPERVISOR: ITS_GROUP}.__getitem__)
        monkeypatch.setattr(os, "setpgid", lambda _, group: self.groups.append(group))
        monkeypatch.setattr(module, "own_fork", self.fork)
        monkeypatch.setattr(module, "open_process", self.open_process)
        monkeypatch.setattr(os, "_exit", self.exit)
        monkeypatch.setattr(os, "waitpid", lambda pid, _: (pid, self.codes[pid] << 8))

    def freeze(self) -> socket.socket:
        return freeze(self.control, SUPERVISOR, str(self.lock))

    def fork(self) -> int:
        return self.forks.pop(0)()

    def open_process(self, pid: int) -> int | None:
        if not self.has_descriptors:
            return None
        self.ends[pid] = os.pipe()
        return self.ends[pid][0]

    def exit(self, code: int) -> None:
        raise HasEnded(code)

    def ask(self) -> socket.socket:
        """Ask for a process that is to go on; return the supervisor's end of its link."""
        ours, theirs = socket.socketpair()
        self.links.append(ours)
        with theirs:
            socket.send_fds(self.supervisor, [b"?"], [theirs.fileno()])
        return ours

    def end(self, pid: int, code: int = 0) -> None:
        self.codes[pid] = code
        os.close(self.ends[pid][1])

    def will_fork(self, pid: int, *steps: Callable[[], object]) -> None:
        """Have the next fork give a process, or fail if it is `NO_PROCESS`; after these steps."""

        def fork() -> int:
            for step in steps:
                step()
            if pid == NO_PROCESS:
                raise BlockingIOError
            return pid

        self.forks.append(fork)

    def will_end(self) -> list[Message]:
        """Have the supervisor let go at the next fork; what was said until then is returned."""
        said: list[Message] = []
        self.will_fork(99, lambda: said.extend(self.said()), self.supervisor.close)
        return said

    def said(self) -> list[Message]:
        return [decode(line) for line in self.supervisor.recv(65536).splitlines()]

    def close(self) -> None:
        for end in (self.supervisor, self.control, *self.links):
            end.close()
        for pair in self.ends.values():
            for descriptor in pair:
                try:
                    os.close(descriptor)
                except OSError:
                    continue


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    monkeypatch.setattr(module, "_HANGS_UP_BEFORE_END", 0)
    bench = Bench(monkeypatch, tmp_path / "lock")
    yield bench
    bench.close()


def test_it_ends_when_the_supervisor_lets_go(bench: Bench) -> None:
    bench.supervisor.close()
    with pytest.raises(HasEnded):
        bench.freeze()
    assert bench.lock.exists()  # which lives, as far as it knows


def test_it_ends_with_the_supervisor_though_its_end_of_the_link_is_held(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork of the program that the supervisor runs in holds it."""
    plain = bench.open_process

    def open_process(pid: int) -> int | None:
        descriptor = plain(pid)
        bench.end(pid)
        return descriptor

    monkeypatch.setattr(module, "open_process", open_process)
    bench.will_fork(0)
    bench.ask()  # comes too late
    with pytest.raises(HasEnded):
        bench.freeze()
    assert list(bench.ends) == [SUPERVISOR]
    assert not bench.lock.exists()  # nobody else may be there to delete it


def test_a_fork_goes_on_with_its_own_link_alone(bench: Bench) -> None:
    bench.will_fork(0)
    ours = bench.ask()
    with bench.freeze() as link:
        assert not link.get_inheritable()
        ours.send(b"!")
        assert link.recv(1) == b"!"
    assert bench.control.fileno() == -1
    with pytest.raises(OSError):
        os.fstat(bench.ends[SUPERVISOR][0])


def test_the_checkpoint_tells_who_goes_on_and_waits_again(bench: Bench) -> None:
    bench.will_fork(41)
    said = bench.will_end()
    first = bench.ask()
    bench.ask()
    with pytest.raises(HasEnded):
        bench.freeze()
    assert said == [Resumed(41)]
    assert first.recv(1) == b""  # it does not hold the other's link


def test_it_tells_the_exit_code_of_who_went_on(bench: Bench) -> None:
    bench.will_fork(41)
    bench.will_fork(42, lambda: bench.end(41, 7), bench.ask)
    said = bench.will_end()
    bench.ask()
    bench.ask()
    with pytest.raises(HasEnded):
        bench.freeze()
    assert said == [Resumed(41), Resumed(42), ResumedEnded(41, 7)]


def test_it_is_in_the_supervisors_group_while_a_process_goes_on_from_it(bench: Bench) -> None:
    """And before it says so: that process may be told at once to go on, and join that group."""
    seen: list[tuple[list[int], list[Message]]] = []

    def look() -> None:
        seen.append(([*bench.groups], bench.said()))

    bench.will_fork(41)
    bench.will_fork(42, look, lambda: bench.end(41), bench.ask)
    bench.will_fork(NO_PROCESS, look, lambda: bench.end(42), bench.ask)
    bench.will_fork(0, look)
    bench.ask()
    bench.ask()
    with bench.freeze():
        pass
    assert seen[0] == ([ITS_GROUP], [Resumed(41)])
    assert seen[1][0] == [ITS_GROUP, ITS_GROUP]  # 42 lives
    in_the_end = [ITS_GROUP, ITS_GROUP, OWN_GROUP]
    assert seen[2][0] == in_the_end
    assert bench.groups == [*in_the_end, OWN_GROUP]  # the last one is that of the fork


def test_it_stays_in_its_group_if_no_process_can_be_had(bench: Bench) -> None:
    bench.will_fork(NO_PROCESS)
    bench.will_end()
    bench.ask()
    bench.ask()
    with pytest.raises(HasEnded):
        bench.freeze()
    assert bench.groups == [ITS_GROUP]  # for 99


def test_it_says_so_when_no_process_can_be_had(bench: Bench) -> None:
    bench.will_fork(NO_PROCESS)
    said = bench.will_end()
    bench.ask()
    bench.ask()
    with pytest.raises(HasEnded):
        bench.freeze()
    assert said == [Resumed(NO_PROCESS)]


def test_without_descriptors_of_processes_it_still_goes_on(bench: Bench) -> None:
    """The kernel may not grant them: then nobody tells the exit code."""
    bench.has_descriptors = False
    bench.will_fork(41)
    bench.will_fork(0)
    bench.ask()
    bench.ask()
    with bench.freeze():
        assert bench.said() == [Resumed(41)]
