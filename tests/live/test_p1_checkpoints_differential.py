"""P1: an app that goes on from a checkpoint is what a start from nothing makes of the same files.

Projects and saves at random. After each save the app tells the whole state of its project, and so
does a plain Python that starts with these files; they must be equal. When the load fails, the error
must be the same.

`ASYNCRELOAD_LONG=1` plays 1,000 sequences, `ASYNCRELOAD_SEQUENCES` any other number.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings

from tests.live.driving import APPS, LONG, Answer, replace, write
from tests.live.failing import serving
from tests.live.random_projects import (
    ALWAYS,
    ENVIRONMENT,
    IGNORED,
    STANDARD,
    UNWATCHED,
    Operation,
    operations,
    projects,
    renumbered,
)

if TYPE_CHECKING:
    from tests.live.failing import Bench

SEQUENCES = int(os.environ.get("ASYNCRELOAD_SEQUENCES", "1000" if LONG else "4"))
STEPS = 6, 8
"""How often something is saved in a sequence, at least and at most: each step is compared, and the
beginning of a sequence, where all files are others, is what costs most."""
FIXED = {name: (APPS / "whole_state" / name).read_text() for name in ("telling.py", "book.py")}
OPTIONS = (
    *("--json", "--no-access-log", "--env-file", ENVIRONMENT),
    *("--watch", "conf.json", "--ignore", IGNORED),
)
ALONE = f"""\
{STANDARD}
import signal, sys, time
time.sleep = lambda seconds: None
for line in sys.stdin:
    directory, variables, *outputs = json.loads(line)
    if not os.fork():
        break
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
else:
    os._exit(0)
signal.alarm(20)
for number, path in enumerate([os.devnull, *outputs]):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
os.environ.clear()
os.environ |= variables
os.chdir(directory)
sys.path[0], sys.pycache_prefix = directory, f"{{directory}}-no-caches"
import app, telling
print(telling.told())
"""
"""The same load without anything of ours, without the pauses, and without caches of the project's:
Python would take one for current that was written in the same second. A fork for each spares most
of what it takes to start Python, and to import what the modules use of the standard library."""


class Alone:
    """A plain Python that loads the project from nothing, as often as it is asked to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._outputs = [directory.parent / name for name in ("alone.out", "alone.err")]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-B", "-c", ALONE],
            cwd=directory.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def told(self) -> Answer:
        """Return what the project tells; an error as our page has it."""
        assert self._process.stdin
        assert self._process.stdout
        variables = {name: value for name, value in os.environ.items() if "APP_" not in name}
        if (file := self._directory / ENVIRONMENT).exists():
            variables |= dict(line.split("=", 1) for line in file.read_text().split())
        request = [str(self._directory), variables, *map(str, self._outputs)]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        output, errors = (path.read_text().rstrip() for path in self._outputs)
        if code == 0:
            return Answer(200, output)
        # An exception of a thread may be told, too; that of the load is told last.
        return Answer(500, errors.rpartition("\n")[2] if code == 1 else f"SystemExit: {code}")


class Disk:
    """The files of the project, and what was in them before."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[str, str] = {}
        self._before: dict[str, str | None] = {}
        self._ways = 0
        self.is_loud = True
        """Whether something was saved that is watched."""

    def lay_out(self, files: dict[str, str]) -> None:
        """Have these files, and no others."""
        for name in self.files.keys() - files.keys():
            self._remove(name)
        for name in ("alpha", "space", "vendor", "data", "plugins", "pack"):
            self._prune(name)
        for name, text in files.items():
            if self.files.get(name) != text and name != "last.py":
                self._put(name, text)
        # At the end, so that what nobody watches is read by a load that begins later.
        self._put("last.py", f"{files['last.py']}# {self._ways}\n")
        self._before.clear()

    def play(self, operation: Operation) -> None:
        """Do one thing, if there is what it asks for."""
        kind, name, *arguments = operation
        text = self.files.get(name)
        match kind:
            case "save":
                self._put(name, *arguments)
            case "renumber" if text is not None:
                self._put(name, renumbered(text, *arguments))
            case "delete" if text is not None:
                self._remove(name)
            case "rename" if text is not None:
                self._remove(name)
                self._put(arguments[0], text)
            case "touch" if text is not None:
                (self.directory / name).touch()
            case "restore" if name in self._before:
                if (before := self._before[name]) is not None:
                    self._put(name, before)
                elif text is not None and name not in ALWAYS:
                    self._remove(name)
            case "prune":
                self._prune(name)

    def _put(self, name: str, text: str) -> None:
        self._note(name, text)
        self.files[name] = text
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._ways += 1
        (write, replace)[self._ways % 2](path, text)

    def _remove(self, name: str) -> None:
        self._note(name)
        del self.files[name]
        (self.directory / name).unlink()

    def _prune(self, name: str) -> None:
        """Remove a directory that holds no file."""
        if not any(other.startswith(f"{name}/") for other in self.files):
            self.is_loud = False
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def _note(self, name: str, text: str | None = None) -> None:
        self._before[name] = self.files.get(name)
        # A name that comes or goes is in the listing that somebody may have read.
        is_edit = isinstance(text, str) and name in self.files
        self.is_loud = self.is_loud and is_edit and name not in UNWATCHED


class Play:
    """A sequence of saves, and its story."""

    def __init__(self, bench: Bench, alone: Alone, disk: Disk, files: dict[str, str]) -> None:
        self._bench = bench.begin()
        self._alone = alone
        self._disk = disk
        self._story: list[str] = []
        self._files = files
        disk.lay_out(files)

    def save(self, step: list[Operation]) -> None:
        """Save several at once; with them, if need be, something that makes the app load again."""
        self._disk.is_loud = True
        for operation in step:
            self._story.append(repr(operation))
            self._disk.play(operation)
        if not self._disk.is_loud:
            self._story.append("last.py")
            self._disk.play(("renumber", "last.py", str(100 + len(self._story))))

    def save_during_load(self, step: list[Operation], milliseconds: int) -> None:
        """Save while a request waits for the app to be loaded."""
        self._story.append(f"during the load, after {milliseconds} ms:")
        with closing(self._bench.connect().send()) as connection:
            time.sleep(milliseconds / 1000)
            self.save(step)
            connection.receive()
        # What nobody watches may have changed behind its reading, and nothing else since.
        self.save([("renumber", "last.py", str(200 + len(self._story)))])

    def compare(self) -> None:
        """The app tells what a start from nothing tells."""
        served, expected = self._bench.get(), self._alone.told()
        if served.status == expected.status == 500:
            assert served.body.startswith(expected.body), self._told(served, expected)
        else:
            assert served == expected, self._told(served, expected)

    def _told(self, served: Answer, expected: Answer) -> str:
        story = "\n".join(self._story)
        files = "\n".join(f"--- {name}\n{text}" for name, text in self._files.items())
        now = "\n".join(f"--- {name}\n{text}" for name, text in self._disk.files.items())
        (self._disk.directory.parent / "failed.txt").write_text(
            f"BEFORE\n{files}\n\nSTORY\n{story}\n\nNOW\n{now}\n\n"
            f"SERVED {served.status}\n{served.body}\nEXPECTED {expected.status}\n{expected.body}\n"
            f"TOLD\n{self._bench.told}"
        )
        return f"after\n{story}\nof\n{files}\n{self._bench.told}"


steps = st.tuples(
    st.lists(operations, min_size=1, max_size=2),
    st.one_of(st.none(), st.none(), st.none(), st.lists(operations, min_size=1, max_size=2)),
    st.integers(0, 60),
)


def origins(told: str) -> Counter[str]:
    """Count where the loads came from that followed a change."""
    events = [json.loads(line) for line in told.splitlines() if line.startswith('{"')]
    return Counter(
        event["origin"] for event in events if event["event"] == "ready" and event["paths"]
    )


def test_what_goes_on_from_a_checkpoint_is_what_starts_from_nothing(tmp_path: Path) -> None:
    """One supervisor lives through all of the sequences."""
    files = FIXED | {"app.py": "import last\ndef app(environ, start_response): 1/0\n"}
    files |= {"last.py": "", ENVIRONMENT: ""}
    with (
        serving(tmp_path, "app.py", OPTIONS, files=files) as bench,
        Alone(bench.directory) as alone,
    ):
        disk = Disk(bench.directory)
        disk.files |= files
        counts: Counter[str] = Counter()
        bench.begin()

        @settings(
            max_examples=SEQUENCES,
            deadline=None,
            derandomize=not LONG,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(projects(), st.lists(steps, min_size=STEPS[0], max_size=STEPS[1]))
        def run(
            files: dict[str, str],
            sequence: list[tuple[list[Operation], list[Operation] | None, int]],
        ) -> None:
            play = Play(bench, alone, disk, FIXED | files)
            play.compare()
            laid_out = origins(bench.told)  # a whole project is loaded from nothing
            for step, meanwhile, milliseconds in sequence:
                play.save(step)
                if meanwhile:
                    play.save_during_load(meanwhile, milliseconds)
                play.compare()
            counts.update(origins(bench.told) - laid_out)

        run()
        print(dict(counts))
        # Elsewhere there are no checkpoints, and what stands by has to do the same.
        usual = "checkpoint" if sys.platform == "linux" else "standby"
        assert counts[usual] > counts.total() / 2, dict(counts)
