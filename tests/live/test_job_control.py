"""Ctrl-Z at any instant: what starts processes all the time is stopped, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from tests.live.driving import LONG, until

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = 200 if LONG else 25
"""A fifth of these find a process that was started and runs no program yet."""
STARTS = """\
import asyncio, sys
from asyncreload.parent.subprocesses import start_process
async def main():
    print("starting", flush=True)
    while True:
        await (await start_process(["true"])).wait()
        sys.stdout.write(".")
        sys.stdout.flush()
asyncio.run(main())
"""


@contextmanager
def in_a_group(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program as a shell runs a job: in a group of the same session."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0) as job:
        try:
            assert job.stdout is not None
            assert job.stdout.readline() == b"starting\n"
            yield job
        finally:
            os.killpg(job.pid, signal.SIGKILL)


def test_ctrl_z_at_any_instant_stops_what_starts_processes() -> None:
    with in_a_group(STARTS) as job:
        assert job.stdout is not None
        process = psutil.Process(job.pid)
        for _ in range(TIMES):
            os.killpg(job.pid, signal.SIGTSTP)
            until(lambda: process.status() == psutil.STATUS_STOPPED, "it is stopped")
            os.killpg(job.pid, signal.SIGCONT)
            os.read(job.stdout.fileno(), 65536)  # what it had printed before
            assert os.read(job.stdout.fileno(), 65536), "it goes on"
