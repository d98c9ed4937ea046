"""System calls that Python does not offer, or not on every platform; each stands here alone.

Checked against Linux 5.4 to 6.18. Where a call is missing (macOS, old kernels), each function says
what happens instead.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from itertools import pairwise

# From linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STANDARD = 2
_HIGHEST = 0xFFFFFFFF


def open_process(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process has ended (`pidfd_open`).

    None where the system has no such call (macOS), or does not grant it: the number belongs to
    another PID namespace, or no descriptor is free.
    """
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends (`prctl`, Linux).

    Elsewhere such processes go to init, where nobody finds them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def continue_at_parents_end() -> None:
    """Have the kernel continue this process, if it is stopped then, when its parent ends (Linux).

    Uses `prctl`. To a process that runs the signal, SIGCONT, means nothing. So it does no harm that
    the kernel sends it as well when no more than the parent's thread ends that has started us.
    Elsewhere a stopped process stays until somebody continues it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


def anonymous_file(size: int) -> int:
    """Return the descriptor of a file of `size` bytes without a name, for memory to be shared.

    Uses `memfd_create`; where that is missing, a temporary file that is unlinked at once.
    Raises OSError when there is no room for it.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("asyncreload")
    else:
        from tempfile import mkstemp  # noqa: PLC0415  a child needs none of this

        descriptor, path = mkstemp()
        os.unlink(path)
    os.truncate(descriptor, size)
    return descriptor


def close_all_but(channel: int, farewell: bytes) -> None:
    """Close all descriptors but the standard ones and `channel`; then write `farewell` to that.

    The C functions are called without giving the GIL away (`PyDLL`), so no thread sees its files
    closed. Uses `close_range`; where that is missing, each open descriptor is closed by itself.
    """
    libc = ctypes.PyDLL(None)
    if hasattr(libc, "close_range"):
        for low, high in pairwise([_STANDARD, channel, _HIGHEST + 1]):
            if low + 1 < high:
                libc.close_range(ctypes.c_uint(low + 1), ctypes.c_uint(high - 1), 0)
    else:
        for descriptor in map(int, os.listdir("/dev/fd")):
            if descriptor not in {*range(_STANDARD + 1), channel}:
                libc.close(descriptor)
    libc.write(channel, farewell, len(farewell))
