"""Those who see to changed files themselves, such as a cache of templates: no reload is needed."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from asyncreload.child.helper_thread import hop

Refresh = Callable[[str], bool]
"""Called with the path of a file that has changed; returns whether that is seen to."""
Wants = Callable[[str], bool]
"""Tells whether somebody may see to a file's changes."""

PATIENCE = 5.0
"""Seconds until the app is reloaded instead."""


class Refreshers:
    """Tells them of changes, and us whether a reload is needed after all."""

    def __init__(self) -> None:
        self._refreshers: list[tuple[Refresh, Wants]] = []

    def add(self, refresh: Refresh, wants: Wants) -> None:
        """Have somebody told of changes from now on. Called by the main thread, in the load.

        refresh: is told of all changed files if somebody may see to each of them.
        """
        self._refreshers.append((refresh, wants))

    def want(self, path: str) -> bool:
        """Tell whether anybody may see to a file's changes."""
        return any(wants(path) for _, wants in self._refreshers)

    async def handle(self, paths: list[str], notice: Callable[[str], None]) -> bool:
        """Tell of changed files, in this order; return whether all of them are seen to.

        notice: is given the traceback if that fails; then they are not.
        """
        try:
            return await asyncio.wait_for(hop(self.tell, paths), PATIENCE)
        except TimeoutError:
            notice(f"the refresh took more than {PATIENCE:g} s: reloading")
        except Exception:  # noqa: BLE001  it is the code of a framework, or of the app
            notice(f"the refresh failed, reloading:\n{traceback.format_exc()}")
        return False

    def tell(self, paths: list[str]) -> bool:
        """Do the same here and at once; raise what is raised."""
        # Up to the first that leads to a reload, which renews all.
        return all(map(self._is_seen_to, paths))

    def _is_seen_to(self, path: str) -> bool:
        try:
            results = [refresh(path) for refresh, _ in self._refreshers]  # everybody is told
        except SystemExit:
            return False  # who ends the process wants a reload: Django's `trigger_reload` does so
        return any(results)
