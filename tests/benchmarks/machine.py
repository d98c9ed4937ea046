"""What the benchmarks read in /proc, of processes and of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process's threads have used."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


def memory(pid: int, name: str) -> float:
    """Return a figure of a process's memory in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def load() -> str:
    """Return how busy the machine was lately."""
    return f"load {' '.join(Path('/proc/loadavg').read_text().split()[:3])}"


def described() -> str:
    """Return what a figure was measured with."""
    return f"Python {'.'.join(map(str, sys.version_info[:3]))}, {os.cpu_count()} cores, {load()}"
