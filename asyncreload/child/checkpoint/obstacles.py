"""Where checkpoints end: what a process holds that a fork of it cannot carry over.

What a start from nothing would hold is its own: its own connections, its own threads, its own
locks. A fork shares or loses them. So no checkpoint is taken while the process holds

- a thread beside ours: a fork has none of it. Those that a library ends or starts again around a
  fork by itself are no obstacle: OpenBLAS, in numpy and scipy; the background thread of jemalloc,
  in pyarrow;
- a descriptor other than a regular file that is open for reading or for appending, a directory, a
  standard stream, a terminal, `/dev/null` or its like. A database of SQLite is none of these: its
  connections must not be carried over a fork, says its documentation; but one that is installed
  with a package, and open for reading, is data: a fork loses locks alone, and nobody writes there.
  Nor is a file below `/proc`: that of a process ends with it; nor another device: a GPU's driver
  forbids forks;
- memory that is shared with others and may be written: a mapping of a file, a semaphore of
  `multiprocessing`;
- a child process that lives, a handler of the ends of such, a timer, or a lock on a file;
- an `atexit` handler or a fork handler of the project's own code, or a finalizer that runs at the
  end and removes files: the child that serves would destroy at its end what the checkpoint refers
  to;
- a tracer, a profiler or a debugger; gevent or eventlet, which have replaced threads.

What counts is what is held at this moment, not what was done before. `registrations.py` knows of
handlers, this module asks the system for the rest. Linux only (`/proc`).
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress

from asyncreload.child.checkpoint.registrations import Registrations
from asyncreload.child.green_threads import green_threads
from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.descendants import children_of_all_threads
from asyncreload.forks import own_fork

_STANDARD = range(3)
_SQLITE = b"SQLite format 3\0"
_BACKGROUND = "jemalloc_bg_thd"  # restarts itself in a fork, by its own handler
_RESTARTING = frozenset({"numpy", "scipy"})  # their OpenBLAS ends its threads at a fork
_DEBUGGERS = ("pydevd", "debugpy", "coverage.tracer", "coverage.collector")
_OURS = "/memfd:asyncreload"  # see liveness.py
_PLAIN_DEVICES = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "console")
)
_TERMINALS = "/dev/pts/"
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Obstacles:
    """Tells why no checkpoint may be taken now. Called by the main thread.

    own_threads: returns the numbers of our own threads, by the kernel's count.
    own_descriptors: returns the numbers of the descriptors that are ours.
    own_children: returns the numbers of the processes that are ours.
    parked: has our other threads stand still, so that nothing is open which they need for a moment.
    """

    def __init__(
        self,
        registrations: Registrations,
        own_threads: Callable[[], Collection[int]],
        own_descriptors: Callable[[], Collection[int]],
        own_children: Callable[[], Collection[int]],
        parked: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._registrations = registrations
        self._own_threads = own_threads
        self._own_descriptors = own_descriptors
        self._own_children = own_children
        self._parked = parked

    def first(self) -> str:
        """Return what is in the way of a checkpoint, as the end of a sentence; "" if nothing is."""
        with self._parked():
            return next(filter(None, self._all()), "")

    def _all(self) -> Iterator[str]:
        yield _observer()
        yield _green_threads()
        yield self._registrations.obstacle()
        yield _timer()
        yield _handler_of_ends()
        yield child_process(self._own_children())
        yield descriptor(self._own_descriptors())
        yield shared_memory()
        yield self._thread()

    def _thread(self) -> str:
        found = _other_threads(self._own_threads())
        if found and not _RESTARTING.isdisjoint(sys.modules):
            _let_libraries_end_threads()
            found = _other_threads(self._own_threads())
        return f"a thread runs ({found[0]})" if found else ""


# --- what runs -------------------------------------------------------------------------------


def _observer() -> str:
    hooks = (sys.gettrace, sys.getprofile, threading.gettrace, threading.getprofile)
    monitoring = getattr(sys, "monitoring", None)  # from 3.12 on
    tools = monitoring is not None and any(map(monitoring.get_tool, range(6)))
    if tools or any(hook() is not None for hook in hooks):
        return "a tracer, a profiler or a debugger is at work"
    loaded = next((name for name in _DEBUGGERS if name in sys.modules), "")
    return f"{loaded} is loaded" if loaded else ""


def _green_threads() -> str:
    library = green_threads()
    return f"{library} has replaced threads" if library else ""


def _other_threads(own: Collection[int]) -> list[str]:
    """Return the names of the threads that are not ours."""
    names = []
    for thread in map(int, os.listdir("/proc/self/task")):
        if thread not in own:
            with suppress(OSError), open(f"/proc/self/task/{thread}/comm") as file:
                names.append(file.read().strip())
    return [name for name in names if name != _BACKGROUND]


def _let_libraries_end_threads() -> None:
    """Fork once for nothing: whoever ends its threads at a fork has none after it."""
    try:
        if (pid := own_fork()) == 0:
            os._exit(0)
    except OSError:
        return
    os.waitpid(pid, 0)


def _timer() -> str:
    has_interval = any(signal.getitimer(timer) != (0.0, 0.0) for timer in _TIMERS)
    with suppress(OSError), open("/proc/self/timers", "rb") as file:
        has_interval = has_interval or bool(file.read(1))
    return "a timer runs" if has_interval else ""


def _handler_of_ends() -> str:
    """Tell of a handler of SIGCHLD: it would hear of processes that the app has not started."""
    is_usual = signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    return "" if is_usual else "the ends of processes are handled (SIGCHLD)"


def child_process(own: Collection[int]) -> str:
    """Tell of a child process that lives, or has ended and was not waited for."""
    found = [pid for pid in children_of_all_threads(os.getpid()) if pid not in own]
    return f"a process that was started is there ({found[0]})" if found else ""


# --- what is open ----------------------------------------------------------------------------


def descriptor(own: Collection[int]) -> str:
    """Tell of a descriptor that a fork may not share."""
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        if number not in own and (why := _reason(number)):
            return why
    return ""


def _reason(number: int) -> str:
    try:
        mode = os.fstat(number).st_mode
        with open(f"/proc/self/fdinfo/{number}") as file:
            told = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
        name = os.readlink(f"/proc/self/fd/{number}")
    except OSError:  # that of the list itself
        return ""
    if "lock" in told:
        return f"a lock is held on {name}"
    is_plain_device = name in _PLAIN_DEVICES or name.startswith(_TERMINALS)
    if number in _STANDARD or stat.S_ISDIR(mode) or is_plain_device or name.startswith(_OURS):
        return ""
    return _reason_of_file(number, name, mode, int(told["flags"], 8))


def _reason_of_file(number: int, name: str, mode: int, flags: int) -> str:
    if not stat.S_ISREG(mode) or name.startswith("/proc/"):
        return f"a descriptor is open ({name})"
    if flags & os.O_ACCMODE == os.O_RDONLY:
        is_data = kind_of(name) is FileKind.PACKAGE  # which nobody writes to, as pyproj's
        return f"a database is open ({name})" if _is_database(number) and not is_data else ""
    is_append = flags & os.O_APPEND and flags & os.O_ACCMODE == os.O_WRONLY
    return "" if is_append else f"a file is open for writing ({name})"


def _is_database(number: int) -> bool:
    try:
        return os.pread(number, len(_SQLITE), 0) == _SQLITE
    except OSError:
        return False


def shared_memory() -> str:
    """Tell of memory that is shared with other processes, and may be written."""
    with open("/proc/self/maps") as file:
        for line in file:
            _, mode, _, _, _, *name = line.split(maxsplit=5)
            is_shared = "w" in mode and "s" in mode
            if is_shared and not name[0].startswith(_OURS):
                return f"memory is shared ({name[0].strip()})"
    return ""
