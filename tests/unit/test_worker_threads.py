"""Jobs are run by as many threads as there is work for, and by those that can be had."""

from __future__ import annotations

import threading
from _thread import start_new_thread as start
from collections.abc import Callable
from typing import Any

import pytest

from asyncreload.child import worker_threads as module
from asyncreload.child.worker_threads import Threads

DEADLINE = 10.0


def test_when_no_more_can_be_had_those_that_there_are_do_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed = 1

    def start_new_thread(function: Callable[..., None], args: tuple[Any, ...]) -> None:
        nonlocal allowed
        if not allowed:
            raise RuntimeError("can't start new thread")
        allowed -= 1
        start(function, args)

    monkeypatch.setattr(module, "start_new_thread", start_new_thread)
    threads = Threads()
    gates = [threading.Event() for _ in range(3)]
    done = [threading.Event() for _ in gates]
    for gate, end in zip(gates, done, strict=True):
        threads.run(lambda gate=gate, end=end: gate.wait(DEADLINE) and end.set())  # type: ignore[misc]
    for gate in gates:
        gate.set()
    assert all(end.wait(DEADLINE) for end in done)
    assert threads._started == 1
    allowed = 1
    ended = threading.Event()
    threads.run(ended.set)
    assert ended.wait(DEADLINE)
    assert threads._started == 2


def test_a_hop_is_made_here_as_long_as_no_thread_can_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed = False

    def start_new_thread(function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not allowed:
            raise RuntimeError("can't start new thread")
        start(function, args)

    monkeypatch.setattr(module, "start_new_thread", start_new_thread)
    hops = module._Hops()
    here = threading.get_ident()
    assert hops.submit(threading.get_ident).result(DEADLINE) == here
    allowed = True
    assert hops.submit(threading.get_ident).result(DEADLINE) != here
