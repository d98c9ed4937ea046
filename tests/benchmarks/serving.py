"""What serving costs: `python tests/benchmarks/serving.py [--rounds 10] [--seconds 1]`.

One WSGI app, whose project has 100 modules, is served by asyncreload, by threaded wsgiref and by
wsgiref as it is. All of them run all the time and are asked in turns, for a second each, by one
client and by several at a time. What is told is the ratio within each round, and the median of
those: so it matters little what else the machine does. Nobody writes an access log. The client is
`wrk` where that is installed. Linux only, for what is read in /proc.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.live.driving import COMMAND, Answer, Connection, Served, lay_out, request  # noqa: E402

BODY = "Hello from a project of many files\n"
APP = f"""\
import importlib
for number in range({{modules}}):
    importlib.import_module(f"shop.part{{{{number}}}}")
def app(environ, start_response):
    body = {BODY.encode()!r}
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
# The threads are daemons and the queue is longer, so that no connection of the client's is lost.
WSGIREF = """\
import sys
sys.path[0] = ""
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from app import app
class Handler(WSGIRequestHandler):
    def log_message(self, *args):
        pass
class Server({bases}WSGIServer):
    daemon_threads = True
    request_queue_size = 1024
server = make_server("127.0.0.1", 0, app, Server, Handler)
print(f"serving app.py at http://127.0.0.1:{{server.server_port}}/", flush=True)
server.serve_forever()
"""
SERVERS = {
    "asyncreload": (*COMMAND, "app.py", "--port", "0", "--no-access-log"),
    "threaded wsgiref": (sys.executable, "threaded.py"),
    "wsgiref": (sys.executable, "plain.py"),
}
LONGEST = 30.0
PAUSE = 0.05


@dataclass(frozen=True)
class Pace:
    """How fast a server answered in one round."""

    rate: float
    """Requests a second."""
    middle: float
    """Seconds that the median request took."""


def project(modules: int) -> dict[str, str]:
    """Return the files that are served."""
    files = {"app.py": APP.format(modules=modules), "shop/__init__.py": ""}
    files["plain.py"] = WSGIREF.format(bases="")
    files["threaded.py"] = WSGIREF.format(bases="ThreadingMixIn, ")
    return files | {f"shop/part{number}.py": f"NUMBER = {number}\n" for number in range(modules)}


@contextmanager
def served(directory: Path, temp: Path, command: Sequence[str]) -> Iterator[Served]:
    found = Served(directory, temp, command, temp / f"{Path(command[-1]).stem}.txt")
    try:
        found.until(lambda: found.get() == Answer(200, BODY), "it answers", LONGEST)
        yield found
    finally:
        found.kill()


# --- clients ------------------------------------------------------------------------------------


def by_wrk(port: int, clients: int, seconds: float) -> Pace:
    """Ask with wrk, on a new connection each time."""
    options = ["-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--latency"]
    header = ["-H", "Connection: close"]
    command = ["wrk", *options, *header, f"http://127.0.0.1:{port}/"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(f"requests have failed:\n{told}")
    rate = re.search(r"Requests/sec: +([\d.]+)", told)
    middle = re.search(r"50% +([\d.]+)(us|ms|s)\n", told)
    assert rate, told
    assert middle, told
    return Pace(float(rate[1]), float(middle[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[middle[2]])


def by_hand(port: int, clients: int, seconds: float) -> Pace:
    """Ask from threads of this process, on a new connection each time."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def ask() -> None:
        sent = request("/")
        while (began := time.perf_counter()) < end:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(sent)
                received = b""
                while data := connection.recv(65536):
                    received += data
            assert received.endswith(BODY.encode()), received
            times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Pace(len(times) / seconds, statistics.median(times))


# --- measuring ----------------------------------------------------------------------------------


def measure(
    ports: dict[str, int], ask: Callable[[int, int, float], Pace], options: argparse.Namespace
) -> dict[int, list[dict[str, Pace]]]:
    """Ask each server in turn, round after round; every other round goes the other way."""
    found: dict[int, list[dict[str, Pace]]] = {}
    for clients in options.clients:
        rounds = found[clients] = []
        for number in range(-1, options.rounds):
            names = list(ports) if number % 2 else list(reversed(ports))
            paces = {}
            for name in names:
                paces[name] = ask(ports[name], clients, options.seconds)
                time.sleep(PAUSE)
            if number >= 0:  # the first is for warming up
                rounds.append(paces)
    return found


def tell(found: dict[int, list[dict[str, Pace]]]) -> None:
    head = f"{'':18}{'requests/s':>12}{'median ms':>11}{'rate: asyncreload is':>22}{'of':>4}"
    for clients, rounds in found.items():
        print(f"\n{clients} at a time\n{head}")
        for name in rounds[0]:
            rate = statistics.median(one[name].rate for one in rounds)
            middle = statistics.median(one[name].middle for one in rounds) * 1000
            ratios = sorted(one["asyncreload"].rate / one[name].rate for one in rounds)
            spread = f"{statistics.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"{name:18}{rate:12.0f}{middle:11.3f}{spread:>26}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What serving costs, compared with wsgiref.")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each server (10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn (1)")
    parser.add_argument("--modules", type=int, default=100, help="project files watched (100)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="at a time (1 8)")
    parser.add_argument("--own-client", action="store_true", help="ask by Python, not by wrk")
    options = parser.parse_args()
    ask = by_wrk if shutil.which("wrk") and not options.own_client else by_hand
    version = ".".join(map(str, sys.version_info[:3]))
    load = Path("/proc/loadavg").read_text().split()[0]
    print(f"Python {version}, {os.cpu_count()} cores, load {load}, {options.modules} files watched")
    with tempfile.TemporaryDirectory(prefix="asyncreload-bench-") as name, ExitStack() as stack:
        directory, temp = Path(name, "project"), Path(name)
        lay_out(directory, files=project(options.modules))
        ports = {
            server: stack.enter_context(served(directory, temp, command)).port
            for server, command in SERVERS.items()
        }
        for port in ports.values():
            assert Connection(port).send().receive() == Answer(200, BODY)
        tell(measure(ports, ask, options))


if __name__ == "__main__":
    main()
