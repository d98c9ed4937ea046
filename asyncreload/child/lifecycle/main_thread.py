"""The main thread as the side thread sees it: it waits, is woken, interrupted, and given jobs."""

from __future__ import annotations

import linecache
import os
import signal
import threading
from _thread import interrupt_main  # as it was before eventlet could replace it
from collections import deque
from contextlib import suppress
from select import POLLIN, poll
from types import FrameType

from asyncreload.child.debugger import let_interrupts_through
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.http.thread_pool import Job
from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.cpython import current_frames

_WAKE = b"w"


class MainThread:
    """Made in the main thread, which is the only one to call `wait` and `run_job`.

    `interrupt_main` raises a KeyboardInterrupt at the next bytecode, so it does not reach a thread
    that sleeps in a system call. While the main thread waits here, it does so for a pipe that is
    written to; while it sleeps in the app's code, a real signal wakes it.
    """

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self.renew()
        self._waits = False
        self._jobs: deque[Job] = deque()
        self._app_loop: AppLoop | None = None

    def renew(self) -> None:
        """In a fork that goes on: have a pipe that nobody else writes to."""
        self._out, self._in = os.pipe()

    def descriptors(self) -> tuple[int, int]:
        """Return both ends of the pipe."""
        return self._out, self._in

    def run_while_waiting(self, app_loop: AppLoop) -> None:
        """Have `wait` run the loop of an ASGI app from now on."""
        self._app_loop = app_loop

    def rest(self) -> None:
        """Have the loop of an ASGI app stop, if it runs on for the last responses."""
        if self._app_loop is not None:
            self._app_loop.stop()

    def cut_off_shutdown(self) -> None:
        """Have an ASGI app's shutdown cancelled, if it goes on. Called in another thread."""
        if self._app_loop is not None:
            self._app_loop.cut_off_shutdown()

    def cancel_last(self) -> None:
        """Have what an ASGI app still has running cancelled. Called in another thread."""
        if self._app_loop is not None:
            self._app_loop.cancel_last()

    def wait(self, also_for: int | None = None) -> None:
        """Wait for `wake` or `interrupt`, or until another descriptor is readable."""
        self._waits = True
        try:
            if self._app_loop is not None:
                self._app_loop.run_until_readable(self._out)
            if also_for is None or self._is_woken_before(also_for):
                os.read(self._out, 1)
        finally:
            self._waits = False

    def sleeps_here(self) -> bool:
        """Tell whether the main thread waits for us, and runs none of the app's code."""
        return self._waits and self._app_loop is None

    def wake(self) -> None:
        """End the present or the next `wait`."""
        with suppress(BrokenPipeError):  # it has ended, and lets go of what is open
            os.write(self._in, _WAKE)

    def run(self, job: Job) -> bool:
        """Have the main thread run a job as soon as it is woken; return True.

        Called in the loop's thread. The main thread must be in its last wait: it answers requests.
        """
        self._jobs.append(job)
        self.wake()
        return True

    def has_jobs(self) -> bool:
        """Tell whether there are jobs that have not begun."""
        return bool(self._jobs)

    def run_job(self) -> None:
        """Run the oldest job. Raises KeyboardInterrupt when it is interrupted: then it is over."""
        self._jobs.popleft()()

    def interrupt(self) -> FrameType | None:
        """Raise KeyboardInterrupt in the main thread, wherever it is; return where it was.

        An app that handles SIGINT itself is not disturbed when its main thread only waits here. Nor
        is the loop of an ASGI app: it ends by itself, unless code blocks it (see `has_moved`).
        """
        if self._waits and self._app_loop is not None:
            frame = self._frame()
            self.wake()
            return frame
        # Before anything is disturbed: a main thread that waits goes on to `atexit` at once.
        frame = None if self._waits else self._frame()
        if frame is not None or signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            let_interrupts_through()
            interrupt_main()
        self.wake()
        return frame

    def has_moved(self, frame: FrameType, instruction: int) -> bool:
        """Tell whether the main thread got on since it was at that instruction of that frame.

        One that runs an ASGI app's loop has to leave that: what keeps it may well move.
        """
        if self._app_loop is not None:
            return not self._waits
        now = self._frame()
        return self._waits or now is not frame or now.f_lasti != instruction

    def signal(self) -> None:
        """Wake the main thread from a system call, for the interrupt that waits for it."""
        let_interrupts_through()
        if callable(signal.getsignal(signal.SIGINT)):
            signal.pthread_kill(self._ident, signal.SIGINT)

    def place(self) -> str:
        """Return file, line and text of the innermost line of the project that is running.

        Of an app that waits in its startup, none is.
        """
        frame, otherwise = self._frame(), ""
        while frame is not None:
            path = frame.f_code.co_filename
            if frame.f_code is AppLoop.start_up.__code__:
                otherwise = "the app's startup"
            if not path.startswith("<") and kind_of(os.path.abspath(path)) is FileKind.PROJECT:
                line = frame.f_lineno  # it runs on meanwhile
                return f"{path}:{line}: {linecache.getline(path, line).strip()}"
            frame = frame.f_back
        return otherwise

    def close(self) -> None:
        """Let go of the pipe, in a process that the app forked."""
        ends = self._out, self._in
        self._out = self._in = -1  # once closed, the numbers may be another file's
        for descriptor in ends:
            with suppress(OSError):
                os.close(descriptor)

    def _is_woken_before(self, descriptor: int) -> bool:
        polled = poll()
        for each in (self._out, descriptor):
            polled.register(each, POLLIN)
        return self._out in dict(polled.poll())

    def _frame(self) -> FrameType | None:
        return current_frames().get(self._ident)
