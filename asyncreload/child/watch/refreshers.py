"""Those who use files that need no reload when they change, such as a cache of templates."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from asyncreload.child.worker_threads import hop

Refresh = Callable[[str], bool]
"""Called with the path of a file that has changed; returns whether that is seen to."""

PATIENCE = 5.0
"""Seconds until the app is reloaded instead."""


class Refreshers:
    """Tells them of changes, and us whether a reload is needed after all."""

    def __init__(self) -> None:
        self._refreshers: list[Refresh] = []

    def add(self, refresh: Refresh) -> None:
        """Have somebody told of changes from now on. Called by the main thread, in the load."""
        self._refreshers.append(refresh)

    async def unhandled(self, paths: list[str], notice: Callable[[str], None]) -> list[str]:
        """Tell of changed files; return those that nobody has seen to.

        notice: is given the traceback if that fails; then all files are returned.
        """
        try:
            return await asyncio.wait_for(hop(self._tell, paths), PATIENCE)
        except TimeoutError:
            notice(f"the refresh took more than {PATIENCE:g} s: reloading")
        except Exception:  # noqa: BLE001  it is the code of a framework, or of the app
            notice(f"the refresh failed, reloading:\n{traceback.format_exc()}")
        return paths

    def _tell(self, paths: list[str]) -> list[str]:
        seen_to = {path for refresh in self._refreshers for path in paths if refresh(path)}
        return [path for path in paths if path not in seen_to]
