"""What would block the loop is done in a thread, or at once where none can be had."""

from __future__ import annotations

import threading
from _thread import start_new_thread as start
from collections.abc import Callable
from typing import Any

import pytest

from asyncreload.child import helper_thread as module

DEADLINE = 10.0


def test_a_hop_is_made_here_as_long_as_no_thread_can_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed = False

    def start_new_thread(function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not allowed:
            raise RuntimeError("can't start new thread")
        start(function, args)

    monkeypatch.setattr(module, "start_new_thread", start_new_thread)
    hops = module._HelperThread()
    here = threading.get_ident()
    assert hops.submit(threading.get_ident).result(DEADLINE) == here
    allowed = True
    assert hops.submit(threading.get_ident).result(DEADLINE) != here
