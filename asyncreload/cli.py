"""The command: `asyncreload app.py --port 8000`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from asyncreload import config
from asyncreload.current_directory import existing_directory
from asyncreload.errors import AsyncreloadError, SettingsError, TargetError
from asyncreload.exit_codes import BAD_USAGE, SIGNALLED
from asyncreload.ini_files import address_in, is_ini
from asyncreload.keys import HINT, Keys
from asyncreload.option_changes import OptionChanges
from asyncreload.options import Option, options_of
from asyncreload.orphans import OrphanReaper, reap_orphans
from asyncreload.printing import ForPeople, ForTools, Printer, Voice, tell_mistake
from asyncreload.settings import Settings
from asyncreload.target import USUAL_FILES, Target, likely_file
from asyncreload.terminal import is_in_foreground
from asyncreload.typed_lines import TypedLines
from asyncreload.unknown_option import unknown_option

if TYPE_CHECKING:
    from asyncreload.parent.supervisor import Supervisor

READER_CHECK = 1.0
"""Seconds between two looks whether anybody still reads what `--json` writes."""
OPTIONS_CHECK = 1.0
"""Seconds between two looks whether options in pyproject.toml have changed."""
END_TOLD = 1.0
"""Seconds from Ctrl-C until it is told what is waited for."""
START = 1.0
"""Seconds after which the first line is printed though it is not known how many files there are."""

_ABOUT = """\
Serve a web app, and reload it at each save. Without TARGET it looks for one.
"""
_EXAMPLES = """\
asyncreload "shop.wsgi:create_app()" --port 0   an app that a factory makes
All options, also for [tool.asyncreload] in pyproject.toml: see the README.
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command; exits with its exit code."""
    try:
        asked = _asked(sys.argv[1:] if arguments is None else arguments)
        voice = Voice(**{name: asked.pop(name) for name in options_of(Voice) if name in asked})
        if voice.json and sys.stdout is None:
            raise SettingsError("standard output is closed, and --json has nowhere else to write")
        code = _run(asked, voice, asked.pop("note", ""))
        # Once more would disturb what Python cleans up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except (AsyncreloadError, OSError) as exc:
        tell_mistake(exc)
        code = BAD_USAGE
    sys.exit(code)


def _run(options: dict[str, Any], voice: Voice, note: str) -> int:
    """Supervise, and return the exit code; also when asyncio finds no thread to end threads in."""
    code: int | None = None

    async def supervise() -> None:
        nonlocal code
        code = await _until_signal(options, voice, note)

    try:
        asyncio.run(supervise())
    except RuntimeError:
        if code is None:
            raise
    return code or 0


async def _until_signal(options: dict[str, Any], voice: Voice, note: str) -> int:
    """Supervise until a signal or a key ends it; the exit code is as the shell would give it."""
    # Not before: elsewhere than on Linux and macOS it raises PlatformError, which is to be told.
    from asyncreload.parent.supervisor import Supervisor  # noqa: PLC0415

    supervisor = Supervisor(**options)
    lines = TypedLines.at_terminal(supervisor.has_prompt) if voice.may_take_keys else None
    beside: set[asyncio.Task[None]] = set()

    def attend() -> None:
        keys = Keys(supervisor, printer.clear, ending.leave)
        if lines is not None:
            beside.add(asyncio.create_task(keys.obey(lines.lines())))
        if voice.open:
            beside.add(asyncio.create_task(keys.open_when_ready()))

    def on_foreground() -> None:
        beside.add(asyncio.create_task(_tell_of_prompt(supervisor)))

    if lines is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, on_foreground)
    beside.add(asyncio.create_task(_watch_options(options.get("target", ""))))
    task = asyncio.create_task(_supervise(supervisor, attend))
    ending = _Ending(supervisor, task)
    ending.listen()
    if os.getpid() == 1:  # of a container: what loses its parent there comes to us
        orphans = asyncio.create_task(reap_orphans(OrphanReaper.install().look))
        task.add_done_callback(lambda _: orphans.cancel())
    printer = _speak(voice, note, ending, HINT if lines else "", supervisor)
    if isinstance(printer, ForPeople):
        asyncio.get_running_loop().call_later(START, printer.start)
    else:
        beside.add(asyncio.create_task(_watch_reader(printer)))
    try:
        return await task
    except asyncio.CancelledError:
        return ending.exit_code(0)
    finally:
        _hush(printer)


async def _supervise(supervisor: Supervisor, on_entry: Callable[[], object]) -> int:
    async with supervisor:
        on_entry()
        return await supervisor.wait()


class _Ending:
    """Ends the supervision: on a signal, a key, or when nobody reads what is told.

    task: supervises; cancelled a second time, it ends what is left at once.
    """

    def __init__(self, supervisor: Supervisor, task: asyncio.Task[int]) -> None:
        self._supervisor = supervisor
        self._task = task
        self._signals: list[int] = []
        self._asking: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """End on signals from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # else it was started by nohup
                loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(
            signal.SIGINT, lambda: self._asking.add(loop.create_task(self._interrupt()))
        )

    def leave(self) -> None:
        """End as asked for: with the exit code 0, unless a signal has come."""
        self._task.cancel()

    def on_no_reader(self) -> None:
        """Nobody reads any more; but a terminal that was closed has sent SIGHUP before."""
        if not self._signals:
            self._end(signal.SIGPIPE)

    def exit_code(self, code: int) -> int:
        """Return the code with which the command ends, given that of the supervisor."""
        return SIGNALLED + self._signals[0] if self._signals else code

    def _end(self, number: int) -> None:
        if not self._signals and number == signal.SIGINT:
            asyncio.get_running_loop().call_later(END_TOLD, self._tell_of_wait)
        self._signals.append(number)
        self._task.cancel()

    def _tell_of_wait(self) -> None:
        if not self._task.done() and len(self._signals) == 1:
            text = "waiting for the app's own end; Ctrl-C again ends it at once"
            logging.getLogger("asyncreload").info(text)

    async def _interrupt(self) -> None:
        if not await self._supervisor.is_debugging():
            self._end(signal.SIGINT)


# --- what it says ----------------------------------------------------------------------------


def _speak(voice: Voice, note: str, ending: _Ending, keys: str, supervisor: Supervisor) -> Printer:
    """Print from now on what the supervisor tells.

    note: printed first of all, if there is one.
    ending: told when nobody reads it any more; knows the exit code.
    keys: the line of those that may be typed, if any may.
    """
    if voice.json:
        printer: Printer = ForTools(_own_output(), ending.on_no_reader, ending.exit_code)
    else:
        prompt = supervisor.leave_prompt, supervisor.show_prompt
        printer = ForPeople(sys.stderr, ending.on_no_reader, keys, *prompt)
    printer.setLevel(voice.level)
    log = logging.getLogger("asyncreload")
    log.addHandler(printer)
    log.setLevel(voice.level)
    if note:
        log.info(note)
    return printer


def _own_output() -> TextIO:
    """Return standard output as ours alone: what the app prints there goes to standard error."""
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours


async def _tell_of_prompt(supervisor: Supervisor) -> None:
    """Tell after Ctrl-Z and `fg` that a debugger waits: Python does not show its prompt again."""
    with suppress(OSError):  # the terminal was closed
        if is_in_foreground() and await supervisor.has_prompt():
            text = "a debugger waits at its prompt: type a command, then Enter"
            logging.getLogger("asyncreload").info(text)


async def _watch_reader(printer: Printer) -> None:
    """End when the tool that reads events has gone: there may be nothing to write for hours."""
    while not printer.has_lost_reader():  # noqa: ASYNC110  the system tells no event of it
        await asyncio.sleep(READER_CHECK)
    printer.end()


async def _watch_options(target: str) -> None:
    """Tell of options that are changed in their files while the server runs."""
    from asyncreload.parent.threads import in_thread  # noqa: PLC0415  as for the supervisor

    changes = [await in_thread(OptionChanges.in_pyproject)(os.getcwd())]
    if is_ini(target):
        changes.append(await in_thread(OptionChanges.in_ini)(target))
    looks = [in_thread(one.look) for one in changes]
    while True:
        await asyncio.sleep(OPTIONS_CHECK)
        for look in looks:
            if text := await look():
                logging.getLogger("asyncreload").info("%s", text)


def _hush(printer: Printer) -> None:
    logging.getLogger("asyncreload").removeHandler(printer)
    # What could not be written must not be tried again at the exit.
    if not printer.finish() and printer.stream:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), printer.stream.fileno())


# --- what it is asked ------------------------------------------------------------------------


def _asked(arguments: list[str]) -> dict[str, Any]:
    """Return all that is asked for: by `run`, or on the command line and in pyproject.toml."""
    if arguments[:1] == ["--settings"]:  # from `run`, which has replaced itself by this process
        with suppress(IndexError, KeyError, TypeError, ValueError):
            options: dict[str, Any] = json.loads(arguments[1])
            script = tuple(options["script"])
            usual = {"target": " ".join(script), "access_log": True}
            return usual | options | {"script": script}
    return configured(_parse(arguments), existing_directory())


def configured(given: dict[str, Any], cwd: str) -> dict[str, Any]:
    """Add what is not given on the command line, and what is to be served if no target is.

    A target in pyproject.toml is looked up where it stands: that becomes the current directory.
    """
    path = config.find(cwd)
    in_file = config.read(path, options_of(Settings, Voice)) if path else {}
    if path and "target" in in_file and "target" not in given:
        os.chdir(os.path.dirname(path))
        _check_target(in_file["target"], path)
    asked = config.merged(given, in_file, cwd)
    if is_ini(asked.get("target", "")):
        written = address_in(asked["target"])
        return asked | {name: value for name, value in written.items() if name not in given}
    return asked | _found(asked)


def _check_target(target: str, path: str) -> None:
    """Raise `SettingsError` for a target that cannot be one, with the file in which it stands."""
    if not is_ini(target) and not _is_mere_directory(target):
        try:
            Target.parse(target, os.getcwd())
        except TargetError as exc:
            raise SettingsError(f"{path}: in [tool.asyncreload], target: {exc}") from exc


def _found(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be served, and a note of it, if no target is given, or a directory."""
    target = asked.get("target")
    if target is not None and not _is_mere_directory(target):
        return {}
    from asyncreload.discovery import discover  # noqa: PLC0415  only when it is needed

    directory = "" if target is None or os.path.abspath(target) == os.getcwd() else target
    if (found := discover(directory)) is None:
        likely = os.path.join(directory, likely_file(Path(directory)))
        *names, last = USUAL_FILES
        raise SettingsError(
            f"no app was found in {os.path.abspath(directory)}: it has no manage.py, and no app in "
            f"a file or package called {', '.join(names)} or {last}, there or in src/"
            f"{_unread(directory)}: "
            f'name what to serve, as in "asyncreload {likely}"'
        )
    options: dict[str, Any] = {"target": found.target}
    if found.script:
        options["script"] = found.script
        options["watch"] = (*found.watch, *asked.get("watch", ()))
    return options | {"note": f"took {found.target}, {found.where}"}


def _unread(directory: str) -> str:
    """Return what to say of a file that names FLASK_APP, but is not read."""
    from asyncreload import flask_environment  # noqa: PLC0415  for mistakes alone

    name = "" if directory else flask_environment.unread(os.getcwd())
    return f"; {flask_environment.UNREAD.format(name)}" if name else ""


def _is_mere_directory(target: str) -> bool:
    """Tell whether a target is a directory, and neither a package nor a module's name as well."""
    package = os.path.join(target, "__init__.py")
    return (
        os.path.isdir(target) and not os.path.exists(package) and not os.path.exists(f"{target}.py")
    )


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def _parse(arguments: list[str]) -> dict[str, Any]:
    """Return what is given on the command line, and nothing else."""
    options = options_of(Settings, Voice)
    parser = _Parser(
        "asyncreload",
        usage="%(prog)s [options] [TARGET], or %(prog)s --version",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, 2, 22, 80),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        add_help=False,
        exit_on_error=False,
    )
    parser._optionals.title = None  # noqa: SLF001  no heading, for a help that fits a screen
    explained = any(word.startswith(("-h", "--help")) for word in arguments)
    for option in options.values():
        _add(parser, option, explained=explained)
    told = f"asyncreload {_version()}" if "--version" in arguments else ""
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=told, help=argparse.SUPPRESS)
    try:
        given, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as exc:
        if isinstance(exc.__context__, SettingsError):  # a value of another type
            raise exc.__context__ from None
        raise _misused(exc.argument_name or "", options) from None
    if rest:
        _refuse(rest[0], options)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in vars(given).items()}


def _add(parser: argparse.ArgumentParser, option: Option, *, explained: bool) -> None:
    """Let the parser understand an option; a switch both ways, whatever pyproject.toml says."""
    if option.is_required:
        parser.add_argument(option.name, nargs="?", help=argparse.SUPPRESS)
        return
    meaning = _help(option) if explained and not option.is_rare else argparse.SUPPRESS
    if option.off is not None:
        name = f"--no-{option.flag[2:]}"
        parser.add_argument(
            name, dest=option.name, action="store_const", const=option.off, help=argparse.SUPPRESS
        )
    if not option.is_switch:
        parser.add_argument(
            option.flag,
            action="append" if option.repeats else "store",
            type=option.typed,
            metavar=option.metavar,
            help=meaning,
        )
        return
    for flag, value in ((option.flag, True), (f"--no-{option.flag[2:]}", False)):
        shown = meaning if flag == option.spelled else argparse.SUPPRESS
        action = "store_true" if value else "store_false"
        parser.add_argument(flag, dest=option.name, action=action, help=shown)


def _help(option: Option) -> str:
    """Return the first sentence of what an option means, and its default."""
    first = option.effect.partition(". ")[0].rstrip(".").replace("%", "%%").replace("`", "")
    if option.is_switch or option.repeats or option.default == "":
        return first
    return f"{first} ({option.default:{'' if option.kind is str else 'g'}})"


def _misused(flag: str, options: dict[str, Option]) -> SettingsError:
    """Return what is wrong with an option that has no value, or a switch that has one."""
    for option in options.values():
        if option.flag == flag and not option.is_switch:
            return SettingsError(f'"{flag}" needs a value, as in "{option.spelled}"')
    return SettingsError(f'"{flag}" takes no value: write it alone')


def _refuse(word: str, options: dict[str, Option]) -> NoReturn:
    if not word.startswith("-"):
        remedy = f': did you mean "--port {word}"?' if word.isdecimal() else ""
        if word == "runserver":
            remedy = ": leave it out, manage.py is served without"
        raise SettingsError(f'one target only: "{word}" is one more{remedy}')
    flag = word.partition("=")[0]
    flags = [option.flag for option in options.values() if not option.is_required]
    switches = [f"--no-{o.flag[2:]}" for o in options.values() if o.is_switch]
    known = [*flags, *switches, "--help", "--version"]
    if flag in known:
        raise SettingsError(f'options go before "--": write "{word}" there')
    raise unknown_option(flag, known, ": see asyncreload --help")


def _version() -> str:
    # It brings fifty modules.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("asyncreload")
    except PackageNotFoundError:
        return "(not installed)"
