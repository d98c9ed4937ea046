"""Audit events for all who listen to them, by one hook: https://peps.python.org/pep-0578/.

Python calls each hook for each event, and there are tens of thousands in a load: `id` raises one.
A hook that is added stays for as long as the process lives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from asyncreload.cpython import caller

Listener = Callable[[str, tuple[Any, ...], FrameType | None], object]
"""Called with the name of an event, its arguments, and the frame in which it is raised (None for
one outside of Python code), just before what it tells of is done. What it raises is raised there.
"""

_listeners: dict[str, tuple[Listener, ...]] = {}


def listen(listener: Listener, *events: str) -> None:
    """Have somebody told of these events from now on."""
    is_first = not _listeners
    for event in events:
        _listeners[event] = (*_listeners.get(event, ()), listener)
    if is_first:
        sys.addaudithook(_hear)


def raised_in(frame: FrameType) -> FrameType | None:
    """Return the frame in which the event was raised that is being told where this one is, if any.

    A listener runs in the midst of the code that it listens to, and what it raises ends that.
    """
    inner: FrameType | None = frame
    while inner is not None and inner.f_code is not _hear.__code__:
        inner = inner.f_back
    return inner.f_back if inner is not None else None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _listeners:
        frame = caller(0).f_back
        for listener in _listeners[event]:
            listener(event, arguments, frame)
