"""What the tests ask about processes: psutil, which answers on macOS, tells what /proc does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import until
from tests.live.processes import PORTABLE, ByProc, ByPsutil

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    PORTABLE or sys.platform != "linux", reason="there is no second way to compare with"
)

PROGRAM = """\
import socket, subprocess, sys, threading
held = socket.socketpair()
threading.Thread(target=threading.Event().wait, daemon=True).start()
ended = subprocess.Popen(["true"])  # nobody waits for it
sleeper = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
print("up", flush=True)
sys.stdin.read()
sleeper.kill()
"""


def test_psutil_tells_what_proc_does(tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    proc, psutil = ByProc(), ByPsutil()
    command = [sys.executable, "-c", PROGRAM, f"{tmp_path}/argument"]
    started = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True
    )
    pid = started.pid
    with started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        zombie, sleeper = proc.children(pid)
        until(lambda: not proc.process(zombie).is_alive, "it has ended")
        os.kill(sleeper, signal.SIGSTOP)
        until(lambda: proc.process(sleeper).state == "T", "it is stopped")

        for each, state in ((zombie, "Z"), (sleeper, "T")):
            assert psutil.process(each).state == proc.process(each).state == state
            assert psutil.process(each).parent == proc.process(each).parent == pid
            assert each in psutil.pids()
        own = [round(one.process(os.getpid()).cpu, 2) for one in (proc, psutil, proc)]
        assert own == sorted(own)
        assert psutil.children(pid) == [zombie, sleeper]
        assert psutil.command(pid) == proc.command(pid)
        assert (proc.threads(pid), psutil.threads(pid)) == (2, 2)
        assert (proc.sockets(pid), psutil.sockets(pid)) == (2, 2)
        assert psutil.descriptors(pid) == proc.descriptors(pid)
        assert proc.names(pid, str(tmp_path))
        for each, directory, named in ((pid, tmp_path, True), (sleeper, tmp_path / "no", False)):
            assert psutil.names(each, str(directory)) is named
        assert psutil.names(sleeper, str(tmp_path))  # by its directory
    for system in (proc, psutil):
        with pytest.raises(OSError, match=str(pid)):
            system.process(pid)


def test_own_descriptors_are_those_of_proc() -> None:
    pytest.importorskip("psutil")

    def numbers(told: set[str]) -> set[int]:
        return {int(each.partition(" ")[0]) for each in told}

    proc, psutil = ByProc(), ByPsutil()
    reading, writing = os.pipe()
    try:
        assert {reading, writing} <= numbers(proc.own_descriptors())
        assert numbers(psutil.own_descriptors()) == numbers(proc.own_descriptors())
    finally:
        os.close(reading)
        os.close(writing)
