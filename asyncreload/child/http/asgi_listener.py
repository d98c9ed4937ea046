"""Takes requests in the loop of an ASGI app, where nothing stands in their way."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from asyncreload.sockets import (
    ACCEPTS_AGAIN,
    ACCEPTS_AT_ONCE,
    OUT_OF_RESOURCES,
    accept,
)

if TYPE_CHECKING:
    from asyncreload.child.http.asgi_responder import AsgiResponder


class AsgiListener:
    """Accepts connections in the app's loop, for as long as the loaded code may answer.

    The way of a request through the side thread (`Acceptor`) costs two wake-ups of threads that
    share the GIL: more than many an answer. So `AsgiResponder` looks at each request in one
    callback, and passes to the acceptor whatever is not simple. While the app blocks its loop,
    connections wait in the kernel.

    Made and closed in the side thread; the rest is run in the app's loop. A lock keeps connections
    from being accepted once it is closed: nobody would take care of them.
    """

    def __init__(self, listener: socket.socket, responder: AsgiResponder) -> None:
        self._listener = listener
        self._responder = responder
        self._lock = Lock()
        self._is_closed = False
        self._loop = responder.app_loop
        self._loop.call_soon_threadsafe(self._begin)

    def close(self) -> None:
        """Accept no more."""
        with self._lock:
            self._is_closed = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._loop.remove_reader, self._listener.fileno())

    # --- in the app's loop ---------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener.fileno(), self._on_connections)

    def _on_connections(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if self._responder.free <= 0:
                self._pause()
                return
            if not self._take_one():
                return

    def _take_one(self) -> bool:
        """Accept a connection, and have its request answered; return False if there is none."""
        with self._lock:
            if self._is_closed:
                return False
            try:
                connection, client = accept(self._listener)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as exc:
                if exc.errno in OUT_OF_RESOURCES:
                    self._pause()
                    return False
                return True  # the client gave up before its connection was accepted
            self._responder.expect()  # so that whoever closes this waits for it
        # Without the lock: here code of the app may run, with tasks that begin at once.
        self._responder.take(connection, client)
        return True

    def _pause(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(ACCEPTS_AGAIN, self._begin)
