"""Answers while there is no process that could, as the directory of the project is gone, say."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Final

ACCEPTS_AT_ONCE: Final = 16
HEAD_WITHIN: Final = 5.0
"""Seconds that a client gets to send its request."""
MAX_HEAD: Final = 65_536
"""Bytes of a request that are read at most, at a time and in all."""
_COMES_BACK: Final = 2
"""Seconds until a browser asks again."""


class Stopgap:
    """Answers each new request by 503 and the reason, from `open` to `close`.

    What waits in the lobby goes on waiting. Anybody may ask, so the reason names no path.

    listener: the number of the listening socket.
    """

    def __init__(self, listener: int) -> None:
        self._number = listener
        self._listener: socket.socket | None = None
        self._response = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, reason: str) -> None:
        """Answer from now on. Does nothing if it does already, or no descriptor is left for it."""
        if self._listener is not None:
            return
        self._response = _response(f"No process can be started for the app: {reason}.")
        with suppress(OSError):
            self._listener = socket.socket(fileno=os.dup(self._number))
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Leave the next requests to a process."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if self._listener is None:
                return
            try:
                connection, _ = self._listener.accept()
            except OSError:  # there is none, or no descriptor for it
                return
            connection.setblocking(False)
            task = asyncio.create_task(self._answer(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, TimeoutError):
            async with asyncio.timeout(HEAD_WITHIN):
                await self._exchange(connection)

    async def _exchange(self, connection: socket.socket) -> None:
        loop, head = asyncio.get_running_loop(), b""
        while b"\r\n\r\n" not in head and len(head) < MAX_HEAD:
            more = await loop.sock_recv(connection, MAX_HEAD)
            if not more:
                return
            head += more
        await loop.sock_sendall(connection, self._response)
        connection.shutdown(socket.SHUT_WR)
        while await loop.sock_recv(connection, MAX_HEAD):  # else what is unread resets the answer
            pass


def _response(text: str) -> bytes:
    body = f"{text} The terminal says more; this is tried again and again.\n".encode()
    head = (
        "HTTP/1.0 503 Service Unavailable",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"Refresh: {_COMES_BACK}",
    )
    return "\r\n".join([*head, "", ""]).encode() + body
