"""Beside what people use: `pip install '.[bench]' && python tests/benchmarks/peers.py`.

Not `-e`, and with a Python that has few packages of its own: by watchdog, Flask watches all that is
below `sys.path`, which would be this repository, and those packages.

The same WSGI app is served by each server in turn (`servers.py` says how). What is measured:

- from a save to the first fresh answer, of a small app and of one that imports numpy, pandas and
  SQLAlchemy; the first request is sent at the moment of the save, each on a new connection. What
  counts as failed or stale is a save after which some answer was. A server that misses a save is
  started anew;
- what becomes of requests, 50 a second, while a file is saved 200 times a second;
- what a client sees after a SyntaxError, and whether the mending save is served;
- what an idle project costs that imports 300 modules of one line;
- what is left when the process that was started is killed.

Each of these begins with a server that is started for it. Linux only, for what is read in /proc.
nodemon takes part where it is on the PATH (`npm install -g nodemon`).
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.benchmarks import machine  # noqa: E402
from tests.benchmarks.findings import (  # noqa: E402
    Break,
    Idle,
    Left,
    Result,
    Storm,
    summary,
    tables,
    versions,
)
from tests.benchmarks.plot import plot  # noqa: E402
from tests.benchmarks.servers import (  # noqa: E402
    BIN,
    PEERS,
    Peer,
    Server,
    Wait,
    command_of,
    serving,
    version_in,
)
from tests.live.driving import port_is_free  # noqa: E402

REST = (1.0, 1.4)
"""Seconds between a fresh answer and the next save: at random, for who polls, and never in the same
second, in which Python takes a cached file for the source."""
STORM, STORM_RATE, STORM_REQUESTS = 2.0, 200, 50  # seconds; saves and requests a second
NOTICED_IN, BROKEN = 10.0, 4.0
"""Seconds until a SyntaxError is seen, and that it stays after that: a person mends no sooner, and
some servers lose what is saved while they start."""
PATIENCE = 1.0  # seconds for an answer while the app is broken
MODULES = 300
LEARNED, IDLE = 6.0, 8.0  # seconds from the start until nothing is left to be done; of measuring
LEFT_AFTER, LATER = 2.0, 8.0  # seconds from kill -9 until it is seen what is left, and once more


def edits(peer: Peer, count: int, *, heavy: bool = False) -> list[Wait]:
    """Save so many times, and wait for the fresh answer each time."""
    waits: list[Wait] = []
    while len(waits) < count:
        with serving(peer, heavy=heavy) as server:
            while len(waits) < count:
                server.save()
                waits.append(server.until_fresh())
                if waits[-1].seconds is None:
                    break  # it may never reload again: a person starts it anew
                time.sleep(random.uniform(*REST))
    return waits


# --- a storm of saves -----------------------------------------------------------------------------


def storm(peer: Peer) -> Storm:
    """Save all the time and ask at times; each answer is judged by what was saved before it."""
    found = Storm(requests=round(STORM * STORM_REQUESTS))
    with serving(peer) as server:
        with ThreadPoolExecutor(found.requests) as threads:
            asked = []
            began = time.perf_counter()
            for number in range(round(STORM * STORM_RATE)):
                time.sleep(max(0.0, began + number / STORM_RATE - time.perf_counter()))
                server.save()
                if number % (STORM_RATE // STORM_REQUESTS) == 0:
                    asked.append(threads.submit(judged, server, server.number))
        answers = [one.result() for one in asked]
        counts = Counter(what for what, _ in answers)
        found.failed, found.stale = counts["failed"], counts["stale"]
        found.slowest = max(took for _, took in answers)
        if server.until_fresh().seconds is not None:
            found.then = "fresh"
        else:
            found.then = "stale (.pyc)" if cache_is_stale(server) else "not fresh"
    return found


def judged(server: Server, least: int) -> tuple[str, float]:
    """Ask once; return what the answer is worth, and the seconds that it took."""
    began = time.perf_counter()
    try:
        answer = server.ask()
    except OSError:
        what = "failed"
    else:
        if answer.status != 200:
            what = "failed"
        else:
            what = "stale" if version_in(answer) < least else "fresh"
    return what, time.perf_counter() - began


def cache_is_stale(server: Server) -> bool:
    """Tell whether a new interpreter, too, takes old compiled code for the app's.

    Python compares whole seconds and the size. A source that was loaded, and saved again in the
    same second with the same size, is not read until it changes again.
    """
    command = [sys.executable, "-c", "import app; print(app.VERSION)"]
    found = subprocess.run(
        command, cwd=server.project, capture_output=True, text=True, check=False
    ).stdout
    return found.strip() != str(server.number)


# --- a broken save --------------------------------------------------------------------------------


def syntax_error(peer: Peer) -> Break:
    """Break the file, look what clients see of it, and mend it."""
    found = Break()
    with serving(peer) as server:
        server.save(broken=True)
        end = time.perf_counter() + NOTICED_IN
        while time.perf_counter() < end:
            seen = sight(server)
            if found.seen[-1:] == ["old code"] != [seen]:
                end = time.perf_counter() + BROKEN
            if found.seen[-1:] != [seen]:
                found.seen.append(seen)
            time.sleep(0.1)
        server.save()
        found.mended = server.until_fresh().seconds
        found.ended = not server.is_running()
    return found


def sight(server: Server) -> str:
    """Tell in a word what a request for the broken app meets."""
    try:
        answer = server.ask(PATIENCE)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "no answer"
    except OSError:
        return "cut off"
    if answer.status == 200:
        return "old code"
    return "the error" if "SyntaxError" in answer.body else f"bare {answer.status}"


# --- nothing to do, and a sudden end --------------------------------------------------------------


def idle(server: Server) -> Idle:
    time.sleep(LEARNED)
    pids = list(server.processes())
    before = sum(map(machine.cpu, pids))
    time.sleep(IDLE)
    used = sum(map(machine.cpu, pids)) - before
    return Idle(used / IDLE * 100, sum(machine.memory(pid, "Pss") for pid in pids))


def sudden_death(server: Server) -> Left:
    """Kill what was started, and see what stays."""
    server.process.kill()
    server.process.wait()
    time.sleep(LEFT_AFTER)
    found = Left(list(server.processes().values()), not port_is_free(server.port))
    if found.processes:
        time.sleep(LATER)
        found.later = list(server.processes().values())
    return found


# --- all of it ------------------------------------------------------------------------------------


def measure(peer: Peer, count: int) -> Result:
    """Measure one thing after the other; what fails does not keep the rest from it."""
    version = metadata.version(peer.package) if peer.package else nodemon_version()
    result = Result(version, " ".join(command_of(peer, 8000)).replace(f"{BIN}/", ""))

    def small() -> None:
        result.small = edits(peer, count)

    def heavy() -> None:
        result.heavy = edits(peer, max(2, count * 2 // 3), heavy=True)

    def stormy() -> None:
        result.storm = storm(peer)

    def broken() -> None:
        result.broken = syntax_error(peer)

    def quiet() -> None:
        with serving(peer, modules=MODULES) as server:
            result.idle = idle(server)
            result.left = sudden_death(server)

    phases: tuple[Callable[[], None], ...] = (small, heavy, stormy, broken, quiet)
    for phase in phases:
        try:
            phase()
        except Exception as exc:  # noqa: BLE001  the others are measured all the same
            result.errors[phase.__name__] = f"{type(exc).__name__}: {exc}"
    return result


def nodemon_version() -> str:
    return subprocess.run(
        ["nodemon", "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()


def available(peer: Peer) -> bool:
    if not peer.package:
        return shutil.which("nodemon") is not None
    with suppress(metadata.PackageNotFoundError):
        return bool(metadata.version(peer.package))
    return False


def brief(result: Result) -> str:
    medians = {which: result.median(which) for which in ("small", "heavy")}
    times = [f"{which} {told * 1000:.0f} ms" for which, told in medians.items() if told]
    return ", ".join([*times, *result.faults()])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="asyncreload beside what people use.")
    parser.add_argument("--edits", type=int, default=6, help="saves of the small app (6)")
    parser.add_argument(
        "--peers", nargs="+", default=[], metavar="NAME", help="names, or beginnings"
    )
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--svg", type=Path, help="where to draw the times")
    options = parser.parse_args()
    wanted = tuple(name.lower() for name in options.peers) or ("",)
    options.chosen = {name: it for name, it in PEERS.items() if name.lower().startswith(wanted)}
    if not options.chosen:
        parser.error(f"no such peer; there are: {', '.join(PEERS)}")
    return options


def keep(options: argparse.Namespace, where: str, results: Mapping[str, Result]) -> None:
    """Write what is known so far."""
    if options.json:
        found = {name: asdict(one) for name, one in results.items()}
        options.json.write_text(json.dumps({"where": where, "results": found}, indent=2) + "\n")
    if options.svg:
        times = {name: (one.median("small"), one.median("heavy")) for name, one in results.items()}
        options.svg.write_text(plot(times, where))


def main() -> None:
    options = parsed()
    # A shell ignores it for what it starts with `&`; some of these servers reload by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    where = f"{datetime.now(UTC).date()}, {platform.system()}, {machine.described()}"
    print(where, flush=True)
    results: dict[str, Result] = {}
    for name, peer in options.chosen.items():
        if not available(peer):
            print(f"{name}: not installed", flush=True)
            continue
        began = time.monotonic()
        results[name] = measure(peer, options.edits)
        print(f"{name}: {brief(results[name])} [{time.monotonic() - began:.0f} s]", flush=True)
        keep(options, where, results)
    print(f"\n{tables(results)}\n\n{versions(results)}\n")
    print("\n".join(summary(results)))
    print(f"{machine.load()} at the end")


if __name__ == "__main__":
    main()
