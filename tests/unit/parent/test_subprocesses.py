"""Processes are started in any loop, and none is left behind; here, without any process."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, cast

import pytest

from asyncreload.parent import subprocesses
from asyncreload.parent.subprocesses import kill, start_process
from tests.unit.parent.fakes import NO_PROCESS

pytestmark = pytest.mark.asyncio


class Started:
    """An `asyncio.subprocess.Process`."""

    def __init__(self) -> None:
        self.pid = NO_PROCESS
        self.returncode: int | None = None
        self.stdin = None
        self.waited = False

    async def wait(self) -> int:
        await asyncio.sleep(0)
        self.waited = True
        return -9


class Starter:
    """In the place of `asyncio.create_subprocess_exec`; raises what it is given first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.started: list[Started] = []
        self.options: dict[str, Any] = {}
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, *command: str, **options: Any) -> asyncio.subprocess.Process:
        self.options = options
        if self.failures:
            raise self.failures.pop(0)
        self.started.append(Started())
        await self.may_go_on.wait()
        return cast("asyncio.subprocess.Process", self.started[-1])


class Transport(asyncio.SubprocessTransport):
    """What asyncio has made when it found that it cannot wait for the process."""

    def __init__(self, *, runs: bool = True) -> None:
        super().__init__()
        self.runs = runs
        self.looked = 0
        self.killed = self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "subprocess" and self.runs else default

    def kill(self) -> None:
        self.killed = True

    def poll(self) -> int | None:
        self.looked += 1
        return -9 if self.looked > 2 else None

    def close(self) -> None:
        self.closed = True


def failing(transport: Transport, failure: Exception) -> Any:
    async def create(*command: str, **options: Any) -> asyncio.subprocess.Process:
        transp = transport  # noqa: F841  found in the frame, as asyncio's own is
        raise failure

    return create


async def test_it_is_in_a_group_of_its_own() -> None:
    starter = Starter()
    process = await start_process(["python"], create=starter, cwd="/")
    assert cast("Any", process) is starter.started[0]
    assert starter.options == {"cwd": "/", "process_group": 0}


async def test_a_race_with_another_loop_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left inheritable by that is put right."""
    monkeypatch.setattr(subprocesses, "RACE_PAUSE", 0)
    race = RuntimeError("Racing with another loop to spawn a process.")
    starter = Starter(race, race)
    with socket.socket() as inherited:
        inherited.set_inheritable(True)
        await start_process(["python"], create=starter, pass_fds=[inherited.fileno()])
        assert not os.get_inheritable(inherited.fileno())
    assert len(starter.started) == 1


async def test_other_errors_are_not_tried_again() -> None:
    for failure in (RuntimeError("no child watcher"), FileNotFoundError("python")):
        with pytest.raises(type(failure), match=str(failure)):
            await start_process(["python"], create=Starter(failure))


@pytest.mark.parametrize(
    ("failure", "number"),
    [
        (RuntimeError("can't start new thread"), errno.EAGAIN),  # Python 3.11
        (OSError(errno.EMFILE, "no descriptor"), errno.EMFILE),  # Python 3.12 and later
    ],
)
async def test_a_process_that_nobody_can_wait_for_is_ended(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, number: int
) -> None:
    monkeypatch.setattr(subprocesses, "REAP_PAUSE", 0)
    transport = Transport()
    with pytest.raises(OSError) as caught:
        await start_process(["python"], create=failing(transport, failure))
    assert caught.value.errno == number
    assert transport.killed
    assert transport.closed
    assert transport.looked == 3


async def test_a_process_that_never_ran_is_not_ended() -> None:
    """As when the directory is missing in which it should work."""
    transport = Transport(runs=False)
    with pytest.raises(FileNotFoundError):
        await start_process(["python"], create=failing(transport, FileNotFoundError("cwd")))
    assert not transport.killed


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelled_in_the_middle_it_is_killed_and_reaped(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    starter = Starter()
    starter.may_go_on.clear()
    starting = asyncio.create_task(start_process(["python"], create=starter))
    while not starter.started:
        await asyncio.sleep(0)
    for _ in range(times):
        starting.cancel()
        await asyncio.sleep(0)
    assert not starting.done()
    starter.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert killed == [NO_PROCESS]
    assert starter.started[0].waited
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelled_before_it_fails() -> None:
    starting = asyncio.create_task(start_process(["python"], create=Starter(OSError("no"))))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_kill_takes_no_exit_code_away(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    process = Started()
    kill(cast("asyncio.subprocess.Process", process))
    process.returncode = 0
    kill(cast("asyncio.subprocess.Process", process))
    assert killed == [NO_PROCESS]
