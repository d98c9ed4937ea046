"""Forks: those of the app let go of what is ours, our own for checkpoints go on with it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress

from asyncreload.cpython import run_exit_handlers

_fork = os.fork  # before it is wrapped, by us (orphans.py) or by the app
_FilterList = list[tuple[str, None, type[Warning], None, int]]


class _Forking:
    """Whether the fork that is under way is our own."""

    is_own = False


def in_forks_of_app(forget: Callable[[], object]) -> None:
    """Have a function called in each process that the app forks, as it begins."""

    def after_fork() -> None:
        if not _Forking.is_own:
            forget()

    os.register_at_fork(after_in_child=after_fork)


def end_if_forked(process: int) -> None:
    """End this process unless it has that number: it is a fork of the app that came back to us.

    At once, but with what an ordinary end does for it. Not by SystemExit: uvicorn's protocols take
    that for an error of the app, and a loop would run whatever else is ready before it ends.
    """
    if os.getpid() == process:
        return
    try:
        run_exit_handlers()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # it is closed, or None
                stream.flush()
    finally:
        os._exit(0)


def own_fork() -> int:
    """Fork this process; return the new one's number, and 0 in that.

    No other thread of this process may be inside anything that holds a lock. Raises OSError when
    there can be no more processes, or no memory for one.
    """
    # From 3.12 on, Python warns of forks beside threads. The filter is not set by a function of
    # `warnings`: that would have warnings told again which the app has told once.
    silence = ("ignore", None, DeprecationWarning, None, 0)
    filters: _FilterList = warnings.filters  # type: ignore[assignment]  # typeshed: a sequence
    filters.insert(0, silence)
    _Forking.is_own = True
    try:
        return _fork()
    finally:
        _Forking.is_own = False
        filters.remove(silence)
