"""FastAPI beside what people use: `pip install .[bench]; python tests/benchmarks/peers_asgi.py`.

Not `-e`, as in peers.py. What is measured, of each server in turn:

- from a save to the first fresh answer; the first request is sent at the moment of the save;
- the same while an event stream is open, which comes back when it is cut off, as in a browser;
- how many requests a second are served by asyncreload and by uvicorn, with a connection each and on
  kept connections, in turns of a second: where `wrk` is installed.
"""

from __future__ import annotations

import argparse
import random
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.benchmarks import machine  # noqa: E402
from tests.benchmarks.peers import REST, available  # noqa: E402
from tests.benchmarks.servers import HOST, Peer, Server, Wait, serving  # noqa: E402
from tests.live.driving import request  # noqa: E402

FASTAPI = """\
import asyncio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
VERSION = "1"
app = FastAPI()
@app.get("/")
async def index():
    return PlainTextResponse(f"version {VERSION}\\n")
@app.get("/stream")
async def stream():
    async def events():
        while True:
            yield f"data: {VERSION}\\n\\n"
            await asyncio.sleep(0.1)
    return StreamingResponse(events(), media_type="text/event-stream")
"""
PLAIN = "uvicorn --no-access-log --port {port} app:app"
PEERS = {
    "asyncreload": Peer(
        "asyncreload", "asyncreload app.py --port {port}", ("asyncinotify",), FASTAPI
    ),
    "asyncreload, inotify": Peer("asyncreload", "asyncreload app.py --port {port}", (), FASTAPI),
    "asyncreload, inotify, no checkpoints": Peer(
        "asyncreload", "asyncreload app.py --no-checkpoints --port {port}", (), FASTAPI
    ),
    "uvicorn": Peer("uvicorn", "uvicorn --reload --port {port} app:app", ("watchfiles",), FASTAPI),
    "uvicorn, watchfiles": Peer("uvicorn", "uvicorn --reload --port {port} app:app", (), FASTAPI),
    "fastapi dev": Peer("fastapi-cli", "fastapi dev --port {port} app.py", (), FASTAPI),
    "Hypercorn": Peer("hypercorn", "hypercorn --reload -b 127.0.0.1:{port} app:app", (), FASTAPI),
    "Granian": Peer(
        "granian", "granian --interface asgi --reload --port {port} app:app", (), FASTAPI
    ),
}
SERVED = {
    "asyncreload": Peer(
        "asyncreload", "asyncreload app.py --no-access-log --port {port}", (), FASTAPI
    ),
    "uvicorn": Peer("uvicorn", PLAIN, (), FASTAPI),
}


@contextmanager
def listening(server: Server) -> Iterator[None]:
    """Hold an event stream open meanwhile; when it ends, ask for it again."""
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            with suppress(OSError), socket.create_connection((HOST, server.port), 1) as connection:
                connection.sendall(request("/stream"))
                while connection.recv(65536) and not is_over.is_set():
                    pass
            is_over.wait(0.05)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def edits(peer: Peer, count: int, *, streams: bool) -> list[Wait]:
    """Save so many times, and wait for the fresh answer each time; stop at one that never came."""
    waits: list[Wait] = []
    with serving(peer) as server:
        for _ in range(count):
            time.sleep(random.uniform(*REST))
            if streams:
                with listening(server):
                    time.sleep(0.3)
                    server.save()
                    waits.append(server.until_fresh())
            else:
                server.save()
                waits.append(server.until_fresh())
            if waits[-1].seconds is None:
                break
    return waits


def told(waits: list[Wait]) -> str:
    fresh = [wait.seconds for wait in waits if wait.seconds is not None]
    median = f"{statistics.median(fresh) * 1000:.0f}" if fresh else "-"
    bad = sum(wait.failed > 0 for wait in waits), sum(wait.stale > 0 for wait in waits)
    return f"{median} | {bad[0]} of {len(waits)} | {bad[1]} of {len(waits)}"


def rate(server: Server, clients: int, seconds: int, headers: list[str]) -> float:
    """Return how many requests a second wrk has answered."""
    options = ["-t1", f"-c{clients}", f"-d{seconds}"]
    command = ["wrk", *options, *headers, f"http://{HOST}:{server.port}/"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.partition("Requests/sec:")[2].split()[0])


def served(seconds: int, clients: int, rounds: int) -> Iterator[str]:
    """Yield how many requests a second are served, and what share that is, as medians of rounds.

    A share of what uvicorn serves with a connection for each.
    """
    ways = {"a connection each": ["-H", "Connection: close"], "kept": []}
    rates: dict[tuple[str, str], list[float]] = {}
    with serving(SERVED["asyncreload"]) as ours, serving(SERVED["uvicorn"]) as theirs:
        for _ in range(rounds):
            for name, server in (("asyncreload", ours), ("uvicorn", theirs)):
                for way, headers in ways.items():
                    found = rate(server, clients, seconds, headers)
                    rates.setdefault((name, way), []).append(found)
    measure = rates["uvicorn", "a connection each"]
    for (name, way), found_rates in rates.items():
        share = statistics.median(a / b for a, b in zip(found_rates, measure, strict=True))
        yield f"{clients} | {name} | {way} | {statistics.median(found_rates):.0f} | {share:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="A FastAPI app beside what people use.")
    parser.add_argument("--edits", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5, help="of measuring what serving costs")
    options = parser.parse_args()
    print(f"{machine.described()}\n")
    print("| server | ms | failed | stale | ms, a stream open | failed | stale |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, peer in PEERS.items():
        if not available(peer):
            continue
        cells = [told(edits(peer, options.edits, streams=streams)) for streams in (False, True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if shutil.which("wrk"):
        print("\n| clients | server | connections | requests/s | share |")
        print("| --- | --- | --- | --- | --- |")
        for clients in (1, 8):
            for row in served(1, clients, options.rounds):
                print(f"| {row} |", flush=True)
    print(f"\n{machine.load()} at the end")


if __name__ == "__main__":
    main()
