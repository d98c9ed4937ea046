"""FastAPI beside what people use: `pip install .[bench]; python tests/benchmarks/peers_asgi.py`.

Not `-e`, as in peers.py. What is measured, of each server in turn:

- from a save to the first fresh answer; the first request is sent at the moment of the save;
- the same while an event stream is open, which comes back when it is cut off, as in a browser;
- how many requests a second are served, with a connection each, by asyncreload and by uvicorn, in
  turns of a second: where `wrk` is installed.
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


def served(seconds: int, clients: int, rounds: int) -> str:
    """Return how many requests a second are served, and the ratio, as medians of the rounds."""
    rates: dict[str, list[float]] = {name: [] for name in SERVED}
    with serving(SERVED["asyncreload"]) as ours, serving(SERVED["uvicorn"]) as theirs:
        for _ in range(rounds):
            for name, server in (("asyncreload", ours), ("uvicorn", theirs)):
                url = f"http://{HOST}:{server.port}/"
                command = [
                    "wrk",
                    "-t1",
                    f"-c{clients}",
                    f"-d{seconds}",
                    "-H",
                    "Connection: close",
                    url,
                ]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rates[name].append(float(output.partition("Requests/sec:")[2].split()[0]))
    ratios = [a / b for a, b in zip(rates["asyncreload"], rates["uvicorn"], strict=True)]
    medians = [statistics.median(rates[name]) for name in SERVED]
    return f"{clients} | {medians[0]:.0f} | {medians[1]:.0f} | {statistics.median(ratios):.2f}"


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
        print(
            "\n| clients | asyncreload, requests/s | uvicorn | ratio |\n| --- | --- | --- | --- |"
        )
        for clients in (1, 8):
            print(f"| {served(1, clients, options.rounds)} |", flush=True)
    print(f"\n{machine.load()} at the end")


if __name__ == "__main__":
    main()
