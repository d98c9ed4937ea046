"""Start `python -m asyncreload` without its imports: a fork of a process that has done only these.

They are nearly half of what a short test costs. What the fork does not do again is what Python
itself does at its start, with its options and variables. So a process of its own gets what has
others, is another command, or is a test of a start.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import IO, Self

from tests.live import fork_commands

COMMAND = (sys.executable, "-m", "asyncreload")
_END_WITHIN = 10.0  # seconds
_STEP = 0.05
"""Seconds that a thread which waits for an end keeps others from asking for one."""
_READ_AT_START = ("PYTHON", "COVERAGE", "LANG", "LC_", "LD_", "MALLOC", "TZ", "ASYNCRELOAD_")


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that Python or asyncreload reads once, at its start."""
    return {
        name: environment[name]
        for name in environment
        if name.startswith(_READ_AT_START) and name != "PYTHONPATH"  # a fork can do that itself
    }


def _runs_at_start(environment: Mapping[str, str]) -> bool:
    """Tell whether some place of PYTHONPATH has code that Python runs at its start."""
    places = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    names = ("sitecustomize", "usercustomize")
    return any(name.startswith(names) for place in places for name in _names(place))


def _names(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


class Forked:
    """A process that somebody else has forked; as `subprocess.Popen`, as far as it is needed."""

    def __init__(self, command: Sequence[str], pid: int, forks: CommandForks) -> None:
        self.args = command
        self.pid = pid
        self._forks = forks

    def poll(self) -> int | None:
        """Return the exit code, -N for signal N; None while it runs."""
        return self._forks.exit_code(self.pid)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        while (code := self._forks.exit_code(self.pid, _STEP)) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code


class CommandForks:
    """The process that forks. Where there is none, each command is a process of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment}
        self._environment.pop("PYTHONPATH", None)
        self._exit_codes: dict[int, int] = {}
        self._starting = Lock()
        """Held until an order is answered: tests start commands in several threads."""
        self._reading = Lock()
        self._orders, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ends, ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, fork_commands.SIZE)
        descriptors = [orders.fileno(), ends.fileno()]
        with orders, ends:
            self._process = subprocess.Popen(
                [sys.executable, fork_commands.__file__, *map(str, descriptors)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
            )

    def exit_code(self, pid: int, within: float = 0) -> int | None:
        """Return the exit code of a fork; None if it has not ended within some seconds."""
        with self._reading:
            while pid not in self._exit_codes and select.select([self._ends], [], [], within)[0]:
                ended, code = map(int, self._ends.recv(99).split())
                self._exit_codes[ended] = code
            return self._exit_codes.get(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        self._ends.close()
        try:
            self._process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:  # all tests are over: nothing depends on how it ends
            self._process.kill()
            self._process.wait()

    def can_start(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Tell whether nothing would be otherwise in a process of its own."""
        return (
            tuple(command[: len(COMMAND)]) == COMMAND
            and _at_start(environment) == _at_start(self._environment)
            and not _runs_at_start(environment)
        )

    def start(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        out: IO[bytes],
    ) -> Forked:
        """Start the command in a session of its own; it prints to a file, and reads nothing."""
        core = resource.getrlimit(resource.RLIMIT_CORE)
        resource.prlimit(self._process.pid, resource.RLIMIT_CORE, core)
        order = fork_commands.Order(list(command), str(directory), dict(environment))
        with open(os.devnull, "rb") as nothing, self._starting:
            streams = [nothing.fileno(), out.fileno()]
            socket.send_fds(self._orders, [json.dumps(vars(order)).encode()], streams)
            pid = int(self._orders.recv(99))
        self._exit_codes.pop(pid, None)  # of another process that had this number
        return Forked(command, pid, self)
