"""What the tests of checkpoints share: a project in which they are taken, and what is told of them.

app.py imports holder.py, which may hold something, and then views.py. Each takes a while, so that a
checkpoint is worth it before holder.py, before views.py, and at the end.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.live.driving import COMMAND, lay_out, until
from tests.live.failing import Bench, kill_quietly, serving_as, soon
from tests.live.processes import is_alive, processes_of, state_of

MOST = 4
"""How many checkpoints are kept."""
PAUSE = "import time; time.sleep(0.006)"
"""More than what a checkpoint must save (child/checkpoint/places.py)."""

APP = f"""\
import os, signal
{PAUSE}
import holder
{PAUSE}
import views
{PAUSE}
def app(environ, start_response):
    answer = views.answer(environ["PATH_INFO"])
    start_response("200 OK", [])
    return [answer.encode()]
"""
# Nothing of a version stands above an import that loads a package: a standby that has imported it
# ahead could not stand for a start from nothing then (child/preload/import_prefix.py).
VIEWS = """\
import os, signal
import holder
VERSION = "%s"
%s
def answer(path):
    if path == "/pid":
        return str(os.getpid())
    if path == "/crash":
        signal.raise_signal(signal.SIGSEGV)
    if path == "/exit":
        os._exit(7)
    return holder.answer(path) if hasattr(holder, "answer") else VERSION
"""


def views_of(version: object, extra: str = "") -> str:
    """Return the source of views.py."""
    return VIEWS % (version, extra)


class Checkpointed(Bench):
    """A command that takes checkpoints of that project, and tells of them."""

    def save(self, version: object, extra: str = "") -> None:
        """Save views.py."""
        self.replace("views.py", views_of(version, extra))

    def places(self) -> list[str]:
        """Return before which files checkpoints were taken since `begin`; "end" for the end."""
        told = re.findall(r"checkpoint: process \d+, taken at (.*)", self.told)
        return ["end" if place == "the end of the load" else Path(place).name for place in told]

    def until_places(self, *places: str) -> None:
        """Wait until checkpoints were taken there since `begin`."""
        self.until(lambda: {*places} <= {*self.places()}, f"checkpoints at {', '.join(places)}")

    def until_ready(self, times: int = 1) -> str:
        """Wait until so many loads were told since `begin`, and none is under way any more.

        Return what was told of the last. An answer may be there before it is told.
        """

        def lines() -> list[str]:
            told = re.findall(r".*(?:: reloading$|\bfresh in .*)", self.told, re.MULTILINE)
            is_over = bool(told) and not told[-1].endswith(": reloading")
            return [line for line in told if not line.endswith(": reloading")] if is_over else []

        self.until(lambda: len(lines()) >= times, f"{times} loads since the mark")
        return lines()[-1]

    def loaded(self, times: int = 1) -> str:
        """Return how much was loaded anew, of how many modules; "all" after a whole load.

        The reason is told, for a test that expects something else.
        """
        found = re.search(r"(\d+ of \d+) modules", self.until_ready(times))
        print(self.told)
        return found[1] if found else "all"

    def checkpoints(self) -> list[int]:
        """Return the checkpoints that live, those first that were taken first."""
        told = re.findall(r"checkpoint: process (\d+), taken at", self.output)
        return [pid for pid in map(int, told) if self._is_ours(pid)]

    def until_one_stands_by(self) -> int:
        """Wait until a process that goes on from a checkpoint stands by; return the last one."""

        def stands_by() -> int | None:
            told = re.findall(r"checkpoint: process (\d+) stands by", self.output)
            last = int(told[-1]) if told else 0
            return last if self._is_ours(last) and self.body("/pid") != str(last) else None

        return self.until(stands_by, "a process stands by")

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process lives, and has not taken over the number of one of ours."""
        with suppress(OSError):
            variables = Path(f"/proc/{pid}/environ").read_bytes()
            return is_alive(pid) and os.fsencode(f"TMPDIR={self.temp}") in variables
        return False

    def pids_of_all(self) -> list[int]:
        """Return all processes that live: supervisor, child, standby and checkpoints."""
        return [pid for pid in processes_of(self.directory.parent) if is_alive(pid)]

    def until_checkpoints(self, number: int) -> list[int]:
        """Wait until so many live; return them."""
        self.until(lambda: len(self.checkpoints()) >= number, f"{number} checkpoints")
        return self.checkpoints()

    def kill_checkpoints(self) -> list[int]:
        """Kill all of them; return which."""
        killed = self.checkpoints()
        for pid in killed:
            kill_quietly(pid)
        return killed

    def until_dead(self, pids: Sequence[int]) -> None:
        self.until(lambda: not any(map(is_alive, pids)), f"{pids} are gone", soon())


@contextmanager
def checkpointed(
    place: Path,
    *options: str,
    holder: str = "",
    app: str = APP,
    command: Sequence[str] = COMMAND,
    number: int = 3,
) -> Iterator[Checkpointed]:
    """Serve the project in a directory, where nothing may be left; wait for its checkpoints.

    number: how many there will be.
    """
    project = place / "project"
    project.mkdir(exist_ok=True)
    lay_out(project, files={"app.py": app, "holder.py": holder, "views.py": views_of(0)})
    options = ("--verbose", "--no-access-log", *options)
    with serving_as(Checkpointed, place, "app.py", options, command=command) as bench:
        assert bench.body() == "0"
        bench.until_checkpoints(number)
        yield bench


def stop_all(pids: Sequence[int]) -> None:
    """Stop processes, and wait until they are."""
    for pid in pids:
        with suppress(ProcessLookupError):  # it was on its way out
            os.kill(pid, signal.SIGSTOP)
    until(lambda: all(state_of(pid) == "T" for pid in pids if is_alive(pid)), "they are stopped")
