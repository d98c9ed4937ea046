"""The main thread waits, is woken, interrupted, given jobs. These tests run in it, never sleep."""

from __future__ import annotations

import _thread
import json
import os
import select
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncreload.child.lifecycle.main_thread import MainThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from asyncreload.child.http.app_loop import AppLoop

DEADLINE = 5.0

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="they need the main thread"
)


@pytest.fixture
def main() -> Iterator[MainThread]:
    made = MainThread()
    yield made
    made.close()


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The app has a handler of its own for Ctrl-C; the signals that it was called with."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGINT, before)


def from_another_thread(call: Any) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    try:
        thread.start()
        thread.join(DEADLINE)
    finally:
        thread.join(DEADLINE)  # it may have interrupted us, also in `start`, and not be done
    assert not thread.is_alive()
    return results[0]


@contextmanager
def bounded(main: MainThread) -> Iterator[None]:
    """Fail, instead of waiting for ever, when a wait in the block does not end."""
    late: list[bool] = []

    def rescue() -> None:
        late.append(True)
        main.wake()

    timer = threading.Timer(DEADLINE, rescue)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
    assert not late


def while_it_waits(main: MainThread, call: Callable[[], object]) -> threading.Thread:
    """Call from another thread, as soon as the main thread waits."""

    def run() -> None:
        deadline = time.monotonic() + DEADLINE
        while not main.sleeps_here() and time.monotonic() < deadline:
            pass
        call()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def bytecodes() -> None:
    for _ in range(1000):
        pass


def test_eventlet_may_have_replaced_what_interrupts_it(
    main: MainThread, handled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of eventlet raises in the thread that calls it, and there would be no `select.poll`."""
    monkeypatch.delattr(_thread, "interrupt_main")
    monkeypatch.delattr(select, "poll")
    from_another_thread(main.interrupt)
    assert handled == [signal.SIGINT]
    out, into = os.pipe()
    main.wait(out)
    os.close(out)
    os.close(into)


def test_a_wake_ends_the_next_wait(main: MainThread) -> None:
    main.wake()
    with bounded(main):
        main.wait()


def test_each_wake_ends_one_wait(main: MainThread) -> None:
    main.wake()
    main.wake()
    with bounded(main):
        main.wait()
        main.wait()
    os.set_blocking(main._out, False)
    with pytest.raises(BlockingIOError):
        main.wait()


def test_a_wait_ends_also_when_another_descriptor_is_readable(main: MainThread) -> None:
    out, into = os.pipe()
    try:
        os.write(into, b"x")
        with bounded(main):
            main.wait(out)
        assert os.read(out, 1) == b"x"  # it is left to the caller
        main.wake()
        with bounded(main):
            main.wait(out)
        os.set_blocking(main._out, False)
        with pytest.raises(BlockingIOError):
            main.wait()
    finally:
        os.close(out)
        os.close(into)


def test_a_wake_from_another_thread_ends_the_present_wait(main: MainThread) -> None:
    thread = while_it_waits(main, main.wake)
    with bounded(main):
        main.wait()
    thread.join(DEADLINE)
    assert not main.sleeps_here()


def test_it_sleeps_here_only_while_it_waits(main: MainThread) -> None:
    assert not main.sleeps_here()
    with open(os.devnull, "wb") as other:
        # End of file: the read returns at once. Not closed: the number would be another file's.
        os.dup2(other.fileno(), main._in)
    main.wait()
    assert not main.sleeps_here()


def test_an_interrupt_reaches_running_code(main: MainThread) -> None:
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  it comes at any bytecode after the call
        from_another_thread(main.interrupt)
        bytecodes()
    with bounded(main):
        main.wait()  # woken, too: it may have begun to wait meanwhile


def test_an_interrupt_ends_a_wait(main: MainThread) -> None:
    thread = while_it_waits(main, main.interrupt)
    with bounded(main), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        main.wait()
        bytecodes()
    thread.join(DEADLINE)
    assert not main.sleeps_here()


def test_a_job_ends_the_wait_and_is_run_in_the_main_thread(main: MainThread) -> None:
    ran: list[int] = []
    thread = while_it_waits(main, lambda: main.run(lambda: ran.append(threading.get_ident())))
    with bounded(main):
        main.wait()
    thread.join(DEADLINE)
    main.run_job()
    assert ran == [threading.get_ident()]
    assert not main.has_jobs()


def test_a_job_that_is_interrupted_is_over_and_the_others_remain(main: MainThread) -> None:
    ran: list[str] = []

    def interrupted() -> None:
        ran.append("first")
        assert from_another_thread(main.interrupt) is not None
        bytecodes()
        ran.append("not interrupted")

    main.run(interrupted)
    main.run(lambda: ran.append("second"))
    with pytest.raises(KeyboardInterrupt):
        main.run_job()
    assert main.has_jobs()
    main.run_job()
    assert ran == ["first", "second"]


def test_an_interrupt_says_where_the_code_was(main: MainThread, handled: list[int]) -> None:
    frame = from_another_thread(main.interrupt)
    bytecodes()
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    assert "test_an_interrupt_says_where_the_code_was" in names
    assert handled == [signal.SIGINT]


def test_an_app_that_handles_ctrl_c_is_not_disturbed_while_it_only_waits_here(
    main: MainThread, handled: list[int]
) -> None:
    main._waits = True
    assert main.interrupt() is None
    bytecodes()
    assert handled == []
    with bounded(main):
        main.wait()  # but woken


def test_a_sleeper_in_the_apps_code_gets_a_real_signal(
    main: MainThread, handled: list[int]
) -> None:
    main.signal()
    bytecodes()
    assert handled == [signal.SIGINT]


@pytest.mark.parametrize("disposition", [signal.SIG_IGN, signal.SIG_DFL])
def test_no_real_signal_is_sent_where_it_would_kill_or_be_lost(
    main: MainThread, disposition: signal.Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(signal, "pthread_kill", refuse)
    before = signal.signal(signal.SIGINT, disposition)
    try:
        main.signal()
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_has_moved_when_frame_or_instruction_differ(
    main: MainThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sys._getframe()
    there = here.f_back
    assert there is not None
    now: list[FrameType] = [here]
    monkeypatch.setattr(main, "_frame", lambda: now[0])
    instruction = here.f_lasti
    assert main.has_moved(here, instruction)  # this very line is further on
    now[0] = there  # a caller stands still while we run
    assert not main.has_moved(there, there.f_lasti)
    assert main.has_moved(there, there.f_lasti + 2)
    assert main.has_moved(here, there.f_lasti)
    main._waits = True
    assert main.has_moved(there, there.f_lasti)
    main._waits = False


class StandInLoop:
    """As an ASGI app's loop: tells what is asked of the main thread while it runs."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.run = run

    def run_until_readable(self, descriptor: int) -> None:
        self.run()
        assert select.select([descriptor], [], [], DEADLINE)[0]


def run_in(main: MainThread, run: Callable[[], object]) -> None:
    main.run_while_waiting(cast("AppLoop", StandInLoop(run)))
    with bounded(main):
        main.wait()


def test_an_apps_loop_runs_while_it_waits(main: MainThread) -> None:
    asleep: list[bool] = []

    def run() -> None:
        asleep.append(main.sleeps_here())
        main.wake()

    run_in(main, run)
    assert asleep == [False]  # it runs the app's code
    os.set_blocking(main._out, False)
    with pytest.raises(BlockingIOError):  # the wake was read
        os.read(main._out, 1)


def test_an_apps_loop_is_woken_and_not_interrupted(main: MainThread) -> None:
    """It ends by itself, unless something blocks it: then it has not moved."""
    frames: list[FrameType | None] = []
    moved: list[bool] = []

    def run() -> None:
        frames.append(from_another_thread(main.interrupt))
        bytecodes()
        assert frames[0] is not None
        moved.append(main.has_moved(frames[0], -1))

    run_in(main, run)
    assert moved == [False]
    assert frames[0] is not None
    assert main.has_moved(frames[0], frames[0].f_lasti)


def test_code_beside_an_apps_loop_is_interrupted(main: MainThread) -> None:
    """Such as that of the app's `atexit` handlers."""
    run_in(main, main.wake)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  it comes at any bytecode after the call
        from_another_thread(main.interrupt)
        bytecodes()
    with bounded(main):
        os.read(main._out, 1)  # woken, too


def test_an_interrupt_out_of_an_apps_loop_ends_the_wait(main: MainThread) -> None:
    def run() -> None:
        raise KeyboardInterrupt

    main.run_while_waiting(cast("AppLoop", StandInLoop(run)))
    with pytest.raises(KeyboardInterrupt):
        main.wait()
    assert not main._waits


def test_the_place_is_the_innermost_line_of_the_project(main: MainThread) -> None:
    # Called through the standard library, whose frames say nothing to the user.
    place = json.loads("{}", object_hook=lambda _: main.place())
    path, line, text = place.split(":", 2)
    assert path == __file__
    assert line.isdigit()
    assert text == ' place = json.loads("{}", object_hook=lambda _: main.place())'


def test_there_is_no_place_in_the_standard_library(
    main: MainThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_frame", lambda: None)
    assert main.place() == ""


def test_the_pipe_is_let_go_of_once_and_harmlessly_twice() -> None:
    main = MainThread()
    ends = main.descriptors()
    main.close()
    for descriptor in ends:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    others = [os.dup2(0, descriptor) for descriptor in ends]  # the numbers are used again
    main.close()
    for descriptor in others:
        os.close(descriptor)
