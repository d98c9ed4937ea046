"""The command `flask dev`: what `flask run --debug` is, served and reloaded by asyncreload.

The process in which it is typed imports nothing of the project: it becomes the supervisor. The
child runs the same command line again, up to here. So the app is found by Flask itself, with its
own options and environment files, afresh at each load.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click
import flask
from click.core import ParameterSource
from flask.cli import NoAppException, ScriptInfo, pass_script_info

from asyncreload import flask_environment, process_role
from asyncreload.errors import AbsentTargetError, AsyncreloadError, TargetError
from asyncreload.exit_codes import BAD_USAGE
from asyncreload.run_app import (
    Door,
    become_supervisor,
    check_in_child,
    script_of_command,
    serve_here,
)

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_IGNORED = (
    "a call of app.run() is ignored, as the app is served already: "
    'put it under `if __name__ == "__main__":`'
)
_NO_TLS = (
    "asyncreload serves no TLS: have a proxy do so, as in "
    '"caddy reverse-proxy --from localhost:8443 --to 127.0.0.1:{port}", or use "flask run --cert"'
)

_USUAL = {"port": 5000}


def _variables(name: str) -> list[str]:
    """Return the environment variables of an option; that of `flask run` counts as well."""
    return [f"FLASK_DEV_{name}", f"FLASK_RUN_{name}"]


@click.command(
    "dev",
    short_help="Run a development server that never serves old code.",
    epilog="Other options of asyncreload go into [tool.asyncreload] in pyproject.toml.",
)
@click.option(
    "--host",
    "-h",
    default="127.0.0.1",
    envvar=_variables("HOST"),
    help="The interface to bind to.",
)
@click.option(
    "--port",
    "-p",
    default=5000,
    envvar=_variables("PORT"),
    help="The port to bind to.",
)
@click.option(
    "--debug/--no-debug",
    default=None,
    envvar=_variables("DEBUG"),
    expose_value=False,
    is_eager=True,
    callback=lambda _context, _option, value: _set_debug(value=value),
    help="Debug mode, which is on if nothing is said.",
)
@click.option(
    "--cert",
    envvar=_variables("CERT"),
    help="Not supported: have a proxy serve HTTPS.",
)
@click.option("--found", is_flag=True, hidden=True)  # by plain `asyncreload`, with its own options
@click.option("--key", envvar=_variables("KEY"), hidden=True)
@click.option(
    "--reload/--no-reload",
    default=True,
    envvar=_variables("RELOAD"),
    help="Reload when a file is saved.",
)
@click.option(
    "--debugger/--no-debugger",
    default=False,
    envvar=_variables("DEBUGGER"),
    help="Answer errors with Werkzeug's interactive debugger.",
)
@click.option("--live/--no-live", default=False, help="Have open pages load themselves again.")
@click.option("--editor", default="", help="The editor that error pages link to, such as vscode.")
@click.option("--trust", multiple=True, help="An address or network that may see errors in full.")
@click.option(
    "--with-threads/--without-threads",
    default=True,
    envvar=_variables("WITH_THREADS"),
    help="Answer several requests at a time.",
)
@click.option(
    "--extra-files",
    default="",
    envvar=_variables("EXTRA_FILES"),
    help="More files to watch, separated by ':'.",
)
@click.option(
    "--exclude-patterns",
    default="",
    envvar=_variables("EXCLUDE_PATTERNS"),
    help="Patterns of files not to watch, separated by ':'.",
)
@pass_script_info
@click.pass_context
def command(context: click.Context, info: ScriptInfo, /, **given: Any) -> None:
    """Run a development server that never serves old code.

    Debug mode is on, unless `flask --no-debug dev` or FLASK_DEBUG=0 says otherwise.
    """
    if given["cert"] or given["key"]:
        raise click.UsageError(_NO_TLS.format(port=given["port"]))
    if (serve := process_role.server_of_child()) is not None:
        # Not through click: it would print "Aborted!" when a save interrupts the load.
        try:
            if not given["found"]:
                check_in_child(_options(context, given))
            serve(_load(info, given))
        except KeyboardInterrupt as exc:
            raise _Interrupted from exc
    try:
        options = _options(context, given)
        if given["reload"]:
            _supervise(context, info, options)
        serve_here(_load(info, given), options, _USUAL)
    except AsyncreloadError as exc:
        raise _Misused(str(exc)) from exc


def _set_debug(*, value: bool | None) -> None:
    """Do what `--debug` before the command does, and also in the child."""
    if value is not None:
        os.environ["FLASK_DEBUG"] = "1" if value else "0"


class _Misused(click.ClickException):
    """A mistake in the command, told in one line."""

    exit_code = BAD_USAGE


class _Interrupted(BaseException):
    """A KeyboardInterrupt, which click does not take for its own."""


def _options(context: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of asyncreload that were typed, or that the environment gives."""
    default = ParameterSource.DEFAULT
    told = {name for name in given if context.get_parameter_source(name) is not default}
    same = {"host", "port", "live", "editor", "trust"}
    options: dict[str, Any] = {name: given[name] for name in told & same}
    if "with_threads" in told:
        options["threads"] = 64 if given["with_threads"] else 1
    if "extra_files" in told:
        extra = filter(None, given["extra_files"].split(os.pathsep))
        options["watch"] = tuple(map(os.path.abspath, extra))
    if "exclude_patterns" in told:
        options["ignore"] = tuple(filter(None, given["exclude_patterns"].split(os.pathsep)))
    return options


def _supervise(context: click.Context, info: ScriptInfo, options: dict[str, Any]) -> NoReturn:
    named = _named_environment_file(context)
    files = flask_environment.watched(os.getcwd(), *named)
    script = script_of_command("flask.cli", "flask")
    title = None if info.create_app else info.app_import_path
    flask_environment.forget(os.getcwd(), *named)
    become_supervisor(options, Door(script, title or "the Flask app", usual=_USUAL, watch=files))


def _named_environment_file(context: click.Context) -> list[str]:
    """Return the file of `flask --env-file`, which Flask reads, but does not hand on."""
    group = context.parent
    if group is None:
        return []
    given, _, _ = group.command.make_parser(group).parse_args(sys.argv[1:])
    named = given.get("env_file") or os.environ.get("FLASK_ENV_FILE")
    return [named] if named else []


def _load(info: ScriptInfo, given: dict[str, Any]) -> WSGIApplication:
    """Load the app as Flask does, in the environment that `flask run --debug` gives it."""
    os.environ.setdefault("FLASK_DEBUG", "1")
    if given["reload"]:
        os.environ["WERKZEUG_RUN_MAIN"] = "true"  # what starts schedulers waits for it
        flask.Flask.run = _ignore_run  # type: ignore[method-assign, assignment]
    try:
        app = info.load_app()
    except NoAppException as exc:
        if isinstance(exc.__context__, ImportError) and _is_of_project(exc.__context__):
            raise exc.__context__ from None
        kind = AbsentTargetError if _is_absent(info, exc) else TargetError
        raise kind(f"{exc.format_message()}{_unread(info)}") from None
    if not given["debugger"]:
        return app
    from werkzeug.debug import DebuggedApplication  # noqa: PLC0415  seldom wanted

    debugged = DebuggedApplication(app, evalex=True)  # which tells its PIN
    if hasattr(debugged, "trusted_hosts"):  # since Werkzeug 3.0.3
        debugged.trusted_hosts.append(given["host"])
    return debugged


def _is_absent(info: ScriptInfo, exc: NoAppException) -> bool:
    """Tell whether there is no module of the name that was given, or none at all."""
    if info.app_import_path:
        return isinstance(exc.__context__, ImportError)
    return info.create_app is None and not any(map(os.path.exists, ("wsgi.py", "app.py")))


def _unread(info: ScriptInfo) -> str:
    """Return what to say of a file that names FLASK_APP, but is not read."""
    name = "" if info.app_import_path else flask_environment.unread(os.getcwd())
    return f" {flask_environment.UNREAD.format(name)}" if name else ""


def _is_of_project(error: ImportError) -> bool:
    """Tell whether code that was found has raised it: Flask itself has but one frame in it."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


def _ignore_run(_app: flask.Flask, *_args: Any, **_options: Any) -> None:
    """Stand in for `Flask.run`, which Flask ignores as well, but without a word in a child."""
    process_role.notice(_IGNORED)
