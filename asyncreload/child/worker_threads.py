"""Threads of ours, of which the app sees nothing.

Not `threading.Thread`: the app's `threading.enumerate()` would name them, its forks would join
them, and gevent patches a process only as long as it finds but one thread in it. Nor
`concurrent.futures.ThreadPoolExecutor`, which is made of them, and costs each request more than the
hand-over itself.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from aiofiles.os import wrap

P = ParamSpec("P")
T = TypeVar("T")
Job = Callable[[], None]


def _work(jobs: SimpleQueue[Job]) -> None:
    while True:
        jobs.get()()


class Threads:
    """Runs jobs, and starts a thread when none is idle. They end with the process."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._started = 0
        self._wanted = 0
        self._start()  # at boot, which a standby has done long before the first job

    def _start(self) -> None:
        # When no more threads can be had, those that there are have more to do.
        with suppress(RuntimeError):
            start_new_thread(_work, (self._jobs,))
            self._started += 1

    def run(self, job: Job) -> None:
        """Run a job, which must not raise, in a thread. To be called from one thread only."""
        self._wanted += 1
        if self._wanted > self._started:
            self._start()
        self._jobs.put(job)

    def finished(self) -> None:
        """Note that a job has ended; called by the thread that calls `run`."""
        self._wanted -= 1


class _Hops(Executor):
    """One thread for what would block the loop: looks at files, and reading them."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._started = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in the thread; at once and here, as long as none can be had."""
        if not self._started:
            with suppress(RuntimeError):
                start_new_thread(_work, (self._jobs,))
                self._started = True
        future: Future[T] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as exc:  # noqa: BLE001  it is handed to who waits
                    future.set_exception(exc)

        if self._started:
            self._jobs.put(job)
        else:
            job()
        return future


_HOPS = _Hops()


async def hop(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in that thread, and wait for it."""
    return await wrap(function)(*args, executor=_HOPS, **kwargs)
