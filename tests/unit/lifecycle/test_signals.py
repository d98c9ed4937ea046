"""SIGTERM and SIGHUP begin an end in order, unless somebody else has a use for them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from asyncreload.child.lifecycle.signals import end_on_signals

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="they need the main thread"
)


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """What is registered to be called in a fork; and all handlers are put back."""
    before = {number: signal.getsignal(number) for number in (1, 2, 15)}
    calls: list[Callable[[], None]] = []
    monkeypatch.setattr(
        os, "register_at_fork", lambda *, after_in_child: calls.append(after_in_child)
    )
    yield calls
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_each_begins_the_end_with_its_code(
    number: signal.Signals, forget: list[Callable[[], None]]
) -> None:
    signal.signal(number, signal.SIG_DFL)
    codes: list[int] = []
    end_on_signals(codes.append)
    signal.raise_signal(number)
    assert codes == [128 + number]
    forget[0]()
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_nohup_ignores_stays_ignored(forget: list[Callable[[], None]]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_on_signals(lambda _code: None)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    forget[0]()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_an_interrupt_that_a_shell_has_switched_off_works(
    forget: list[Callable[[], None]],
) -> None:
    assert not forget
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_on_signals(lambda _code: None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_fork_keeps_a_handler_of_the_apps(forget: list[Callable[[], None]]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_on_signals(lambda _code: None)

    def handler(_number: int, _frame: object) -> None:
        pass

    signal.signal(signal.SIGTERM, handler)
    forget[0]()
    assert signal.getsignal(signal.SIGTERM) is handler
