"""A command that was forked is what it would be as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.command_forks import Forked
from tests.live.driving import Served, until

if TYPE_CHECKING:
    from tests.live.conftest import Serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere none is forked")

APP = (
    "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'served']\n"
)
ALONE = ("--no-standby", "--no-checkpoints")
TOLD = ("Umask", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs")


def facts(pid: int) -> dict[str, object]:
    """Return what the kernel tells of a process, but for its numbers and its times."""
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    files = [str(one.readlink()) for one in (proc / "fd").iterdir()]
    return {
        **{name: status[name] for name in TOLD},
        "files": sorted(re.sub(r"\[\d+\]|\d\.txt$|\w+\.lock$", "", file) for file in files),
        "limits": (proc / "limits").read_text(),
        "directory": (proc / "cwd").readlink(),
        "leads": (os.getsid(pid) == pid, os.getpgid(pid) == pid),
        "runs": (os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid)),
    }


def differing(one: int, other: int) -> object:
    """Return in what two processes differ, if in anything."""
    try:
        pairs = zip(facts(one).items(), facts(other).items(), strict=True)
        return [pair for pair in pairs if pair[0] != pair[1]]
    except FileNotFoundError:  # a file was closed meanwhile
        return "their files"


def shown_by(served: Served) -> str:
    """Return what a command has shown, but for times, its port, and what a slow start adds."""
    shown = re.sub(r".* fresh in .*\n| · \d+ files", "", served.output)
    return re.sub(r"\d\d:\d\d:\d\d|:\d+/|[\d.]+ m?s|\d+\.$", "", shown)


def test_a_fork_is_as_a_process_of_its_own(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    if Served.forks is None:
        pytest.skip("nothing is forked")
    served = serve("app.py", *ALONE, files={"app.py": APP})
    assert served.body() == "served"
    assert isinstance(served.process, Forked)
    monkeypatch.setattr(Served, "forks", None)
    other = serve("app.py", *ALONE)
    assert other.body() == "served"
    # The lockfile, say, is open only now and then.
    until(
        lambda: not differing(served.pid, other.pid),
        "they are alike",
        report=lambda: f"{differing(served.pid, other.pid)}",
    )
    for one in (served, other):
        one.until_told("GET / 200")  # behind the answer
    assert shown_by(served) == shown_by(other)
    served.signal(signal.SIGKILL)
    assert served.wait() == -signal.SIGKILL
