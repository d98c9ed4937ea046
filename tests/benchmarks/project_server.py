"""A project that is edited, and a command that serves it, with all its processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks import machine
from tests.benchmarks.project_recipes import Built, Project
from tests.live.driving import port_is_free, request, until

LONGEST = 120.0  # seconds for anything
SETTLED = 0.3  # seconds in which nobody has used the CPU: then all is done that follows a reload
PAUSE = 0.003  # seconds between two requests that wait for a fresh answer
PORTS = range(20_000, 30_000)


@dataclass
class Times:
    """Seconds from saves to fresh answers, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    stale: int = 0
    failed: int = 0

    @property
    def median(self) -> float:
        return median(self.seconds) if self.seconds else float("nan")


class Editor:
    """Saves the next version of a file, as editors do: by a file that takes the place."""

    def __init__(self, file: Path, index: int) -> None:
        self._file = file
        self._index = index
        self._number = int(time.time() * 10)

    def save(self) -> None:
        self._number += 1
        text = re.sub(r"(?m)^EDITED = .*$", f'EDITED = "{self._number}"', self._file.read_text())
        other = self._file.with_name(f".{self._file.name}.tmp")
        other.write_text(text)
        other.replace(self._file)

    def is_fresh(self, versions: str) -> bool:
        return versions.split(",")[self._index] == str(self._number)


class Server:
    """A command that serves a project; all its processes are in one session."""

    def __init__(self, command: list[str], built: Built, output: Path, port: int) -> None:
        self.port = port
        self._output = output
        with output.open("wb") as sink:
            self._process = subprocess.Popen(
                command,
                cwd=built.project,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def ask(self, path: str) -> tuple[int, str]:
        """Return the status of an answer, and which versions it tells of. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), LONGEST) as connection:
            connection.sendall(request(path))
            data = bytearray()
            while more := connection.recv(65536):
                data += more
        head, blank, _ = bytes(data).partition(b"\r\n\r\n")
        if not blank:
            raise ConnectionError("cut off")
        versions = re.search(rb"(?i)\r\nedited: *(\S*)", head)
        return int(head.split()[1]), versions[1].decode() if versions else ""

    def is_up(self, path: str) -> bool:
        if self._process.poll() is not None:
            raise SystemExit(f"it ended\n{self.output[-4000:]}")
        with suppress(OSError):
            return self.ask(path)[0] == 200
        return False

    def pids(self) -> list[int]:
        """Return the processes of the session: checkpoints may have lost their parents."""
        found = []
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.pid and fields[0] not in "ZX":
                    found.append(int(name))
        return sorted(found)

    def until_settled(self) -> None:
        """Wait until nobody has used any CPU worth mentioning for a while."""
        last: list[int] = []
        used = since = 0.0
        deadline = time.monotonic() + LONGEST
        while time.monotonic() < deadline:
            with suppress(OSError):
                pids = self.pids()
                now = sum(map(machine.cpu, pids))
                if pids != last or now - used > 0.01:
                    last, used, since = pids, now, time.monotonic()
                elif time.monotonic() - since > SETTLED:
                    return
            time.sleep(0.02)
        raise SystemExit(f"it never settled\n{self.output[-4000:]}")

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def serving(command: list[str], built: Built, output: Path, recipe: Project) -> Iterator[Server]:
    """Serve a project; {port} in the command is filled in."""
    port = next(filter(port_is_free, PORTS))
    server = Server([part.format(port=port) for part in command], built, output, port)
    try:
        until(lambda: server.is_up(recipe.path), "it answers", LONGEST, lambda: server.output)
        yield server
    finally:
        server.end()


def one_edit(server: Server, editor: Editor, path: str, times: Times) -> None:
    """Save, ask when that has returned, and go on asking until the answer is fresh."""
    editor.save()
    began = time.perf_counter()
    while time.perf_counter() - began < LONGEST:
        try:
            status, versions = server.ask(path)
        except OSError:
            times.failed += 1
        else:
            if status != 200:
                times.failed += 1
            elif editor.is_fresh(versions):
                times.seconds.append(time.perf_counter() - began)
                return
            else:
                times.stale += 1
        time.sleep(PAUSE)
    raise SystemExit(f"no fresh answer within {LONGEST:g} s\n{server.output[-4000:]}")
