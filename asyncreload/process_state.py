"""What the kernel tells of a process: Linux only, by /proc; elsewhere nothing is known."""

from __future__ import annotations

import os
import sys
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
