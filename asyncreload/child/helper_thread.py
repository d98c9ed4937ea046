"""A thread of ours, of which the app sees nothing, for what would block the loop.

Not a `threading.Thread`: the app's `threading.enumerate()` would name it, its forks would join it,
and gevent patches a process only as long as it finds but one thread in it. Nor
`concurrent.futures.ThreadPoolExecutor`, which is made of them. The threads in which requests are
answered are others: see `RequestThreads`.
"""

from __future__ import annotations

import asyncio
from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Job = Callable[[], None]


def _work(jobs: SimpleQueue[Job]) -> None:
    while True:
        jobs.get()()


class _HelperThread(Executor):
    """The thread in which files are looked at and read."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """In a fork, which has no such thread: have another one started when there is a job."""
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self.is_started: bool = False
        """Whether there is a thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in the thread; at once and here, as long as none can be had."""
        if not self.is_started:
            with suppress(RuntimeError):
                start_new_thread(_work, (self._jobs,))
                self.is_started = True
        future: Future[T] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as exc:  # noqa: BLE001  it is handed to who waits
                    future.set_exception(exc)

        if self.is_started:
            self._jobs.put(job)
        else:
            job()
        return future


_THREAD = _HelperThread()


def renew() -> None:
    """In a fork that goes on: have another thread started when it is needed."""
    _THREAD.renew()


def park(stop: Callable[[], None]) -> bool:
    """Have the thread call `stop` next; return False if there is no thread."""
    if not _THREAD.is_started:
        return False
    _THREAD.submit(stop)
    return True


async def hop(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in that thread, and wait for it.

    As `aiofiles.os.wrap` would: but the import of that takes 5 ms, before each first answer.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREAD, partial(function, *args, **kwargs))
