"""What the command prints, for people and for tools."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import time
import tty
from pathlib import Path
from typing import Any

import pytest

from asyncreload import style
from asyncreload.events import (
    Changed,
    Crashed,
    Event,
    Failed,
    Ready,
    Refreshed,
    Starting,
    Stopped,
)
from asyncreload.printing import ForPeople, ForTools, Printer, Voice
from asyncreload.terminal import line_break

STARTING = Starting("app.py", "http://127.0.0.1:8000/")
READY = Ready(1, 0.012, (), 12)
AGAIN = Ready(2, 0.006, (f"{os.getcwd()}/views.py",), 12, "checkpoint", 541, 3)
FAILED = Failed("NameError: x", "Traceback: all\n", f"{os.getcwd()}/app.py:3", "Traceback: own\n")
START = "serving app.py at http://127.0.0.1:8000/"


class Screen(io.StringIO):
    """A stream that may be a terminal."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(autouse=True)
def no_colours_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of which events tell are there."""
    monkeypatch.setattr("os.path.lexists", lambda _path: True)


def tell(printer: Printer, *told: Event | str, level: int = logging.INFO) -> None:
    for each in told:
        extra = {} if isinstance(each, str) else {"event": each}
        bad = isinstance(each, Failed | Crashed)
        record = logging.LogRecord(
            "asyncreload", logging.ERROR if bad else level, "", 0, "%s", (each,), None
        )
        vars(record).update(extra)
        if record.levelno >= printer.level:
            printer.handle(record)


def printed(*told: Event | str, level: int = logging.INFO, voice: Voice | None = None) -> list[str]:
    """Return the lines for people, without the time of day."""
    screen = Screen()
    printer = ForPeople(screen, pytest.fail)
    printer.setLevel((voice or Voice()).level)
    tell(printer, *told, level=level)
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in screen.getvalue().splitlines()]


def test_the_start_is_one_line_once_the_files_are_known() -> None:
    assert printed(STARTING) == []
    assert printed(STARTING, READY) == [f"{START} · 12 files · Ctrl-C to stop"]


def test_the_start_tells_both_addresses() -> None:
    starting = Starting("app.py", "http://127.0.0.1:8000/", "http://192.168.0.7:8000/")
    assert printed(starting, READY) == [
        f"{START} and http://192.168.0.7:8000/ · 12 files · Ctrl-C to stop"
    ]
    assert objects(starting)[0]["network_url"] == "http://192.168.0.7:8000/"
    assert objects(STARTING)[0]["network_url"] == ""


def test_keys_take_the_place_of_ctrl_c() -> None:
    screen = Screen()
    tell(ForPeople(screen, pytest.fail, "r restart"), STARTING, READY)
    assert screen.getvalue()[9:] == f"{START} · 12 files\nr restart\n"


@pytest.mark.parametrize(
    ("voice", "terminal", "expected"),
    [
        (Voice(), True, True),
        (Voice(), False, False),
        (Voice(keys=False), True, False),
        (Voice(json=True), True, False),
        (Voice(quiet=True), True, False),
        (Voice(verbose=True), True, True),
    ],
)
def test_when_keys_are_taken(
    voice: Voice,
    terminal: bool,  # noqa: FBT001  a parameter
    expected: bool,  # noqa: FBT001  the same
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", Screen(terminal=terminal))
    assert voice.may_take_keys is expected


@pytest.mark.parametrize(("term", "cleared"), [("xterm", True), ("dumb", False)])
def test_the_screen_is_cleared_where_that_is_understood(
    term: str,
    cleared: bool,  # noqa: FBT001  a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", term)
    screen = Screen(terminal=True)
    ForPeople(screen, pytest.fail).clear()
    assert screen.getvalue() == "\033[H\033[2J\033[3J" * cleared


def test_a_reload_that_was_asked_for_is_told_at_once() -> None:
    """Nobody has saved anything; it may take as long as a start."""
    asked, ready = printed(Changed(()), Ready(2, 0.8, (), 12))
    assert asked == "asked to reload: starting from nothing"
    assert ready == "fresh in 800 ms · 12 files"


def test_a_start_that_fails_or_takes_its_time_is_told_without_files() -> None:
    first = f"{START} · Ctrl-C to stop"
    assert printed(STARTING, FAILED)[0] == first
    assert printed(STARTING, "still loading") == [first, "still loading"]
    screen = Screen()
    printer = ForPeople(screen, pytest.fail)
    tell(printer, STARTING)
    printer.start()
    tell(printer, READY)
    assert [line[9:] for line in screen.getvalue().splitlines()] == [
        first,
        "fresh in 12 ms · 12 files",
    ]


@pytest.mark.usefixtures("saved")
def test_a_reload_is_one_line() -> None:
    changed = Changed(AGAIN.paths)
    assert printed(changed, AGAIN) == ["views.py changed · fresh in 6 ms · 3 of 541 modules"]
    assert printed(changed, AGAIN, voice=Voice(verbose=True)) == [
        "views.py: reloading",
        "views.py changed · fresh in 6 ms · 3 of 541 modules",
    ]


def test_a_failure_begins_with_error_and_place() -> None:
    assert printed(FAILED) == [
        "NameError: x · app.py:3",
        "Traceback: own",
        "the load failed; waiting for a change",
    ]


def test_a_failure_that_goes_on_is_told_in_short_until_a_load_succeeds() -> None:
    short = ["NameError: x · app.py:3", "the load failed as before; waiting for a change"]
    whole = printed(FAILED)
    assert printed(FAILED, FAILED) == [*whole, *short]
    other = FAILED.replaced(own="Traceback: other\n")
    assert printed(FAILED, other) == [*whole, *printed(other)]
    crashed = Crashed(-11, "killed by SIGSEGV while loading", again=False)
    for between in (READY, crashed):
        assert printed(FAILED, between, FAILED)[-3:] == whole
    assert printed(FAILED, FAILED, voice=Voice(quiet=True)) == [*whole, *whole]


def test_files_are_named_from_the_current_directory(tmp_path: Path) -> None:
    views, outside = os.path.join(os.getcwd(), "shop", "views.py"), str(tmp_path / "views.py")
    ready = Ready(2, 0.006, (views,), 12)
    (tmp_path / "views.py").touch()
    elsewhere = ready.replaced(paths=(outside,))
    assert printed(ready, elsewhere) == [
        "shop/views.py deleted · fresh in 6 ms",
        "views.py changed · fresh in 6 ms",
    ]
    assert printed(Refreshed((views, outside))) == [
        f"shop/views.py, {tmp_path.name}/views.py changed · no reload needed"
    ]
    assert printed(Changed((views,)), voice=Voice(verbose=True)) == ["shop/views.py: reloading"]


def test_where_nothing_could_be_served_nothing_is_told_of_a_start() -> None:
    assert printed(STARTING, Stopped(1)) == []
    assert printed(STARTING, FAILED, Stopped(1))[-1] == "stopped"
    assert printed(STARTING, Stopped(0)) == [f"{START} · Ctrl-C to stop", "stopped"]


def test_quiet_tells_of_problems_only() -> None:
    crashed = Crashed(-11, "killed by SIGSEGV while loading", again=False)
    told = printed(STARTING, READY, AGAIN, crashed, Stopped(0), voice=Voice(quiet=True))
    assert told == [str(crashed)]


@pytest.mark.usefixtures("saved")
def test_a_name_cannot_steer_the_terminal_or_forge_a_colour() -> None:
    (line,) = printed(Ready(1, 1.5, ("/x/\x1b[2J.py",), 1))
    assert line == "\\x1b[2J.py changed · fresh in 1.5 s"


@pytest.mark.parametrize(
    ("told", "level", "colour"),
    [
        (AGAIN, logging.INFO, "32"),
        (FAILED, logging.INFO, "31"),
        ("slow", logging.WARNING, "33"),
        (Stopped(0), logging.INFO, ""),
    ],
)
def test_the_first_line_has_its_colour(told: Event | str, level: int, colour: str) -> None:
    screen = Screen(terminal=True)
    tell(ForPeople(screen, pytest.fail), told, level=level)
    first = screen.getvalue().split("\n")[0]
    pattern = r"\r?\x1b\[2m[\d:]+\x1b\[0m "
    pattern += rf"\x1b\[{colour}m[^\x1b]+\x1b\[0m" if colour else r"[^\x1b]+"
    assert re.fullmatch(pattern, first)


class Prompted(Screen):
    """A terminal at which somebody reads key by key, or not."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(terminal=True)
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


@pytest.mark.parametrize("prompted", [True, False])
def test_behind_an_input_prompt_a_line_begins_anew(*, prompted: bool) -> None:
    keyboard, screen = pty.openpty()
    try:
        if prompted:
            tty.setcbreak(screen)
        seen = Prompted(screen)
        tell(ForPeople(seen, pytest.fail), AGAIN)
        assert seen.getvalue().startswith("\n") is prompted
        assert line_break(seen) == "\n" * prompted
    finally:
        os.close(keyboard)
        os.close(screen)


def test_behind_a_prompt_of_input_a_line_begins_anew() -> None:
    is_behind = [False, True]
    seen = Screen(terminal=True)
    printer = ForPeople(seen, pytest.fail, leave_prompt=is_behind.pop)
    tell(printer, AGAIN, AGAIN)
    first, second, third = seen.getvalue().splitlines()
    assert (first, bool(second), bool(third)) == ("", True, True)
    assert line_break(seen, lambda: True) == "\n"


@pytest.mark.parametrize("stream", [None, Screen(), Screen(terminal=True)])
def test_what_is_no_terminal_has_no_prompt(stream: Screen | None) -> None:
    assert not line_break(stream)
    assert stream is None or stream.isatty() or not line_break(stream, lambda: True)


@pytest.mark.usefixtures("saved")
def test_without_our_separator_an_encoding_gets_another() -> None:
    data = io.BytesIO()
    screen = io.TextIOWrapper(data, encoding="ascii")
    tell(ForPeople(screen, pytest.fail), AGAIN)
    assert data.getvalue().endswith(b"views.py changed - fresh in 6 ms - 3 of 541 modules\n")


# --- colours ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_who_gets_colours(
    variables: dict[str, str],
    terminal: bool,  # noqa: FBT001  a parameter
    expected: bool,  # noqa: FBT001  the same
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert style.has_colours(Screen(terminal=terminal)) is expected


def test_what_is_no_stream_any_more_has_no_colours() -> None:
    closed = Screen(terminal=True)
    closed.close()
    io_closed = io.StringIO()
    io_closed.close()
    assert style.has_colours(io_closed) is False
    assert style.has_colours(None) is False


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.00042, "0.4 ms"), (0.0059, "6 ms"), (0.9991, "999 ms"), (2.06, "2.1 s"), (75, "75.0 s")],
)
def test_a_duration_is_short(seconds: float, told: str) -> None:
    assert style.duration(seconds) == told


# --- for tools -------------------------------------------------------------------------------


def objects(*told: Event | str) -> list[dict[str, Any]]:
    screen = Screen()
    tell(ForTools(screen, pytest.fail), *told)
    return [json.loads(line) for line in screen.getvalue().splitlines()]


def test_each_event_is_an_object_a_line() -> None:
    told = objects(STARTING, AGAIN, FAILED, "a\nb")
    assert all(isinstance(each.pop("time"), float) for each in told)
    assert told == [
        {
            "event": "starting",
            "target": "app.py",
            "url": "http://127.0.0.1:8000/",
            "network_url": "",
        },
        {
            "event": "ready",
            "pid": 2,
            "seconds": 0.006,
            "paths": [*AGAIN.paths],
            "files": 12,
            "origin": "checkpoint",
            "modules": 541,
            "anew": 3,
            "waited": 0.0,
        },
        {
            "event": "failed",
            "error": "NameError: x",
            "traceback": "Traceback: all\n",
            "place": FAILED.place,
            "own": "Traceback: own\n",
            "hint": "",
        },
        {"event": "message", "level": "info", "text": "a\nb"},
    ]


def test_the_code_is_that_of_the_command() -> None:
    """Ctrl-C ends a supervisor with 0, and the command with 130."""
    screen = Screen()
    tell(ForTools(screen, pytest.fail, lambda code: code + 130), Stopped(0))
    assert json.loads(screen.getvalue())["code"] == 130


# --- the time of day -------------------------------------------------------------------------


def test_the_clock_is_the_users_whatever_zone_an_app_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django sets `TZ`: its lines would be hours away from the others."""
    users = time.localtime().tm_hour
    monkeypatch.setenv("TZ", "UTC-5" if time.localtime().tm_gmtoff != 5 * 3600 else "UTC-6")
    time.tzset()
    try:
        assert time.localtime().tm_hour != users
        assert style.clock(None)[:2] == f"{users:02d}"
    finally:
        monkeypatch.undo()
        time.tzset()


# --- the reader goes away --------------------------------------------------------------------


def test_the_end_of_a_reader_is_seen_without_writing() -> None:
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as stream:
        printer = ForTools(stream, pytest.fail)
        assert not printer.has_lost_reader()
        os.close(reader)
        assert printer.has_lost_reader()


def test_what_is_no_pipe_loses_no_reader(tmp_path: Path) -> None:
    with (tmp_path / "told").open("w") as stream:
        assert not ForTools(stream, pytest.fail).has_lost_reader()
    assert not ForTools(stream, pytest.fail).has_lost_reader()  # closed
    assert not ForTools(Screen(), pytest.fail).has_lost_reader()
    assert not ForTools(None, pytest.fail).has_lost_reader()


def test_a_stream_that_was_closed_before_is_none() -> None:
    tell(ForPeople(None, pytest.fail), AGAIN, FAILED, Stopped(0))


class Broken(Screen):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_an_end_of_the_readers_is_told_once() -> None:
    ends: list[bool] = []
    for kind in (ForPeople, ForTools):
        printer = kind(Broken(), lambda: ends.append(True))
        tell(printer, AGAIN, AGAIN)
        assert printer.has_ended
    assert ends == [True, True]
