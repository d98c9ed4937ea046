"""When a burst of changes is over.

Whether a change belongs to one is known to the parent's restart policy, which remembers the last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from asyncreload.child.helper_thread import hop
from asyncreload.child.watch.file_state import Now, signature_at
from asyncreload.python_files import python_files

QUIET = 50_000_000
"""Nanoseconds without a change after which a burst of changes is over."""
PATIENCE = 2_000_000_000
"""Nanoseconds after which the end of a burst is not waited for any longer."""


def newest(paths: Iterable[str], now: Now = time.time_ns) -> int:
    """Return when the last change of any of these files was, in ns; 0 if there is none."""
    times = (signature_at(path) for path in paths)
    # A time in the future says nothing: the clock was set back, or another machine's is ahead.
    return max((at[1] for at in times if at is not None and at[1] <= now()), default=0)


async def quiet(
    root: str,
    paths: Iterable[str],
    sleep: Callable[[float], Any],
    now: Now = time.time_ns,
) -> None:
    """Wait until nothing under `root`, nor any of `paths`, has changed for `QUIET` ns.

    Not for longer than `PATIENCE`: something may write there all the time.
    now: the clock, in ns since the epoch.
    """
    extra = list(paths)
    deadline = now() + PATIENCE

    def last() -> int:
        files = [*extra, *(entry.path for entry in python_files(root))]
        # A directory changes when a file comes, goes, or is replaced.
        return newest({*files, *map(os.path.dirname, files)}, now)

    while now() < deadline:
        left = await hop(last) + QUIET - now()
        if left <= 0:
            return
        await sleep(left / 1e9)
