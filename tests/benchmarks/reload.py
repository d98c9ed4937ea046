"""How long a reload takes: `python tests/benchmarks/reload.py [--edits 30] [--apps bare flask]`.

Each app is saved again and again, and each time the first request is sent, on a new connection,
when the save has returned. F is what the project itself takes: its load, with the saved file
compiled, and its first answer, in an interpreter that has imported everything from outside the
project. Linux only, for what is read in /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.benchmarks import machine  # noqa: E402
from tests.live.driving import COMMAND, Connection, Served, lay_out  # noqa: E402
from tests.live.processes import state_of  # noqa: E402

TITLE = "version={}"
COLD = ("--no-standby", "--preload", "interpreter")
SETTLED = 0.2
IDLE = 5.0
LONGEST = 60.0
FLOORS = 7


@dataclass(frozen=True)
class App:
    """A project under `apps`."""

    target: str
    edited: str
    imports: str
    """What it imports from outside, for the interpreter's own floor."""


APPS = {
    "bare": App("app.py", "app.py", "sys"),
    "queries": App("app.py", "app.py", "flask, sqlalchemy"),
    "flask": App("app.py:create_app()", "shop/pages.py", "flask, sqlalchemy.orm"),
    "django": App(
        "project.wsgi", "project/views.py", "django.core.wsgi, django.db.models, rest_framework"
    ),
    "numpy": App("app.py", "app.py", "numpy, pandas"),
}


@dataclass
class Times:
    """Seconds from saves to fresh responses, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    stale: int = 0
    failed: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Usage:
    """What a process costs while nothing happens."""

    rss: float
    pss: float
    cpu: float


@dataclass
class Result:
    """What was measured of one app."""

    own: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    spaced: dict[str, Times] = field(default_factory=dict)
    hurried: dict[str, Times] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)


# --- a project that is edited -------------------------------------------------------------------


class Editor:
    """Saves the next version of a file, as editors do: by a file that takes the place."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.number = 1
        self._text = file.read_text()

    def prepare(self) -> Callable[[], object]:
        """Return what saves the next version."""
        self.number += 1
        other = self.file.with_name(f".{self.file.name}.tmp")
        other.write_text(self._text.replace('VERSION = "1"', f'VERSION = "{self.number}"'))
        return lambda: other.replace(self.file)


@contextmanager
def serving(app: App, directory: Path, temp: Path, *options: str) -> Iterator[Served]:
    command = [*COMMAND, app.target, "--port", "0", "--no-access-log", *options]
    served = Served(directory, temp, command, temp / "output.txt")
    try:
        served.until(lambda: served.get().status == 200, "it answers", LONGEST)
        yield served
    finally:
        served.stop()
        served.kill()


def one_edit(served: Served, editor: Editor, times: Times) -> None:
    """Save, ask when that has returned, and go on asking until the answer is fresh."""
    save = editor.prepare()
    fresh = TITLE.format(editor.number)
    port = served.port
    save()
    began = time.perf_counter()
    while True:
        try:
            answer = Connection(port, LONGEST).send().receive()
        except OSError:
            times.failed += 1
        else:
            took = time.perf_counter() - began
            if answer.status != 200:
                times.failed += 1
            elif fresh not in answer.body:
                times.stale += 1
            else:
                times.seconds.append(took)
                return
        if time.perf_counter() - began > LONGEST:
            raise SystemExit(f"no fresh response within {LONGEST:g} s\n{served.output}")


# --- processes ----------------------------------------------------------------------------------


def until_settled(served: Served, processes: int) -> list[int]:
    """Wait until the children, the standby last, have used no CPU worth mentioning for a while."""
    last: list[int] = []
    used = since = 0.0
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        with suppress(OSError):
            pids = served.children()
            now = sum(map(machine.cpu, pids))
            busy = pids != last or now - used > 0.01 or any(state_of(pid) == "R" for pid in pids)
            if busy or len(pids) != processes:
                last, used, since = pids, now, time.monotonic()
            elif time.monotonic() - since > SETTLED:
                return pids
        time.sleep(0.01)
    raise SystemExit(f"it never settled\n{served.output}")


def usage(served: Served) -> dict[str, Usage]:
    """Measure parent, child and standby while nothing happens."""
    while True:
        pids = [served.pid, *until_settled(served, 2)]
        before = [machine.cpu(pid) for pid in pids]
        time.sleep(IDLE)
        if pids[1:] == served.children():  # else the standby was made afresh meanwhile
            break
    used = [(machine.cpu(pid) - past) / IDLE for pid, past in zip(pids, before, strict=True)]
    found = [
        Usage(machine.memory(pid, "Rss"), machine.memory(pid, "Pss"), share)
        for pid, share in zip(pids, used, strict=True)
    ]
    return dict(zip(("parent", "child", "standby"), found, strict=True))


# --- measuring ----------------------------------------------------------------------------------


def run(*arguments: str, cwd: Path) -> str:
    """Run Python, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
    ).stdout


def own_times(app: App, directory: Path, editor: Editor, count: int) -> list[float]:
    """Time the project's own load and first answer."""
    script = str(HERE / "project_load.py")
    modules = json.loads(run(script, "list", app.target, cwd=directory))
    found = []
    for _ in range(count):
        editor.prepare()()
        found.append(float(run(script, "time", app.target, *modules, cwd=directory)))
    return found


def floors(app: App, directory: Path) -> list[float]:
    """Time an interpreter that imports the packages, from its start to its end."""
    found = []
    for _ in range(FLOORS):
        began = time.perf_counter()
        run("-c", f"import {app.imports}", cwd=directory)
        found.append(time.perf_counter() - began)
    return found


def measure(name: str, edits: int) -> Result:
    app, result = APPS[name], Result()
    with tempfile.TemporaryDirectory(prefix="asyncreload-bench-") as temp:
        directory = Path(temp, "project")
        lay_out(directory, f"../benchmarks/apps/{name}")
        editor = Editor(directory / app.edited)
        result.floor = floors(app, directory)
        own_count = max(10, edits // 2)
        for mode, options in (("warm", ()), ("cold", COLD)):
            processes = 2 if mode == "warm" else 1
            # Half of F before, half after the warm saves: the machine's load is the same.
            result.own += own_times(app, directory, editor, own_count)
            editor.prepare()()
            with serving(app, directory, Path(temp), *options) as served:
                spaced = result.spaced[mode] = Times()
                for _ in range(edits):
                    until_settled(served, processes)
                    one_edit(served, editor, spaced)
                until_settled(served, processes)
                if mode == "warm":
                    result.usage = usage(served)
                hurried = result.hurried[mode] = Times()
                for _ in range(edits):
                    one_edit(served, editor, hurried)
    return result


# --- telling ------------------------------------------------------------------------------------


def ms(seconds: float) -> str:
    return f"{seconds * 1000:8.1f}"


def spread(seconds: list[float]) -> str:
    ranked = sorted(seconds)
    p95 = ranked[min(len(ranked) - 1, round(0.95 * (len(ranked) - 1)))]
    return "".join(map(ms, (ranked[0], statistics.median(ranked), p95, ranked[-1])))


def tell(results: dict[str, Result]) -> None:
    print("\nsave to fresh response, ms (each edit when the last standby was ready)")
    print(f"{'':14}{'min':>8}{'median':>8}{'p95':>8}{'max':>8}{'n':>5}{'failed':>8}{'stale':>7}")
    for name, result in results.items():
        for mode, times in result.spaced.items():
            counts = f"{len(times.seconds):5}{times.failed:8}{times.stale:7}"
            print(f"{name + ' ' + mode:14}{spread(times.seconds)}{counts}")
    print("\nmedians, ms (F: the project's own load and first answer; python: packages imported)")
    columns = ("warm", "F", "warm - F", "cold", "cold/warm", "python")
    print(f"{'':14}" + "".join(f"{one:>10}" for one in columns) + "  warm <= F + 10 ms")
    for name, result in results.items():
        warm, cold = result.spaced["warm"].median, result.spaced["cold"].median
        own = statistics.median(result.own)
        row = [ms(warm), ms(own), ms(warm - own), ms(cold), f"{cold / warm:.1f}"]
        row.append(ms(statistics.median(result.floor)))
        verdict = "yes" if warm <= own + 0.01 else "NO"
        print(f"{name:14}" + "".join(f"{one:>10}" for one in row) + f"  {verdict}")
    print("\nback to back (each edit as soon as the last one is fresh), ms")
    print(f"{'':14}{'min':>8}{'median':>8}{'p95':>8}{'max':>8}{'n':>5}{'failed':>8}{'stale':>7}")
    for name, result in results.items():
        for mode, times in result.hurried.items():
            counts = f"{len(times.seconds):5}{times.failed:8}{times.stale:7}"
            ratio = result.hurried["warm"].median / result.hurried["cold"].median
            told = f"   warm/cold {ratio:.2f}" if mode == "warm" else ""
            print(f"{name + ' ' + mode:14}{spread(times.seconds)}{counts}{told}")
    print(f"\nidle for {IDLE:g} s: memory in MB, CPU in % of a core")
    print(f"{'':20}{'RSS':>8}{'PSS':>8}{'CPU':>8}")
    for name, result in results.items():
        for process, used in result.usage.items():
            title = f"{name} {process}"
            print(f"{title:20}{used.rss:8.1f}{used.pss:8.1f}{used.cpu * 100:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a reload takes.")
    parser.add_argument("--edits", type=int, default=30, help="edits of each kind (30)")
    parser.add_argument("--apps", nargs="+", choices=APPS, default=list(APPS))
    options = parser.parse_args()
    print(machine.described())
    results = {}
    for name in options.apps:
        print(f"measuring {name} ...", flush=True)
        results[name] = measure(name, options.edits)
        medians = {mode: times.median for mode, times in results[name].spaced.items()}
        brief = ", ".join(f"{mode} {ms(median).strip()} ms" for mode, median in medians.items())
        print(f"  {brief}; {machine.load()}", flush=True)
    tell(results)
    print(f"\n{machine.load()} at the end")


if __name__ == "__main__":
    main()
