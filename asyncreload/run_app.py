"""`run`: serve an app at the end of a script."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from asyncreload import process_role
from asyncreload.cpython import run_exit_handlers
from asyncreload.errors import NestedError, SettingsError
from asyncreload.interpreter import boot_command, split_command
from asyncreload.settings import Settings

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def run(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    reload: bool = True,
    interval: float = 0.1,
    live: bool = False,
) -> None:
    """Serve `app` from the end of a script; with `reload`, afresh whenever a file is saved.

    A drop-in for `bottle.run(app, reloader=True)`. With `reload` this process becomes the
    supervisor: it runs its `atexit` handlers and replaces itself, and a child runs the script
    again, with the same arguments and interpreter options, up to this call. Nothing after this
    call is run. Without `reload` it serves right here until Ctrl-C, and returns.

    interval: seconds between two looks at the files while nothing is requested.
    live: with `reload`, whether open pages load themselves again when the new code answers.

    Raises `SettingsError` for an option that cannot work, and where there is no script to run
    again; `NestedError` in a process that `multiprocessing` started; `BindError` when the address
    cannot be listened on.
    """
    if (serve := process_role.server_of_child()) is not None:
        serve(app)
    settings = Settings(
        target="", host=host, port=port, interval=interval, live=live, access_log=True
    )
    if not reload:
        _serve_here(app, settings)
        return
    _refuse_workers()
    _, script = split_command(sys.orig_argv)
    if not script or script[0] in {"-c", "-"}:
        raise SettingsError(
            "run(reload=True) needs a script that can be run again: save the code in a file"
        )
    run_exit_handlers()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    options = {"host": host, "port": port, "interval": interval, "live": live, "script": script}
    command = boot_command("asyncreload.cli", "--settings", json.dumps(options))
    os.execv(command[0], command)  # noqa: S606  our own interpreter


def _refuse_workers() -> None:
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        raise NestedError(
            "run(reload=True) was called in a multiprocessing worker that imports the script: "
            'put the call under `if __name__ == "__main__":`'
        )


def _serve_here(app: WSGIApplication, settings: Settings) -> None:
    from asyncreload.child.http.plain_server import serve_plainly  # noqa: PLC0415  the supervisor needs none
    from asyncreload.listening import listen  # noqa: PLC0415  the same

    with listen(settings.host, settings.port) as listener:
        try:
            asyncio.run(serve_plainly(app, listener, settings))
        except KeyboardInterrupt:
            return
