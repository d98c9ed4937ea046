"""The signals that ask a process to end: they run the app's `atexit` handlers, too."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from asyncreload.exit_codes import SIGNALLED
from asyncreload.forks import in_forks_of_app

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def end_on_signals(end: Callable[[int], object]) -> None:
    """Have SIGTERM, and the SIGHUP of a closed terminal, begin an end in order.

    Both reach every process of the group. The app may handle them as it likes; what it forks or
    starts has the defaults.

    end: begins the end, given the exit code; called from a signal handler.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        end(SIGNALLED + number)

    def forget() -> None:
        for number in _ENDING:
            if signal.getsignal(number) is handle:
                signal.signal(number, signal.SIG_DFL)

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So do shells with what they start in the background; but then nothing could interrupt us.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # else it was started by nohup
            signal.signal(number, handle)
    in_forks_of_app(forget)
