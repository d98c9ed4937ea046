"""Who descends from a process where there is no /proc, but `ps`; here, that is not run."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Self

import pytest

from asyncreload.descendants import descendants, has_children, has_ended

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
