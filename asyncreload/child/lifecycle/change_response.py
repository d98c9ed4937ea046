"""What this process does when its files have changed: it tells the parent, and begins to end.

The way of a save as a whole, from one process to the next, is told in watch/change_monitor.py.
"""

from __future__ import annotations

import linecache
import os
from typing import TYPE_CHECKING

from asyncreload import flask_environment
from asyncreload.child.debugger import is_at_prompt
from asyncreload.child.imports.pyc_cache import remove_cache
from asyncreload.child.watch.change_monitor import ChangeListener
from asyncreload.exit_codes import RELOAD
from asyncreload.phase import Phase
from asyncreload.protocol import FilesChanged, PackagesChanged, Refreshed

if TYPE_CHECKING:
    from asyncreload.child.http.front_end import FrontEnd
    from asyncreload.child.lifecycle.life import Life
    from asyncreload.child.lifecycle.load_outcome import LoadOutcome
    from asyncreload.child.lifecycle.load_state import LoadState
    from asyncreload.child.lifecycle.parent_link import ParentLink
    from asyncreload.child.lifecycle.shutdown import Shutdown

READ_BEFORE_REFRESH = 0.05
"""Seconds, at most, for requests in flight before the app's caches are emptied."""


class ChangeResponse(ChangeListener):
    """Does what the change monitor's findings call for. Lives in the side thread's loop."""

    def __init__(
        self,
        life: Life,
        link: ParentLink,
        state: LoadState,
        front_end: FrontEnd,
        outcome: LoadOutcome,
        shutdown: Shutdown,
    ) -> None:
        self._life = life
        self._link = link
        self._state = state
        self._front_end = front_end
        self._outcome = outcome
        self._shutdown = shutdown

    @property
    def phase(self) -> Phase:
        """The phase of this process."""
        return self._life.phase

    @property
    def has_listeners(self) -> bool:
        """Whether open pages wait to be told of a change."""
        return self._front_end.has_listeners

    @property
    def is_answering(self) -> bool:
        """Whether any request is being answered."""
        return self._front_end.busy > 0

    def is_debugging(self) -> bool:
        """Tell whether a debugger waits at its prompt."""
        return is_at_prompt()

    def notice(self, text: str, *, once: bool = False) -> None:
        """Have the user told something."""
        self._link.notice(text, once=once)

    def on_change(self, paths: list[str]) -> None:
        """Reload, because these files have changed."""
        for path in {*paths}.intersection(self._state.modules.ran_at_start):
            remove_cache(path)  # Python reads it before our hooks are there to check its age
        scanner, load = self._state.scanner, self._life.load
        env_files = load.env_files if load else []
        # What a standby has imported, it may have imported under other variables.
        packages = any(
            scanner.is_package(path)
            or path in env_files
            or os.path.basename(path) in flask_environment.NAMES
            for path in paths
        )
        for path in paths:
            # The tracebacks of this process show no text any more where the file has another one.
            linecache.cache[path] = (0, None, [], path)
        is_loading = self.phase is Phase.LOADING
        late = self._state.baselines.late(paths)
        self._link.send(FilesChanged(scanner.found(paths), is_loading, packages, late))
        self._shutdown.begin(RELOAD)

    def may_refresh(self, path: str) -> bool:
        """Tell whether somebody in the app may see to a file's changes."""
        return self._state.refreshers.want(path)

    async def refresh(self, paths: list[str]) -> bool:
        """Have the app use these files as they are now; return whether no reload is needed."""
        code = [path for path in paths if path.endswith(".py")]
        if len(code) != len(paths):
            # A request in flight may just have read a file, and keep that when caches are emptied.
            await self._front_end.answered(READ_BEFORE_REFRESH)
        # Code first, as it most likely needs a reload: then nobody has to be told of the rest.
        rest = [path for path in paths if path not in code]
        is_handled = await self._state.refreshers.handle([*code, *rest], self.notice)
        # Whatever is said of it, a module that was not loaded anew would answer with old code.
        return is_handled and not any(map(self._state.baselines.is_in_use, paths))

    def on_refreshed(self, paths: list[str]) -> None:
        """Tell the parent and the open pages."""
        self._front_end.refresh(paths)
        self._link.send(Refreshed(tuple(paths)))

    def on_change_taken_back(self) -> None:
        """Answer the requests that waited for a reload which is not needed any more."""
        self._front_end.resume()

    def on_packages_moved(self) -> None:
        """Have the standby replaced: it may have imported what is not installed any more."""
        self._link.send(PackagesChanged())

    async def after_look(self) -> None:
        """Tell the parent what has been learned meanwhile."""
        if (load := self._life.load) is None:
            return
        if self.phase is not Phase.DRAINING and self._state.baselines.has_learned():
            self._outcome.tell_files(load)
        await self._state.preload.tell(load.root)
