"""Runs jobs in threads that are used again, and of which `threading` knows nothing."""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class ThreadPool:
    """Has each job run at once: by an idle thread, or by a new one. They end with the process.

    For apps in which gevent or eventlet have replaced `threading`: they keep an event loop for each
    thread, with descriptors of its own, also when the thread has ended. All that is used here is of
    the system, as it was imported before they could replace it.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._lock = allocate_lock()
        self._idle = 0

    def run(self, job: Job) -> None:
        """Run a job. Raises RuntimeError when there is no idle thread, and none can be started."""
        with self._lock:
            has_idle = self._idle > 0
            self._idle -= has_idle
        if has_idle:
            self._jobs.put(job)
        else:
            start_new_thread(self._work, (job,))

    def _work(self, job: Job) -> None:
        while True:
            job()
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
