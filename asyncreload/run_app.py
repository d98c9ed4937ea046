"""`run`: serve an app at the end of a script."""

from __future__ import annotations

import asyncio
import builtins
import json
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from asyncreload import IMPORTED_IN, process_role
from asyncreload.config import completed
from asyncreload.cpython import run_exit_handlers
from asyncreload.errors import AsyncreloadError, NestedError, SettingsError
from asyncreload.exit_codes import BAD_USAGE
from asyncreload.finalization import Finalization
from asyncreload.frozen_data import FrozenData
from asyncreload.interpreter import (
    boot_command,
    split_command,
    start_directory,
    start_environment,
)
from asyncreload.options import options_of
from asyncreload.printing import Voice, tell_mistake
from asyncreload.process_termination import end_descendants
from asyncreload.settings import CommonOptions, Settings
from asyncreload.style import clock, shown

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from asyncreload.child.imports.interface import AsgiCallable


_IN_A_LOOP = 'write `await asyncreload.supervise("app.py")`, as in a notebook'


class RunOptions(CommonOptions, total=False):
    """What `run` may be given by name, as type checkers want it; a test compares."""

    quiet: bool
    verbose: bool
    json: bool
    open: bool
    keys: bool


def run(
    app: WSGIApplication | AsgiCallable,
    host: str | None = None,
    port: int | None = None,
    *,
    reload: bool = True,
    reloader: bool | None = None,
    **options: Unpack[RunOptions],
) -> None:
    """Serve `app`, WSGI or ASGI, from the end of a script; with `reload`, afresh at each save.

    A drop-in for `bottle.run(app, reloader=True)`. With `reload` this process becomes the
    supervisor: it runs its `atexit` handlers and replaces itself, and a child runs the script
    again, up to this call: with the same arguments and interpreter options, in the directory and
    with the environment in which Python was started. Nothing after this call is run. Without
    `reload` it serves right here until Ctrl-C, and returns.

    What is not given, or None, is as `[tool.asyncreload]` of the nearest pyproject.toml says; else
    the host is 127.0.0.1, and the port 8000.

    reloader: what Bottle calls `reload`; counts if it is given.
    options: those of the command, by the names in pyproject.toml, such as `live=True`. Most mean
        something with `reload` only.

    Raises `SettingsError` for an option that there is not, or that cannot work, for what is no app,
    and where there is no script to run again, its directory is gone, or an event loop is running;
    `NestedError` in a process that
    `multiprocessing` started; `BindError` when the address cannot be listened on;
    `MissingExtraError` for an ASGI app without `reload` where uvicorn is not installed. A script
    that catches none of these ends with one line and the exit code 2.
    """
    named = {"host": host, "port": port, **options}
    given = {name: value for name, value in named.items() if value is not None}
    serve_script(app, given, reload=reload if reloader is None else reloader)


def serve_script(
    app: object, given: Mapping[str, Any], *, reload: bool, usual: Mapping[str, Any] | None = None
) -> None:
    """Serve an app from the end of a script, as `run` does.

    given: options of the command, by their names; they count more than pyproject.toml.
    usual: options that count less than that.
    """
    if (serve := process_role.server_of_child()) is not None:
        _check_app(app)
        check_in_child(given)
        serve(app)
    try:
        _check_app(app)
        if reload:
            become_supervisor(given, Door(usual=usual or {}))
        serve_here(app, given, usual or {})
    except AsyncreloadError as exc:
        is_program = hasattr(sys.modules["__main__"], "__file__") or sys.argv[:1] == ["-c"]
        if is_program:  # else somebody types at a prompt
            _tell_if_uncaught(exc)
        raise


def _check_app(app: object) -> None:
    if not callable(app):
        remedy = ": import it, and pass that" if isinstance(app, str) else ""
        raise SettingsError(f"run() takes the app itself, not {shown(app)}{remedy}")


def _tell_if_uncaught(mistake: AsyncreloadError) -> None:
    """Have Python end as the command does after a mistake: with one line, and no traceback."""
    usual = sys.excepthook

    def tell(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
        if exc is not mistake:
            usual(kind, exc, trace)
            return
        tell_mistake(exc)
        sys.exit(BAD_USAGE)

    sys.excepthook = tell


class Door(FrozenData):
    """What the command of a framework has of its own when its process becomes the supervisor."""

    script: Sequence[str] = ()
    """What the child runs; what Python was told to run now, if not given."""
    title: str = ""
    """What is said to be served; the script, if not given."""
    in_child: Callable[[list[str]], list[str]] = list
    """Returns the script that Python was told to run, as a child is to run it."""
    usual: Mapping[str, Any] = MappingProxyType({})
    """Options that count less than what is given, and than pyproject.toml."""
    watch: tuple[str, ...] = ()
    """Patterns of the files that the framework reads; watched beside what is asked for."""
    name: str = ""
    """Prepares a child by `asyncreload.<name>.in_child`."""


def become_supervisor(given: Mapping[str, Any], door: Door) -> NoReturn:
    """Run the `atexit` handlers, and replace this process by the supervisor of a script.

    What the script has started so far is ended: the child runs the script, and starts it again.

    given: options of the command, by their names; what is not given is as pyproject.toml says,
        looked for from where Python was started.

    Raises what `run` raises.
    """
    _checked(given)
    _refuse_workers()
    started = _repeatable_script()
    directory = start_directory(started, sys.modules["__main__"], IMPORTED_IN or os.curdir)
    _check_directory(directory)
    options = {**door.usual, **completed(given, directory)}
    if door.watch:
        options["watch"] = (*door.watch, *options.get("watch", ()))
    told = {**options, **_checked(options), "script": door.script or door.in_child(started)}
    if door.title:
        told["target"] = door.title
    if door.name:
        told["door"] = door.name
    run_exit_handlers()
    finalization = Finalization()
    finalization.has_del()  # for all that is known
    finalization.run()
    end_descendants()
    command = boot_command("asyncreload.cli", "--settings", json.dumps(told))
    os.chdir(directory)
    os.execve(command[0], command, start_environment())  # noqa: S606  our own interpreter


def check_in_child(given: Mapping[str, Any]) -> None:
    """Check options that a child is given, and tell which of them the supervisor does not go by.

    It has read them when it was started; since then somebody has changed them in the script.
    Raises `SettingsError`, for the load to fail, as the next start would.
    """
    checked = _checked(given)
    child = process_role.for_framework()
    if child is None or not child.started_with.script:  # else the command has its own options
        return
    paths = {name for name, option in options_of(Settings).items() if option.names_files}
    for name in sorted(checked.keys() - paths):
        if checked[name] != getattr(child.started_with, name):
            child.notice(
                f"options are read at the start: for {name}={shown(checked[name])}, "
                "stop the server and start it again"
            )


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that are a supervisor's, as it understands them. Raises `SettingsError`."""
    asked = options.keys() - {*options_of(Voice)}
    settings = Settings.of("", {name: options[name] for name in asked})
    return {name: getattr(settings, name) for name in asked}


def script_of_command(module: str, run_as: str) -> tuple[str, ...]:
    """Return `-m run_as` with the arguments of this process if a framework's command runs in it.

    Else nothing. `-m` has the project's directory first on the path, and not that of the command.

    module: the one whose function `main` the command's script calls.
    """
    main = getattr(sys.modules.get(module), "main", None)
    is_running = main is not None and getattr(sys.modules["__main__"], "main", None) is main
    return ("-m", run_as, *sys.argv[1:]) if is_running else ()


def _repeatable_script() -> list[str]:
    """Return what Python was told to run, as it is given on the command line.

    Raises `SettingsError` where that would not run the caller again: for code from the command line
    or standard input, and in interactive use, such as a notebook.
    """
    _, script = split_command(sys.orig_argv)
    main = sys.modules["__main__"]
    is_typed = not hasattr(main, "__file__") or hasattr(builtins, "__IPYTHON__")
    if not script or script[0] in {"-c", "-"} or is_typed or _is_stream(script[0]):
        raise SettingsError(
            "run(reload=True) needs a script that can be run again: save the code in a file, "
            f"or {_IN_A_LOOP}"
        )
    return script


def _is_stream(path: str) -> bool:
    """Tell whether a path leads to something that can be read but once, such as a pipe."""
    try:
        kind = os.stat(path).st_mode
    except OSError:  # `-m`, or the program has left the directory
        return False
    return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)


def _check_directory(directory: str) -> None:
    if not os.access(directory, os.X_OK):
        raise SettingsError(
            f"run(reload=True) runs the script again where it was started, and {directory} is gone "
            "or closed to this process: start it in a directory that stays"
        )


def _refuse_workers() -> None:
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        raise NestedError(
            "run(reload=True) was called in a multiprocessing worker that imports the script: "
            'put the call under `if __name__ == "__main__":`'
        )


def _refuse_running_loop() -> None:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise SettingsError(f"run() cannot serve where an event loop is running: {_IN_A_LOOP}")


def serve_here(found: object, given: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
    """Serve in this process, without reloading, until Ctrl-C.

    given: options of the command, by name; what is not given is as pyproject.toml says.
    usual: options that count less than that.
    """
    # Here, as the supervisor needs none of them.
    from asyncreload.child.http.plain_server import serve_asgi_plainly, serve_plainly  # noqa: PLC0415
    from asyncreload.child.imports.app_loader import app_of  # noqa: PLC0415
    from asyncreload.child.imports.interface import AsgiApp  # noqa: PLC0415
    from asyncreload.listening import listen, url_of  # noqa: PLC0415

    app = app_of(found)
    _refuse_running_loop()
    _checked(given)
    told = {**usual, **completed(given, os.getcwd())}
    settings = Settings.of("", _checked(told))
    with listen(settings.host, settings.port) as listener:
        if not told.get("quiet") and sys.stderr is not None:
            line = f"serving without reload at {url_of(listener)}, Ctrl-C to stop"
            print(f"{clock(sys.stderr)} {line}", file=sys.stderr)  # noqa: T201  our voice
        try:
            if isinstance(app, AsgiApp):
                serve_asgi_plainly(app, listener, settings)
            else:
                asyncio.run(serve_plainly(app, listener, settings))
        except KeyboardInterrupt:
            return
