"""One run of one child, from its `Go` to its end: what it says, and what is done about it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from asyncreload import protocol
from asyncreload.events import Changed, Crashed, Failed, Ready, Refreshed
from asyncreload.parent.checkpoints import Checkpoints
from asyncreload.parent.event_log import EventLog
from asyncreload.parent.next_child import Origin, Taken
from asyncreload.parent.notices import Notices
from asyncreload.parent.process import Process
from asyncreload.parent.restart_policy import RestartPolicy
from asyncreload.parent.standby import Standby
from asyncreload.parent.watchdog import Watchdog
from asyncreload.phase import Phase
from asyncreload.tasks import Tasks
from asyncreload.terminal import Terminal

log: logging.Logger = logging.getLogger("asyncreload")

# Both in seconds that the child could have used.
LEAVES_WITHIN = 1.0  # from a change to the child's farewell, if it does not answer any more
PROMPT_WITHIN = 0.3  # from Ctrl-C to the word that it is for a debugger

PROMPT_AT_MOST = 3.0
"""Seconds by the clock after which Ctrl-C ends us, however little the child could do."""

_UNSEEN = (None, "", False)
"""How a file was that only the parent has looked at."""
_ENDING = frozenset({Phase.DRAINING, Phase.GONE})


class Services:
    """What a run tells of what its child says. The same for all runs of a supervisor."""

    def __init__(
        self,
        event_log: EventLog,
        standby: Standby,
        checkpoints: Checkpoints,
        restart_policy: RestartPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.event_log: EventLog = event_log
        self.standby: Standby = standby
        self.checkpoints: Checkpoints = checkpoints
        self.restart_policy: RestartPolicy = restart_policy
        self.clock: Callable[[], float] = clock
        self.notices: Notices = Notices()
        self.tasks: Tasks = Tasks()
        """What the run does beside listening; cancelled when the supervisor ends."""


class ChildRun:
    """A child at work. It alone changes its attributes; everybody may read them.

    The phases: WARM until the child says that it has heard `Go`; LOADING; SERVING, or REPORTING
    when the load failed or there is a crash to report; REPORTING also after SERVING, when a request
    has imported code that fails; DRAINING from the moment when it is known to leave; GONE.

    on_leaving: called when the child has said that it leaves for a change.
    kill: ends a process at once, and all that it has started.
    """

    def __init__(
        self,
        taken: Taken,
        watchdog: Watchdog,
        services: Services,
        on_leaving: Callable[[ChildRun], object],
        kill: Callable[[Process], Awaitable[None]],
    ) -> None:
        self.child: Process = taken.child
        self.origin: Origin = taken.origin
        """Where the child comes from."""
        self.waited: float = taken.waited
        """Seconds in which there was none."""
        self.go: protocol.Go = taken.go
        """What the child was told."""
        self.since: int = 0
        """When its load has begun, in nanoseconds since the epoch; 0 as long as it has not."""
        self.phase: Phase = Phase.WARM
        self.last_phase: Phase = Phase.WARM
        """The last phase of the app before the child began to leave.

        SERVING also while a report answers after that: the app still runs, and may crash.
        """
        self.outcome: Ready | Failed | Crashed | None = None
        """How the load ended, while requests are answered: with the app, or with a report."""
        self.fresh: int = 0
        """The number of the last `Look` after which the child said that it is fresh."""
        self.left: protocol.Left | None = None
        """The child's farewell."""
        self.changed: protocol.FilesChanged | None = None
        """Why the child leaves, if that is for a change; seen by it, or in its place."""
        self.files: dict[str, Any] = {}
        """How the child saw the project's files."""
        self.was_silenced: bool = False
        """Whether the child was killed for a reload, as it did not answer any more."""
        self.unanswered: tuple[str, ...] = ()
        """The requests that the child was answering when it ended, as in "GET /cart"."""
        self.starts_again: bool = False
        """Whether the child gives way to one from elsewhere: what it has loaded does not fit."""
        self.gave_up: protocol.GaveUp | None = None
        """Why the app cannot be served with what is installed; "" if it can, for all we know."""
        self._watchdog = watchdog
        self._services = services
        self._on_leaving = on_leaving
        self._kill = kill
        self._terminal = Terminal()
        self._began = services.clock()
        self._at_prompt: asyncio.Future[bool] | None = None
        self._urging: asyncio.Task[None] | None = None
        self._is_told_to_reload = False
        self._next_starts_cold = False

    @property
    def loads_from_nothing(self) -> bool:
        """Whether the whole app is loaded; not so for one that only reports a crash."""
        return self.origin is Origin.COLD and not self.go.crash

    # --- what others ask of it ---------------------------------------------------------------

    async def follow(self) -> None:
        """Have the child begin, and hear it until it has left or died."""
        self.child.send(self.go)
        guarding = self._services.tasks.start(self._end_when_silent())
        try:
            async for message in self.child.messages():
                self.hear(message)
                if self.left and (self.left.lingering or self.left.vanished):
                    break
        finally:
            guarding.cancel()

    def end(self, unanswered: tuple[str, ...] = ()) -> None:
        """Note that nothing of the app runs any more.

        unanswered: the requests that it was answering when it ended.
        """
        self.unanswered = unanswered
        if self.left is None:
            self._terminal.restore()  # a debugger may have died at its prompt
        if self._urging is not None:
            self._urging.cancel()
        self.phase = Phase.GONE
        self.outcome = None
        self._answer_prompt(at_prompt=False)

    def look(self, number: int) -> None:
        """Have the child look at the files now; `fresh` tells when that has shown no change."""
        self.child.send(protocol.Look(number))

    def reload(self) -> None:
        """Have the child leave as if a file had changed; one that is silent is killed.

        It is told once: told again while it leaves, it would cut off the last response.
        """
        if not self._is_told_to_reload:
            self._is_told_to_reload = True
            self._watchdog.be_impatient()
            self.child.send(protocol.Reload())

    async def is_at_prompt(self, question: protocol.Interrupt | protocol.AskPrompt) -> bool:
        """Tell whether a debugger waits at its prompt in the app; one that is silent has none.

        question: what the child is told; of Ctrl-C it ends if it has no prompt.
        """
        if self.phase is Phase.GONE:
            return False
        if self._at_prompt is None or self._at_prompt.done():
            self._at_prompt = asyncio.get_running_loop().create_future()
        answer = self._at_prompt
        self.child.send(question)
        with suppress(TimeoutError):
            async with self.child.fair_timeout(PROMPT_WITHIN, PROMPT_AT_MOST):
                await asyncio.wait({answer})
        return answer.done() and answer.result()

    # --- what it hears -----------------------------------------------------------------------

    def hear(self, message: protocol.Message) -> None:
        """Take in what the child says."""
        match message:
            case protocol.Going():
                self.since = message.began
                self._enter(Phase.LOADING)
            case (
                protocol.Loaded() | protocol.LoadFailed() | protocol.Reporting() | protocol.GaveUp()
            ):
                self._hear_outcome(message)
            case protocol.Watching():
                self._hear_files(message)
            case protocol.FilesChanged():
                self._hear_change(message)
            case protocol.Left():
                self.left = message
                self.child.announce(message.code)
                self._enter(Phase.DRAINING)
                self._answer_prompt(at_prompt=False)
            case protocol.Preload() | protocol.PackagesChanged() | protocol.StartCold():
                self._hear_of_packages(message)
            case protocol.CheckpointRefused() | protocol.Obstacle():
                self._hear_of_checkpoints(message)
            case protocol.Refreshed() | protocol.Notice() | protocol.WatchReasons():
                self._hear_news(message)
            case _:
                self._hear_answer(message)

    def _hear_news(
        self, message: protocol.Refreshed | protocol.Notice | protocol.WatchReasons
    ) -> None:
        """Nothing follows, but people are told."""
        match message:
            case protocol.Refreshed():
                self._services.event_log.tell(Refreshed(message.files))
                self._services.checkpoints.has_refreshed(message.files)
            case protocol.Notice():
                self._services.notices.tell(message)
            case protocol.WatchReasons():
                self._services.notices.explain(message)

    def _hear_outcome(
        self,
        message: (protocol.Loaded | protocol.LoadFailed | protocol.Reporting | protocol.GaveUp),
    ) -> None:
        """The first requests are answered from now on; or there is nothing to answer them with."""
        policy = self._services.restart_policy
        match message:
            case protocol.Loaded():
                self._enter(Phase.SERVING)
                if self.origin is not Origin.CHECKPOINT:
                    self._services.standby.has_loaded(message.seconds)
                self._services.checkpoints.has_loaded(message.seconds)
                policy.has_loaded(asgi=message.asgi)
                since = policy.reload_since
                took = self._services.clock() - (self._began if since is None else since)
                self.outcome = Ready(
                    self.child.pid,
                    took,
                    policy.answered(),
                    message.files,
                    self.origin.value,
                    message.modules,
                    message.anew,
                    self.waited,
                )
                self._services.event_log.tell(self.outcome)
            case protocol.LoadFailed():
                self._enter(Phase.REPORTING)
                policy.answered()
                self.outcome = Failed(
                    message.title, message.trace, message.place, message.own, message.hint
                )
                self._services.event_log.tell(self.outcome)
            case protocol.GaveUp():
                self.gave_up = message
            case protocol.Reporting():  # the crash itself has been told already
                self._enter(Phase.REPORTING)
                self.outcome = policy.crash
                self._services.event_log.wake()

    def _hear_files(self, watching: protocol.Watching) -> None:
        self.files = watching.files
        self._services.restart_policy.remember(watching.files)
        self._watchdog.watch_files(watching.files)
        if watching.settled:
            self._services.standby.prepare()
            self._services.standby.remember(watching.files)
            self._services.checkpoints.prepare()
            self._services.tasks.start(self._services.checkpoints.tell_memory())

    def _hear_change(self, changed: protocol.FilesChanged) -> None:
        if changed.packages or not changed.files:
            self._start_from_nothing()
        self._services.checkpoints.on_change(changed.files)
        if not self._services.checkpoints.is_resuming:
            self._services.standby.start_next()  # it boots while the old one leaves
        self._leave_for(changed)
        self._on_leaving(self)
        self._urging = self._services.tasks.start(self._urge())

    def _start_from_nothing(self) -> None:
        """Have the next child load all anew, as packages have changed, or somebody asks for it."""
        self._next_starts_cold = True
        self._services.standby.forget()
        self._services.checkpoints.forget()

    def _hear_of_packages(self, message: protocol.Message) -> None:
        standby = self._services.standby
        match message:
            case protocol.Preload():
                # What this one tells on its way out is not for the next one.
                if not self._next_starts_cold:
                    standby.learn(message)
            case protocol.PackagesChanged():
                standby.renew()
                self._services.checkpoints.forget()
            case protocol.StartCold():
                standby.was_wrong(message.reason, message.found)
                self._services.checkpoints.forget()
                standby.start_next()
                self.starts_again = True

    def _hear_of_checkpoints(self, message: protocol.CheckpointRefused | protocol.Obstacle) -> None:
        if isinstance(message, protocol.Obstacle):
            log.debug("%s", message.reason)
            return
        self._services.checkpoints.was_refused(message.reason)
        self.starts_again = True

    def _hear_answer(self, message: protocol.Message) -> None:
        match message:
            case protocol.Pong():
                self._watchdog.hear_answer()
            case protocol.Fresh():
                self.fresh = max(self.fresh, message.number)
                self._services.event_log.wake()
            case protocol.Debugging():
                self._answer_prompt(at_prompt=message.at_prompt)

    def _answer_prompt(self, *, at_prompt: bool) -> None:
        if self._at_prompt is not None and not self._at_prompt.done():
            self._at_prompt.set_result(at_prompt)

    def _enter(self, phase: Phase) -> None:
        if self.phase in _ENDING:
            return
        if phase not in _ENDING and self.last_phase is not Phase.SERVING:
            self.last_phase = phase
        self.phase = phase

    # --- a child that does not answer --------------------------------------------------------

    def _leave_for(self, changed: protocol.FilesChanged) -> None:
        self.changed = changed
        self._enter(Phase.DRAINING)
        self._services.event_log.tell(Changed(tuple(changed.files)))

    async def _end_when_silent(self) -> None:
        """Kill a child that is silent while files change."""
        paths = await self._watchdog.watch()
        files = dict.fromkeys(paths, _UNSEEN)
        self.was_silenced = True
        if not files:
            self._start_from_nothing()
        self._leave_for(protocol.FilesChanged(files, loading=self.phase is Phase.LOADING))
        await self._kill(self.child)

    async def _urge(self) -> None:
        """Kill a child that has seen a change, but neither leaves nor answers any more.

        One that answers is on its way out: its side thread ends it within deadlines of its own,
        and may need longer on a slow machine.
        """
        while True:
            await self.child.has_had(LEAVES_WITHIN / 2)
            if not await self._watchdog.answers(LEAVES_WITHIN / 2):
                break
        if self.left is None:
            self.was_silenced = True
            self.child.kill()
