"""An open page's part in the event stream, without a browser."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.live.driving import Served


class ListeningPage:
    """Listens as the script in an open page does: `changed` is what that is told."""

    def __init__(self, served: Served) -> None:
        self._connection = HTTPConnection("127.0.0.1", served.port, timeout=10)
        self._connection.request("GET", "/.asyncreload/events")
        self._stream = self._connection.getresponse()
        assert b"retry" in self._stream.readline()
        (self._state,) = self._next()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def changed(self) -> list[str]:
        """Wait until something has changed that needs no reload.

        Returns the names of the style sheets; none if the page is to load itself again.
        """
        before = self._state
        self._state, after, *names = self._next()
        assert after == before
        assert self._state != before
        return names

    def _next(self) -> list[str]:
        while not (line := self._stream.readline().decode()).startswith("data: "):
            assert line, "the stream has ended"
        return line.split()[1:]
