"""The response as a file to write to."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Self

from asyncreload.child.http.client_io import WhileWaiting, send
from asyncreload.sockets import RESET_ON_CLOSE

if TYPE_CHECKING:
    from types import TracebackType


class ResponseWriter:
    """Collects what is written to a client, and sends it in one system call when it is flushed.

    It is also the context in which work on the connection is done: it notes in `client_is_gone`
    that such work raised OSError. So a client that went away can be told from an app whose own
    connections break, such as those to its database.

    It is used by one thread at a time: the one that answers the request, or one in which the app
    reads the body while that one waits for it. An app that writes and reads in two threads at once
    has to see to their order itself, as with any file. `cut_off` alone may be called by another
    thread at any time; the lock is for that.
    """

    def __init__(self, connection: socket.socket, while_waiting: WhileWaiting) -> None:
        self._connection = connection
        self._while_waiting = while_waiting
        self._unsent: list[bytes] = []
        self.client_is_gone: bool = False
        self.has_sent: bool = False
        """Whether some of the response was sent, and cannot be taken back."""
        self.request: str = ""
        """What is answered, as in "GET /cart", once that is known."""
        self.limit: int | None = None
        """How many more bytes are sent; the rest of what is written is dropped. None: all are."""
        self.expects_continue: bool = False
        """Whether the client waits for `100 Continue` before it sends the request body."""
        self._lock = Lock()
        self._is_finished = False
        self._is_cut_off = False
        self.was_reset: bool = False
        """Whether the connection was closed by `reset`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            self.client_is_gone = True

    def write(self, data: bytes) -> int:
        """Keep data until it is flushed; return its size in bytes."""
        size = len(data)
        if self.limit is not None:
            data = data[: self.limit]
            self.limit -= len(data)
        if data:
            self._unsent.append(data)
        return size

    def flush(self) -> None:
        """Send what was written. Raises OSError when the connection breaks."""
        if self._unsent:
            data = b"".join(self._unsent)  # a single block is not copied
            self._unsent.clear()
            with self:
                self._begin_to_send()
                send(self._connection, data, self._while_waiting)

    def _begin_to_send(self) -> None:
        with self._lock:
            if self._is_cut_off:
                raise BrokenPipeError(errno.EPIPE, "the process ends: the response was cut off")
            self.has_sent = True

    def finish(self) -> None:
        """Send what was written, and tell the client that the response is complete.

        Raises OSError when the connection breaks.
        """
        try:
            self.flush()
        finally:
            if self._claim_end():
                with suppress(OSError):
                    # Not a close alone: a process that the app forked may hold the connection open.
                    self._connection.shutdown(socket.SHUT_WR)

    def cut_off(self, instead: bytes) -> bool:
        """Give the response up, as the process is about to end. Called in another thread.

        The client gets another response if it has got nothing yet; return whether it does. If only
        the end of the connection tells it that the response is complete, that will be a reset.

        instead: the other response.
        """
        with self._lock:
            is_delimited = self.limit is not None
            if self._is_finished or (self.has_sent and is_delimited):
                return False
            self._is_finished = self._is_cut_off = True
        with suppress(OSError):
            if not self.has_sent:
                self._connection.send(instead, socket.MSG_DONTWAIT)
                self._connection.shutdown(socket.SHUT_WR)
            else:
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        return not self.has_sent

    def _claim_end(self) -> bool:
        """Tell whether the response is to be ended: it is, once."""
        with self._lock:
            before, self._is_finished = self._is_finished, True
        return not before

    def copy_socket(self) -> socket.socket:
        """Return the connection for the app's own use; it may close that copy as it likes.

        Raises OSError when no descriptor is left.
        """
        copy = self._connection.dup()
        copy.setblocking(True)
        return copy

    def discard(self) -> None:
        """Forget what was written and not sent."""
        self._unsent.clear()
        self.limit = None

    def reset(self) -> None:
        """Close the connection by a reset: its client sees that the response is not complete.

        For a response whose end is that of the connection: a plain close would complete it. A
        process that the app has forked and that holds the connection delays the reset.
        """
        self.discard()
        self.was_reset = self._is_finished = True
        with suppress(OSError):
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._connection.close()

    def send_continue(self) -> None:
        """Send `100 Continue` if the client waits for it, unless the response has begun.

        Raises OSError when the connection breaks.
        """
        if self.expects_continue and not self.has_sent:
            self.expects_continue = False
            with self:
                send(self._connection, b"HTTP/1.1 100 Continue\r\n\r\n", self._while_waiting)
