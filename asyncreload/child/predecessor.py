"""The process whose place a child takes."""

from __future__ import annotations

import os
import time

_STEP = 0.0002  # seconds


def wait_until_gone(pid: int, seconds: float) -> None:
    """Wait until there is no such process any more, but not longer than `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(_STEP)
