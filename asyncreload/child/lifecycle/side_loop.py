"""The side thread itself: its start, its event loop, and what a fork has to know of both."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from threading import Event, get_native_id
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from asyncreload.child import helper_thread
from asyncreload.child.helper_thread import hop
from asyncreload.cpython import loop_descriptors

if TYPE_CHECKING:
    from asyncreload.child.lifecycle.agent import Agent

T = TypeVar("T")

NO_THREAD_PAUSE = 0.1
"""Seconds until the side thread is tried again, when the system gives no thread."""


class SideLoop:
    """Runs the loop in which the agent lives. Methods are called by the main thread.

    A fork does not inherit the thread. One that goes on from a checkpoint has to `bury` what is
    left of it, and to `renew` it.

    make_agent: called in the loop's thread.
    """

    agent: Agent
    """The present agent; in a process that goes on from a checkpoint it is another one."""
    pid: int
    """The number of this process, and not that of any which the app forks."""

    def __init__(self, make_agent: Callable[[], Agent]) -> None:
        self._make_agent = make_agent
        self._buried: list[object] = []
        self._loop: asyncio.AbstractEventLoop
        self._threads: list[int]
        self._start()

    def renew(self) -> None:
        """In a fork that goes on: have threads again, and another agent."""
        helper_thread.renew()
        self._start()

    def bury(self) -> None:
        """In a fork: close what the loop had open, whose thread does not run here."""
        for descriptor in loop_descriptors(self._loop):
            os.close(descriptor)
        # Its objects would close descriptors that are others' now.
        self._buried += [self._loop, self.agent]

    # --- what is done in the loop --------------------------------------------------------------

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called. May be called from a signal handler."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Have a coroutine run, and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def hear_signals(self, blocked: set[signal.Signals | int]) -> None:
        """Have these signals blocked and no others, in our threads and in what is started there."""
        set_mask = partial(signal.pthread_sigmask, signal.SIG_SETMASK, blocked)

        async def hear() -> None:
            set_mask()
            await hop(set_mask)

        asyncio.run_coroutine_threadsafe(hear(), self._loop)

    # --- while a checkpoint is taken -----------------------------------------------------------

    @contextmanager
    def parked(self) -> Iterator[None]:
        """Have our threads stand still at a known place, where they hold nothing.

        A fork may leave this, too. So the gate is a mere lock: a thread that goes to sleep on an
        `Event` is inside its lock for a moment, and in a fork would be there for ever.
        """
        gate, parked = allocate_lock(), SimpleQueue[None]()
        gate.acquire()

        def stop() -> None:
            parked.put(None)
            with gate:
                pass

        has_helper = helper_thread.park(stop)
        self.call(stop)
        try:
            for _ in range(1 + has_helper):
                parked.get()
            yield
        finally:
            gate.release()

    def thread_ids(self) -> list[int]:
        """Return the kernel's numbers of this process's own threads: main, side and helper."""
        return [os.getpid(), *self._threads]

    def descriptors(self) -> list[int]:
        """Return the numbers of what the loop has open."""
        return loop_descriptors(self._loop)

    # --- the thread ----------------------------------------------------------------------------

    def _start(self) -> None:
        """Start the thread; return when all is up that others wait for."""
        self.pid, parent = os.getpid(), os.getppid()
        up = Event()
        while True:
            try:
                start_new_thread(self._run, (up,))
                break
            except RuntimeError:  # none can be had at the moment
                if os.getppid() != parent:
                    os._exit(1)
                time.sleep(NO_THREAD_PAUSE)
        up.wait()

    def _run(self, up: Event) -> None:
        try:
            # Not `asyncio.run`, which asks `threading` for the current thread, and so names it.
            self._loop = asyncio.new_event_loop()
            self._loop.run_until_complete(self._live(up))
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)  # a child without its side thread would be deaf and blind

    async def _live(self, up: Event) -> None:
        self.agent = self._make_agent()
        # The first hop to a thread starts it, and imports for that.
        self._threads = [get_native_id(), await hop(get_native_id)]
        up.set()
        await self.agent.run()


def stand_still() -> NoReturn:
    """Run no code any more, until the side thread ends the process."""
    while True:
        time.sleep(60)
