"""What the parent says: orders, which the main thread carries out, and questions, answered here."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncreload import protocol
from asyncreload.child.debugger import hears_ctrl_c, is_at_prompt
from asyncreload.exit_codes import INTERRUPTED, RELOAD
from asyncreload.input_prompt import last_typed, show_prompt_again
from asyncreload.phase import Phase
from asyncreload.tasks import Tasks

if TYPE_CHECKING:
    from asyncreload.child.lifecycle.farewells import Farewells
    from asyncreload.child.lifecycle.life import Life
    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.child.lifecycle.parent_link import ParentLink
    from asyncreload.child.lifecycle.shutdown import Shutdown
    from asyncreload.child.watch.baselines import Baselines
    from asyncreload.child.watch.change_monitor import ChangeMonitor

Preparatory = protocol.Preload | protocol.GetReady
Order = protocol.Go | Preparatory

_LEAVE = "a debugger waits at its prompt{}: leave it with c first, or press Ctrl-C again to end all"


class ParentOrders:
    """Hears what the parent says. Lives in the side thread's loop, but for what it says itself."""

    def __init__(
        self,
        life: Life,
        main: MainThread,
        link: ParentLink,
        baselines: Baselines,
        monitor: ChangeMonitor,
        shutdown: Shutdown,
        farewells: Farewells,
    ) -> None:
        self._life = life
        self._main = main
        self._link = link
        self._baselines = baselines
        self._monitor = monitor
        self._shutdown = shutdown
        self._farewells = farewells
        self._tasks = Tasks()
        self._waiting: deque[Order] = deque()
        self._pressed_at = math.inf  # when Ctrl-C was pressed at a prompt for the last time

    def next_go(self, carry_out: Callable[[Preparatory], object]) -> protocol.Go:
        """Wait for our turn, in the main thread; raise SystemExit if the end comes first.

        If the parent has told ahead what to load, and after whom, the farewell of that process is
        enough: our turn need not be told by the parent, too.

        carry_out: does what is ordered before.
        """
        ahead: protocol.Go | None = None
        while True:
            if self._waiting:
                order = self._waiting.popleft()
                if not isinstance(order, protocol.Go):
                    carry_out(order)
                elif order.after:
                    ahead = order
                else:
                    return order
            elif self._shutdown.code is not None:  # also if a farewell is there by now
                raise SystemExit(self._shutdown.code)
            elif ahead is not None and self._farewells.is_heard(ahead.after):
                return ahead
            else:
                self._main.wait(self._farewells.fileno() if ahead else None)

    @property
    def is_any_waiting(self) -> bool:
        """Whether `next` would return at once. May be asked by any thread."""
        return bool(self._waiting)

    def hear(self, message: protocol.Message) -> None:
        """Do what the parent says, or have the main thread do it."""
        match message:
            case protocol.Go() | protocol.Preload() | protocol.GetReady():
                self._on_order(message)
            case protocol.KnownFiles():
                self._baselines.trust(message.files)
            case protocol.Reload():
                self._monitor.on_change([])
            case protocol.End():
                if message.code != RELOAD:  # the parent does so next, unless it is killed before
                    self._link.remove_lockfile()
                self._shutdown.begin(message.code)
            case protocol.Interrupt() | protocol.AskPrompt() | protocol.ShowPrompt():
                self._hear_of_prompt(message)
            case protocol.Look():
                self._tasks.start(self._answer_look(message.number))
            case protocol.Ping():
                self._link.send(protocol.Pong())

    def _hear_of_prompt(
        self, message: protocol.Interrupt | protocol.AskPrompt | protocol.ShowPrompt
    ) -> None:
        match message:
            case protocol.Interrupt() if self._is_for_debugger(message.at):
                self._link.send(protocol.Debugging())
            case protocol.Interrupt():
                self._shutdown.begin(INTERRUPTED)
            case protocol.AskPrompt():
                self._link.send(protocol.Debugging(is_at_prompt()))
            case protocol.ShowPrompt():
                show_prompt_again()

    def _is_for_debugger(self, pressed_at: float) -> bool:
        """Tell whether Ctrl-C is left to a debugger; pressed again with nothing typed, it is not.

        pressed_at: by `time.monotonic`. On a busy machine this may be heard of much later.
        """
        if not is_at_prompt():
            return False
        is_again = last_typed() < self._pressed_at < pressed_at
        self._pressed_at = pressed_at
        if not is_again:
            where = "" if hears_ctrl_c() else ", where Ctrl-C does nothing"
            self._link.notice(_LEAVE.format(where))
        return not is_again

    def _on_order(self, order: Order) -> None:
        self._waiting.append(order)
        self._main.wake()
        if isinstance(order, protocol.Go) and not order.after:
            self._life.go_heard.set()

    async def _answer_look(self, number: int) -> None:
        """Look at the files, and tell the parent if nothing has changed."""
        is_fresh = await self._monitor.is_fresh()
        if is_fresh and self._life.phase in {Phase.SERVING, Phase.REPORTING}:
            self._link.send(protocol.Fresh(number))
