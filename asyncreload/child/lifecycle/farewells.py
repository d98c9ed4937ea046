"""Tells the next process that this one has left, without the way through the supervisor.

The supervisor tells a process ahead what it is to load, and after whom (`Go.after`). That process
begins when it hears the farewell here, or when the supervisor, which hears `Left`, says `Go` again:
whichever comes first.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_MAX_BYTES = 32


class Farewells:
    """A pair of datagram sockets that all children of a supervisor share.

    Each message is the number of a process that holds nothing any more and runs no code. One that
    nobody has waited for is dropped by who listens next. Methods may be called by any thread.
    """

    def __init__(self, entrance: socket.socket, exit_: socket.socket) -> None:
        self._entrance = entrance
        self._exit = exit_
        entrance.setblocking(False)
        exit_.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is something to hear."""
        return self._exit.fileno()

    def own(self) -> tuple[int, bytes]:
        """Return where this process has to write its farewell, and what."""
        return self._entrance.fileno(), b"%d" % os.getpid()

    def is_heard(self, pid: int) -> bool:
        """Tell whether that process has said farewell; forget what others have said."""
        with suppress(OSError):  # there is nothing more
            while True:
                if self._exit.recv(_MAX_BYTES) == b"%d" % pid:
                    return True
        return False

    def descriptors(self) -> tuple[int, int]:
        """Return both ends."""
        return self._entrance.fileno(), self._exit.fileno()

    def close(self) -> None:
        """Let go of it, in a process that the app has forked."""
        self._entrance.close()
        self._exit.close()
