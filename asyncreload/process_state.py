"""What the kernel tells of a process: Linux only, by /proc; elsewhere no more than CPU times."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from asyncreload.frozen_data import FrozenData

_STOPPED = b"T"  # by SIGSTOP; one that a debugger has halted is "t"
_WANTS_TO_RUN = {
    b"R",
    b"D",
}  # waits for a processor or runs; waits for a disk, or for swapped memory
_STATE, _USER_TIME, _SYSTEM_TIME = 0, 11, 12  # places in /proc/PID/stat after the command's name


class ProcessState(FrozenData):
    """A process, or its main thread, at one moment."""

    cpu_seconds: float
    """The CPU time that all of its threads have had, in steps of 10 ms."""
    wants_to_run: bool
    """Whether any of its threads would go on at once if the machine let it."""


def read_state(pid: int) -> ProcessState | None:
    """Return the state of a process; None when it is gone, or where that cannot be told."""
    if (fields := _fields(f"/proc/{pid}/stat")) is None:
        return None
    wants_to_run = any(state in _WANTS_TO_RUN for state in _thread_states(pid))
    return ProcessState(_cpu_seconds(fields), wants_to_run)


def read_main_thread(pid: int) -> ProcessState | None:
    """Do as `read_state`, for the main thread of a process alone."""
    if (fields := _fields(f"/proc/{pid}/task/{pid}/stat")) is None:
        return None
    return ProcessState(_cpu_seconds(fields), fields[_STATE] in _WANTS_TO_RUN)


class OtherThreads:
    """What the other threads of this process do, for a system that tells nothing of a single one.

    They want to run if they have just done so: a thread that waits for a processor gets some of it
    now and then, one that sleeps gets none.
    """

    SHARE = 0.05
    """Of the time between two looks, how much of a processor they must have had."""

    def __init__(self) -> None:
        self._looked, self._used = time.monotonic(), _cpu_of_others()

    def read(self) -> ProcessState:
        """Return what they have done since the last look."""
        now, used = time.monotonic(), _cpu_of_others()
        wants_to_run = used - self._used > self.SHARE * (now - self._looked)
        self._looked, self._used = now, used
        return ProcessState(used, wants_to_run)


def own_memory(pid: int) -> int | None:
    """Return how many bytes a process shares with no other; None when it is gone, or unknown."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            lines = [line.split() for line in file if line.startswith(b"Private_")]
    except OSError:
        return None
    return 1024 * sum(int(fields[1]) for fields in lines)


def is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped by a signal, and not continued; False if unknown."""
    fields = _fields(f"/proc/{pid}/stat")
    return fields is not None and fields[_STATE] == _STOPPED


def _cpu_of_others() -> float:
    return time.process_time() - time.thread_time()


def _cpu_seconds(fields: list[bytes]) -> float:
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / os.sysconf("SC_CLK_TCK")


def _thread_states(pid: int) -> Iterator[bytes]:
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            if (fields := _fields(f"/proc/{pid}/task/{thread}/stat")) is not None:
                yield fields[_STATE]


def _fields(path: str) -> list[bytes] | None:
    if sys.platform != "linux":
        return None
    try:
        with open(path, "rb") as file:
            # The name is in parentheses, and may itself contain some.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None
