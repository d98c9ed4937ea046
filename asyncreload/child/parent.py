"""The process that has started this one."""

from __future__ import annotations

import os


def open_parent(pid: int) -> int | None:
    """Return a descriptor that is readable when the parent has ended, for a loop to wait for.

    None where the system has none (macOS), or its number says nothing (another PID namespace).
    Unlike the end of a socket, this is also heard when somebody else holds the other end.
    """
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None
