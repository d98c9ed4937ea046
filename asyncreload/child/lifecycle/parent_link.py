"""The link to the parent: messages both ways, and whether it still lives.

A child must not outlive its supervisor. It learns of that one's end in four ways, whichever comes
first: the end of the control channel, the parent's descriptor (pidfd), another parent by number,
and the deletion of the lockfile.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from select import POLLOUT, poll

from asyncreload import descendants, lockfile
from asyncreload.liveness import LivenessCounter
from asyncreload.protocol import Lines, Message, Notice
from asyncreload.running_requests import RunningRequests
from asyncreload.system_calls import has_input, open_process

_CHUNK = 65536


class ParentLink:
    """Reads messages in the side thread's loop; sends them from any thread, under a lock.

    connection: the child's end of the control channel.
    parent: the process ID of whoever is at the other end.
    lock: the path of the lockfile.
    is_own_parent: whether that is the parent of this process. That of a process which goes on from
        a checkpoint is the checkpoint, whose end means nothing.
    """

    def __init__(
        self,
        connection: socket.socket,
        parent: int,
        lock: str,
        liveness: LivenessCounter,
        requests: RunningRequests,
        *,
        is_own_parent: bool = True,
    ) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._parent = parent
        self.lock: str = lock
        """The path of the lockfile."""
        self._liveness = liveness
        self._requests = requests
        self._sending = threading.Lock()
        self._lines = Lines()
        self._is_suspicious = False
        self.is_own_parent: bool = is_own_parent
        """Whether the supervisor is the parent of this process."""
        self._parents_end: int | None = None

    def fileno(self) -> int:
        """Return the descriptor of the control channel."""
        return self._connection.fileno()

    def close(self) -> None:
        """Let go of what is open, in a fork of this process."""
        self._connection.close()
        if self._parents_end is not None:
            with suppress(OSError):
                os.close(self._parents_end)

    # --- messages ------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send a message; does nothing when the parent is gone."""
        data = memoryview(message.encode())
        # Only a parent that is stopped lets its buffer fill up: then there is nothing to do but
        # wait, as for everything else that it would have to do.
        with self._sending, suppress(OSError):
            while data:
                try:
                    data = data[self._connection.send(data) :]
                except BlockingIOError:
                    polled = poll()
                    polled.register(self._connection, POLLOUT)
                    polled.poll()

    def notice(self, text: str, *, once: bool = False) -> None:
        """Have the user told something; `once`, that later children are not to say the same."""
        self.send(Notice(text, once))

    def listen(self, on_message: Callable[[Message], None], on_end: Callable[[], None]) -> None:
        """Call back in the running loop for each message, and when the parent is gone."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            try:
                data = self._connection.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                loop.remove_reader(self._connection)
                on_end()
                return
            for message in self._lines.feed(data):
                on_message(message)

        loop.add_reader(self._connection, readable)

    # --- the parent's end ----------------------------------------------------------------------

    def hear_end(self, on_end: Callable[[], None]) -> bool:
        """Have the system tell when the parent has ended; return whether it will.

        Unlike the end of the channel, this is also heard when somebody else holds the other end.
        """
        loop = asyncio.get_running_loop()
        self._parents_end = descriptor = open_process(self._parent)
        if descriptor is None:
            return False

        def readable() -> None:
            loop.remove_reader(descriptor)
            on_end()

        loop.add_reader(descriptor, readable)
        return True

    def beat(self) -> None:
        """Show the parent that this process is alive."""
        self._liveness.beat()

    def noted(self, request: str) -> AbstractContextManager[None]:
        """While the context is open, have the parent find that this is answered, should we crash.

        request: as in "GET /cart".
        """
        return self._requests.noted(request)

    def unanswered(self) -> tuple[str, ...]:
        """Return what is being answered now, and have the parent find none of it any more."""
        return self._requests.left_by(os.getpid())

    def check(self, interval: float) -> lockfile.Verdict:
        """Return `GONE` when the parent has ended, or is to end: its lockfile was deleted.

        A lockfile that was not touched lately is a suspicion, and told once: a suspended laptop,
        or a host whose loop is blocked, is not dead.
        interval: seconds between two touches, at least.
        """
        if self.has_lost_parent():
            lockfile.remove(self.lock)
            return lockfile.Verdict.GONE
        verdict = lockfile.judge(self.lock, interval, time.time())
        if verdict is lockfile.Verdict.STALE and not self._is_suspicious:
            self.notice(f"the lockfile {self.lock} was not touched lately; going on")
        self._is_suspicious = verdict is lockfile.Verdict.STALE
        return verdict

    def descriptors(self) -> list[int]:
        """Return what this object holds open."""
        held = (self._connection.fileno(), self._parents_end)
        return [descriptor for descriptor in held if descriptor is not None and descriptor >= 0]

    def has_lost_parent(self) -> bool:
        """Tell whether the supervisor has ended."""
        if self.is_own_parent:
            return os.getppid() != self._parent
        if self._parents_end is None:
            return descendants.has_ended(self._parent)
        return has_input(self._parents_end)

    def remove_lockfile(self) -> None:
        """Delete the lockfile, as the parent cannot any more."""
        lockfile.remove(self.lock)
