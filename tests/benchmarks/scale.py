"""What a look costs, and the watch a load: `python tests/benchmarks/scale.py [--files 100 10000]`.

The look before a request, in microseconds: by `os.stat` one by one, by one call for all (polled),
and by the kernel's events; with the interpreter to itself, and beside two busy threads. And what
the watch adds to the time that a load takes: the mean of projects that have 80 to 100 % of the
modules, as one collection of garbage more or less, which is a tenth of that time, depends on their
very number. `--svg FILE` draws the looks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from asyncreload.child.watch.file_state import stat_state  # noqa: E402
from asyncreload.child.watch.inotify import Events  # noqa: E402
from asyncreload.child.watch.polling import Files, Polling, differing  # noqa: E402
from tests.benchmarks import machine  # noqa: E402
from tests.benchmarks.chart import Chart, Series  # noqa: E402
from tests.benchmarks.idle import FILES, lay_out  # noqa: E402

LOOKS = 41
PATIENCE = 3.0  # seconds after which a look is not repeated
LOADS = 9
LARGE, FEWER_LOADS = 3000, 5
SHARES = (0.8, 0.85, 0.9, 0.95, 1.0)
LOAD = """
import sys, time
sys.path.insert(0, {root!r})
from asyncreload.child.imports.app_loader import load
from asyncreload.child.imports.import_hooks import ImportHooks
from asyncreload.child.preload.recorder import Recorder
from asyncreload.child.preload.session import QuietObserver
from asyncreload.child.watch.baselines import Baselines
if {watched}:
    observer = QuietObserver(Recorder())
    ImportHooks(Baselines(), lambda: observer).install()
began = time.perf_counter()
import {app}
print(time.perf_counter() - began)
"""


def median(look: Callable[[], object], times: int = LOOKS) -> float:
    found: list[float] = []
    while len(found) < times and sum(found) < PATIENCE:
        began = time.perf_counter()
        look()
        found.append(time.perf_counter() - began)
        time.sleep(0.002)
    return statistics.median(found)


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def looks(root: Path) -> dict[str, tuple[float, float]]:
    """Time the ways to look, in seconds: alone, and beside two busy threads."""
    paths = [str(path) for path in root.rglob("*.py")]
    files = Files({path: stat_state(path) for path in paths})
    polling, events = Polling(), Events([str(root)])
    while not events.tend(files):
        pass
    ways: dict[str, Callable[[], object]] = {
        "os.stat": lambda: differing(files, paths),
        "polled": lambda: polling.look(files),
        "events": lambda: events.look(files),
    }
    for look in ways.values():
        assert look() == []
    found = {}
    for way, look in ways.items():
        alone = median(look)
        with busy_threads(2):
            found[way] = (alone, median(look, 5))
    events.close()
    return found


def load(root: Path, app: str, *, watched: bool) -> float:
    """Time the import of an app in a fresh interpreter."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    code = LOAD.format(root=str(root), app=app, watched=watched)
    command = [sys.executable, "-c", code]
    return float(subprocess.check_output(command, env=environment, text=True))


def loads(root: Path, times: int) -> tuple[float, float]:
    """Time loads without and with the watch, by turns."""
    load(root, "app", watched=True)  # writes the caches
    lines = (root / "app.py").read_text().splitlines(keepends=True)
    means = {False: 0.0, True: 0.0}
    for share in SHARES:
        app = f"app{share * 100:.0f}"
        (root / f"{app}.py").write_text("".join(lines[: round(share * len(lines))]))
        found: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(times):
            for watched, each in found.items():
                each.append(load(root, app, watched=watched))
        for watched, each in found.items():
            means[watched] += statistics.median(each) / len(SHARES)
    return means[False], means[True]


def main() -> None:
    parser = argparse.ArgumentParser(description="What a look costs, and the watch a load.")
    parser.add_argument("--files", type=int, nargs="+", default=FILES)
    parser.add_argument("--svg", type=Path, help="draw the looks into this file")
    options = parser.parse_args()
    print(f"{machine.described()}\n")
    print("| files | way | a look, ms | a file, µs | beside two busy threads, ms |")
    print("| ---: | --- | ---: | ---: | ---: |")
    drawn: dict[str, list[tuple[float, float]]] = {}
    told = []
    for count in options.files:
        with tempfile.TemporaryDirectory(prefix="asyncreload-bench-") as temp:
            root = Path(temp)
            lay_out(root, count)
            time.sleep(0.1)  # until no signature is racy
            for way, (alone, beside) in looks(root).items():
                drawn.setdefault(way, []).append((count, alone * 1e3))
                each = alone / count * 1e6
                row = f"| {count} | {way} | {alone * 1e3:.3f} | {each:.2f} | {beside * 1e3:.1f} |"
                print(row, flush=True)
            plain, watched = loads(root, LOADS if count < LARGE else FEWER_LOADS)
            share = (watched / plain - 1) * 100
            told.append(f"| {count} | {plain * 1e3:.0f} | {watched * 1e3:.0f} | {share:+.1f} % |")
    print("\n| files | load without, ms | load with the watch, ms | added |")
    print("| ---: | ---: | ---: | ---: |")
    print("\n".join(told))
    if options.svg:
        series = [Series(way, points) for way, points in drawn.items()]
        options.svg.write_text(Chart("A look before a request", "files", "ms", series).svg())


if __name__ == "__main__":
    main()
