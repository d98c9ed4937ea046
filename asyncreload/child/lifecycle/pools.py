"""The executors of `concurrent.futures`, which the interpreter shuts down before `atexit`."""

from __future__ import annotations

import threading
from _thread import start_new_thread

from asyncreload.cpython import thread_exit_handlers

PATIENCE = 0.1
"""Seconds that jobs which still run get, before `atexit` handlers have their turn all the same."""


def shut_pools() -> None:
    """Let idle workers end.

    Those of a `ProcessPoolExecutor` would else be waited for by multiprocessing's own handler.
    """
    calls = thread_exit_handlers()
    if not calls:
        return
    done = threading.Event()

    def shut() -> None:
        try:
            for call in reversed(calls):
                call()
        finally:
            done.set()

    start_new_thread(shut, ())
    done.wait(PATIENCE)
