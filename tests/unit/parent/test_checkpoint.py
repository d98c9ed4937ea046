"""One checkpoint, as its supervisor sees it. The checkpoint is the test, or a trivial process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from signal import SIGKILL, SIGSTOP

import pytest
import pytest_asyncio

from asyncreload.parent import checkpoint as module
from asyncreload.parent.checkpoint import Checkpoint
from asyncreload.parent.process import Process
from asyncreload.protocol import NO_PROCESS, Booted, CheckpointTaken, Message, Resumed, ResumedEnded
from tests.unit.looping import until
from tests.unit.parent.fakes import rest

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux"),
]


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two trivial processes: the checkpoint, and what goes on from it."""
    both = [subprocess.Popen(["cat"], stdin=subprocess.PIPE) for _ in range(2)]
    yield both
    for process in both:
        with process:
            process.kill()


class Bench:
    """The other side of a checkpoint's link."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self.process, self.other = processes
        ours, self.link = socket.socketpair()
        self.changes = 0
        self.checkpoint = Checkpoint(self.process.pid, ours, self.on_change)
        self.links: list[socket.socket] = []

    def on_change(self, checkpoint: Checkpoint) -> None:
        self.changes += 1

    def says(self, *messages: Message) -> None:
        self.link.sendall(b"".join(message.encode() for message in messages))

    async def is_asked(self) -> socket.socket:
        """Wait until it is asked; return the link for the process that is to go on."""
        self.link.setblocking(False)
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.link, 64, 1)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            assert data
            self.links.append(socket.socket(fileno=descriptors[0]))
            return self.links[-1]

    async def goes_on(self, resuming: asyncio.Task[Process | None]) -> Process:
        """Do what a checkpoint that is well does; return the process that comes of it."""
        link = await self.is_asked()
        self.says(Resumed(self.other.pid))
        link.sendall(Booted(("sitecustomize.py",)).encode())
        process = await resuming
        assert process is not None
        return process

    def resume(self) -> asyncio.Task[Process | None]:
        return asyncio.create_task(self.checkpoint.resume())


async def is_hung_up(link: socket.socket) -> None:
    """Wait until the supervisor has closed its end."""
    link.setblocking(False)

    def at_end() -> bool:
        try:
            return not link.recv(1)
        except BlockingIOError:
            return False

    await until(at_end)


@pytest_asyncio.fixture
async def bench(processes: list[subprocess.Popen[bytes]]) -> AsyncIterator[Bench]:
    bench = Bench(processes)
    yield bench
    bench.checkpoint.kill()
    await bench.checkpoint.wait()
    for link in (bench.link, *bench.links):
        link.close()


async def test_it_says_what_it_is_and_what_was_read_before(bench: Bench) -> None:
    taken = CheckpointTaken(1, "views.py", ("app.py", "templates"), 1, 0.1)
    bench.says(taken)
    await until(lambda: bench.changes)
    assert bench.checkpoint.taken == taken
    assert bench.checkpoint.holds("templates")
    assert not bench.checkpoint.holds("views.py")
    assert bench.checkpoint.depth() == (1, 2)
    assert bench.checkpoint.pids() == {bench.process.pid}


async def test_a_process_goes_on_from_it_and_its_exit_code_is_told(bench: Bench) -> None:
    process = await bench.goes_on(bench.resume())
    assert process.pid == bench.other.pid
    assert process.ran_at_start == ("sitecustomize.py",)
    assert bench.checkpoint.is_in_use()
    assert bench.checkpoint.pids() == {bench.process.pid, bench.other.pid}
    bench.says(ResumedEnded(bench.other.pid, 7))
    assert await process.wait() == 7
    assert not bench.checkpoint.is_in_use()
    assert bench.checkpoint.pids() == {bench.process.pid}
    await process.close()


async def test_it_ends_when_its_link_does_and_that_is_told_once(bench: Bench) -> None:
    bench.link.close()
    await until(lambda: bench.checkpoint.has_ended)
    assert bench.changes == 1
    await bench.checkpoint.wait()
    assert bench.checkpoint.is_gone()
    assert await bench.checkpoint.resume() is None


async def test_it_is_killed_at_once_and_by_its_descriptor(bench: Bench) -> None:
    bench.checkpoint.pid = NO_PROCESS  # nobody is to be found by that
    bench.checkpoint.kill()
    assert bench.changes == 1
    assert bench.process.wait() == -SIGKILL
    await bench.checkpoint.wait()


@pytest.mark.parametrize("when", ["before it is asked", "while it is asked"])
async def test_one_that_is_dead_gives_no_process(bench: Bench, when: str) -> None:
    if when == "before it is asked":
        bench.link.close()
        assert await bench.checkpoint.resume() is None
        return
    resuming = bench.resume()
    link = await bench.is_asked()
    bench.link.close()
    assert await resuming is None
    await is_hung_up(link)


async def test_one_that_is_stopped_is_not_asked(bench: Bench) -> None:
    bench.process.send_signal(SIGSTOP)
    os.waitpid(bench.process.pid, os.WUNTRACED)
    assert await bench.checkpoint.resume() is None
    with pytest.raises(BlockingIOError):
        bench.link.recv(1, socket.MSG_DONTWAIT)


async def test_one_that_can_fork_no_process_gives_none(bench: Bench) -> None:
    resuming = bench.resume()
    link = await bench.is_asked()
    bench.says(Resumed(NO_PROCESS))
    assert await resuming is None
    await is_hung_up(link)


async def test_a_process_that_cannot_be_watched_is_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is free: its end would not be seen. It sees that its link is closed."""
    resuming = bench.resume()
    link = await bench.is_asked()
    monkeypatch.setattr(module, "open_process", lambda _pid: None)
    bench.says(Resumed(bench.other.pid))
    assert await resuming is None
    await is_hung_up(link)


async def test_a_process_that_dies_before_it_has_booted_is_none(bench: Bench) -> None:
    resuming = bench.resume()
    (await bench.is_asked()).close()
    bench.says(Resumed(bench.other.pid))
    await asyncio.to_thread(bench.other.wait)  # it is killed, too
    bench.says(ResumedEnded(bench.other.pid, -SIGKILL))
    assert await resuming is None


async def test_each_of_two_who_ask_at_once_has_a_process_of_its_own(bench: Bench) -> None:
    first = bench.resume()
    one = await bench.is_asked()
    second = bench.resume()
    other = await bench.is_asked()
    for link, pid in [(one, bench.other.pid), (other, NO_PROCESS)]:
        bench.says(Resumed(pid))
        link.sendall(Booted(()).encode())
    process = await first
    assert process is not None
    assert process.pid == bench.other.pid
    assert await second is None
    bench.says(ResumedEnded(bench.other.pid, 0))
    await process.close()


async def test_whoever_has_asked_hears_of_its_end(bench: Bench) -> None:
    asking = [bench.resume(), bench.resume()]
    for _ in asking:
        await bench.is_asked()
    bench.checkpoint.kill()
    assert await asyncio.gather(*asking) == [None, None]


async def test_when_nobody_waits_any_more_a_late_answer_changes_nothing(bench: Bench) -> None:
    resuming = bench.resume()
    link = await bench.is_asked()
    resuming.cancel()
    await asyncio.wait({resuming})
    await is_hung_up(link)  # by this, a process that comes late knows
    assert bench.process.wait() == -SIGKILL
    assert bench.checkpoint.has_ended


async def test_a_late_process_is_killed_when_nobody_waits_for_its_boot(bench: Bench) -> None:
    resuming = bench.resume()
    await bench.is_asked()
    bench.says(Resumed(bench.other.pid))
    await until(bench.checkpoint.is_in_use)
    await rest()
    resuming.cancel()
    await asyncio.wait({resuming})
    assert resuming.cancelled()
    assert bench.other.wait() == -SIGKILL
    assert bench.process.wait() == -SIGKILL


@pytest.mark.parametrize("has_just_booted", [False, True])
async def test_a_process_that_has_not_booted_ends_with_it(
    bench: Bench, *, has_just_booted: bool
) -> None:
    """It may be stopped, or hang in a hook of the app's: nobody is to wait for its word."""
    resuming = bench.resume()
    link = await bench.is_asked()
    bench.says(Resumed(bench.other.pid))
    await until(bench.checkpoint.is_in_use)
    await rest()
    bench.other.send_signal(SIGSTOP)
    if has_just_booted:
        link.sendall(Booted(()).encode())
    bench.checkpoint.kill()
    await until(lambda: bench.other.poll() == -SIGKILL)
    link.close()
    async with asyncio.timeout(10):
        assert await resuming is None


async def test_what_has_gone_on_lives_on_without_it(bench: Bench) -> None:
    process = await bench.goes_on(bench.resume())
    bench.checkpoint.kill()
    await bench.checkpoint.wait()
    assert bench.other.poll() is None
    assert not process.has_ended()
    bench.other.kill()
    assert await process.wait() == -SIGKILL  # without a wait for a word that cannot come
    await process.close()


async def test_nothing_is_left_open(processes: list[subprocess.Popen[bytes]]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bench = Bench(processes)
    process = await bench.goes_on(bench.resume())
    process.kill()
    bench.checkpoint.kill()
    await bench.checkpoint.wait()
    await process.close()
    for link in (bench.link, *bench.links):
        link.close()
    await rest()
    assert len(os.listdir("/proc/self/fd")) == before
