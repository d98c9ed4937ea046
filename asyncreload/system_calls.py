"""System calls that Python does not offer, or not on every platform; each stands here alone.

Checked against Linux 5.4 to 6.18. Where a call is missing (macOS, old kernels), each function says
what happens instead.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import stat
import sys
import time
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

_STARTTIME = 19  # of the fields behind the name, see proc(5)
_A_MINUTE = 60_000_000_000
# From linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STANDARD = 2
_HIGHEST = 0xFFFFFFFF
_FILES = frozenset({stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR})

OpenFile = tuple[int, int, int]
"""A descriptor, with the device and the inode of what it refers to."""


def open_process(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process has ended (`pidfd_open`).

    None where the system has no such call (macOS), or does not grant it: the number belongs to
    another PID namespace, or no descriptor is free.
    """
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None


def has_checkpoints() -> bool:
    """Tell whether this system has all that checkpoints need: Linux 5.3 or later, with `/proc`."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and os.path.exists("/proc/self/fd")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends (`prctl`, Linux).

    Elsewhere such processes go to init, where nobody finds them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class _PollFd(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_int),
        ("events", ctypes.c_short),
        ("revents", ctypes.c_short),
    )


def has_exceptional_condition(descriptor: int) -> bool:
    """Tell whether `poll` reports POLLPRI or an error for a descriptor; does not wait.

    `select.poll` gives the GIL away, and beside busy threads waits 5 ms to get it back; this does
    not.
    """
    asked = _PollFd(descriptor, select.POLLPRI, 0)
    found: int = _poll()(ctypes.byref(asked), 1, 0)
    return found > 0


@cache
def _poll() -> Any:
    return ctypes.PyDLL(None).poll


def process_began() -> int:
    """Return when this process began, in ns since the epoch; exact to 10 ms (`/proc/self/stat`).

    Where that is not told (macOS): a minute ago, which is earlier than it was.
    """
    now = time.time_ns()
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[_STARTTIME])
        since_boot = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return now - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, IndexError, AttributeError):
        return now - _A_MINUTE


def continue_at_parents_end() -> None:
    """Have the kernel continue this process, if it is stopped then, when its parent ends (Linux).

    Uses `prctl`. To a process that runs the signal, SIGCONT, means nothing. So it does no harm that
    the kernel sends it as well when no more than the parent's thread ends that has started us.
    Elsewhere a stopped process stays until somebody continues it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


def continue_when_readable(descriptor: int) -> None:
    """Have the kernel continue this process, if it is stopped, when a socket is readable or closed.

    Uses SIGIO's mechanism with another signal, SIGCONT, which means nothing to a process that runs
    (`F_SETSIG`, Linux). Elsewhere a stopped process stays until somebody continues it.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGCONT)
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)


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


def files_open_for_writing() -> frozenset[OpenFile] | None:
    """Return the files, pipes and devices that this process can write to; sockets are none.

    None where the system does not list descriptors in /dev/fd.
    """
    found = set()
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return None
    for descriptor in map(int, names):
        with suppress(OSError):  # that of the list itself
            state = os.fstat(descriptor)
            if stat.S_IFMT(state.st_mode) not in _FILES:
                continue
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                found.add((descriptor, state.st_dev, state.st_ino))
    return frozenset(found)


def flush_c_streams() -> None:
    """Write what the C library has buffered for its output streams. The GIL is free meanwhile."""
    ctypes.CDLL(None).fflush(None)
