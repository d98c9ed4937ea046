"""The side thread: started, parked, buried, and started anew. It is a real one."""

from __future__ import annotations

import _thread
import asyncio
import gc
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import Any, cast

import pytest

from asyncreload.child.helper_thread import hop
from asyncreload.child.lifecycle import side_loop as module
from asyncreload.child.lifecycle.side_loop import SideLoop
from asyncreload.forks import own_fork


class Agent:
    """Lives until the test is over."""

    def __init__(self) -> None:
        self.thread = threading.get_native_id()
        self.loop = asyncio.get_running_loop()

    async def run(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture(scope="module")
def side_loop() -> SideLoop:
    return SideLoop(cast("Any", Agent))


def test_the_agent_lives_in_a_thread_of_its_own(side_loop: SideLoop) -> None:
    agent = cast("Agent", side_loop.agent)
    assert agent.thread != threading.get_native_id()
    main, side, helper = side_loop.thread_ids()
    assert (main, side) == (os.getpid(), agent.thread)
    assert helper not in {main, side}
    assert side_loop.pid == os.getpid()


def test_things_are_done_there(side_loop: SideLoop) -> None:
    called = threading.Event()
    side_loop.call(called.set)
    assert called.wait(5)

    async def answer() -> int:
        return threading.get_native_id()

    assert side_loop.wait_for(answer()) == cast("Agent", side_loop.agent).thread


def test_nothing_is_done_while_it_is_parked(side_loop: SideLoop) -> None:
    called = threading.Event()
    with side_loop.parked():
        side_loop.call(called.set)
        assert not called.is_set()
    assert called.wait(5)


def test_it_is_parked_when_the_helper_is_too(
    side_loop: SideLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked: list[None] = []

    class Counted(SimpleQueue[None]):
        def get(self, *arguments: Any) -> None:
            parked.append(super().get(*arguments))

    monkeypatch.setattr(module, "SimpleQueue", Counted)
    with side_loop.parked():
        assert len(parked) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")
def test_a_fork_has_threads_of_its_own_and_what_is_buried_takes_nothing_from_them() -> None:
    """The old loop's objects refer to descriptors by numbers that the new one has, too."""
    side_loop = SideLoop(cast("Any", Agent))
    with side_loop.parked():
        pid = own_fork()
    if pid == 0:
        signal.alarm(10)
        try:
            side_loop.bury()
            side_loop.renew()
            gc.collect()
            is_answered = side_loop.wait_for(hop(int)) == 0
            os._exit(0 if is_answered and len({*side_loop.thread_ids()}) == 3 else 1)
        finally:
            os._exit(99)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_in_a_fork_all_is_closed_and_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is no fork, so the old thread runs on; its descriptors are not really closed."""
    closed: list[int] = []
    side_loop = SideLoop(cast("Any", Agent))
    monkeypatch.setattr(os, "close", closed.append)
    first, open_before = side_loop.agent, side_loop.descriptors()
    side_loop.bury()
    assert closed == open_before
    assert first in side_loop._buried  # it lives on: it would close descriptors that are others'
    side_loop.renew()
    assert side_loop.agent is not first
    assert not {*side_loop.descriptors()} & {*open_before}


def test_a_thread_that_cannot_be_had_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    start = _thread.start_new_thread

    def start_new_thread(function: Any, arguments: Any) -> int:
        tried.append(function)
        if len(tried) < 3:
            raise RuntimeError("can't start new thread")
        return start(function, arguments)

    monkeypatch.setattr(module, "start_new_thread", start_new_thread)
    monkeypatch.setattr(module, "NO_THREAD_PAUSE", 0)
    assert SideLoop(cast("Any", Agent)).agent
    assert len(tried) == 3
