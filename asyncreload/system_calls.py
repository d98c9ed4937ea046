"""System calls that Python does not offer, or not on every platform; each stands here alone.

Checked against Linux 5.4 to 6.18. Where a call is missing (macOS, old kernels), each function says
what happens instead.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import operator
import os
import select
import signal
import stat
import struct
import sys
import termios
import time
from array import array
from functools import cache
from itertools import pairwise, starmap
from typing import Any

_STARTTIME = 19  # of the fields behind the name, see proc(5)
# From linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MADV_POPULATE_WRITE = 23  # from linux/mman.h
_STANDARD = 2
_HIGHEST = 0xFFFFFFFF
# From linux/inotify.h.
_IN_OPEN = 0x20
_IN_DONT_FOLLOW = 0x02000000
_EVENT = struct.Struct("iIII")
"""Watch, what was heard, a number that is not used here, bytes of the name that follows."""
_EVERY_WATCH = -1
"""Stands in place of a watch when events were lost."""
# From linux/magic.h: ext2 to ext4, btrfs, xfs, f2fs, tmpfs.
_COUNT_WRITERS = frozenset({0xEF53, 0x9123683E, 0x58465342, 0xF2F52010, 0x01021994})
"""File systems whose files are known to count all who may write to them, mappings included."""
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


def leave_orphans() -> None:
    """Adopt no more: what loses its parent goes to the next one above that adopts, mostly init."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class _PollFd(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_int),
        ("events", ctypes.c_short),
        ("revents", ctypes.c_short),
    )


def has_input(descriptor: int) -> bool:
    """Tell whether there is something to be read, or an error; does not wait, keeps the GIL."""
    return Polled((descriptor, select.POLLIN)).now()[0]


class Polled:
    """Some descriptors, asked by one call whether there is news of any.

    `select.poll` gives the GIL away, and beside busy threads waits 5 ms to get it back; this does
    not.

    asked: descriptors, each with the events that are asked for; -1 for one that there is not.
    """

    def __init__(self, *asked: tuple[int, int]) -> None:
        self._asked = (_PollFd * len(asked))(*(_PollFd(*each, 0) for each in asked))
        self._none = [False] * len(asked)
        self._poll = _libc().poll

    def now(self) -> list[bool]:
        """Return for each of them whether there is news of it, or an error; does not wait."""
        if not self._poll(self._asked, len(self._none), 0):
            return self._none
        return [bool(each.revents) for each in self._asked]


@cache
def _libc() -> Any:
    """Return the C library. Its functions are called without giving the GIL away."""
    return ctypes.PyDLL(None, use_errno=True)


def is_open_for_writing(descriptor: int) -> bool | None:
    """Tell whether any process has a file open for writing; also if only a mapping is left of that.

    descriptor: of the file, open for reading only.

    The kernel grants no read lease (`F_SETLEASE`, Linux) while that is so. One that it grants is
    given back at once, as who opens the file for writing waits for that. None where a lease tells
    nothing: elsewhere; for a file of another user; on file systems that map other files than the
    one that is open (overlayfs).
    """
    if sys.platform != "linux":
        return None
    libc, status = _libc(), (ctypes.c_ulong * 64)()  # longer than a `struct statfs`
    if libc.fstatfs(descriptor, status) or status[0] not in _COUNT_WRITERS:
        return None
    # What tells that somebody waits for the lease; the default, SIGIO, would end this process.
    if libc.fcntl(descriptor, fcntl.F_SETSIG, int(signal.SIGURG)):
        return None
    steps = (
        (libc.fcntl, descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK),
        (ctypes.get_errno,),
        (libc.fcntl, descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK),
    )
    # In one go: between two lines of Python, another thread may take the GIL and keep it.
    refused, reason, _ = list(starmap(operator.call, steps))
    if not refused:
        return False
    return True if reason == errno.EAGAIN else None


def new_event_queue() -> int:
    """Return the descriptor of a queue of events (`inotify`). Raises OSError if there is none."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return _checked(_libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def hear_of_opens(queue: int, path: str) -> int:
    """Have it noted in a queue when a file is opened; return the number that stands for the file.

    Raises OSError when the kernel watches no more, or there is no such file.
    """
    mask = _IN_OPEN | _IN_DONT_FOLLOW
    return _checked(_libc().inotify_add_watch(queue, os.fsencode(path), mask))


def opened(queue: int) -> set[int] | None:
    """Return what was opened since the last call, as numbers; None when the kernel has lost count.

    Reads what is queued when this begins: it ends, however fast files are opened meanwhile.
    """
    if not has_input(queue):
        return set()
    size = array("i", [0])
    fcntl.ioctl(queue, termios.FIONREAD, size)
    events, at, found = os.read(queue, size[0]), 0, set()
    while at < len(events):
        watch, heard, _, length = _EVENT.unpack_from(events, at)
        at += _EVENT.size + length
        if watch == _EVERY_WATCH:
            return None
        if heard & _IN_OPEN:
            found.add(watch)
    return found


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def process_began(started: int) -> int:
    """Return when this process began, in ns since the epoch; exact to 10 ms (`/proc/self/stat`).

    started: when its start was asked for; returned where the system does not tell (macOS).
    """
    now = time.time_ns()
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[_STARTTIME])
        since_boot = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return now - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, IndexError, AttributeError):
        return started


def continue_at_parents_end() -> None:
    """Have the kernel continue this process, if it is stopped then, when its parent ends (Linux).

    Uses `prctl`. To a process that runs the signal, SIGCONT, means nothing. So it does no harm that
    the kernel sends it as well when no more than the parent's thread ends that has started us.
    Elsewhere a stopped process stays until somebody continues it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


def end_at_parents_end() -> None:
    """Have the kernel end this process by SIGTERM when its parent ends, also behind `exec` (Linux).

    Uses `prctl`. Elsewhere it goes on.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


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


def close_all_but(farewells: list[tuple[int, bytes]]) -> None:
    """Close all descriptors but the standard ones; those of `farewells` once that is written.

    The C functions are called without giving the GIL away (`PyDLL`), so no thread sees its files
    closed. Uses `close_range`; where that is missing, each open descriptor is closed by itself.

    farewells: descriptors, and what is written to each, in this order.
    """
    libc = ctypes.PyDLL(None)
    kept = sorted(descriptor for descriptor, _ in farewells)
    if hasattr(libc, "close_range"):
        for low, high in pairwise([_STANDARD, *kept, _HIGHEST + 1]):
            if low + 1 < high:
                libc.close_range(ctypes.c_uint(low + 1), ctypes.c_uint(high - 1), 0)
    else:
        for descriptor in map(int, os.listdir("/dev/fd")):
            if descriptor not in {*range(_STANDARD + 1), *kept}:
                libc.close(descriptor)
    for descriptor, farewell in farewells:
        libc.write(descriptor, farewell, len(farewell))
        libc.close(descriptor)


def own_pages(address: int, size: int) -> bool:
    """Have the kernel copy memory pages that are shared with another process until one writes.

    address, size: in bytes, of pages that this process has and may write to.

    Return False where it does not (Linux before 5.14, macOS), or has no memory for that.
    """
    if sys.platform != "linux":
        return False
    advise = _libc().madvise
    return not advise(ctypes.c_void_p(address), ctypes.c_size_t(size), _MADV_POPULATE_WRITE)


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
        try:
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                continue
            state = os.fstat(descriptor)
        except OSError:  # that of the list itself
            continue
        if stat.S_IFMT(state.st_mode) in _FILES:
            found.add((descriptor, state.st_dev, state.st_ino))
    return frozenset(found)


def flush_c_streams() -> None:
    """Write what the C library has buffered for its output streams. The GIL is free meanwhile."""
    ctypes.CDLL(None).fflush(None)
