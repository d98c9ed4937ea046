"""P4: whatever becomes of checkpoints, the next save is answered, and crashes are told right."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.checkpointing import PAUSE, Checkpointed, checkpointed, stop_all
from tests.live.driving import LONG
from tests.live.failing import DIED, kill_quietly, no_core_dumps, soon
from tests.live.processes import children, is_alive, parents, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")

CUT_OFF = r"ConnectionReset|cut off"
FAILED, CRASHED = 500, 503
"""The status of the page that reports one."""
INSTANTS = 200 if LONG else 6


def until_given_up() -> float:
    """Seconds until a checkpoint is given up that does not answer (parent/checkpoints.py)."""
    return 2.0 + soon()


@pytest.fixture(scope="module")
def supervisors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Checkpointed]]:
    """One supervisor for all tests that do it no harm."""
    with no_core_dumps(), checkpointed(tmp_path_factory.mktemp("checkpoints")) as bench:
        yield [bench]


SAVES = 4


@pytest.fixture
def bench(supervisors: list[Checkpointed]) -> Checkpointed:
    """Its child has gone on from a checkpoint, and there are more than one."""
    (bench,) = supervisors
    version = random.randrange(10**9)
    # Other than it was: the last test may have left no checkpoint that lies before it.
    bench.begin().replace("holder.py", f"VERSION = {version}\n")
    bench.save(f"before {version}", PAUSE)
    bench.fresh(f"before {version}")
    bench.until_ready()
    bench.until_places("views.py")  # the supervisor may hear of it later than of the load
    for number in range(SAVES):  # on a busy machine the standby may be expected to be as quick
        bench.begin().save(version + number, PAUSE)
        bench.fresh(str(version + number))
        if bench.loaded() == "1 of 3":
            bench.until_checkpoints(2)
            return bench.begin()
    pytest.fail("no save has led to a checkpoint")


# --- checkpoints that die ----------------------------------------------------------------------


@pytest.mark.both_interfaces
def test_p4_all_are_killed_before_they_are_used(bench: Checkpointed) -> None:
    bench.until_dead(bench.kill_checkpoints())
    bench.save(1)
    bench.fresh("1")
    assert bench.loaded() == "all"
    bench.until_places("holder.py", "views.py")
    bench.begin().save(2)
    bench.fresh("2")
    assert bench.loaded() == "1 of 3"


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_p4_the_process_that_stands_by_is_killed_or_stopped(
    bench: Checkpointed, fault: signal.Signals
) -> None:
    stands_by = bench.until_one_stands_by()
    os.kill(stands_by, fault)
    if fault is signal.SIGKILL:  # reaped: then the supervisor hears of it before it hears of a save
        bench.until(lambda: not os.path.exists(f"/proc/{stands_by}"), "it is reaped")
    elif fault is signal.SIGSTOP:
        bench.until(lambda: state_of(stands_by) == "T", "it is stopped")
    bench.save(1)
    bench.fresh("1")
    assert bench.loaded() == "1 of 3"
    # It is a word to the one that serves, and the supervisor: this one waits for its turn.
    assert (bench.body("/pid") == str(stands_by)) == (fault is signal.SIGTERM)
    assert DIED not in bench.told


def test_p4_they_are_killed_while_the_reload_goes_on(bench: Checkpointed) -> None:
    """At any instant: before they are asked, while they are, and after."""
    for number in range(INSTANTS):
        killer = threading.Timer(random.random() * 0.05, bench.kill_checkpoints)
        bench.save(number, PAUSE)
        killer.start()
        bench.fresh(str(number))
        killer.join()
    assert DIED not in bench.told


def test_p4_they_are_killed_while_what_has_gone_on_loads(bench: Checkpointed) -> None:
    os.mkfifo(bench.directory / "gate")
    bench.save("gated", "open('gate').close()")
    gate = bench.hold_gate("gate")
    bench.until_dead(bench.kill_checkpoints())
    os.close(gate)
    bench.fresh("gated")
    os.unlink(bench.directory / "gate")
    bench.save("after")
    bench.fresh("after")


def test_p4_what_goes_on_is_killed_at_any_instant(bench: Checkpointed) -> None:
    """Before it was told to load, nobody is blamed for it; then the app has crashed."""

    def kill() -> None:
        checkpoints = bench.checkpoints()
        for pid, parent in parents().items():
            if parent in checkpoints:
                kill_quietly(pid)

    for number in range(INSTANTS):
        killer = threading.Timer(random.random() * 0.04, kill)
        bench.begin().save(number, PAUSE)
        killer.start()
        killer.join()
        try:
            answer = bench.get()
        except AssertionError:  # cut off
            answer = bench.get()
        assert answer.body == str(number) or answer.status == CRASHED
    bench.save("after")
    bench.fresh("after")


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_p4_signals_do_not_end_them(bench: Checkpointed, signal_number: int) -> None:
    for pid in bench.checkpoints():
        os.kill(pid, signal_number)
    bench.save("after")
    bench.fresh("after")
    assert bench.loaded() == "1 of 3"


def test_p4_stopped_ones_cost_a_moment_and_go(bench: Checkpointed) -> None:
    stands_by = bench.until_one_stands_by()  # else one may be asked for that, which continues it
    stopped = bench.checkpoints()
    stop_all(stopped)
    kill_quietly(stands_by)
    bench.until_dead([stands_by])
    bench.save("after")
    bench.fresh("after", until_given_up())
    bench.until_dead(stopped)
    bench.until_ready()
    bench.begin().save("again")
    bench.fresh("again")


def test_p4_ones_that_are_stopped_while_they_are_asked_cost_little_more(
    bench: Checkpointed,
) -> None:
    for number in range(3):

        def stop() -> None:
            for pid in bench.checkpoints():
                if is_alive(pid):
                    os.kill(pid, signal.SIGSTOP)

        stopper = threading.Timer(random.random() * 0.02, stop)
        bench.save(number)
        stopper.start()
        bench.fresh(str(number), until_given_up())
        stopper.join()


# --- crashes and exit codes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "told"),
    [("/crash", "killed by SIGSEGV while answering"), ("/exit", "exit code 7 while answering")],
)
def test_p4_a_crash_is_told_as_it_was(bench: Checkpointed, path: str, told: str) -> None:
    serving = int(bench.body("/pid"))
    checkpoints = bench.checkpoints()
    with pytest.raises(AssertionError, match=CUT_OFF):
        bench.get(path)
    told = f"{told} GET {path}"  # by a process that is no child of the supervisor's
    bench.until_told(f"{DIED}{told}")
    answer = bench.get()
    assert answer.status == CRASHED
    assert answer.body.startswith(told)
    assert all(map(is_alive, checkpoints))
    bench.begin().save("mended")
    bench.fresh("mended")
    assert bench.loaded() == "1 of 3"  # they are as good as before
    assert not is_alive(serving)


def test_p4_a_crash_beside_a_stopped_process_of_the_app_is_no_hang_up(bench: Checkpointed) -> None:
    """The kernel sends SIGHUP to a process group that becomes an orphan while one of it is stopped.

    The supervisor is in that group, and the first process of its session.
    """
    assert os.getsid(bench.pid) == bench.pid
    bench.save(1, "import subprocess; SLEEPER = subprocess.Popen(['sleep', '600'])")
    bench.fresh("1")
    assert bench.loaded() == "1 of 3"
    serving = int(bench.body("/pid"))
    (sleeper,) = [pid for pid in children(serving) if os.getpgid(pid) == os.getpgid(bench.pid)]
    os.kill(sleeper, signal.SIGSTOP)
    bench.until(lambda: state_of(sleeper) == "T", "it is stopped")
    os.kill(serving, signal.SIGKILL)
    bench.until_told(f"{DIED}killed by SIGKILL while serving; starting again")
    bench.until(lambda: bench.get().body == "1", "it goes on")
    bench.until_dead([sleeper])


def test_p4_after_a_crash_without_a_checkpoint_that_tells_how_it_goes_on(
    bench: Checkpointed,
) -> None:
    """The exit code is lost with the process that was to reap it."""
    bench.until_dead(bench.kill_checkpoints())
    with pytest.raises(AssertionError, match=CUT_OFF):
        bench.get("/crash")
    bench.until(lambda: DIED in bench.told or "starting again" in bench.told, "it is told")
    bench.save("mended")
    bench.until(lambda: bench.get().body == "mended", "it goes on")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("1 / 0", "ZeroDivisionError"),
        ("import os; os._exit(9)", f"{DIED}exit code 9 while loading"),
        ("import os; os.kill(os.getpid(), 11)", f"{DIED}killed by SIGSEGV while loading"),
        ("import os; os.kill(os.getpid(), 9)", f"{DIED}killed by SIGKILL while loading"),
        ("def", "SyntaxError"),
    ],
)
def test_p4_a_load_that_fails_is_told_as_it_failed(
    bench: Checkpointed, source: str, told: str
) -> None:
    bench.replace("views.py", source)
    assert bench.get().status == (CRASHED if DIED in told else FAILED)
    bench.until_told(told)
    bench.begin().save("mended")
    bench.fresh("mended")
    assert bench.loaded() == "1 of 3"


# --- means that are scarce ---------------------------------------------------------------------


LIMITED = f"""\
import os, resource
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
next = os.open("/", os.O_RDONLY)
os.close(next)
resource.setrlimit(resource.RLIMIT_NOFILE, (next + 1, most))
{PAUSE}
"""
FREE = f"{PAUSE}; import holder, resource as r; r.setrlimit(r.RLIMIT_NOFILE, (holder.most,) * 2)"


def test_p4_a_process_without_free_descriptors_takes_none(bench: Checkpointed) -> None:
    bench.save("limited", FREE)
    bench.replace("holder.py", LIMITED)
    bench.fresh("limited")
    bench.until_told("views.py: Too many open files")
    bench.replace("holder.py", "")
    bench.save("free")
    bench.fresh("free")


def test_p4_a_supervisor_without_free_descriptors_goes_on_when_it_has_some(tmp_path: Path) -> None:
    """Until then a standby may take over, once."""
    with checkpointed(tmp_path) as bench:
        bench.until(lambda: len(bench.pids_of_all()) >= 6, "a standby is there")
        _, most = resource.prlimit(bench.pid, resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir(f"/proc/{bench.pid}/fd")))
        resource.prlimit(bench.pid, resource.RLIMIT_NOFILE, (highest + 1, most))
        try:
            for number in range(1, 4):
                bench.begin().save(number, PAUSE)
                bench.until_told("views.py: reloading", bench.output.count("reloading"))
        finally:
            resource.prlimit(bench.pid, resource.RLIMIT_NOFILE, (most, most))
        bench.fresh("3")
        bench.until_ready()
        bench.begin().save(4)
        bench.fresh("4")


# --- saves at any instant ----------------------------------------------------------------------


ANSWERING = """\
import app, holder
def answer(path):
    return f"{app.VERSION} {holder.VERSION} {VERSION}"
"""


def test_p1_the_last_of_saves_at_any_instant_is_answered(bench: Checkpointed) -> None:
    """While checkpoints are taken and gone on from; of any of the files."""
    sources = {
        "app.py": bench.read("app.py"),
        "holder.py": PAUSE,
        "views.py": f"{PAUSE}\n{ANSWERING}",
    }
    versions = dict.fromkeys(sources, 0)

    def save(name: str) -> None:
        bench.replace(name, f"VERSION = {versions[name]}\n{sources[name]}\n")

    for name in sources:
        save(name)
    for number in range(1, INSTANTS * 2):
        versions[name := random.choice(list(sources))] = number
        save(name)
        if random.random() < 0.5:
            bench.fresh(" ".join(map(str, versions.values())))
        time.sleep(random.random() * 0.06)
    bench.fresh(" ".join(map(str, versions.values())))
    for name, source in sources.items():
        bench.replace(name, source)
