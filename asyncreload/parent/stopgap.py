"""Answers while there is no process that could, as the directory of the project is gone, say."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack, suppress
from typing import Final

from asyncreload.lobby import Lobby
from asyncreload.sockets import set_low_water_mark

ACCEPTS_AT_ONCE: Final = 16
HEAD_WITHIN: Final = 5.0
"""Seconds that a client gets to send its request."""
MAX_HEAD: Final = 65_536
"""Bytes of a request that are read at most, at a time and in all."""
_COMES_BACK: Final = 2
"""Seconds until a browser asks again."""


class Stopgap:
    """Answers each request by 503 and the reason, from `open` to `close`.

    Anybody may ask, so the reason names no path.

    descriptors: the numbers of the listening socket, and of both ends of the lobby.
    """

    def __init__(self, *descriptors: int) -> None:
        self._descriptors = descriptors
        self._open: ExitStack | None = None
        self._response = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, reason: str) -> None:
        """Answer from now on. Does nothing if it does already, or no descriptor is left for it."""
        if self._open is not None:
            return
        self._response = _response(f"No process can be started for the app: {reason}.")
        loop = asyncio.get_running_loop()
        with suppress(OSError), ExitStack() as stack:
            numbers = self._descriptors
            listener, entrance, exit_ = [stack.enter_context(_own(number)) for number in numbers]
            lobby = Lobby(entrance, exit_)
            stack.callback(lobby.close_delegated)
            loop.add_reader(listener, self._on_listener, listener)
            stack.callback(loop.remove_reader, listener)
            loop.add_reader(exit_, self._on_lobby, lobby)
            stack.callback(loop.remove_reader, exit_)
            self._open = stack.pop_all()

    def close(self) -> None:
        """Leave the next requests to a process."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _on_listener(self, listener: socket.socket) -> None:
        with suppress(OSError):  # there is none more, or no descriptor for it
            for _ in range(ACCEPTS_AT_ONCE):
                self._begin(listener.accept()[0])

    def _on_lobby(self, lobby: Lobby) -> None:
        for connection in lobby.take():
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        task = asyncio.create_task(self._answer(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, TimeoutError):
            connection.setblocking(False)
            set_low_water_mark(connection, 1)  # the last child has raised it for half a head
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


def _own(number: int) -> socket.socket:
    own = socket.socket(fileno=os.dup(number))
    own.setblocking(False)
    return own


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
