"""P3: a checkpoint holds nothing that only one process can hold; where one does, there is none."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.live.checkpointing import Checkpointed, checkpointed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")

HELD = {
    "a thread": (
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "a thread runs (",
    ),
    "a timer of threading": (
        "import threading; t = threading.Timer(600, print); t.daemon = True; t.start()",
        "a thread runs (",
    ),
    "a pool of threads": (
        "from concurrent import futures as f; held = f.ThreadPoolExecutor(1); held.submit(int)",
        "a thread runs (",
    ),
    "a socket": ("import socket; held = socket.socket()", "a descriptor is open (socket:"),
    "a pipe": ("import os; held = os.pipe()", "a descriptor is open (pipe:"),
    "a loop": ("import asyncio; held = asyncio.new_event_loop()", "a descriptor is open ("),
    "a database": (
        "import sqlite3; held = sqlite3.connect('data.db'); held.execute('PRAGMA user_version=1')",
        "data.db",
    ),
    "a program": (
        "import subprocess; held = subprocess.Popen(['sleep', '600'])",
        "a process that was started is there (",
    ),
    "a zombie": (
        "import subprocess; held = subprocess.Popen(['true'])",
        "a process that was started is there (",
    ),
    "a fork": (
        "import os, time\nif not os.fork():\n    time.sleep(600)",
        "a process that was started is there (",
    ),
    "a timer": ("import signal; signal.setitimer(signal.ITIMER_REAL, 600)", "a timer runs"),
    "a handler of SIGCHLD": (
        "import signal; signal.signal(signal.SIGCHLD, lambda *_: None)",
        "the ends of processes are handled (SIGCHLD)",
    ),
    "a lock by flock": (
        "import fcntl; held = open('lock', 'a'); fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "a lock is held on ",
    ),
    "a lock by fcntl": (
        "import fcntl; held = open('lock', 'a'); fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "a lock is held on ",
    ),
    "a handler of the end": (
        "import atexit\ndef bye(): open('bye', 'a').write('x')\natexit.register(bye)",
        "the project has an atexit handler (holder.bye)",
    ),
    "a handler of forks": (
        "import os\ndef forked(): pass\nos.register_at_fork(after_in_child=forked)",
        "the project has a handler of forks (holder.forked)",
    ),
    "a temporary directory": (
        "import tempfile; held = tempfile.TemporaryDirectory()",
        "something is to be removed at the end (",
    ),
    "a finalizer": (
        "import os, weakref\nclass C: pass\nheld = C()\nweakref.finalize(held, os.rmdir, 'no')",
        "something is to be removed at the end (",
    ),
    "shared memory": ("import mmap; held = mmap.mmap(-1, 4096)", "memory is shared ("),
    "a file to be written": ("held = open('out', 'w')", "a file is open for writing ("),
    "a tracer": ("import sys; sys.settrace(lambda *_: None)", "a tracer, a profiler or a debugger"),
    "a profiler": ("import cProfile; held = cProfile.Profile(); held.enable()", "a tracer, a prof"),
    "coverage": (
        "import coverage; held = coverage.Coverage(data_file=None); held.start()",
        ("coverage.", "a tracer, a prof"),
    ),
    "a debugger that is loaded": (
        "import sys, types; sys.modules['debugpy'] = types.ModuleType('debugpy')",
        "debugpy is loaded",
    ),
}
"""What holder.py does, and what is told because of it."""

PACKAGE = """\
import atexit, os, weakref
def bye(): pass
atexit.register(bye)
os.register_at_fork(after_in_child=bye)
class C: pass
held = C()
weakref.finalize(held, bye)
"""
HARMLESS = {
    "a log": (
        "import logging; logging.basicConfig(filename='app.log', level='INFO')\n"
        "logging.info('loaded')"
    ),
    "handlers of the standard library and of packages": (
        "import logging, multiprocessing.util, concurrent.futures.thread, sys\n"
        "sys.path.insert(0, 'site-packages')\nimport some_package\n"
    ),
    "what is over": (
        "import fcntl, os, signal, socket, subprocess, tempfile, threading\n"
        "socket.socket().close()\n"
        "open('holder.py').read()\n"
        "subprocess.run(['true'])\n"
        "t = threading.Thread(target=print); t.start(); t.join()\n"
        "tempfile.TemporaryDirectory().cleanup()\n"
        "signal.setitimer(signal.ITIMER_REAL, 600); signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "with open('lock', 'a') as held: fcntl.flock(held, fcntl.LOCK_EX)\n"
        "for end in os.pipe(): os.close(end)\n"
    ),
    "files that are read, a directory, and /dev/null": (
        "import os\nheld = [open('app.py'), os.open('.', os.O_RDONLY), open(os.devnull, 'w')]"
    ),
    "threads of OpenBLAS": "import numpy; numpy.ones((99, 99)) @ numpy.ones((99, 99))",
}


@contextmanager
def with_package(place: Path, *options: str) -> Iterator[Checkpointed]:
    with checkpointed(place, "--grace", "0.5", *options) as bench:
        (bench.directory / "site-packages").mkdir()
        bench.write("site-packages/some_package.py", PACKAGE)
        bench.version = "0"
        yield bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpointed]:
    with with_package(tmp_path_factory.mktemp("checkpoints")) as bench:
        yield bench


@pytest.fixture(scope="module")
def bench_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpointed]:
    """Without a standby, which might be expected to be sooner than a checkpoint."""
    with with_package(tmp_path_factory.mktemp("alone"), "--no-standby") as bench:
        yield bench


def reload_holder(bench: Checkpointed, source: str) -> None:
    """Have holder.py do something else. It may import what takes its time, so none is measured."""
    bench.until_ready()
    bench.begin().replace("holder.py", source)
    assert bench.body() == bench.version


def reload_views(bench: Checkpointed) -> None:
    """Have views.py be of a version of its own."""
    bench.until_ready()
    bench.version = f"{random.random()}"
    bench.begin().save(bench.version)
    assert bench.body() == bench.version


@pytest.mark.parametrize("what", HELD)
def test_p3_there_is_no_checkpoint_of_a_process_that_holds(bench: Checkpointed, what: str) -> None:
    """Each load holds it anew: a lock by one that is dead, or a second thread, would be seen."""
    source, why = HELD[what]
    reload_holder(bench, source)
    reasons = why if isinstance(why, tuple) else (why,)
    bench.until(
        lambda: any(
            "no checkpoint at" in line and "views.py: " in line and reason in line
            for line in bench.told.splitlines()
            for reason in reasons
        ),
        f"why there is none: {why}",
    )
    # From before holder.py, and no later; or from the standby, if that is expected to be sooner.
    assert bench.loaded() in {"2 of 3", "all"}
    reload_views(bench)
    assert bench.loaded() in {"2 of 3", "all"}
    assert {*bench.places()} <= {"holder.py"}


@pytest.mark.parametrize("what", HARMLESS)
def test_p3_there_are_checkpoints_of_a_process_that_has(
    bench_alone: Checkpointed, what: str
) -> None:
    if what.endswith("OpenBLAS") and find_spec("numpy") is None:
        pytest.skip("numpy is not installed")
    reload_holder(bench_alone, HARMLESS[what])
    bench_alone.until_places("views.py")
    assert bench_alone.loaded() == "2 of 3"
    assert "no checkpoint" not in bench_alone.told
    reload_views(bench_alone)
    assert bench_alone.loaded() == "1 of 3"


READING = """\
file = open("data", "rb", buffering=0)
first = file.read(1)
def answer(path):
    import views
    return f"{views.VERSION}{(first + file.read(1)).decode()}"
"""


def test_p3_each_process_reads_on_by_itself_in_a_file_that_was_open(tmp_path: Path) -> None:
    """A fork shares its place in the file with all others."""
    with checkpointed(tmp_path, holder="") as bench:
        bench.write("data", "abcdef")
        bench.replace("holder.py", READING)
        assert [bench.body() for _ in range(2)] == ["0ab", "0ac"]
        for version in (1, 2):
            bench.until_ready()
            bench.begin().save(version)
            assert [bench.body() for _ in range(2)] == [f"{version}ab", f"{version}ac"]
            assert bench.loaded() == "1 of 3"
