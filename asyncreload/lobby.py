"""Where connections wait while one child ends and the next one loads."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from asyncreload.sockets import from_descriptor

_MAX_DESCRIPTORS = 32  # in a message; few, so that the taker answers requests in between
_CONNECTIONS, _TO_CLOSE = b"c", b"x"  # what the descriptors of a message are


class Lobby:
    """Hands connections to the next child, through a socket pair that every child inherits.

    What one child puts in, the next one takes out, also when the first has been killed meanwhile.
    All methods but `close_delegated` return at once. A message is sent and received by one system
    call each: so methods may be called in any thread.
    """

    def __init__(self, entrance: socket.socket, exit_: socket.socket) -> None:
        self.entrance = entrance
        self.exit = exit_
        """Readable when there is something to take."""
        entrance.setblocking(False)
        exit_.setblocking(False)
        self._to_close: deque[int] = deque()

    def put(self, connections: list[socket.socket]) -> None:
        """Leave connections to the next child; the caller still has to close its own ends.

        Those for which the socket pair has no room are dropped, and so closed by the caller.
        """
        for start in range(0, len(connections), _MAX_DESCRIPTORS):
            batch = connections[start : start + _MAX_DESCRIPTORS]
            self._send(_CONNECTIONS, [connection.fileno() for connection in batch])

    def delegate_close(self, descriptors: Iterable[int]) -> None:
        """Have the next child close descriptors of this process, and what was delegated to it.

        Closing an inotify queue takes the kernel some 10 ms, as does the end of the process that is
        the last one to hold it. The next child does it once nobody has to wait for that.
        """
        if descriptors := [*descriptors, *self._to_close]:
            self._send(_TO_CLOSE, descriptors)

    def close_delegated(self) -> None:
        """Close what the last process has delegated to this one. It takes its time."""
        while self._to_close:
            os.close(self._to_close.popleft())

    def take(self) -> list[socket.socket]:
        """Return some of the connections that wait, at most 32; none when there are none."""
        try:
            kind, descriptors, _, _ = socket.recv_fds(self.exit, 1, _MAX_DESCRIPTORS)
        except OSError:
            return []
        if kind == _TO_CLOSE:
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)  # a program that the app starts has no need
            self._to_close += descriptors
            return []
        return [from_descriptor(descriptor) for descriptor in descriptors]

    def _send(self, kind: bytes, descriptors: list[int]) -> None:
        with suppress(OSError):  # it is full, or no process has the other end any more
            socket.send_fds(self.entrance, [kind], descriptors)
