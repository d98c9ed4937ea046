"""Starts a thread for each request, as `socketserver.ThreadingMixIn` does for threaded wsgiref."""

from __future__ import annotations

import sys
import threading
from contextvars import Context, copy_context
from functools import partial

from asyncreload.child.green_threads import green_threads
from asyncreload.child.http.thread_pool import Job, ThreadPool
from asyncreload.cpython import start_without_waiting

_INHERITS_CONTEXT: bool = getattr(sys.flags, "thread_inherit_context", False)
"""Whether a thread begins with the context variables of the one that starts it (from 3.14 on)."""


class RequestThreads:
    """Runs each job in a thread of its own, which the app sees as one that `threading` has started.

    So tracers and profilers are called in it, `threading.current_thread()` knows it, and what is
    thread-local ends with the request. No thread is there before the first request: gevent patches
    a process only as long as `threading` knows none but the main one.

    Made in a context in which the app's context variables are as its import has left them.
    """

    def __init__(self) -> None:
        # The loop's own context would not do: there it is often that of an earlier request.
        self._context = copy_context() if _INHERITS_CONTEXT else None
        self._pool = ThreadPool()

    def run(self, job: Job) -> bool:
        """Start a thread that runs the job; return False when no thread can be had now."""
        context = self._context.copy() if self._context else Context()
        try:
            if green_threads():
                # They would run in our loop's thread, if at all. So requests get threads of the
                # system there, of which `threading` has but a dummy.
                self._pool.run(partial(context.run, job))
            else:
                # A daemon, as those of `http.server`, Flask and Django: Ctrl-C waits for none.
                thread = threading.Thread(
                    target=process_request_thread, args=(job, context), daemon=True
                )
                start_without_waiting(thread)
        except RuntimeError:  # the limit of processes or of memory is reached
            return False
        return True


def process_request_thread(job: Job, context: Context) -> None:
    """Run a job in a context. Named as in `socketserver`: threads are named after it."""
    context.run(job)
