"""Pdb takes Ctrl-C for itself until its next prompt; when the request is over it has to let go."""

from __future__ import annotations

import io
import pdb  # noqa: T100  it is what is tested
import signal
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest

from asyncreload.child.debugger import (
    give_interrupts_back,
    is_at_prompt,
    let_interrupts_through,
)

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="they need the main thread"
)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Have the handler of SIGINT after each test that was there before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def leave_prompt(kind: type[pdb.Pdb]) -> None:
    """Do what the command `continue` does."""
    debugger = kind(stdin=io.StringIO(), stdout=io.StringIO())
    debugger.reset()
    debugger.do_continue("")


class Other(pdb.Pdb):
    """A debugger built on pdb."""


@pytest.mark.parametrize("kind", [pdb.Pdb, Other])
def test_the_handler_that_pdb_has_replaced_is_put_back(kind: type[pdb.Pdb]) -> None:
    def handle(*_: object) -> None:
        """Be the app's own."""

    for before in (handle, signal.default_int_handler):
        signal.signal(signal.SIGINT, before)
        leave_prompt(kind)
        assert signal.getsignal(signal.SIGINT) is not before
        give_interrupts_back()
        assert signal.getsignal(signal.SIGINT) is before


def test_the_end_of_the_process_opens_no_prompt() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    let_interrupts_through()  # nobody has debugged: nothing is done
    leave_prompt(pdb.Pdb)
    let_interrupts_through()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_any_other_handler_stays(handler: object) -> None:
    signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]
    give_interrupts_back()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_debugger_that_another_thread_is_importing_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pdb", ModuleType("pdb"))
    give_interrupts_back()
    assert not is_at_prompt()
