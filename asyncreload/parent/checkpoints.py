"""The checkpoints of a supervisor: which there are to be, and which one a reload goes on from."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from asyncreload.parent.checkpoint import Checkpoint
from asyncreload.parent.prefork import Prefork
from asyncreload.parent.process import Process
from asyncreload.parent.threads import in_thread
from asyncreload.process_state import own_memory
from asyncreload.protocol import Go

log: logging.Logger = logging.getLogger("asyncreload")

_own_memory = in_thread(own_memory)

RESUMED_WITHIN = 2.0
"""Seconds until a checkpoint is given up that does not answer; the standby takes over."""
_MOST_BYTES = 64


class Checkpoints:
    """Keeps at most `most` checkpoints; the least useful go first. Uses the running loop.

    A checkpoint is valid as long as nothing has changed that was read before it. It may lie before
    a file that was edited lately, and will be again; before one that had changed most recently when
    the supervisor began; at the end of the load; or behind a module that is to be kept.

    rendezvous: where children hand over the links to their checkpoints.
    find_recent: returns the project's files, those first that were changed last.
    adopt: takes over a process that goes on from a checkpoint.
    is_worth_it: tells whether to go on from one from which a load takes so many seconds.
    discard: has one ended that is not needed.
    """

    def __init__(
        self,
        rendezvous: socket.socket,
        most: int,
        find_recent: Callable[[], Awaitable[list[str]]],
        adopt: Callable[[Process], object],
        is_worth_it: Callable[[float], bool],
        discard: Callable[[Process], object],
    ) -> None:
        self._rendezvous = rendezvous
        self._most = most
        self._find_recent = find_recent
        self._adopt = adopt
        self._is_worth_it = is_worth_it
        self._discard = discard
        self._prefork = Prefork(adopt, discard)
        self._recent: list[str] = []
        self._all: dict[Checkpoint, None] = {}
        self._leaving: set[Checkpoint] = set()
        self._next: asyncio.Task[Process | None] | None = None
        self._used: Checkpoint | None = None
        self._drops_arrivals = False
        self._last_edited: frozenset[str] = frozenset()
        self._asked: tuple[Mapping[str, Any], bool] | None = None
        self._refreshed: dict[str, None] = {}

    async def open(self) -> None:
        """Begin to take checkpoints in; look for the files that were changed last."""
        if self._most:
            self._rendezvous.setblocking(False)
            asyncio.get_running_loop().add_reader(self._rendezvous.fileno(), self._take_in)
            self._recent += await self._find_recent()

    def asked(self, go: Go) -> Go:
        """Return what a child is told, with what it is to take. For the same changes, the same.

        While the same file is edited again and again, none at the end of the load: to fork takes
        some milliseconds, and the answer waits for them.
        """
        if not self._most:
            return go
        self._take_in()  # what the child before has left behind
        self._drops_arrivals = False
        places = tuple(self._recent[: self._most - 1])
        taken = self._used.taken if self._used else None
        edited = frozenset(go.changed)
        if self._asked is None or self._asked[0] is not go.changed:
            self._asked = go.changed, bool(edited) and edited == self._last_edited
            self._last_edited = edited
        _, is_again = self._asked
        at_end = not is_again and (taken is None or taken.place not in edited)
        refreshed = tuple(self._refreshed)
        return go.replaced(checkpoints=places, checkpoint_at_end=at_end, refreshed=refreshed)

    def pids(self) -> set[int]:
        """Return the process IDs, also of the processes that go on from them."""
        return set().union(*(checkpoint.pids() for checkpoint in self._all))

    @property
    def is_resuming(self) -> bool:
        """Whether a process goes on from one, and waits to be taken."""
        return self._next is not None

    def on_change(self, changed: Mapping[str, Any]) -> None:
        """Drop what is not valid any more, and have a process go on from the deepest that is.

        changed: the files; none if a reload was asked for, which is to start from nothing.
        """
        if not changed:
            self.forget()
        edited = [path for path in changed if path.endswith(".py")]
        self._recent = [*edited, *(path for path in self._recent if path not in edited)]
        for checkpoint in list(self._all):
            if any(map(checkpoint.holds, changed)):
                checkpoint.kill()
        found = self._candidates()
        if self._next is None and found and self._is_worth_it(found[0].left or 0.0):
            self._next = asyncio.create_task(self._resume(), name="asyncreload checkpoint")

    def prepare(self) -> None:
        """Have a process stand by that goes on from the checkpoint which is likely to be used next.

        That is the deepest which is valid when the file changes that was changed last.
        """
        if self._next is not None or not self._recent:
            return
        likely = self._recent[0]
        found = [one for one in self._candidates() if not one.holds(likely)]
        if found and self._is_worth_it(found[0].left or 0.0):
            self._prefork.prepare(found[0])

    def has_loaded(self, seconds: float) -> None:
        """Note that a child has loaded the app, and how long that took."""
        for checkpoint in self._all:
            checkpoint.note_load(seconds)
        if self._used is not None:
            self._used.left = seconds

    def has_refreshed(self, files: Iterable[str]) -> None:
        """Note files that have changed and needed no reload: a checkpoint may have used them.

        Not modules, of which it knows: one that holds an old one is not valid.
        """
        self._refreshed |= dict.fromkeys(path for path in files if not path.endswith(".py"))

    def forget(self) -> None:
        """Drop all, and those that come until the next load, which starts from nothing."""
        self._drops_arrivals = True
        self._refreshed.clear()
        for checkpoint in list(self._all):
            checkpoint.kill()

    async def take(self, go: Go) -> Process | None:
        """Return a process that goes on from a checkpoint; None if there is none for this load."""
        if self._next is None and go.changed and not go.crash:
            self.on_change(go.changed)
        if self._next is None:
            self._used = None
            return None
        child = await self._next  # if this is cancelled, so is that, and `end` waits for it
        self._next = None
        is_wanted = go.changed and not go.crash
        is_well = child is not None and not (child.has_ended() or child.is_stopped())
        if child is not None and is_wanted and is_well:
            return child
        self._used = None
        if child is not None:
            self._discard(child)
        return None

    def was_refused(self, reason: str) -> None:
        """Note that the checkpoint which was used last is not valid."""
        if self._used is not None:
            log.debug("checkpoint not used: %s", reason)
            self._used.kill()

    async def tell_memory(self) -> None:
        """Tell who wants to know all what each of them costs."""
        if not log.isEnabledFor(logging.DEBUG):
            return
        for one in list(self._all):
            size = await _own_memory(one.pid)
            if size is not None:
                log.debug("checkpoint: process %d costs %.1f MB", one.pid, size / 1e6)

    async def end(self) -> None:
        """End all of them."""
        if not self._most:
            return
        asyncio.get_running_loop().remove_reader(self._rendezvous.fileno())
        task, self._next = self._next, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self.forget()
        await self._prefork.end()
        while self._leaving:
            await self._leaving.pop().wait()

    # --- how they come and go ------------------------------------------------------------------

    def _take_in(self) -> None:
        """Take in all that have arrived."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._rendezvous, _MOST_BYTES, 1)
            except OSError:
                return
            for descriptor in descriptors:
                connection = socket.socket(fileno=descriptor)
                connection.set_inheritable(False)
                checkpoint = Checkpoint(int(data), connection, self._on_checkpoint)
                self._all[checkpoint] = None
                if self._drops_arrivals:
                    checkpoint.kill()

    def _on_end(self, checkpoint: Checkpoint) -> None:
        self._prefork.drop(checkpoint)  # nobody would tell its exit code
        self._all.pop(checkpoint, None)
        self._leaving = {one for one in self._leaving if not one.is_gone()} | {checkpoint}

    def _on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """One has said what it is, or has ended."""
        if checkpoint.has_ended:
            self._on_end(checkpoint)
            return
        if checkpoint.taken is None:
            return
        place = checkpoint.taken.place
        log.debug("checkpoint: process %d, taken at %s", checkpoint.pid, place)
        for other in list(self._all):
            if other is not checkpoint and other.taken and other.taken.place == place:
                other.kill()
        while len(self._all) > self._most:
            min(self._all, key=self._usefulness).kill()

    def _usefulness(self, checkpoint: Checkpoint) -> tuple[bool, float, int, int]:
        """Return how useful one is, to compare; of two alike, the deeper one ages sooner."""
        if checkpoint.taken is None or checkpoint.taken.place not in self._recent:
            rank = float("inf")  # the end of the load, or behind a module that is kept
        else:
            rank = -self._recent.index(checkpoint.taken.place)
        modules, read = checkpoint.depth()
        return checkpoint.is_in_use(), rank, -modules, -read

    def _candidates(self) -> list[Checkpoint]:
        found = [one for one in self._all if one.taken is not None and not one.has_ended]
        return sorted(found, key=Checkpoint.depth, reverse=True)

    async def _resume(self) -> Process | None:
        while found := self._candidates():
            self._used = best = found[0]
            try:
                async with asyncio.timeout(RESUMED_WITHIN):
                    child = await self._prefork.take(best) or await best.resume()
            except (TimeoutError, OSError):
                child = None
            if child is not None:
                self._adopt(child)
                return child
            log.debug("checkpoint: process %d does not answer; it is given up", best.pid)
            best.kill()
        return None
