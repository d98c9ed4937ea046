"""What the system tells of processes: on Linux by /proc, which costs little; elsewhere by psutil.

All that the live tests ask about processes is asked here, but for what only Linux has. OSError is
raised for a process that is gone.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from asyncreload.process_state import read_state

T = TypeVar("T")

PORTABLE = os.environ.get("ASYNCRELOAD_PORTABLE") == "1"
"""Whether what only Linux has is missing: see tests/portable.py. The tests have it all the same."""


@dataclass(frozen=True)
class Process:
    """A process at one moment."""

    pid: int
    parent: int
    state: str
    """The letter that /proc has for it: T for stopped, Z for ended but not waited for."""
    cpu: float
    """The CPU time that it has used, in seconds."""

    @property
    def is_alive(self) -> bool:
        return self.state not in {"Z", "X"}


class ByProc:
    """Linux."""

    LIVES = """\
import os
def lives(pid):
    held = []
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                held += [os.readlink(f"/proc/{pid}/fd/{number}")] if int(number) > 2 else []
            except FileNotFoundError:
                pass
    except OSError:
        return False
    return len(held) > WORDS or not all(each.startswith("socket:") for each in held)
"""

    def pids(self) -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]

    def process(self, pid: int) -> Process:
        # The command's name is in parentheses, and may itself contain some.
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return Process(pid, int(fields[1]), fields[0].decode(), cpu)

    def children(self, pid: int) -> list[int]:
        """Return the children of a process, those included that nobody has waited for."""
        found: list[int] = []
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):  # the thread has ended
                found += map(int, listed.read_text().split())
        return sorted(found)

    def command(self, pid: int) -> str:
        """Return the command line, with a blank after each word."""
        return _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")

    def names(self, pid: int, directory: str) -> bool:
        """Tell whether a path below a directory is in the command line or in the environment.

        Or whether the process works there: of a fork, both are those of the process that forked.
        """
        mark = os.fsencode(f"{directory}/")
        texts = (_read(f"/proc/{pid}/{name}") for name in ("cmdline", "environ"))
        return any(mark in text for text in texts) or mark in b"%b/" % os.readlink(
            os.fsencode(f"/proc/{pid}/cwd")
        )

    def threads(self, pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/task"))

    def descriptors(self, pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    def own_descriptors(self) -> set[str]:
        """Return the open descriptors of this process, each with what it refers to."""
        found = set()
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # the one that lists the directory
                found.add(f"{entry.name} -> {entry.readlink()}")
        return found

    def sockets(self, pid: int) -> int:
        count = 0
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                count += str(one.readlink()).startswith("socket:")
        return count


class ByPsutil:
    """Elsewhere."""

    LIVES = """\
import psutil
def lives(pid):
    try:
        return psutil.Process(pid).num_fds() > 3 + WORDS
    except psutil.Error:
        return False
"""

    def __init__(self) -> None:
        import psutil  # noqa: PLC0415  it takes tests/portable.py at its word, and cannot be loaded

        self._psutil: Any = psutil
        self._states = {psutil.STATUS_STOPPED: "T", psutil.STATUS_ZOMBIE: "Z"}

    def pids(self) -> list[int]:
        return list(self._psutil.pids())

    def process(self, pid: int) -> Process:
        def read(process: Any) -> Process:
            state, cpu = self._states.get(process.status(), "S"), 0.0
            if state != "Z":  # of those, macOS tells no more
                cpu = sum(process.cpu_times()[:2])
            return Process(pid, process.ppid(), state, cpu)

        return self._ask(pid, read)

    def children(self, pid: int) -> list[int]:
        found = self._ask(pid, lambda process: process.children())
        return sorted(child.pid for child in found)

    def command(self, pid: int) -> str:
        return self._ask(pid, lambda process: "".join(f"{word} " for word in process.cmdline()))

    def names(self, pid: int, directory: str) -> bool:
        def told(process: Any) -> Iterator[str]:
            yield from process.cmdline()
            yield f"{process.cwd()}/"  # macOS hides the environment of its own commands
            yield from process.environ().values()

        return self._ask(
            pid, lambda process: any(f"{directory}/" in text for text in told(process))
        )

    def threads(self, pid: int) -> int:
        return self._ask(pid, lambda process: int(process.num_threads()))

    def descriptors(self, pid: int) -> int:
        return self._ask(pid, lambda process: int(process.num_fds()))

    def own_descriptors(self) -> set[str]:
        found = set()
        for number in map(int, os.listdir("/dev/fd")):
            with suppress(OSError):  # the one that lists the directory
                state = os.fstat(number)
                found.add(f"{number} -> {stat.filemode(state.st_mode)} {state.st_ino}")
        return found

    def sockets(self, pid: int) -> int:
        return self._ask(pid, lambda process: len(process.net_connections("all")))

    def _ask(self, pid: int, read: Callable[[Any], T]) -> T:
        try:
            return read(self._psutil.Process(pid))
        except self._psutil.Error as exc:
            raise ProcessLookupError(f"process {pid}: {exc}") from exc


SYSTEM = ByProc() if PORTABLE or sys.platform == "linux" else ByPsutil()

# One that has ended its code holds the standard streams at the most, and two sockets of ours by
# which it says so: on the control channel, then to the next process. Whoever hears the first word
# may look before the second is said. Its memory is the kernel's affair.
LIVES = SYSTEM.LIVES.replace("WORDS", "2")
"""Tells, in an app, whether another process still runs code or holds files of its own."""


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def parents() -> dict[int, int]:
    """Return each live process with its parent."""
    found = {}
    for pid in SYSTEM.pids():
        with suppress(OSError):
            process = SYSTEM.process(pid)
            if process.is_alive:
                found[pid] = process.parent
    return found


def children(pid: int) -> list[int]:
    """Return the live children of a process; none of one that is gone."""
    with suppress(OSError):
        return [child for child in SYSTEM.children(pid) if is_alive(child)]
    return []


def zombies(pid: int) -> list[int]:
    """Return the children of a process that have ended and that nobody has waited for."""
    return [child for child in SYSTEM.children(pid) if not is_alive(child)]


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return SYSTEM.process(pid).is_alive
    return False


def state_of(pid: int) -> str:
    return SYSTEM.process(pid).state


def wants_to_run(pid: int) -> bool:
    """Tell whether any thread of a process runs, or waits for a processor or a disk."""
    state = read_state(pid)
    return state.wants_to_run if state is not None else state_of(pid) == "R"


def cpu(pid: int) -> float:
    return SYSTEM.process(pid).cpu


def processes_of(directory: Path) -> dict[int, str]:
    """Return the processes that have to do with a directory, with their command lines."""
    found = {}
    for pid in SYSTEM.pids():
        with suppress(OSError):
            if pid != os.getpid() and SYSTEM.names(pid, str(directory)):
                found[pid] = SYSTEM.command(pid)
    return found
