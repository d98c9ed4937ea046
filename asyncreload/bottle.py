"""The server for `bottle.run(app, server="asyncreload.bottle:Server")`, which reloads by itself.

With `reloader=True`, Bottle starts the program a second time before it asks for a server, and in
that process a thread of Bottle's looks at the files. That process becomes our supervisor, and in
our child that thread is put to rest. The first process stays and waits, with the code that it has
loaded: who leaves `reloader` away has none of it.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import bottle

from asyncreload.process_role import is_child, notice
from asyncreload.run_app import serve_script
from asyncreload.system_calls import end_at_parents_end

_RELOADER = (
    "reloader=True keeps one more process with your code in it: leave it out, "
    "asyncreload.bottle:Server reloads without it"
)

_BOTTLES = {"host": "127.0.0.1", "port": 8080}


class Server(bottle.ServerAdapter):  # type: ignore[misc]  # Bottle has no types
    """Options beside `host` and `port` are those of the command, such as `live=True`."""

    _asked: bool | None = None

    @property
    def quiet(self) -> bool:
        """Whether Bottle tells nothing of itself: the supervisor tells where it listens.

        False until `bottle.run` sets it to `server.quiet or quiet`: so we hear what it was given.
        """
        return self._asked is not None

    @quiet.setter
    def quiet(self, asked: bool) -> None:
        self._asked = asked

    def run(self, handler: Any) -> None:
        """Serve; with the files as they are now, whenever one is saved."""
        usual = {"host": self.host, "port": self.port}
        # Bottle does not tell what it was given: its own address may be one that nobody has named.
        given = {name: value for name, value in usual.items() if value != _BOTTLES[name]}
        given |= {"quiet": True} if self._asked else {}
        has_reloader = "BOTTLE_CHILD" in os.environ
        if has_reloader and is_child():
            notice(_RELOADER)
            _end_bottles_looks()
        elif has_reloader:
            end_at_parents_end()
        try:
            options = dict(self.options)
            reload = options.pop("reload", True)
            serve_script(handler, given | options, reload=reload, usual=usual)
        except KeyboardInterrupt as exc:
            if is_child():  # Bottle would go on behind `bottle.run`, in a process that is to end
                raise SystemExit(1) from exc  # the cause says that nothing has failed
            raise


def _end_bottles_looks() -> None:
    """Have Bottle's thread end, which would interrupt the main thread at a save, as ours does."""
    for thread in threading.enumerate():
        if isinstance(thread, bottle.FileCheckerThread):
            thread.status = "exit"
            # It sleeps for up to a second until it sees that. Nobody has to wait for it.
            vars(thread)["join"] = lambda timeout=None: None  # noqa: ARG005  as in `Thread`
