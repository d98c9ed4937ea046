"""The supervisor's loop: take the next process, send it `Go`, hear it to its end, and so on.

What a save leads to, and a load that fails, is told where it begins, in the child: see
child/__init__.py. A child that crashes says nothing. The next one is told of it in its `Go`
(`RestartPolicy`), loads nothing, and says `Reporting`; it waits for the save that mends.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Self

from asyncreload import lockfile
from asyncreload.errors import AbsentTargetError, MissingExtraError
from asyncreload.events import Failed
from asyncreload.exit_codes import RELOAD
from asyncreload.parent.checkpoints import Checkpoints
from asyncreload.parent.child_run import ChildRun, Services
from asyncreload.parent.children import Children
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.heartbeat import touch_until_deleted
from asyncreload.parent.inheritance import Inheritance
from asyncreload.parent.next_child import NextChild, is_checkpoint_sooner
from asyncreload.parent.process import Process, Surroundings
from asyncreload.parent.recent_files import recent_files
from asyncreload.parent.restart_policy import RestartPolicy
from asyncreload.parent.standby import Standby
from asyncreload.parent.stopgap import Stopgap
from asyncreload.parent.threads import in_thread
from asyncreload.parent.watchdog import Watchdog, killed_with_us
from asyncreload.process_state import ProcessState
from asyncreload.protocol import Go
from asyncreload.settings import Settings
from asyncreload.system_calls import has_checkpoints
from asyncreload.target import Target
from asyncreload.tasks import cancel

_recent_files = in_thread(recent_files)

_IS_HELD = r"(?i)\[Errno \d+\]|\block|\bin use\b|\balready\b"
"""How errors speak of what somebody else holds. It is not compiled at each start."""
LOADS_WITHIN = 1.0
"""Seconds until another look at a load, if nothing is told of it."""

log: logging.Logger = logging.getLogger("asyncreload")


class RunLoop:
    """Runs one child after the other until the app is done, or somebody deletes the lockfile.

    watchdog_of: makes the watchdog of a child.
    inheritance: closed at the end.
    lock: the path of the lockfile, which is touched every `interval` seconds.
    """

    def __init__(
        self,
        children: Children,
        services: Services,
        watchdog_of: Callable[[Process], Watchdog],
        inheritance: Inheritance,
        lock: str,
        interval: float,
    ) -> None:
        self._children = children
        self._services = services
        self._standby = services.standby
        self._restart_policy = services.restart_policy
        self._watchdog_of = watchdog_of
        self._inheritance = inheritance
        self._lock = lock
        self._interval = interval
        self._next_child = NextChild(services.checkpoints, services.standby, children.discard)
        self._current: ChildRun | None = None

    @classmethod
    def compose(
        cls,
        settings: Settings,
        target: Target | None,
        inheritance: Inheritance,
        lock: str,
        surroundings: Surroundings,
        event_log: EventLog,
    ) -> Self:
        """Make a loop with all that belongs to it.

        target: None for a script.
        """
        root = target.root if target else surroundings.directory
        start = partial(Process.start, inheritance.descriptors, lock, surroundings)

        def checkpoint_pids() -> set[int]:
            return checkpoints.pids()

        children = Children(start, lock, settings.grace, checkpoint_pids)
        roots = (root, surroundings.directory)
        stopgap = Stopgap(*inheritance.descriptors[:3])
        standby = Standby(settings, children.start, children.reap, stopgap, roots=roots)
        checkpoints = Checkpoints(
            inheritance.rendezvous,
            settings.checkpoints if has_checkpoints() else 0,
            partial(_recent_files, root, settings.checkpoints),
            children.adopt,
            lambda left: is_checkpoint_sooner(left, standby.expected_load()),
            children.discard,
        )
        services = Services(
            event_log,
            standby,
            checkpoints,
            RestartPolicy(settings, target, inheritance.address, lock, event_log),
        )

        def watchdog_of(child: Process) -> Watchdog:
            return Watchdog(
                child,
                inheritance.liveness,
                root,
                settings.interval,
                partial(killed_with_us, lock=lock),
            )

        return cls(children, services, watchdog_of, inheritance, lock, settings.interval)

    @property
    def current(self) -> ChildRun | None:
        """The run of the child that answers, is about to, or has just left; None if there is none.

        `wake` of the event log tells when it is another one.
        """
        return self._current

    def leave_prompt(self) -> bool:
        """Tell whether the cursor stands behind a prompt of the app's; see `InputPrompt.leave`."""
        return self._inheritance.prompt.leave()

    async def read_state(self) -> ProcessState | None:
        """Return what the children do; see `Children.read_state`."""
        return await self._children.read_state()

    async def run(self) -> int:
        """Serve, and return the exit code: the app's own, or 0 when the lockfile was deleted.

        Raises `AsyncreloadError` when no process of the app can be started, and
        `MissingExtraError` or `AbsentTargetError` when the first one finds that there is nothing
        to serve.
        """
        serving = asyncio.create_task(self._serve(), name="asyncreload serving")
        heartbeat = asyncio.create_task(touch_until_deleted(self._lock, self._interval))
        try:
            await asyncio.wait({serving, heartbeat}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                return serving.result()
            heartbeat.result()
            log.warning("the lockfile %s was deleted: stopping", self._lock)
            return 0
        finally:
            await self._shut_down(serving, heartbeat)

    def kill(self) -> None:
        """Kill all children at once; `run` then comes to its end soon."""
        lockfile.remove(self._lock)  # nobody else is left to do that, if we are killed next
        self._children.kill()

    def close(self) -> None:
        """Let go of what was open before `run`, which may have been cancelled before it began."""
        self._inheritance.close()
        lockfile.remove(self._lock)
        self._current = None

    async def _serve(self) -> int:
        following: Go | int = self._restart_policy.first()
        self._services.tasks.start(self._services.checkpoints.open())
        while isinstance(following, Go):
            run = await self._begin(following)
            await run.follow()
            code = await self._end_of(run)
            # One that has said farewell tells of them itself, after its last response.
            has_left = run.left is not None
            run.end(() if has_left else self._inheritance.requests.left_by(run.child.pid))
            if (given_up := run.gave_up) is not None:
                error = MissingExtraError if given_up.lacks_extra else AbsentTargetError
                raise error(given_up.reason)
            following = await self._restart_policy.after(run, code)
        return following

    async def _begin(self, go: Go) -> ChildRun:
        taken = await self._next_child.take(go)
        watchdog = self._watchdog_of(taken.child)
        watchdog.expect_files(self._restart_policy.files)
        kill = self._children.kill_with_descendants
        self._current = ChildRun(taken, watchdog, self._services, self._take_next_ahead, kill)
        self._services.event_log.wake()
        return self._current

    def _take_next_ahead(self, leaving: ChildRun) -> None:
        self._next_child.take_ahead(self._restart_policy.ahead(leaving), leaving.child.pid)

    async def _end_of(self, run: ChildRun) -> int:
        """Return the exit code of a child; one that still sends a response goes on alone.

        The next reload ends that. A load that begins anew is none, as for a change in the same
        burst; nor is a crash, which takes nothing else with it.
        """
        if run.changed and not run.changed.loading:
            self._children.end_lingering()
        if run.left and run.left.lingering:
            self._children.let_linger(run.child, self._on_lingered)
            return RELOAD
        if run.left and run.left.vanished:
            self._children.reap_later(run.child)
            return RELOAD
        code = await run.child.wait()
        if run.left is None:
            await self._children.kill_orphans(run.child)
        await self._children.reap(run.child)
        return code

    def _on_lingered(self) -> None:
        if self._current is not None:
            self._services.tasks.start(self._load_again_if_held(self._current))

    async def _load_again_if_held(self, run: ChildRun) -> None:
        """Repeat a load that has failed for what an old child held while it sent a response.

        Such as a lock, a port or a pid file: nobody has to save anything for that.
        """
        while run is self._current and run.outcome is None:
            await self._services.event_log.step(LOADS_WITHIN)
        if isinstance(run.outcome, Failed) and re.search(_IS_HELD, run.outcome.error):
            log.info("the process that was still answering has ended: loading again")
            run.reload()

    async def _shut_down(self, *tasks: asyncio.Task[int] | asyncio.Task[None]) -> None:
        """End the children, politely at first; then nothing is left of them or the lockfile.

        The lockfile goes at the very beginning: we may be killed at any moment from now on, also
        when no child is left to delete it. The child is told before, so that it does not take us
        for dead.
        """
        try:
            await cancel(*tasks)
            ending = [self._current.child] if self._current is not None else []
            if (ahead := self._next_child.told_ahead) is not None:
                ending.append(ahead)  # it may have begun already
            for child in ending:
                self._children.ask_to_end(child)
            lockfile.remove(self._lock)
            await self._next_child.end()
            await self._services.tasks.cancel()
            await self._children.stop_waiting()
            await self._standby.end()
            await self._services.checkpoints.end()
            for child in ending:
                await self._children.wait_for_end(child)
        finally:
            lockfile.remove(self._lock)
            await self._children.end()
            self._inheritance.close()
