"""Beside what people use: `pip install -e '.[bench]' && python tests/benchmarks/peers.py`.

The same WSGI app is served by each server in turn, started as its documentation says; where the
default is slow, a second time with a quicker standard setting. What is measured:

- from a save to the first fresh answer, of a small app and of one that imports numpy, pandas and
  SQLAlchemy; the first request is sent at the moment of the save, each on a new connection;
- what becomes of requests while a file is saved 200 times a second;
- what a client sees after a SyntaxError, and whether the mending save is served;
- what is left when the process that was started is killed;
- what an idle project with 300 modules costs.

Linux only, for what is read in /proc. nodemon takes part where it is on the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.benchmarks.plot import plot  # noqa: E402
from tests.live.driving import (  # noqa: E402
    Answer,
    lay_out,
    port_is_free,
    processes_of,
    replace,
    request,
)

BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
ANSWERED_IN = 15.0  # seconds: a request that takes longer has failed
FRESH_IN = 10.0  # seconds: a save that takes longer was missed
RECOVERED_IN = 6.0  # the same, after a storm or a SyntaxError
PAUSE = 0.002  # seconds after a failed or stale answer
REST = (0.9, 1.3)  # seconds between a fresh answer and the next save; at random, for who polls
STORM, STORM_RATE = 2.0, 200
BROKEN = 2.0  # seconds that a SyntaxError stays
LEFT_AFTER = 2.0  # seconds from kill -9 until it is seen what is left
IDLE = 3.0
MODULES = 300
SETTLED = 1.2

HEAVY = "import numpy, pandas, sqlalchemy.orm\n"
APP = """\
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"version {VERSION}\\n".encode()]
application = app
"""
FILES = {
    "run_bottle.py": """\
import sys
import bottle
from app import app
bottle.run(app=app, port=int(sys.argv[1]), reloader=True, interval=float(sys.argv[2]), quiet=True)
""",
    "run_flask.py": """\
from flask import Flask
import app as served
app = Flask(__name__)
app.wsgi_app = served.app
""",
    "manage.py": """\
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
""",
    "settings.py": """\
DEBUG = True
SECRET_KEY = "a benchmark's"
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "app.app"
""",
    "urls.py": "urlpatterns = []\n",
    "run_wsgiref.py": """\
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server
from app import app
class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass
make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
""",
}


@dataclass(frozen=True)
class Peer:
    """A server that reloads, and how it is started: {port} and {python} are filled in."""

    package: str
    command: str
    without: tuple[str, ...] = ()
    """Packages that must seem not to be installed: what the default is without its extra."""


WSGIREF = "{python} run_wsgiref.py {port}"
PEERS = {
    "asyncreload": Peer("asyncreload", "asyncreload app.py --port {port}"),
    "Bottle": Peer("bottle", "python run_bottle.py {port} 1"),
    "Bottle, interval 0.1": Peer("bottle", "python run_bottle.py {port} 0.1"),
    "Flask": Peer("flask", "flask --app run_flask run --debug --port {port}", ("watchdog",)),
    "Flask, watchdog": Peer("flask", "flask --app run_flask run --debug --port {port}"),
    "Django runserver": Peer("django", "python manage.py runserver {port}"),
    "uvicorn": Peer(
        "uvicorn", "uvicorn --interface wsgi --reload --port {port} app:app", ("watchfiles",)
    ),
    "uvicorn, watchfiles": Peer(
        "uvicorn", "uvicorn --interface wsgi --reload --port {port} app:app"
    ),
    "gunicorn": Peer("gunicorn", "gunicorn --reload -b 127.0.0.1:{port} app:app", ("inotify",)),
    "gunicorn, inotify": Peer("gunicorn", "gunicorn --reload -b 127.0.0.1:{port} app:app"),
    "Hypercorn": Peer("hypercorn", "hypercorn --reload -b 127.0.0.1:{port} wsgi:app:app"),
    "Granian": Peer("granian", "granian --interface wsgi --reload --port {port} app:app"),
    "Granian, failures ignored": Peer(
        "granian",
        "granian --interface wsgi --reload --reload-ignore-worker-failure --port {port} app:app",
    ),
    "hupper, waitress": Peer(
        "hupper", "hupper -m waitress --listen=127.0.0.1:{port} app:app", ("watchdog",)
    ),
    "hupper, waitress, watchdog": Peer(
        "hupper", "hupper -m waitress --listen=127.0.0.1:{port} app:app"
    ),
    "watchfiles": Peer("watchfiles", f"watchfiles|{WSGIREF}|."),
    "watchmedo": Peer(
        "watchdog", f"watchmedo auto-restart --patterns=*.py --recursive -- {WSGIREF}"
    ),
    "nodemon": Peer("", f"nodemon --ext py --exec|{WSGIREF}"),
    "nodemon, delay 10 ms": Peer("", f"nodemon --delay 10ms --ext py --exec|{WSGIREF}"),
}


@dataclass
class Times:
    """Seconds from saves to fresh answers, and what came before them."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    stale: int = 0
    missed: int = 0

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


@dataclass
class Result:
    """What was measured of one peer."""

    version: str = ""
    command: str = ""
    small: Times = field(default_factory=Times)
    heavy: Times = field(default_factory=Times)
    storm: dict[str, int] = field(default_factory=dict)
    storm_recovers: bool = False
    broken: dict[str, int] = field(default_factory=dict)
    mended: float | None = None
    left: list[str] = field(default_factory=list)
    still_answers: bool = False
    cpu: float = 0.0
    memory: float = 0.0
    error: str = ""


# --- one server ---------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """A peer that serves a project, and the project's one file that is edited."""

    def __init__(self, peer: Peer, place: Path, *, heavy: bool = False, modules: int = 0) -> None:
        self.place = place
        self.project = place / "project"
        names = [f"part{number}" for number in range(modules)]
        imports = (HEAVY if heavy else "") + "".join(f"import {name}\n" for name in names)
        self.text = imports + APP
        parts = {f"{name}.py": f"NUMBER = {name[4:]}\n" for name in names}
        lay_out(self.project, files={"app.py": self.text, **FILES, **parts})
        self.number = 1
        self.port = free_port()
        self.output = place / "output.txt"
        self.command = command_of(peer, self.port)
        with self.output.open("wb") as sink:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.project,
                env=environment(peer, place),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def save(self, *, broken: bool = False) -> None:
        """Save the next version, as most editors do: another file takes the name."""
        self.number += 1
        text = self.text.replace('VERSION = "1"', f'VERSION = "{self.number}"')
        replace(self.project / "app.py", text + "def broken(:\n" * broken)

    def ask(self, patience: float = ANSWERED_IN) -> Answer:
        """Ask on a new connection. Raises OSError."""
        with socket.create_connection((HOST, self.port), patience) as connection:
            connection.sendall(request("/"))
            data = b""
            with suppress(TimeoutError) if patience < ANSWERED_IN else nothing():
                while more := connection.recv(65536):
                    data += more
        if not data and patience < ANSWERED_IN:
            raise TimeoutError
        head, _, body = data.partition(b"\r\n\r\n")
        if not head:
            raise ConnectionError("closed without an answer")
        return Answer(int(head.split()[1]), body.decode(errors="replace"))

    def until_fresh(self, times: Times, within: float = FRESH_IN) -> bool:
        """Ask until the answer is what was saved last; count what comes before."""
        began = time.perf_counter()
        while time.perf_counter() - began < within:
            try:
                answer = self.ask()
            except OSError:
                times.failed += 1
            else:
                if answer.status != 200:
                    times.failed += 1
                elif version_in(answer) == self.number:
                    times.seconds.append(time.perf_counter() - began)
                    return True
                else:
                    times.stale += 1
            time.sleep(PAUSE)
        times.missed += 1
        return False

    def processes(self) -> list[int]:
        return list(processes_of(self.place))

    def end(self) -> None:
        """End it politely, then whatever is left."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        for pid in [*self.processes(), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def nothing() -> Iterator[None]:
    yield


def command_of(peer: Peer, port: int) -> list[str]:
    """Return the command; what stands between bars is one argument each."""
    first, *rest = peer.command.split("|")
    words = [*first.split(), *rest]
    filled = [word.format(port=port, python=sys.executable) for word in words]
    program = BIN / filled[0]
    return [str(program) if program.exists() else filled[0], *filled[1:]]


def environment(peer: Peer, place: Path) -> dict[str, str]:
    """Return the environment; it marks all processes of the place."""
    temp, hidden = place / "tmp", place / "hidden"
    temp.mkdir(exist_ok=True)
    for name in peer.without:
        (hidden / name).mkdir(parents=True, exist_ok=True)
        (hidden / name / "__init__.py").write_text("raise ImportError('not installed, say')\n")
    found = os.environ | {"TMPDIR": f"{temp}/", "PATH": f"{BIN}:{os.environ['PATH']}"}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found | {"PYTHONPATH": str(hidden)} if peer.without else found


@contextmanager
def serving(peer: Peer, *, heavy: bool = False, modules: int = 0) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(
        prefix="asyncreload-peers-", ignore_cleanup_errors=True
    ) as name:
        server = Server(peer, Path(name), heavy=heavy, modules=modules)
        try:
            if not server.until_fresh(Times(), 30.0):
                raise RuntimeError(f"it does not serve:\n{server.output.read_text()[-2000:]}")
            time.sleep(SETTLED)
            yield server
        finally:
            server.end()


# --- measuring ----------------------------------------------------------------------------------


def edits(server: Server, count: int, times: Times) -> None:
    for _ in range(count):
        server.save()
        server.until_fresh(times)
        time.sleep(random.uniform(*REST))


def storm(server: Server, result: Result) -> None:
    """Save all the time and ask all the time, in turns; each answer is judged by what was saved."""
    counts: Counter[str] = Counter(requests=0, failed=0, stale=0)
    asker = Asker(server, counts)
    asker.start()
    began = time.perf_counter()
    for number in range(round(STORM * STORM_RATE)):
        time.sleep(max(0.0, began + number / STORM_RATE - time.perf_counter()))
        server.save()
    asker.stop()
    result.storm = dict(counts)
    result.storm_recovers = server.until_fresh(Times(), RECOVERED_IN)
    time.sleep(REST[1])


def version_in(answer: Answer) -> int:
    """Return the version that an answer tells, which may be chunked."""
    found = re.search(r"version (\d+)\n", answer.body)
    return int(found[1]) if found else 0


class Asker:
    """Asks one request after the other, in a thread."""

    def __init__(self, server: Server, counts: Counter[str]) -> None:
        self._server = server
        self._counts = counts
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.start = self._thread.start

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            floor = self._server.number
            self._counts["requests"] += 1
            try:
                answer = self._server.ask()
            except OSError:
                self._counts["failed"] += 1
            else:
                if answer.status != 200:
                    self._counts["failed"] += 1
                elif version_in(answer) < floor:
                    self._counts["stale"] += 1
            time.sleep(PAUSE)


def syntax_error(server: Server, result: Result) -> None:
    """Break the file, look what clients see of it, and mend it."""
    seen: Counter[str] = Counter()
    server.save(broken=True)
    end = time.perf_counter() + BROKEN
    while time.perf_counter() < end:
        seen[sight(server)] += 1
        time.sleep(0.1)
    result.broken = dict(seen)
    server.save()
    times = Times()
    server.until_fresh(times, RECOVERED_IN)
    result.mended = times.median


def sight(server: Server) -> str:
    """Tell in a word what a request for the broken app meets."""
    try:
        answer = server.ask(patience=1.0)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "no answer"
    except OSError:
        return "cut off"
    if answer.status == 200:
        return "old code"
    return "the error" if "SyntaxError" in answer.body else f"bare {answer.status}"


def idle(server: Server, result: Result) -> None:
    """Measure the CPU, in % of a core, and the memory, in MB, of all processes together."""
    pids = server.processes()
    before = {pid: cpu(pid) for pid in pids}
    time.sleep(IDLE)
    result.cpu = sum(cpu(pid) - before[pid] for pid in pids) / IDLE * 100
    result.memory = sum(map(memory, pids))


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process's threads have used."""
    used = 0
    with suppress(OSError):
        for one in Path(f"/proc/{pid}/task").iterdir():
            used += int((one / "schedstat").read_text().split()[0])
    return used / 1e9


def memory(pid: int) -> float:
    """Return a process's proportional share of memory in MB."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return 0.0


def sudden_death(server: Server, result: Result) -> None:
    """Kill what was started, and see what stays."""
    server.process.kill()
    server.process.wait()
    time.sleep(LEFT_AFTER)
    result.left = list(processes_of(server.place).values())
    result.still_answers = not port_is_free(server.port)


def measure(peer: Peer, options: argparse.Namespace) -> Result:
    version = metadata.version(peer.package) if peer.package else nodemon_version()
    result = Result(version, " ".join(command_of(peer, 8000)).replace(f"{BIN}/", ""))
    try:
        with serving(peer) as server:
            edits(server, options.edits, result.small)
            storm(server, result)
            syntax_error(server, result)
        with serving(peer, heavy=True) as server:
            edits(server, max(2, options.edits * 2 // 3), result.heavy)
        with serving(peer, modules=MODULES) as server:
            idle(server, result)
            sudden_death(server, result)
    except Exception as exc:  # noqa: BLE001  the others are measured all the same
        result.error = f"{type(exc).__name__}: {exc}"
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


# --- telling --------------------------------------------------------------------------------------


def ms(times: Times) -> str:
    if times.median is None:
        return "never"
    worst = max(times.seconds) * 1000
    return f"{times.median * 1000:,.0f} (max {worst:,.0f})"


def faults(result: Result) -> str:
    both = (result.small, result.heavy)
    counts = {
        "failed": sum(one.failed for one in both),
        "stale": sum(one.stale for one in both),
        "missed": sum(one.missed for one in both),
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "none"


def rows(results: dict[str, Result]) -> Iterator[list[str]]:
    yield [
        "server",
        "small app, ms",
        "heavy app, ms",
        "bad answers before",
        "storm: failed, stale",
        "SyntaxError: a client sees",
        "mending save",
        "left 2 s after kill -9",
        "idle CPU, %",
        "memory, MB",
    ]
    for name, one in results.items():
        if one.error:
            yield [name, f"failed: {one.error.splitlines()[0][:60]}", *[""] * 8]
            continue
        asked = one.storm["requests"]
        stormy = f"{one.storm['failed']}, {one.storm['stale']} of {asked}"
        seen = sorted(one.broken, key=one.broken.__getitem__, reverse=True)
        mended = "not seen" if one.mended is None else f"{one.mended * 1000:,.0f} ms"
        left = f"{len(one.left)} process{'es' * (len(one.left) > 1)}" if one.left else "nothing"
        yield [
            f"{name} {one.version}",
            ms(one.small),
            ms(one.heavy),
            faults(one),
            stormy + ("" if one.storm_recovers else ", then never fresh"),
            ", ".join(seen),
            mended,
            left + (", the port" if one.still_answers else ""),
            f"{one.cpu:.2f}",
            f"{one.memory:.0f}",
        ]


def table(results: dict[str, Result]) -> str:
    head, *body = rows(results)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    model = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    python = platform.python_version()
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, Python {python}, {platform.system()}, {os.cpu_count()} cores ({model})"


def main() -> None:
    parser = argparse.ArgumentParser(description="asyncreload beside what people use.")
    parser.add_argument("--edits", type=int, default=6, help="saves of the small app (6)")
    parser.add_argument(
        "--peers", nargs="+", default=[], metavar="NAME", help="names, or beginnings"
    )
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--svg", type=Path, help="where to draw the times")
    options = parser.parse_args()
    wanted = tuple(name.lower() for name in options.peers) or ("",)
    chosen = {name: peer for name, peer in PEERS.items() if name.lower().startswith(wanted)}
    if not chosen:
        parser.error(f"no such peer; there are: {', '.join(PEERS)}")
    where = machine()
    print(where, flush=True)
    results = {}
    for name, peer in chosen.items():
        if not available(peer):
            print(f"{name}: not installed", flush=True)
            continue
        began = time.monotonic()
        one = results[name] = measure(peer, options)
        told = one.error or f"small {ms(one.small)}, heavy {ms(one.heavy)}; {faults(one)}"
        print(f"{name}: {told} [{time.monotonic() - began:.0f} s]", flush=True)
    print(f"\n{table(results)}")
    if options.json:
        found = {name: asdict(one) for name, one in results.items()}
        options.json.write_text(json.dumps({"where": where, "results": found}, indent=2) + "\n")
    if options.svg:
        medians = {name: (one.small.median, one.heavy.median) for name, one in results.items()}
        options.svg.write_text(plot(medians, where))


if __name__ == "__main__":
    main()
