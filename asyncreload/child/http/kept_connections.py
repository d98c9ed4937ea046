"""The connections that are kept open for another request."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncreload.child.http.asgi_connection import AsgiConnection


class KeptConnections:
    """Connections that wait for their next request. Each leaves once, to whoever claims it first.

    The app's loop does when a connection has something to read, the side thread at the end: while
    the app blocks its loop, that would be too late. All methods may be called in any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: set[AsgiConnection] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, connection: AsgiConnection) -> bool:
        """Keep a connection; return False when none is kept any more."""
        with self._lock:
            if not self._is_closed:
                self._waiting.add(connection)
            return not self._is_closed

    def claim(self, connection: AsgiConnection) -> bool:
        """Tell whether a connection is the caller's now; else somebody else's."""
        with self._lock:
            is_ours = connection in self._waiting
            self._waiting.discard(connection)
            return is_ours

    def close(self) -> list[AsgiConnection]:
        """Keep none any more; return those that have waited: they are the caller's."""
        with self._lock:
            self._is_closed = True
            claimed = list(self._waiting)
            self._waiting.clear()
            return claimed
