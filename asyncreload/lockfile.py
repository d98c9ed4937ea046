"""The heartbeat: a file whose modification time says that the supervisor lives.

As in Bottle's reloader: whoever deletes it ends the supervisor and its child. It is touched again
and again by parent/heartbeat.py.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto

from asyncreload.errors import LockfileError

PREFIX = "asyncreload."
SUFFIX = ".lock"
PATIENCE = 5.0
"""How many seconds a touch may be late before its absence is a suspicion."""


class Verdict(Enum):
    """What the lockfile says about the supervisor."""

    FRESH = auto()
    STALE = auto()
    GONE = auto()


def pace(interval: float) -> float:
    """Return the seconds between two touches: the interval, but at least two seconds."""
    return max(interval, 2.0)


def create() -> str:
    """Create an empty lockfile, private to the user, and return its path.

    Raises `LockfileError` when the temporary directory does not take it.
    """
    from tempfile import mkstemp  # noqa: PLC0415  a child needs none of this

    try:
        descriptor, path = mkstemp(prefix=PREFIX, suffix=SUFFIX)
    except OSError as exc:
        raise LockfileError(
            f"cannot create a lockfile: {exc}; make room there, or set TMPDIR to another directory"
        ) from exc
    os.close(descriptor)
    return path


def touch(path: str) -> None:
    """Renew the modification time. Raises FileNotFoundError when somebody deleted the file."""
    os.utime(path)


def remove(path: str) -> None:
    """Delete the lockfile; no matter if it is gone already."""
    with suppress(OSError):
        os.unlink(path)


def is_gone(path: str) -> bool:
    """Tell whether somebody deleted the lockfile; one that cannot be looked at is there."""
    return judge(path, 0.0, 0.0) is Verdict.GONE


def judge(path: str, interval: float, now: float) -> Verdict:
    """Say what the lockfile tells at `now`, in seconds since the epoch."""
    try:
        touched = os.stat(path).st_mtime
    except FileNotFoundError:
        return Verdict.GONE
    except OSError:
        return Verdict.STALE
    return Verdict.FRESH if now - touched <= pace(interval) + PATIENCE else Verdict.STALE
