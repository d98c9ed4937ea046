"""Ends a load that begins to serve by itself: by an `app.run()` that nothing guards.

Or that of a script, in the place of one that is ours. It would serve there, at another port, and
the load would never end. The audit events of what any server has to do tell of it at once: to make
a socket, be it for an event loop that has run nothing yet, or to start a process that does.
"""

from __future__ import annotations

import linecache
import os
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from asyncreload import audit
from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.errors import TargetError

_EVENTS = ("socket.__new__", "socket.bind", "subprocess.Popen")
SERVERS = frozenset(
    {
        ("aiohttp.web", "run_app"),
        ("bottle", "run"),
        ("uvicorn.main", "run"),
        ("waitress", "serve"),
        ("werkzeug.serving", "run_simple"),
    }
)
"""Functions that serve until the process ends: their modules and names."""


GUARD = 'put it under `if __name__ == "__main__":`'
"""What helps in a module that is imported."""
NAME_OURS = "call asyncreload.run(app) in its place"
"""What helps in a script."""
_OUR_SERVER = "asyncreload.bottle:Server"
_FOR_BOTTLE = f', or name our server to Bottle, by server="{_OUR_SERVER}"'
"""And with Bottle."""


class UnguardedServerError(TargetError):
    """The load begins to serve by itself, and so would not end."""


def refuse_unguarded_servers(is_loading: Callable[[], bool], remedy: str = GUARD) -> None:
    """Have the load raise `UnguardedServerError` when it begins to serve by itself.

    Nobody stops to listen to audit events, so this asks for the time that is meant.
    """

    def hear(_event: str, _arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        # Not by `current_thread`: the app would see a thread of ours that makes a socket.
        if is_loading() and threading.get_ident() == main:
            _refuse(frame, remedy)

    main = threading.get_ident()
    audit.listen(hear, *_EVENTS)


def _is_ours(server: object) -> bool:
    """Tell whether `bottle.run` was given our server: by its name, its class, or an instance."""
    kind = server if isinstance(server, type) else type(server)
    return server == _OUR_SERVER or kind.__module__ == _OUR_SERVER.partition(":")[0]


def _refuse(frame: FrameType | None, remedy: str) -> None:
    """Raise for a line of the project's that calls one of the servers; `frame` is deeper in it."""
    server = ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if (module, frame.f_code.co_name) in SERVERS:
            if _is_ours(frame.f_locals.get("server")):
                return  # what else is done there is its own business
            server = module
        path = os.path.abspath(frame.f_code.co_filename)
        if server and module != server and kind_of(path) is FileKind.PROJECT:
            line = linecache.getline(path, frame.f_lineno).strip()
            where = f'"{line}" at {path}:{frame.f_lineno}'
            more = _FOR_BOTTLE if remedy is NAME_OURS and server == "bottle" else ""
            raise UnguardedServerError(
                f"{where} would serve, and the load never end: {remedy}{more}."
            )
        frame = frame.f_back
