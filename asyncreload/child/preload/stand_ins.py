"""What stands in a standby for functions of the project's that Python calls.

They cannot be made anew. So a stand-in does what was done before, and tells whether it was called.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import Any

from asyncreload.child.preload.conditions import signal_handlers

Undo = Callable[[], bool]
"""Puts a condition back. Returns whether what packages have done to it meanwhile could be kept."""


def stand_in(
    read: Callable[[], Callable[..., Any]], write: Callable[[Any], object], _wanted: object
) -> Undo:
    """Put a stand-in in the place of a function."""
    before = read()
    called: list[bool] = []

    def call(*arguments: Any, **named: Any) -> Any:
        called.append(True)
        return before(*arguments, **named)

    write(call)

    def undo() -> bool:
        is_unchanged = read() is call
        write(before)
        return is_unchanged and not called

    return undo


def hook(owner: object, name: str) -> Callable[[object], Undo]:
    """Return what puts a stand-in in the place of a hook, such as `sys.excepthook`."""
    return partial(stand_in, partial(getattr, owner, name), partial(setattr, owner, name))


def make_signal_handlers(wanted: Mapping[str, str]) -> Undo:
    """Put stand-ins in the place of handlers, and have ignored what the project has ignored."""
    found = signal_handlers()
    numbers = [int(each) for each in {**found, **wanted} if found.get(each) != wanted.get(each)]
    before = {number: signal.getsignal(number) for number in numbers}
    made = {number: _handler(wanted.get(str(number)), before[number]) for number in numbers}
    for number, handler in made.items():
        signal.signal(number, handler)

    def undo() -> bool:
        is_unchanged = all(signal.getsignal(number) == made[number] for number in numbers)
        for number, handler in before.items():
            signal.signal(number, handler)
        return is_unchanged

    return undo


def _handler(wanted: str | None, before: Any) -> Any:
    plain = {handler.name: handler for handler in signal.Handlers}
    if wanted is None or wanted in plain:
        return plain[wanted or "SIG_DFL"]

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, before)
        signal.raise_signal(number)

    return handle


HOOKS: dict[str, Callable[[Any], Undo]] = {
    "exception hook": hook(sys, "excepthook"),
    "exception hook of threads": hook(threading, "excepthook"),
    "hook of unraisable exceptions": hook(sys, "unraisablehook"),
}
"""By the names of the conditions."""
