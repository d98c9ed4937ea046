"""P9: processes are started by asyncio itself, in any loop, and none is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from asyncreload import Supervisor
from asyncreload.parent.subprocesses import kill, start_process
from tests.live.driving import lay_out, until
from tests.live.processes import SYSTEM, children
from tests.live.test_p9_asyncio import HELLO, LOOPS, body

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


OTHERS: set[int] = set()
"""Our children before a test, such as a browser of other tests."""


@pytest.fixture(autouse=True)
def others(forks: None) -> None:
    OTHERS.clear()
    OTHERS.update(SYSTEM.children(os.getpid()))


def not_reaped() -> list[int]:
    """Return our children, those included that have ended and that nobody has waited for."""
    return [pid for pid in SYSTEM.children(os.getpid()) if pid not in OTHERS]


async def start_and_cancel(steps: int) -> None:
    """Cancel a start after so many steps of the loop; if it is done by then, end the process."""
    starting = asyncio.create_task(start_process(SLEEP))
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    try:
        process = await starting
    except asyncio.CancelledError:
        return
    kill(process)
    assert await process.wait() == -9


@pytest.mark.parametrize("name", LOOPS)
def test_p9_a_start_that_is_cancelled_leaves_no_process(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        for steps in range(12):
            await start_and_cancel(steps)
            assert not_reaped() == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(main())
    gc.collect()  # a transport that was not closed, say, would be told
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("name", LOOPS)
def test_p9_the_end_of_a_killed_child_is_heard(name: str) -> None:
    """Its exit code is its own: nobody has taken it away from the loop."""

    async def main() -> None:
        processes = await asyncio.gather(*[start_process(SLEEP) for _ in range(5)])
        for process in processes:
            kill(process)
            kill(process)
        assert [await process.wait() for process in processes] == [-9] * 5
        assert not_reaped() == []

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(main())


@pytest.mark.both_interfaces
@pytest.mark.parametrize("name", LOOPS)
def test_p9_a_child_that_waits_is_in_a_group_of_its_own(project: Path, name: str) -> None:
    """So Ctrl-C in the terminal spares it; the child that serves is in ours."""
    lay_out(project, files={"app.py": HELLO})

    async def main() -> None:
        async with asyncio.timeout(30), Supervisor(str(project / "app.py"), port=0) as server:
            await server.ready()
            assert server.pid is not None
            assert os.getpgid(server.pid) == os.getpgid(0)

            def waits_apart() -> bool:
                waiting = {*children(os.getpid())} - OTHERS - {server.pid}
                with suppress(ProcessLookupError):  # one has ended since it was listed
                    return waiting != set() and all(os.getpgid(pid) == pid for pid in waiting)
                return False

            await asyncio.to_thread(until, waits_apart, "the standby is in a group of its own")

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(main())


def test_p9_without_the_means_to_wait_for_a_process_it_is_tried_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread for that on Python 3.11, a descriptor later: the process runs already then."""
    lay_out(project, files={"app.py": HELLO})
    left = 3
    start_thread = threading.Thread.start
    open_pidfd = getattr(os, "pidfd_open", None)

    def start(self: threading.Thread) -> None:
        nonlocal left
        if self.name.startswith("asyncio-waitpid") and left:
            left -= 1
            raise RuntimeError("can't start new thread")
        start_thread(self)

    def pidfd_open(pid: int, flags: int = 0) -> int:
        nonlocal left
        if pid != os.getpid() and left:
            left -= 1
            raise OSError(24, "Too many open files")
        assert open_pidfd is not None
        return int(open_pidfd(pid, flags))

    monkeypatch.setattr(threading.Thread, "start", start)
    if sys.version_info >= (3, 12) and open_pidfd is not None:
        monkeypatch.setattr(os, "pidfd_open", pidfd_open)

    async def main() -> None:
        async with asyncio.timeout(30):
            async with Supervisor(str(project / "app.py"), port=0, standby=False) as server:
                assert await body(server) == "app=1"
                assert not_reaped() == [server.pid]

    before = SYSTEM.own_descriptors()
    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    gc.collect()
    assert left == 0
    assert caplog.messages[0].startswith("cannot start a process: ")
    assert sum("cannot start" in text for text in caplog.messages) == 1
    assert SYSTEM.own_descriptors() == before


@pytest.mark.both_interfaces
def test_p9_a_supervisor_in_a_loop_of_another_thread(project: Path) -> None:
    """Also when that loop is the only one."""
    lay_out(project, files={"app.py": HELLO})
    answers: list[str] = []

    async def main() -> None:
        async with asyncio.timeout(30), Supervisor(str(project / "app.py"), port=0) as server:
            answers.append(await body(server))
            await server.reload()
            answers.append(await body(server))

    def run(name: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
            runner.run(main())

    for name in ("asyncio", "uvloop"):
        thread = threading.Thread(target=run, args=(name,))
        thread.start()
        thread.join()
    assert answers == ["app=1"] * 4
