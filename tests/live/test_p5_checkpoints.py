"""P5: whatever dies, and however, no checkpoint is left, nor what went on from one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.checkpointing import APP, MOST, Checkpointed, checkpointed, stop_all, views_of
from tests.live.driving import LONG, lay_out, locks, port_is_free, until
from tests.live.failing import kill_quietly, soon
from tests.live.processes import children, parents, processes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asyncreload.testing import Layout

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")

RELOADS = 1000 if LONG else 30


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Checkpointed]:
    """Its child has gone on from a checkpoint; others are there."""
    with checkpointed(tmp_path) as bench:
        bench.begin().save(1)
        bench.fresh("1")
        assert bench.loaded() == "1 of 3"
        bench.until_checkpoints(2)
        yield bench


def assert_nothing_is_left(bench: Checkpointed, *but: int) -> None:
    def left() -> list[object]:
        bound = [] if port_is_free(bench.port) else ["the port"]
        found = processes_of(bench.directory.parent)
        alive = [one for pid, one in found.items() if pid in parents() and pid not in but]
        return [*alive, *locks(bench.temp), *bound]

    until(lambda: not left(), "nothing is left", soon(), lambda: f"{left()}\n{bench.told}")


def kill_all_but_checkpoints(bench: Checkpointed) -> None:
    spared = bench.checkpoints()
    for pid in processes_of(bench.directory.parent):
        if pid not in spared:
            kill_quietly(pid)


def kill_while_all_are_stopped(bench: Checkpointed) -> None:
    stop_all([pid for pid in processes_of(bench.directory.parent) if pid in parents()])
    bench.signal(signal.SIGKILL)


WAYS: dict[str, tuple[Callable[[Checkpointed], None], int]] = {
    "SIGTERM": (lambda bench: bench.signal(signal.SIGTERM), 143),
    "Ctrl-C": (lambda bench: bench.signal_group(signal.SIGINT), 130),
    "SIGKILL": (lambda bench: bench.signal(signal.SIGKILL), -signal.SIGKILL),
    "SIGKILL of all others": (kill_all_but_checkpoints, -signal.SIGKILL),
    "SIGKILL while all are stopped": (kill_while_all_are_stopped, -signal.SIGKILL),
}


@pytest.mark.parametrize("are_dead", [False, True], ids=["alive", "dead"])
def test_p5_each_stopped_process_goes_by_itself(tmp_path: Path, *, are_dead: bool) -> None:
    """There is no standby that would kill the others, and no checkpoint, if they are dead."""
    with checkpointed(tmp_path, "--no-standby") as bench:
        bench.begin().save(1)
        bench.fresh("1")
        assert bench.loaded() == "1 of 3"
        if are_dead:
            bench.until_dead(bench.kill_checkpoints())
        kill_while_all_are_stopped(bench)
        assert bench.wait() == -signal.SIGKILL
        assert_nothing_is_left(bench)


@pytest.mark.parametrize("way", WAYS)
def test_p5_nothing_is_left_of_checkpoints(bench: Checkpointed, way: str) -> None:
    end, code = WAYS[way]
    end(bench)
    assert bench.wait() == code
    assert_nothing_is_left(bench)


def test_p5_the_death_of_a_supervisor_that_no_link_tells_of(tmp_path: Path) -> None:
    """A fork of the program that it runs in holds all its ends."""
    program = """\
import asyncio, os, sys, time
from asyncreload import Supervisor
async def main():
    import logging
    logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    async with Supervisor("app.py", port=0) as server:
        print("serving app.py at", server.url, flush=True)
        while not os.path.exists("fork"):
            await asyncio.sleep(0.01)
        if os.fork() == 0:
            with open("forked", "w") as file:
                file.write(str(os.getpid()))
            time.sleep(60)
            os._exit(0)
        await server.wait()
asyncio.run(main())
"""
    place = tmp_path / "project"
    files = {"app.py": APP, "holder.py": "", "views.py": views_of(0), "program.py": program}
    (tmp_path / "tmp").mkdir(exist_ok=True)
    lay_out(place, files=files)
    command = [sys.executable, str(place / "program.py")]
    bench = Checkpointed(place, tmp_path / "tmp", command, tmp_path / "output.txt")
    try:
        assert bench.body() == "0"
        bench.until_checkpoints(3)
        bench.write("fork", "")
        forked = bench.directory / "forked"
        bench.until(lambda: forked.exists() and forked.read_text(), "it has forked")
        forks = {int(forked.read_text())}
        known = {*bench.pids_of_all()}
        bench.signal(signal.SIGKILL)
        bench.wait()
        bench.until(lambda: not known & parents().keys() - forks, "they are gone", soon())
    finally:
        bench.hang_up()
        bench.kill()


@pytest.mark.asyncio
async def test_p5_a_task_that_is_cancelled_leaves_nothing(supervised: Layout) -> None:
    """At any point of a reload: while a checkpoint is asked, and while one goes on."""
    files = {"app.py": APP, "holder.py": "", "views.py": views_of(0)}
    others = {*children(os.getpid())}  # such as a browser of other tests
    for pause in (0.0, 0.002, 0.005, 0.01, 0.02) if LONG else (0.0, 0.005, 0.02):
        before = len(os.listdir("/proc/self/fd"))
        async with asyncio.timeout(20), supervised(files=files, patience=20) as app:
            await app.supervisor.ready()
            await asyncio.sleep(0.05)
            (app.directory / "views.py").write_text(views_of(1))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(pause):
                    await app.supervisor.wait()
        until(lambda: {*children(os.getpid())} <= others, "no child is left", soon())
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before


def open_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int) -> int:
    """Return the resident memory of a process, in pages."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1])


def test_p5_many_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    """Of descriptors, processes and memory; nor are there ever too many checkpoints."""
    with checkpointed(tmp_path) as bench:
        opened, living, used = [], [], []
        for number in range(1, RELOADS + 1):
            name = "views.py" if number % 4 else "holder.py"
            text = views_of(number) if number % 4 else f"# {number}\n"
            bench.replace(name, text)
            bench.fresh(str(number - (number % 4 == 0)))
            assert len(bench.checkpoints()) <= MOST
            if number % (RELOADS // 6) == 0:
                bench.until(lambda: len(bench.pids_of_all()) <= MOST + 3, "the old ones are gone")
                opened.append(open_count(bench.pid))
                living.append(len(bench.pids_of_all()))
                used.append(memory(bench.pid))
        print(opened, living, used)
        assert max(opened) - min(opened) <= 4 + 3  # with more or fewer checkpoints, and a standby
        assert max(living) <= MOST + 3
        assert used[-1] <= used[1] * 1.05 + 64


def test_p5_zombies_are_reaped(bench: Checkpointed) -> None:
    """Those of the process that serves, which has taken the checkpoints, too."""
    version = bench.body()
    bench.replace("holder.py", "import time; time.sleep(0.006)")
    bench.fresh(version)
    serving = int(bench.body("/pid"))
    bench.until(lambda: any(p in children(serving) for p in bench.checkpoints()), "it has some")
    bench.until_dead(bench.kill_checkpoints())

    def zombies() -> list[int]:
        with open(f"/proc/{serving}/task/{serving}/children") as file:
            return list(map(int, file.read().split()))

    bench.until(lambda: not zombies(), "they are reaped")
    bench.save(3)
    bench.fresh("3")
