"""The end of processes: signalled, waited for, and looked for again until none is left.

To signal what was found once is not enough: a manager starts its worker again, a process forks
between the look and the signal, and one that was killed holds its files for a while yet.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from asyncreload import descendants

# All in seconds.
POLITE = 0.2  # between SIGTERM and SIGKILL, for what an app has started
LONGEST = 10.0  # until the rest is given up: what the kernel cannot end, as it waits for a disk
PAUSE = 0.005  # between two rounds


class Termination:
    """Ends processes in rounds.

    The resource tracker of `multiprocessing` is spared: it ends by itself when its process does,
    and removes what that has left in shared memory.

    patience: seconds between SIGTERM and SIGKILL; 0 kills at once.
    send, has_ended, began, is_spared, clock: the system's.
    """

    def __init__(
        self,
        patience: float = 0.0,
        *,
        send: Callable[[int, int], None] = os.kill,
        has_ended: Callable[[int], bool] = descendants.has_ended,
        began: Callable[[int], int | None] = descendants.began,
        is_spared: Callable[[int], bool] = descendants.is_tracker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._has_ended = has_ended
        self._began = began
        self._is_spared = is_spared
        self._clock = clock
        self._kill_at = clock() + patience
        self._give_up_at = self._kill_at + LONGEST
        self._asked: set[int] = set()
        self._beyond_us: set[int] = set()
        self._left: dict[int, int | None] = {}  # when each began

    def next_round(self, found: Iterable[int]) -> bool:
        """Signal what was found; return whether another round is needed.

        It is, as long as something lives that any round has met, also if it is not found any more,
        as its parent has ended; after `patience`, that is killed, too. And when this round has met
        something new, even if that has ended: it may have forked.

        found: all that is to end, looked for anew; what forks most quickly comes first.
        """
        kills = self._clock() >= self._kill_at
        has_met_new = False
        found = dict.fromkeys(found)
        for pid in found:
            is_new = pid not in self._asked
            if pid not in self._beyond_us and (kills or is_new):
                has_met_new |= is_new
                self._signal(pid, signal.SIGKILL if kills else signal.SIGTERM)
        if kills:
            for pid in self._left.keys() - found.keys():
                if self._is_the_same(pid):
                    self._signal(pid, signal.SIGKILL)
        self._left = {pid: at for pid, at in self._left.items() if not self._has_ended(pid)}
        return (has_met_new or bool(self._left)) and self._clock() < self._give_up_at

    def _is_the_same(self, pid: int) -> bool:
        """Tell whether a number still belongs to the process that was asked; in doubt, no."""
        began = self._left[pid]
        return began is not None and self._began(pid) == began

    def _signal(self, pid: int, number: signal.Signals) -> None:
        if pid not in self._asked and self._is_spared(pid):
            self._beyond_us.add(pid)
            return
        self._asked.add(pid)
        began = self._began(pid)
        try:
            self._send(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:  # another user's by now
            self._beyond_us.add(pid)
            return
        self._left[pid] = began


async def end_all(find: Callable[[], Awaitable[Iterable[int]]], patience: float = 0.0) -> None:
    """End processes until none is left: ask them by SIGTERM, and kill them after `patience`.

    find: looks for those that live; called before each round.
    patience: seconds; 0 kills at once.
    """
    termination = Termination(patience)
    # Rounds, and no wait for ends: what starts meanwhile is to be found.
    while termination.next_round(await find()):  # noqa: ASYNC110
        await asyncio.sleep(PAUSE)


def end_descendants() -> None:
    """End all that descends from this process, until none is left; it blocks for that long."""
    termination = Termination(POLITE)
    while descendants.has_children() and termination.next_round(
        descendants.descendants(os.getpid())
    ):
        reap_children()
        time.sleep(PAUSE)
    reap_children()


def reap_children() -> None:
    """Reap all children that have ended, whoever has started them; wait for none."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
