"""The program of `CommandForks`: import asyncreload's command, then fork for each order to run it.

    python fork_commands.py ORDERS ENDS

An order comes by the first socket: a command line, a directory and the environment as JSON, with
two descriptors: standard input, and output for both streams. The answer is the fork's process
number. At its end this goes to the second socket, with the exit code. Without orders all is over.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # this directory, as asyncreload/__main__.py does with the first one

import json
import os
import select
import socket
from dataclasses import dataclass

SIZE = 1_000_000
"""Bytes that an order may have."""


@dataclass(frozen=True)
class Order:
    """What is to be run, and where."""

    command: list[str]
    directory: str
    environment: dict[str, str]


def main() -> None:
    from asyncreload.boot import no_search_for_garbage, put_named_places_last  # noqa: PLC0415

    put_named_places_last()
    with no_search_for_garbage():
        from asyncreload.cli import main as run  # noqa: PLC0415
        from asyncreload.parent import supervisor  # noqa: F401, PLC0415  `run` imports it at once

    if _is_fork(*(socket.socket(fileno=int(number)) for number in sys.argv[1:])):
        run()


def _is_fork(orders: socket.socket, ends: socket.socket) -> bool:
    """Return True in each fork that was ordered, and False when no more orders can come."""
    awaited: dict[int, int] = {}  # processes, by pidfd
    while True:
        ready, _, _ = select.select([orders.fileno(), *awaited], [], [])
        for pidfd in awaited.keys() & set(ready):
            os.close(pidfd)
            pid, status = os.waitpid(awaited.pop(pidfd), 0)
            ends.send(f"{pid} {os.waitstatus_to_exitcode(status)}".encode())
        if orders.fileno() not in ready:
            continue
        data, streams, _, _ = socket.recv_fds(orders, SIZE, 2)
        if not data:
            return False
        if pid := os.fork():
            awaited[os.pidfd_open(pid)] = pid
            orders.send(str(pid).encode())
            for descriptor in streams:
                os.close(descriptor)
        else:
            orders.detach()
            ends.detach()
            _become(Order(**json.loads(data)), *streams)
            return True


def _become(order: Order, stdin: int, output: int) -> None:
    """Make of this fork what a new process of that command would be."""
    for descriptor, stream in ((stdin, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, stream)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    os.chdir(order.directory)
    os.environ.clear()
    os.environ.update(order.environment)
    # Where `put_named_places_last` has them in a new process.
    sys.path += filter(None, order.environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.orig_argv[:] = order.command
    package = sys.modules["asyncreload"].__path__[0]
    sys.argv[:] = [f"{package}/__main__.py", *order.command[3:]]


if __name__ == "__main__":
    main()
