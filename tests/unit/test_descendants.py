"""Who descends from a process and has ended; on macOS by `ps`, which is not run here."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pytest

from asyncreload.descendants import began, descendants, has_children, has_ended
from tests.unit.parent.fakes import NO_PROCESS

PS = 99


class Ps:
    """A `subprocess.Popen` of it."""

    pid = PS
    lists = ""

    def __init__(self, command: list[str], **_: object) -> None:
        assert command == ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def communicate(self) -> tuple[str, None]:
        return f"{self.lists}\n   {PS}    10 R+\n", None


@pytest.fixture
def ps(monkeypatch: pytest.MonkeyPatch) -> type[Ps]:
    class Own(Ps):
        pass

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "Popen", Own)
    monkeypatch.setattr(os, "kill", lambda _pid, _number: None)
    return Own


def test_all_below_a_process_are_found_but_not_ps_itself(ps: type[Ps]) -> None:
    """Whoever looks again until nothing new is found would never be done."""
    ps.lists = "    1     0 Ss\n   10     1 S+\n   11    10 S\n   12    11 R\n   13     1 S"
    assert descendants(10) == [11, 12]
    assert descendants(10, {11}) == []


def test_who_has_ended_is_not_found_though_nobody_has_reaped_it(ps: type[Ps]) -> None:
    ps.lists = "10 1 S\n11 10 Z\n12 10 S"
    assert descendants(10) == [12]
    assert has_ended(11)
    assert not has_ended(12)
    assert has_ended(14)


def test_without_such_a_process_ps_is_not_asked(
    ps: type[Ps], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(pid: int, number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it was asked"))
    assert has_ended(12)


def test_without_waitid_children_are_known_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS it came with Python 3.13."""

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        assert (pid, options) == (-1, os.WNOHANG)
        if not children:
            raise ChildProcessError
        return 0, 0

    children = [11]
    monkeypatch.delattr(os, "waitid", raising=False)
    monkeypatch.setattr(os, "waitpid", waitpid)
    assert has_children()
    children.clear()
    assert not has_children()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_one_that_lives_has_not_ended() -> None:
    assert not has_ended(os.getpid())
    assert not has_ended(1)  # another user's, perhaps


def test_one_that_is_gone_has_ended() -> None:
    assert has_ended(NO_PROCESS)


def test_one_that_lives_has_not_ended_where_no_file_can_be_opened() -> None:
    """A child would take its supervisor for dead, and end it by deleting its lockfile."""
    error = 0
    with no_descriptor_left():
        ended = [has_ended(pid) for pid in (os.getpid(), NO_PROCESS)]
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as exc:
            error = exc.errno or 0
    assert ended == [False, True]
    assert error == errno.EMFILE


@pytest.mark.skipif(sys.platform != "linux", reason="told by /proc")
def test_when_a_process_began() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        at = began(process.pid)
        assert at is not None
        assert began(os.getpid()) is not None
        assert at >= (began(os.getpid()) or 0)
        assert began(process.pid) == at
    assert began(NO_PROCESS) is None
