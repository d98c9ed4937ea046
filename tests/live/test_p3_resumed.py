"""P3: a process that goes on from a checkpoint is as one that has started from nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from asyncreload import Ready
from tests.live.checkpointing import APP, PAUSE, Checkpointed, checkpointed, views_of
from tests.live.driving import lay_out, until
from tests.live.failing import soon
from tests.live.processes import is_alive, processes_of
from tests.live.test_p4_debugger import AtTerminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncreload.testing import App, Layout

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpointed]:
    # Without a standby, which might be expected to be sooner: it has numpy.
    with checkpointed(tmp_path_factory.mktemp("resumed"), "--no-standby") as bench:
        yield bench


@pytest.fixture
def bench(shared: Checkpointed) -> Checkpointed:
    """A supervisor with checkpoints, whose holder.py does nothing."""
    # Other than they were, also when the last test has changed nothing.
    version = random.randrange(10**9)
    shared.begin().replace("holder.py", f"VERSION = {version}\n")
    shared.save(version)
    shared.fresh(str(version))
    shared.until_ready()
    return shared.begin()


def answers(bench: Checkpointed, holder: str, *, times: int = 2) -> list[str]:
    """Let holder.py answer; return what it says in processes that go on from behind it."""
    bench.replace("holder.py", f"{holder}\n{PAUSE}\n")
    bench.get()
    bench.until_places("views.py")  # it may be told later than the load
    bench.until_ready()
    found = []
    for number in range(times):
        bench.begin().save(number)
        found.append(bench.body())
        assert bench.loaded() == "1 of 3"
    return found


RANDOM = """\
import random
random.random()
def answer(path):
    return str(random.random())
"""
NUMPY = """\
import numpy.random
numpy.random.random()
def answer(path):
    return str(numpy.random.random())
"""


@pytest.mark.parametrize("holder", [RANDOM, NUMPY], ids=["random", "numpy"])
def test_p3_each_process_has_random_numbers_of_its_own(bench: Checkpointed, holder: str) -> None:
    if holder is NUMPY and find_spec("numpy") is None:
        pytest.skip("numpy is not installed")
    one, other = answers(bench, holder)
    assert one != other


STATE = """\
import os, signal, warnings
def inherited():
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if number > 2 and os.get_inheritable(number):
                found.append(os.readlink(f"/proc/self/fd/{number}").partition(":")[0])
        except OSError:  # that of the list; or its number is another's by now, as files are watched
            pass
    return [kind for kind in found if kind != "anon_inode"]
def answer(path):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    filters = [one for one in warnings.filters if one[:2] == ("ignore", None)]
    handler = signal.getsignal(signal.SIGINT).__name__
    return str([blocked, inherited(), os.getpgid(0), len(filters), handler, os.getcwd()])
"""


@pytest.mark.both_interfaces
def test_p3_its_state_is_that_of_any_other(bench: Checkpointed) -> None:
    """Signals that are blocked, descriptors that are inherited, the process group, filters."""
    bench.replace("holder.py", STATE)
    bench.kill_checkpoints()
    bench.begin().save("cold")
    cold = bench.body()
    assert answers(bench, STATE) == [cold] * 2


FAMILY = """\
import multiprocessing, os, subprocess, time
sleeper = subprocess.Popen(["sleep", "600"])
forked = os.fork()
if not forked:
    time.sleep(600)
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
worker.start()
orphan = subprocess.check_output(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"])
pids = [sleeper.pid, forked, worker.pid, int(orphan)]
"""


def test_p3_what_it_has_started_ends_with_it_and_checkpoints_do_not(bench: Checkpointed) -> None:
    bench.save("family", FAMILY + "VERSION = ' '.join(map(str, pids))")
    family = list(map(int, bench.body().split()))
    assert len(family) == 4
    assert all(map(is_alive, family))
    checkpoints = bench.until_checkpoints(2)
    bench.begin().save("without")
    bench.fresh("without")
    bench.until_dead(family)
    assert {*checkpoints} <= {*bench.checkpoints()}
    assert bench.loaded() == "1 of 3"


HELD = """
def answer(path):
    names = [os.readlink(f"/proc/{forked}/fd/{n}") for n in os.listdir(f"/proc/{forked}/fd")]
    return " ".join(name for name in names if name.startswith("socket:"))
"""


def test_p3_its_workers_hold_nothing_of_ours(bench: Checkpointed) -> None:
    """Else the port would be bound as long as they live, and nobody's end would be seen."""
    bench.replace("views.py", FAMILY + views_of("family") + HELD)
    # Two are left, in forks of any child: by them a loop is woken.
    bench.until(lambda: len(bench.body().split()) <= 2, "what is ours was let go")
    assert bench.loaded() == "1 of 3"
    bench.save("without")
    assert bench.body() == "without"


DEBUGGED = """
def answer(path):
    if path == "/debug":
        breakpoint()
    return VERSION
"""


@pytest.mark.parametrize("threads", ["64", "1"])
def test_p3_a_debugger_in_it_has_the_terminal(tmp_path: Path, threads: str) -> None:
    files = {"app.py": APP, "holder.py": "", "views.py": views_of(0)}
    lay_out(tmp_path / "project", files=files)
    bench = AtTerminal(tmp_path, "--verbose", "--threads", threads)
    with closing(bench):
        try:
            assert bench.body() == "0"
            bench.until_told("taken at", 2)
            bench.replace("views.py", views_of(1) + DEBUGGED)
            debugged = bench.debug()
            bench.until_told("1 of 3 modules")
            bench.type("VERSION\n")
            bench.until_told("'1'")
            bench.type("c\n")
            assert debugged.receive().body == "1"
            bench.until_as_before()
            assert bench.body() == "1"
            bench.type("\x03")  # Ctrl-C
            assert bench.wait() == 130
        finally:
            bench.hang_up()
            bench.kill()
            print(bench.output)
    until(lambda: not processes_of(tmp_path), "nothing is left", soon())


def test_p3_warnings_as_errors_do_not_meet_our_forks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 3.12 on, Python warns of forks beside threads; the app, of its own."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with checkpointed(tmp_path, holder="import warnings\nwarnings.simplefilter('error')") as bench:
        bench.begin().save(1)
        bench.fresh("1")
        assert bench.loaded() == "1 of 3"
        assert "Warning" not in bench.output


# --- where there are none ----------------------------------------------------------------------


def test_p3_none_are_taken_where_none_are_wanted(tmp_path: Path) -> None:
    """Nor behind a module that is to be kept."""
    options = ("--checkpoints", "0", "--keep", "holder")
    with checkpointed(tmp_path, *options, number=0) as bench:
        for number in range(1, 4):
            bench.begin().save(number)
            bench.fresh(str(number))
            assert bench.loaded() == "all"
        bench.until(lambda: len(bench.pids_of_all()) <= 3, "supervisor, child and standby")
        assert "checkpoint" not in bench.output


KEPT = """\
import time; time.sleep(0.006)
with open("loads", "a") as log:
    log.write("1 ")
"""


def test_p3_a_module_that_is_kept_is_loaded_once(tmp_path: Path) -> None:
    with checkpointed(
        tmp_path, "--keep", "holder", "--checkpoints", "1", holder=KEPT, number=1
    ) as bench:
        for number in range(1, 4):
            bench.begin().save(number)
            bench.fresh(str(number))
            assert bench.loaded() == "1 of 3"
        assert bench.loads() == [1]
        bench.replace("holder.py", KEPT.replace("1 ", "2 "))
        bench.fresh("3")
        bench.save("after")
        bench.fresh("after")
        assert bench.loads() == [1, 2]


@pytest.mark.asyncio
async def test_p3_a_reload_that_is_asked_for_starts_from_nothing(supervised: Layout) -> None:
    files = {"app.py": APP, "holder.py": KEPT, "views.py": views_of(0)}
    async with asyncio.timeout(20), supervised(files=files, patience=20) as app:
        loads = (event async for event in app.supervisor.events() if isinstance(event, Ready))
        assert (await anext(loads)).origin == "cold"
        await asyncio.to_thread(until, lambda: len(checkpoints_of(app)) >= 3, "checkpoints")
        await app.write("views.py", views_of(1))
        assert (await anext(loads)).origin == "checkpoint"
        await app.supervisor.reload()
        assert (await anext(loads)).origin in {"standby", "cold"}
        assert (app.directory / "loads").read_text() == "1 1 "
        await app.write("views.py", views_of(2))
        assert (await anext(loads)).origin == "checkpoint"


def checkpoints_of(app: App) -> list[int]:
    """Return the children of the child that serves, which are all checkpoints."""
    pid = app.supervisor.pid
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return list(map(int, file.read().split()))


HEARING = """\
import os, signal
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
def answer(path):
    return f"{os.getpid()} {len(heard)}"
"""


def test_p3_it_hears_signals_by_a_handler_from_before_the_checkpoint(bench: Checkpointed) -> None:
    serving, before = answers(bench, HEARING)[-1].split()
    assert before == "0"

    def heard() -> bool:
        os.kill(int(serving), signal.SIGUSR1)  # one may come just before the main thread waits
        return bench.body() != f"{serving} 0"

    bench.until(heard, "the app has heard it")
    assert bench.body().split()[0] == serving


HANDLING = """\
import os, signal
def note(number, frame):
    with open("ran", "a") as file:
        file.write(f"{number} in {os.getpid()}\\n")
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, note)
data = open("holder.py")
def answer(path):
    return f"{os.getpid()} {data.readline()}"
"""


def test_p3_while_it_waits_for_its_turn_no_handler_of_the_app_runs_in_it(
    bench: Checkpointed,
) -> None:
    """It may wait for hours. A signal to all was meant for the process that serves."""
    bench.replace("holder.py", f"{HANDLING}\n{PAUSE}\n")
    bench.get()
    bench.begin().save(1)
    served = int(bench.body().split()[0])
    waits = bench.until_one_stands_by()
    for number in (signal.SIGUSR1, signal.SIGTERM):
        os.kill(waits, number)
    bench.save(2)
    assert bench.body() == f"{waits} {HANDLING.splitlines()[0]}\n"  # read on from where it was
    ran = bench.directory / "ran"
    assert not ran.exists()
    assert served != waits

    def runs() -> bool:
        os.kill(waits, signal.SIGUSR1)  # one may come just before the main thread waits
        bench.get()
        return ran.exists() and f"in {waits}" in ran.read_text()

    bench.until(runs, "its turn has come")
