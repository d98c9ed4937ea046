"""Where Ctrl-C interrupts the loop of an app: in the app's code, or between two steps of the loop.

Python raises KeyboardInterrupt wherever the main thread is. In the midst of the loop, of uvicorn or
of ours, something would be left half done: bytes that were sent would still be in the buffer, and
be sent once more.
"""

from __future__ import annotations

import signal
import sys
from asyncio import AbstractEventLoop, Handle
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Final, NoReturn

from asyncreload import audit

_NEVER_INTERRUPTED: Final = frozenset(
    {"asyncio", "asyncreload", "h11", "uvicorn", "websockets", "wsproto"}
)
"""Packages whose functions keep the loop from nothing, nor does what these call of Python's own."""


@contextmanager
def interrupted_between_steps(loop: AbstractEventLoop) -> Iterator[None]:
    """Have SIGINT do so while the loop runs; not if the app handles it.

    Signals are for the main thread: in another one, this does nothing.
    """
    late: list[Handle] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if loop.is_running() and frame is not None and not _may_be_interrupted(frame):
            late.append(loop.call_soon_threadsafe(_interrupt))
        else:
            signal.default_int_handler(number, frame)

    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_default or current_thread() is not main_thread():
        yield
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        for one in late:
            one.cancel()
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _may_be_interrupted(frame: FrameType | None) -> bool:
    """Tell whether code of the app runs; what it has called of the standard library is its own.

    So is what listens to its audit events: a debugger that begins to read a line is heard, too.
    """
    if frame is not None:
        frame = audit.raised_in(frame) or frame
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in _NEVER_INTERRUPTED:
            return False
        if package not in sys.stdlib_module_names:
            return True
        frame = frame.f_back
    return True


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt
