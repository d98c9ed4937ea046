"""The executor threads: each answers one request at a time.

Not `concurrent.futures.ThreadPoolExecutor`: its work items take a lock and a condition from
`threading` for each request, which costs more than the hand-over itself, and which an app that
patches `threading` (gevent, eventlet) replaces under our feet.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class Threads:
    """Starts a thread when none is idle. They end with the process: nobody waits for them."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._started = 0
        self._wanted = 0

    def run(self, job: Job) -> None:
        """Run a job, which must not raise, in a thread. To be called from one thread only."""
        self._wanted += 1
        if self._wanted > self._started:
            self._started += 1
            start_new_thread(self._work, ())
        self._jobs.put(job)

    def finished(self) -> None:
        """Note that a job has ended; called by the thread that calls `run`."""
        self._wanted -= 1

    def _work(self) -> None:
        while True:
            self._jobs.get()()
