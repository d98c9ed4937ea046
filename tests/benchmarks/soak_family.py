"""The processes of a server of the soak: which is which, and what they take."""

from __future__ import annotations

import os
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Lock
from weakref import WeakKeyDictionary

from tests.live.driving import Served
from tests.live.processes import is_alive, processes_of


class Role(Enum):
    """What a process is for."""

    SUPERVISOR = "supervisor"
    CHILD = "child"
    STANDBY = "standby"
    CHECKPOINT = "checkpoint"
    FORKED_AHEAD = "child to come"
    """It stands by to go on from a checkpoint."""


class _Told:
    """What a command has told of its processes; read as it comes, as it prints very much."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._offset = 0
        self._roles: dict[str, Role] = {}

    def read(self, served: Served) -> dict[str, Role]:
        with self._lock:
            whole = served.output_from(self._offset).rpartition(b"\n")[0]
            self._offset += len(whole)
            for pid, what in re.findall(rb"checkpoint: process (\d+)(, taken| stands by)", whole):
                is_taken = what == b", taken"
                self._roles[pid.decode()] = Role.CHECKPOINT if is_taken else Role.FORKED_AHEAD
            return dict(self._roles)


_all_told: WeakKeyDictionary[Served, _Told] = WeakKeyDictionary()


def _told_by(served: Served) -> dict[str, Role]:
    return _all_told.setdefault(served, _Told()).read(served)


def family(served: Served) -> dict[int, Role]:
    """Return the processes that live. The command has to tell of its checkpoints: `--verbose`."""
    told = _told_by(served)
    found = {}
    for pid in filter(is_alive, processes_of(served.directory.parent)):
        with suppress(ProcessLookupError):
            # The child is in the supervisor's process group, and so is a checkpoint that it has
            # gone on from. The others that wait are each in a group of its own.
            role = told.get(str(pid), Role.STANDBY)
            if pid == served.pid:
                role = Role.SUPERVISOR
            elif role is not Role.CHECKPOINT and os.getpgid(pid) == served.pid:
                role = Role.CHILD
            found[pid] = role
    return found


def zombies(served: Served) -> list[str]:
    """Return the dead whom nobody of the family has waited for."""
    parents = family(served)
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) in parents:
                found.append(f"{entry.parent.name} of the {parents[int(parent)].value}")
    return found


@dataclass(frozen=True)
class Sample:
    """What a server takes at a moment. Memory is in kilobytes."""

    resident: int
    """The supervisor's, as for the rest but the last two."""
    proportional: int
    descriptors: int
    threads: int
    processes: int
    proportional_of_all: int
    held: Mapping[str, int]
    """How many descriptors of each kind, such as sockets, and processes of each role."""

    @classmethod
    def of(cls, served: Served) -> Sample:
        proc = Path(f"/proc/{served.pid}")
        resident, proportional = _memory(served.pid)
        kinds, roles = _descriptors(proc), family(served)
        return cls(
            resident,
            proportional,
            len(kinds),
            len(list((proc / "task").iterdir())),
            len(roles),
            sum(_memory(pid)[1] for pid in roles),
            Counter([*kinds, *(role.value for role in roles.values())]),
        )


def _descriptors(proc: Path) -> list[str]:
    """Return of each open descriptor what it refers to, without numbers."""
    found = []
    for entry in (proc / "fd").iterdir():
        with suppress(OSError):
            found.append(re.sub(r"\d+", "N", str(entry.readlink())))
    return found


def _memory(pid: int) -> tuple[int, int]:
    """Return RSS and PSS; zeros for a process that has just ended."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        fields = dict(re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE))
        return int(fields["Rss"]), int(fields["Pss"])
    return 0, 0


_TOLD: Sequence[tuple[str, Callable[[Sample], float], str]] = (
    ("supervisor, RSS", lambda one: one.resident / 1024, "MB"),
    ("supervisor, PSS", lambda one: one.proportional / 1024, "MB"),
    ("supervisor, descriptors", lambda one: one.descriptors, ""),
    ("supervisor, threads", lambda one: one.threads, ""),
    ("processes", lambda one: one.processes, ""),
    ("all processes, PSS", lambda one: one.proportional_of_all / 1024, "MB"),
)


def tell(samples: Sequence[tuple[float, Sample]]) -> None:
    """Print of each the median at the begin and at the end, and the slope of the later two thirds.

    samples: each with the moment in seconds.
    """
    third = max(1, len(samples) // 3)
    for what, value, unit in _TOLD:
        first = statistics.median(value(one) for _, one in samples[:third])
        last = statistics.median(value(one) for _, one in samples[-third:])
        late = samples[third:]
        slope = 0.0
        if len(late) > 1:
            seconds, values = [when for when, _ in late], [value(one) for _, one in late]
            slope = 3600 * statistics.linear_regression(seconds, values).slope
        print(f"  {what:24} {first:7.1f} {last:7.1f} {unit:2}  {slope:+9.1f} an hour")
