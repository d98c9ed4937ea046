"""Reloads of real applications: `python tests/benchmarks/projects.py [--projects wagtail kinto]`.

Each is built from its package on PyPI, so that its modules are the project's own
(`project_recipes.py`), which takes some minutes, once. Then files are saved again and again: one
that few others need (leaf), a model or the like (middle), the settings or the app itself (root).
The first request is sent when the save has returned; its answer tells which version it is of.

R is what has to run anew: the changed file, what is loaded after it, and the first answer, timed in
plain Python in a process that has loaded all the rest. Beside it stand a reload with checkpoints,
one without, a start from nothing, and the reloader of the project's own framework. What each
supervisor says is kept in the work directory. Linux only, for what is read in /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.benchmarks import machine  # noqa: E402
from tests.benchmarks.project_recipes import PROJECTS, build  # noqa: E402
from tests.benchmarks.project_server import (  # noqa: E402
    Editor,
    Server,
    Times,
    one_edit,
    serving,
)

PEER_REST = 1.5  # seconds between two edits of a peer: some look once a second
WORK = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "asyncreload-projects")
MODES = {"checkpoints": (), "without": ("--no-checkpoints",)}


@dataclass
class Memory:
    """What a process holds, in MB: its share of all, and what is its own alone."""

    pss: float
    private: float


@dataclass
class Result:
    """What was measured of one project."""

    start: float = 0.0
    modules: int = 0
    rest: dict[str, Times] = field(default_factory=dict)
    reloads: dict[str, dict[str, Times]] = field(default_factory=dict)
    origins: dict[str, Counter[str]] = field(default_factory=dict)
    anew: dict[str, int] = field(default_factory=dict)
    obstacles: Counter[str] = field(default_factory=Counter)
    memory: dict[str, dict[str, Memory]] = field(default_factory=dict)
    peer: Times | None = None


# --- measuring ----------------------------------------------------------------------------------


class Measuring:
    """Measures one project."""

    def __init__(self, name: str, work: Path, edits: int) -> None:
        self._recipe = PROJECTS[name]
        self._built = build(name, work)
        self._edits = edits
        self._result = Result()
        paths = self._recipe.edits.items()
        self._editors = {
            kind: Editor(self._built.project / path, index)
            for index, (kind, path) in enumerate(paths)
        }

    def measure(self) -> Result:
        half = max(2, self._edits // 4)
        self._time_rests(half)  # before and after: the machine's load is the same
        for mode, options in MODES.items():
            self._time_reloads(mode, options)
        self._time_peer()
        self._time_rests(half)
        return self._result

    def _time_rests(self, count: int) -> None:
        script = str(HERE / "project_load.py")
        for kind, path in self._recipe.edits.items():
            times = self._result.rest.setdefault(kind, Times())
            file = str(self._built.project / path)
            command = [self._python, script, "rest", self._recipe.target, file, self._recipe.path]
            for _ in range(count):
                self._editors[kind].save()
                done = subprocess.run(
                    command, cwd=self._built.project, check=True, capture_output=True, text=True
                )
                times.seconds.append(float(done.stdout.split()[-1]))

    def _time_reloads(self, mode: str, options: tuple[str, ...]) -> None:
        command = [self._python, "-m", "asyncreload", self._recipe.target, "--port", "{port}"]
        output = self._built.project.parent / f"{mode}.txt"
        began = time.perf_counter()
        told = ("--json", "--verbose", "--no-access-log")
        with serving([*command, *told, *options], self._built, output, self._recipe) as server:
            self._result.start = time.perf_counter() - began
            reloads = self._result.reloads[mode] = {}
            for kind, editor in self._editors.items():
                times = reloads[kind] = Times()
                for _ in range(self._edits):
                    server.until_settled()
                    one_edit(server, editor, self._recipe.path, times)
                server.until_settled()
                if kind == "leaf":
                    self._result.memory[mode] = memory(server)
            self._note_events(mode, server.output)

    def _note_events(self, mode: str, output: str) -> None:
        files = {str(self._built.project / path): kind for kind, path in self._recipe.edits.items()}
        for event in events(output):
            text = event.get("text", "")
            if event["event"] == "ready":
                self._result.modules = event["modules"]
                if event["paths"]:
                    kind = files[event["paths"][0]]
                    origins = self._result.origins.setdefault(f"{mode} {kind}", Counter())
                    origins[event["origin"]] += 1
                    self._result.anew[f"{mode} {kind}"] = event["anew"]
            elif found := re.match(r"no checkpoint at .*?: (.*)", text):
                self._result.obstacles[found[1]] += 1
            elif text.startswith(("checkpoint not used", "starting cold")):
                self._result.obstacles[text[:90]] += 1

    def _time_peer(self) -> None:
        if not self._recipe.peer:
            return
        times = self._result.peer = Times()
        command = [self._python, *self._recipe.peer]
        output = self._built.project.parent / "peer.txt"
        with serving(command, self._built, output, self._recipe) as server:
            for _ in range(max(2, self._edits // 2)):
                time.sleep(PEER_REST)
                one_edit(server, self._editors["leaf"], self._recipe.path, times)

    @property
    def _python(self) -> str:
        return str(self._built.python)


def events(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        if line.startswith("{"):
            with suppress(ValueError):
                yield json.loads(line)


def memory(server: Server) -> dict[str, Memory]:
    """Return what each process holds, by what it is."""
    found: dict[str, Memory] = {}
    told = server.output
    ready = [event for event in events(told) if event["event"] == "ready"]
    places = dict(re.findall(r"checkpoint: process (\d+), taken at ([^\n\"]+)", told))
    ahead = re.findall(r"checkpoint: process (\d+) stands by, from process", told)
    for pid in server.pids():
        name = "standby"
        if pid == server.pid:
            name = "supervisor"
        elif ready and pid == ready[-1]["pid"]:
            name = "child"
        elif str(pid) in ahead:
            name = "forked ahead"
        elif place := places.get(str(pid)):
            name = f"checkpoint at {Path(place).name}"
        private = machine.memory(pid, "Private_Clean") + machine.memory(pid, "Private_Dirty")
        found[f"{name} ({pid})"] = Memory(machine.memory(pid, "Pss"), private)
    return found


# --- telling ------------------------------------------------------------------------------------


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def tell(name: str, result: Result) -> None:
    print(f"\n## {name}: {result.modules} modules; from nothing {ms(result.start)} ms")
    print(
        "| edited | R | loaded anew | with | (first) | with / R | with - R, ms | without | peer |"
    )
    print("| --- " + "| ---: " * 8 + "|")
    for kind, rest in result.rest.items():
        reloads = {mode: result.reloads[mode][kind] for mode in MODES}
        with_them, without = reloads["checkpoints"], reloads["without"]
        peer = result.peer if kind == "leaf" else None
        cells = [
            kind,
            ms(rest.median),
            str(result.anew.get(f"checkpoints {kind}", "?")),
            ms(with_them.median),
            ms(with_them.seconds[0]),
            f"{with_them.median / rest.median:.2f}",
            ms(with_them.median - rest.median),
            f"{ms(without.median)} ({without.median / with_them.median:.1f} x)",
            f"{peer.median / with_them.median:.1f} x" if peer else "",
        ]
        print("| " + " | ".join(cells) + " |")
    for mode, reloads in result.reloads.items():
        wrong = [f"{kind} {t.failed} failed, {t.stale} stale" for kind, t in reloads.items()]
        print(f"{mode}: {'; '.join(wrong)}")
    if result.peer:
        print(f"peer: {result.peer.failed} failed, {result.peer.stale} stale")
    for place, origins in result.origins.items():
        print(
            f"{place}: " + ", ".join(f"{count} from {origin}" for origin, count in origins.items())
        )
    for obstacle, count in result.obstacles.most_common():
        print(f"{count} times: {obstacle}")
    for mode, processes in result.memory.items():
        total = sum(process.pss for process in processes.values())
        each = [f"{who} {m.pss:.0f} ({m.private:.0f})" for who, m in processes.items()]
        told = f"MB {mode}, PSS (private): {', '.join(each)}"
        print(f"{told}; all {total:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Reloads of real applications.")
    parser.add_argument("--projects", nargs="+", choices=PROJECTS, default=list(PROJECTS))
    parser.add_argument("--edits", type=int, default=12, help="edits of each kind (12)")
    parser.add_argument("--work", type=Path, default=WORK, help=f"where they are built ({WORK})")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # so that servers are ended
    options.work.mkdir(parents=True, exist_ok=True)
    # As most people have it: else every load compiles all that comes after the changed file.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"{machine.described()}; medians, in ms")
    for name in options.projects:
        tell(name, Measuring(name, options.work.resolve(), options.edits).measure())
        print(f"{machine.load()}", flush=True)


if __name__ == "__main__":
    main()
