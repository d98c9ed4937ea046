"""The child's end of the control channel."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from asyncreload.protocol import Lines, Message

_CHUNK = 65536


class Channel:
    """Reads messages in the side thread's loop; sends them from any thread."""

    def __init__(self, connection: socket.socket, parent: int) -> None:
        connection.setblocking(False)
        self.parent: int = parent
        """The process ID of whoever is at the other end."""
        self._connection = connection
        self._sending = threading.Lock()
        self._lines = Lines()

    def listen(
        self,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Message], None],
        on_end: Callable[[], None],
    ) -> None:
        """Call back for each message, and once when the parent is gone."""

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

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._connection.fileno()

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
                    poll = select.poll()
                    poll.register(self._connection, select.POLLOUT)
                    poll.poll()
