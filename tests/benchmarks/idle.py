"""What asyncreload costs while nothing happens: `python tests/benchmarks/idle.py [--files 300]`.

A project of so many modules is served, edited here and there, and left alone: CPU, wake-ups and
memory of all processes (supervisor, app, standby, checkpoints, and one that goes on from one of
these), polled and with the kernel's events. `--svg FILE` draws the CPU. Linux only, for what is
read in /proc.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.benchmarks import machine  # noqa: E402
from tests.benchmarks.chart import Chart, Series  # noqa: E402
from tests.live.driving import COMMAND, Connection, Served  # noqa: E402
from tests.live.processes import processes_of  # noqa: E402

FILES = (100, 300, 3000, 10_000)
WAYS = {"polled": ("--no-inotify",), "events": ()}
A_PACKAGE = 50
MODULE = '''"""A module of ordinary size."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)
NUMBER = {}
PATTERN = re.compile(r"(\\w+)-(\\d+)")


@dataclass
class Item:
    """What there is."""

    name: str
    price: float = 0.0
    tags: tuple[str, ...] = ()

    def total(self, count: int, discount: Callable[[float], float] | None = None) -> float:
        price = self.price * count
        return discount(price) if discount else price


class Shelf:
    """Where it is."""

    def __init__(self, items: list[Item] | None = None) -> None:
        self.items = items or []

    def find(self, name: str) -> Item | None:
        for item in self.items:
            if item.name == name:
                return item
        log.debug("no %s here", name)
        return None

    def add(self, text: str) -> None:
        found = PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(text)
        self.items.append(Item(found[1], float(found[2])))


def cheapest(shelves: list[Shelf]) -> Item | None:
    items = [item for shelf in shelves for item in shelf.items]
    return min(items, key=lambda item: item.price, default=None)
'''
APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""
BORN = 15.0
"""Seconds until all is learned of the files, and nothing is left to be done."""


@dataclass
class Cost:
    """What the tree took for a second, and its memory."""

    cpu: float
    wakeups: float
    processes: int
    memory: float


def lay_out(directory: Path, files: int) -> None:
    """Write a project of so many modules, all of which are imported."""
    names = []
    for number in range(files - 1):
        package, place = divmod(number, A_PACKAGE)
        home = directory / f"part{package}"
        home.mkdir(exist_ok=True)
        name = "__init__" if place == 0 else f"module{place}"
        (home / f"{name}.py").write_text(MODULE.format(number))
        names.append(f"part{package}" + ("" if place == 0 else f".module{place}"))
    imports = "".join(f"import {name}\n" for name in names)
    (directory / "app.py").write_text(imports + APP)


@contextmanager
def serving(files: int, *options: str) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="asyncreload-bench-") as temp:
        directory, for_temporary = Path(temp, "project"), Path(temp, "tmp")
        directory.mkdir()
        for_temporary.mkdir()
        lay_out(directory, files)
        command = [*COMMAND, "app.py", "--port", "0", "--no-access-log", *options]
        served = Served(directory, for_temporary, command, Path(temp, "output.txt"))
        try:
            first = Connection(served.port, 120).send()  # large projects take their time
            assert first.receive().status == 200
            served.until(lambda: len(served.children()) == 2, "a standby", 60)
            for name in sorted(path.name for path in directory.glob("part*"))[-3:]:
                served.replace(f"{name}/__init__.py", MODULE.format(-1))
                assert Connection(served.port, 120).send().receive().status == 200
            yield served
        finally:
            served.stop()
            served.kill()


def wakeups(pid: int) -> int:
    """Return how often a process's threads have given their core away by themselves."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(OSError):
            for line in status.read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
    return total


def measure(files: int, seconds: float, *options: str) -> Cost:
    with serving(files, *options) as served:
        time.sleep(BORN)
        while True:
            pids = [*processes_of(served.directory.parent)]
            before = [(machine.cpu(pid), wakeups(pid)) for pid in pids]
            time.sleep(seconds)
            if pids == [*processes_of(served.directory.parent)]:  # else one was made afresh
                break
        used = sum(machine.cpu(pid) - past for pid, (past, _) in zip(pids, before, strict=True))
        woken = sum(wakeups(pid) - past for pid, (_, past) in zip(pids, before, strict=True))
        size = sum(machine.memory(pid, "Pss") for pid in pids)  # what is shared counts once
    return Cost(used / seconds, woken / seconds, len(pids), size)


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs while nothing happens.")
    parser.add_argument("--files", type=int, nargs="+", default=FILES)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement (20)")
    parser.add_argument("--svg", type=Path, help="draw the CPU into this file")
    options = parser.parse_args()
    print(f"{machine.described()}\n")
    print("| files | looks | CPU, % of a core | wake-ups/s | processes | memory, MB |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    drawn: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for files in options.files:
        for way, arguments in WAYS.items():
            cost = measure(files, options.seconds, *arguments)
            drawn[way].append((files, cost.cpu * 100))
            row = f"{files} | {way} | {cost.cpu * 100:.3f} | {cost.wakeups:.1f}"
            print(f"| {row} | {cost.processes} | {cost.memory:.0f} |", flush=True)
    if options.svg:
        series = [Series(way, points) for way, points in drawn.items()]
        chart = Chart("CPU while nothing happens", "project files", "% of a core", series)
        options.svg.write_text(chart.svg())


if __name__ == "__main__":
    main()
