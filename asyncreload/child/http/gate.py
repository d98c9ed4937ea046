"""What a request must pass before it is answered: a check that the loaded code is up to date."""

from __future__ import annotations

from typing import Protocol


class Gate(Protocol):
    """Tells the acceptor whether the code that is loaded may answer. Used in the loop's thread.

    In a child that is `ChangeMonitor`.
    """

    def check(self) -> list[str]:
        """Return the files that may have changed since they were loaded.

        Called before requests are taken, so it must be quick: a stat for each file, or less; none
        is read.
        """

    def is_surely_fresh(self) -> bool:
        """Tell whether `check` would return no file. Only this may be called in any thread."""

    async def stale(self, suspects: list[str]) -> bool:
        """Tell whether any of the files that `check` returned has changed indeed.

        If so, this also starts what follows, such as a reload. The acceptor leaves the requests
        where they are: for the next child, or until `Acceptor.resume`.
        """


class OpenGate:
    """The gate of a server that does not reload: its code is never stale."""

    def check(self) -> list[str]:
        """Return no file."""
        return []

    def is_surely_fresh(self) -> bool:
        """Tell that it is."""
        return True

    async def stale(self, suspects: list[str]) -> bool:
        """Tell that nothing has changed."""
        del suspects
        return False
