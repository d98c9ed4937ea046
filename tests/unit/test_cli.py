"""The command line: what it makes of its arguments, what it prints, how it exits."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import os
import re
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Self

import pytest

from asyncreload.cli import _asked, _parse, main
from asyncreload.errors import AsyncreloadError, BindError, SettingsError, TargetError
from asyncreload.parent import supervisor as supervisor_module
from asyncreload.parent.supervisor import Supervisor
from asyncreload.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """`main` sets up logging, and at last ignores Ctrl-C, in a process that it has to itself."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    log = logging.getLogger("asyncreload")
    handlers, level = list(log.handlers), log.level
    yield
    log.handlers[:] = handlers
    log.setLevel(level)
    signal.signal(signal.SIGINT, on_interrupt)


class Stand:
    """Stands in for `Supervisor`: nothing is started."""

    def __init__(self, work: Callable[[], int], options: dict[str, Any]) -> None:
        self._work = work
        self.options = options

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def is_debugging(self) -> bool:
        return False

    def leave_prompt(self) -> bool:
        return False

    def show_prompt(self) -> None:
        """Show none: there is none."""

    async def has_prompt(self) -> bool:
        return False

    async def wait(self) -> int:
        return self._work()


def stand_in(monkeypatch: pytest.MonkeyPatch, work: Callable[[], int]) -> list[dict[str, Any]]:
    """Let `main` supervise nothing but do this `work`; return the options it is called with."""
    called: list[dict[str, Any]] = []

    def supervisor(**options: Any) -> Stand:
        called.append(options)
        return Stand(work, options)

    monkeypatch.setattr(supervisor_module, "Supervisor", supervisor)
    return called


def exit_code(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["app.py"], {"target": "app.py"}),
        (["shop:create_app()"], {"target": "shop:create_app()"}),
        (["app.py", "--host", "::"], {"target": "app.py", "host": "::"}),
        (["--port", "0", "app.py"], {"target": "app.py", "port": 0}),
        (["app.py", "--port=9000"], {"target": "app.py", "port": 9000}),
        (
            ["app.py", "--trust", "docker", "--trust=10.0.0.0/8"],
            {"target": "app.py", "trust": ("docker", "10.0.0.0/8")},
        ),
        (["app.py", "--threads", "1"], {"target": "app.py", "threads": 1}),
        (["app.py", "--interval", "0.5"], {"target": "app.py", "interval": 0.5}),
        (["app.py", "--grace", "0"], {"target": "app.py", "grace": 0.0}),
        (["app.py", "--no-standby"], {"target": "app.py", "standby": False}),
        (["app.py", "--preload", "interpreter"], {"target": "app.py", "preload": "interpreter"}),
        (["app.py", "--no-access-log"], {"target": "app.py", "access_log": False}),
        (["--", "-x.py"], {"target": "-x.py"}),
    ],
)
def test_what_is_not_given_is_left_to_the_settings(
    arguments: list[str], options: dict[str, Any]
) -> None:
    assert _parse(arguments) == options
    Settings(**options)


def test_a_script_comes_with_all_its_settings() -> None:
    given = {"host": "::1", "port": 80, "interval": 0.5, "script": ["my app.py", "-v"]}
    options = _asked(["--settings", json.dumps(given)])
    assert options == {
        "host": "::1",
        "port": 80,
        "interval": 0.5,
        "script": ("my app.py", "-v"),
        "target": "my app.py -v",
        "access_log": True,
    }
    Settings(**options)


BAD_USAGE = [
    (
        ["app.py", "--quiet", "--verbose"],
        "quiet and verbose exclude each other: ask for one of them",
    ),
    (["app.py", "--", "--port"], 'options go before "--": write "--port" there'),
    (["app.py", "other.py"], 'one target only: "other.py" is one more'),
    (["app.py", "--prot", "1"], 'there is no option "--prot": did you mean "--port"?'),
    (["app.py", "--por=1"], 'there is no option "--por": did you mean "--port"?'),
    (["app.py", "--no-standy"], 'there is no option "--no-standy": did you mean "--no-standby"?'),
    (["app.py", "-x"], 'there is no option "-x": see asyncreload --help'),
    (["app.py", "8000"], 'one target only: "8000" is one more: did you mean "--port 8000"?'),
    (["app.py", "--port", "http"], "port must be a whole number, not 'http'"),
    (["app.py", "--port="], "port must be a whole number, not ''"),
    (["app.py", "--port"], '"--port" needs a value, as in "--port NUMBER"'),
    (["app.py", "--watch"], '"--watch" needs a value, as in "--watch PATTERN"'),
    (["app.py", "--quiet=1"], '"--quiet" takes no value: write it alone'),
    (["app.py", "--no-checkpoints=1"], '"--no-checkpoints" takes no value: write it alone'),
    (["app.py", "--interval", "x"], "interval must be a number, not 'x'"),
    (["app.py", "--threads", "1.5"], "threads must be a whole number, not '1.5'"),
    (
        ["app.py", "--reload"],
        'there is no option "--reload": it always reloads, so leave that out',
    ),
    (
        ["app.py", "--log-level", "debug"],
        'there is no option "--log-level": --verbose tells more, --quiet less',
    ),
    (["app.py", "--no-lifespan"], 'there is no option "--no-lifespan": see asyncreload --help'),
    (
        ["main.py", "--app-dir", "chat"],
        (
            'there is no option "--app-dir": imports start at the directory of the file, as in '
            '"asyncreload chat/main.py"'
        ),
    ),
    (
        ["manage.py", "runserver"],
        'one target only: "runserver" is one more: leave it out, manage.py is served without',
    ),
    *(
        (
            ["manage.py", flag],
            (
                f'there is no option "{flag}": it is one of "python manage.py runserver", which '
                'takes it with "asyncreload.django" in INSTALLED_APPS'
            ),
        )
        for flag in ("--nothreading", "--nostatic", "--noreload", "--insecure", "--skip-checks")
    ),
    (
        ["manage.py", "--settings", "mysite.dev"],
        'there is no option "--settings": set DJANGO_SETTINGS_MODULE in the environment',
    ),
    (["app.py", "--bind=:80"], 'there is no option "--bind": write --host and --port'),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_USAGE)
def test_bad_usage_is_one_line_and_exits_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"asyncreload: error: {message}\n")


@pytest.mark.parametrize("directory", ["", "src"])
@pytest.mark.parametrize("files", [["bbb.py", "aaa.py"], []])
def test_where_no_app_is_found_the_likely_one_is_named(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    directory: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / directory
    place.mkdir(exist_ok=True)
    for file in files:
        (place / file).touch()
    assert exit_code([directory] if directory else []) == 2
    likely = os.path.join(directory, "aaa.py" if files else "app.py")
    assert capsys.readouterr().err == (
        f"asyncreload: error: no app was found in {place}: it has no manage.py, and no app in a "
        "file or package called app, wsgi, asgi, main or api, there or in src/: "
        f'name what to serve, as in "asyncreload {likely}"\n'
    )


@pytest.mark.parametrize("arguments", [["--settings"], ["--settings", "x"]])
def test_the_hidden_option_typed_by_a_person_is_bad_usage(arguments: list[str]) -> None:
    assert exit_code(arguments) == 2


def test_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert exit_code(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 80
    assert len(lines) <= 23  # and the shell's prompt


def test_help_names_every_option_with_its_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    exit_code(["-h"])
    told = capsys.readouterr().out
    settings = Settings(target="")
    for name in ("host", "port", "threads", "grace"):
        line = next(line for line in told.splitlines() if line.strip().startswith(f"--{name} "))
        assert line.endswith(f"({getattr(settings, name):{'' if name == 'host' else 'g'}})")
    assert "--no-access-log" in told


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"asyncreload {version('asyncreload')}\n"


def test_without_metadata_there_is_no_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == "asyncreload (not installed)\n"


@pytest.mark.parametrize(
    "error",
    [
        TargetError('There is no file "ap.py": did you mean "app.py"?'),
        BindError("port in use"),
        OSError(24, "Too many open files"),
    ],
)
def test_what_the_user_can_mend_is_one_line_without_a_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise error

    stand_in(monkeypatch, fail)
    assert exit_code(["ap.py"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"asyncreload: error: {error}\n")


def test_a_setting_that_cannot_work_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["app.py", "--port", "99999"]) == 2
    assert capsys.readouterr().err == (
        "asyncreload: error: port must be a whole number from 0 to 65535, not 99999\n"
    )


@pytest.mark.parametrize("target", ["nope.py", "app.py:", "shop:create_app(1)"])
def test_a_target_in_a_file_that_cannot_be_one_is_told_with_the_file(
    target: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    (tmp_path / "app.py").touch()
    (tmp_path / "pyproject.toml").write_text(f'[tool.asyncreload]\ntarget = "{target}"\n')
    assert exit_code([]) == 2
    assert capsys.readouterr().err.startswith(
        f"asyncreload: error: {tmp_path}/pyproject.toml: in [tool.asyncreload], target: "
    )


def test_a_current_directory_that_was_removed_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert exit_code(["app.py"]) == 2
    told = "there is no current directory (No such file or directory): enter one"
    assert capsys.readouterr().err == f"asyncreload: error: {told}\n"
    with pytest.raises(SettingsError, match="no current directory"):
        Supervisor("app.py")


def test_without_an_event_loop_of_asyncio_nothing_is_begun() -> None:
    """As under trio, which drives its coroutines itself."""
    entering = Supervisor("app.py", port=0).__aenter__()
    with pytest.raises(AsyncreloadError, match=r"asyncio\.run\(supervise\(\.\.\.\)\) in a thread"):
        entering.send(None)


def test_standard_output_must_be_open_for_tools(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert exit_code(["app.py", "--json"]) == 2
    assert "standard output is closed" in capsys.readouterr().err


@pytest.mark.parametrize("table", ["tools.asyncreload", "asyncreload"])
def test_options_in_a_table_of_another_name_are_not_passed_over(
    table: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(f"[{table}]\nport = 1\n")
    assert exit_code(["app.py"]) == 2
    assert capsys.readouterr().err == (
        f"asyncreload: error: {tmp_path}/pyproject.toml: write [tool.asyncreload] in the place of "
        f"[{table}]\n"
    )


def test_whom_nobody_can_trust_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["app.py", "--trust", "10.0.0.0/8", "--trust", "mybox"]) == 2
    assert capsys.readouterr().err == (
        "asyncreload: error: trust: 'mybox' is no address or network: "
        "name one, as 192.168.0.7 or 10.0.0.0/8, or docker\n"
    )


def test_an_error_of_another_kind_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise ZeroDivisionError

    stand_in(monkeypatch, fail)
    with pytest.raises(ZeroDivisionError):
        main(["app.py"])


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_is_that_of_the_supervisor(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = stand_in(monkeypatch, lambda: code)
    assert exit_code(["app.py", "--port", "0"]) == code
    assert called == [{"target": "app.py", "port": 0, "access_log": True}]


def test_arguments_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    called = stand_in(monkeypatch, lambda: 0)
    monkeypatch.setattr("sys.argv", ["asyncreload", "web.py"])
    with pytest.raises(SystemExit):
        main()
    assert called == [{"target": "web.py", "access_log": True}]


def test_what_a_supervisor_tells_is_printed_with_the_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell() -> int:
        logging.getLogger("asyncreload").info("serving %s", "app.py")
        logging.getLogger("asyncreload").debug("not this")
        return 0

    stand_in(monkeypatch, tell)
    exit_code(["app.py"])
    assert re.fullmatch(r"\d\d:\d\d:\d\d serving app.py\n", capsys.readouterr().err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_the_code_that_a_shell_would_give(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not as whoever started the tests has it: `nohup` and `&` have some of them ignored.
    before = signal.signal(number, signal.SIG_DFL)

    class Endless(Stand):
        async def wait(self) -> int:
            signal.raise_signal(number)
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    monkeypatch.setattr(
        supervisor_module, "Supervisor", lambda **options: Endless(lambda: 0, options)
    )
    try:
        assert exit_code(["app.py"]) == 128 + number
    finally:
        signal.signal(number, before)
