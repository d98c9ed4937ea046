"""What befalls the processes of a server of the soak from time to time."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from tests.benchmarks.soak_clients import PATIENCE
from tests.benchmarks.soak_family import Role, family
from tests.benchmarks.soak_journal import Journal
from tests.live.driving import Served

STARVED = 1.5
"""Seconds, at most, that a process has no descriptor left."""


class Mortal(Protocol):
    """A server whose supervisor can be replaced."""

    served: Served

    def start_again(self) -> None:
        """Start another supervisor in the place of a dead one, of which nothing may be left."""


class Fate:
    """Strikes one process at a time. May be called in several threads.

    disk: where the server has its temporary files.
    """

    def __init__(self, mortal: Mortal, journal: Journal, dice: random.Random, disk: Path) -> None:
        self._mortal = mortal
        self._journal = journal
        self._dice = dice
        self._disk = disk
        self._lock = threading.Lock()
        self._kinds: list[Callable[[], None]] = [self._kill, self._kill, self._stop, self._starve]
        if os.path.ismount(disk):
            self._kinds.append(self._fill)

    def strike(self) -> None:
        gone = suppress(ProcessLookupError, FileNotFoundError)  # it has just ended
        with self._lock, self._noted(self._journal.blows), gone:
            self._dice.choice(self._kinds)()

    def kill_supervisor(self) -> None:
        """Kill it, and see that it takes all with it."""
        journal = self._journal
        with self._lock, self._noted(journal.blows), self._noted(journal.downs):
            self._mortal.served.signal(signal.SIGKILL)
            self._mortal.served.process.wait()
            self._mortal.start_again()
        journal.note("blows: killed the supervisor")

    @contextmanager
    def _noted(self, spans: list[tuple[float, float]]) -> Iterator[None]:
        """Note from when to when it was; as long as it lasts, until some time far away."""
        began = time.monotonic()
        slot = len(spans)
        spans.append((began, began + PATIENCE))
        try:
            yield
        finally:
            spans[slot] = (began, time.monotonic())

    def _victim(self, *spared: Role) -> tuple[int, Role]:
        """Return a process, each role as likely as the others.

        Raises ProcessLookupError when there is none at this moment.
        """
        roles = family(self._mortal.served)
        there = sorted({*roles.values()} - {*spared}, key=lambda role: role.value)
        if not there:
            raise ProcessLookupError
        role = self._dice.choice(there)
        return self._dice.choice([pid for pid, own in roles.items() if own is role]), role

    def _kill(self) -> None:
        pid, role = self._victim(Role.SUPERVISOR)
        self._journal.strikes.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)
        self._journal.note(f"blows: killed a {role.value}")

    def _stop(self) -> None:
        pid, role = self._victim()
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(self._dice.uniform(0.1, 3))
        finally:
            os.kill(pid, signal.SIGCONT)
        self._journal.note(f"blows: stopped a {role.value}")

    def _starve(self) -> None:
        """Leave a process no descriptor for a second."""
        pid, role = self._victim()
        used = max((int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()), default=0) + 1
        # That of this process, which all have inherited; not the victim's: it may have been forked
        # by one that was starved.
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = self._dice.choice([0, 1, 3])
        self._journal.strikes.append(time.monotonic() + STARVED)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(used + spare, usual[1]), usual[1]))
        try:
            time.sleep(self._dice.uniform(0.2, STARVED))
        finally:
            for one in (pid, *family(self._mortal.served)):  # what it has forked meanwhile, too
                with suppress(ProcessLookupError):
                    resource.prlimit(one, resource.RLIMIT_NOFILE, usual)
        self._journal.note(f"blows: took the descriptors of a {role.value}")

    def _fill(self) -> None:
        stuff = self._disk / "stuff"
        try:
            with suppress(OSError), stuff.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 4096)
            time.sleep(self._dice.uniform(0.2, 2))
        finally:
            stuff.unlink()
        self._journal.note("blows: filled the disk")


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Have a tmpfs of one megabyte at a path, if that is allowed."""
    path.mkdir()
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
        mounted = subprocess.run(command, check=False).returncode == 0
    else:
        mounted = False
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)
