"""Start a process by `asyncio.create_subprocess_exec`, in any event loop, and leave none behind.

What asyncio does at the end of a process differs from loop to loop. The standard loop waits for
it in a thread (Python 3.11) or by a pidfd (3.12 and later), uvloop by SIGCHLD; the last two call
`waitpid` in the loop's own thread. That blocks nobody: once a pidfd is readable or SIGCHLD has
come, the memory of the process is free already, and `waitpid` takes less than 0.1 ms, also after
a process of 1 GB (measured on Linux 6.18).
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from signal import SIG_BLOCK, SIG_SETMASK, SIGKILL, SIGSTOP, SIGTSTP, pthread_sigmask
from subprocess import Popen
from traceback import walk_tb
from types import coroutine
from typing import Any, cast

from asyncreload.parent.resumed_process import ResumedProcess

AnyProcess = Process | ResumedProcess
"""A process that was started, or one that goes on from a checkpoint."""
Create = Callable[..., Coroutine[Any, Any, Process]]

RACE_PAUSE = 0.01
"""Seconds until another try, when a loop in another thread starts a process at this moment."""
_STARTING = threading.Lock()
"""Held while a loop other than the standard one starts a process: two threads must not do it at a
time. uvloop raises then, and leaves descriptors open."""
REAP_PAUSE = 0.005
"""Seconds between two looks at a killed process that no loop waits for."""

# How the two errors that pass are known: both are a plain RuntimeError.
_RACE = "Racing with another loop"  # uvloop
_NO_THREAD = "can't start new thread"  # CPython


async def start_process(
    command: Sequence[str], *, create: Create = asyncio.create_subprocess_exec, **options: Any
) -> Process:
    """Start a process. The options are those of `asyncio.create_subprocess_exec`.

    Where the loop can do that (uvloop cannot), the process is in a process group of its own from
    its first instant. When this is cancelled meanwhile, the process is killed and reaped first.

    Raises OSError when it cannot be started; EAGAIN also when there is no thread to wait for it.
    """
    # A task of its own, which nobody cancels: else uvloop kills the process and waits for nothing.
    starting = asyncio.create_task(_start(create, command, options))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _whatever_comes(asyncio.create_task(_undo(starting)))
        raise


def kill(process: AnyProcess) -> None:
    """Kill a process at once; no matter if it has ended.

    Not by `Process.kill`: before Python 3.13 that looks whether the process has ended, and so takes
    its exit code away from the loop, which then logs "Unknown child process" and reports 255.
    """
    _send(process, SIGKILL)


def stop(process: AnyProcess) -> None:
    """Stop a process, until it is continued or killed; no matter if it has ended."""
    _send(process, SIGSTOP)


def _send(process: AnyProcess, number: int) -> None:
    if isinstance(process, ResumedProcess):
        process.send_signal(number)
    elif process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def _start(create: Create, command: Sequence[str], options: dict[str, Any]) -> Process:
    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        options = options | {"process_group": 0}  # other loops may know no such option
    while True:
        try:
            return await _create_alone(create, command, options)
        except (OSError, RuntimeError) as exc:
            await _end_left_over(exc)
            if _NO_THREAD in str(exc):
                raise OSError(errno.EAGAIN, "no thread can be started") from exc
            if _RACE not in str(exc):
                raise
            for descriptor in options.get("pass_fds", ()):  # uvloop leaves them inheritable then
                os.set_inheritable(descriptor, False)
            await asyncio.sleep(RACE_PAUSE)


async def _create_alone(create: Create, command: Sequence[str], options: dict[str, Any]) -> Process:
    """Start a process while no other thread's loop does, where loops cannot do it side by side."""
    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return await _begun_unstopped(create(*command, **options))
    while not _STARTING.acquire(blocking=False):  # noqa: ASYNC110  of another thread's loop
        await asyncio.sleep(RACE_PAUSE)
    try:
        return await _begun_unstopped(create(*command, **options))
    finally:
        _STARTING.release()


@coroutine
def _begun_unstopped(start: Coroutine[Any, Any, Process]) -> Generator[Any, Any, Process]:
    """Await the start of a process, which Ctrl-Z does not stop before its program runs.

    Python starts it by `vfork`, and sleeps in the kernel until then, deaf to all signals. Ctrl-Z is
    for all of the group: this process would sleep on, and the shell wait for it for ever. In loops,
    all of that is one step. What is blocked here is blocked in the program, too, until boot.py.
    """
    step: Callable[[], Any] = partial(start.send, None)
    around: AbstractContextManager[None] = _ctrl_z_blocked()
    while True:
        with around:
            try:
                waited_for = step()
            except StopIteration as end:
                return cast("Process", end.value)
        around = nullcontext()
        try:
            yield waited_for
        except BaseException as exc:  # noqa: BLE001  it is for what was awaited
            step = partial(start.throw, exc)
        else:
            step = partial(start.send, None)


@contextmanager
def _ctrl_z_blocked() -> Iterator[None]:
    before = pthread_sigmask(SIG_BLOCK, {SIGTSTP})
    try:
        yield
    finally:
        pthread_sigmask(SIG_SETMASK, before)


async def _undo(starting: asyncio.Task[Process]) -> None:
    await _whatever_comes(starting)
    if not starting.cancelled() and starting.exception() is None:
        process = starting.result()
        kill(process)
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def _whatever_comes(task: asyncio.Task[Any]) -> None:
    """Wait until a task is done, however often this one is cancelled meanwhile."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})


async def _end_left_over(exc: BaseException) -> None:
    """End the process that asyncio has started, but could not arrange to wait for.

    It runs, and nobody else knows it, when there was no thread (Python 3.11) or no descriptor (3.12
    and later) to wait with. Its transport is found in the frames of the exception only.
    """
    for frame, _ in walk_tb(exc.__traceback__):
        for value in list(frame.f_locals.values()):
            if isinstance(value, asyncio.SubprocessTransport):
                process = value.get_extra_info("subprocess")  # a `subprocess.Popen`, if it runs
                if process is not None:
                    await _reap(value, process)
                return


async def _reap(transport: asyncio.SubprocessTransport, process: Popen[bytes]) -> None:
    process.kill()
    while process.poll() is None:  # noqa: ASYNC110  nobody tells: that is what has failed
        await asyncio.sleep(REAP_PAUSE)
    transport.close()
