"""The command at a real terminal: what a person sees is what the README shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.live.commands import free_port
from tests.live.driving import Connection, replace
from tests.live.screen import Screen, ask, screen
from tests.live.test_readme import BLOCKS, HELLO

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

SHOWN = next(text for kind, text in BLOCKS if kind == "text" and text.startswith("$ asyncreload"))
HOME = "/home/you/hello"


def masked(text: str) -> list[str]:
    """Return the lines without what differs from run to run: times and durations."""
    # On a busy machine the first line did not wait for the number of files.
    text = re.sub(r"(/)\n(r restart .*)\n\S+ fresh in .*( · 1 file)\n", r"\1\3\n\2\n", text)
    text = re.sub(r"^\d\d:\d\d:\d\d ", "HH:MM:SS ", text, flags=re.MULTILINE)
    # What a slow reload says, as it may be on a busy machine.
    slow = r"( · from nothing)?( · waited .* for the next process)?"
    return re.sub(rf"[\d.]+ m?s{slow}$", "TIME", text, flags=re.MULTILINE).splitlines()


def start(seen: Screen, *options: str) -> int:
    """Serve app.py; return the port."""
    port = free_port()
    seen.type(" ".join(["asyncreload app.py --port", str(port), *options]))
    seen.until_seen("1 file")
    return port


AT_WIDTHS = pytest.mark.parametrize("width", [60, 200])


@AT_WIDTHS
def test_the_screen_is_as_the_readme_shows_it(project: Path, temp: Path, width: int) -> None:
    app = project / "app.py"
    app.write_text(HELLO)
    edited = HELLO.replace("Hello", "Good morning")
    with screen(project, temp, size=f"{width}x50") as seen:
        port = start(seen)
        for text, expected in (
            (HELLO, (200, "Hello\n")),
            (edited, (200, "Good morning\n")),
            (edited.replace('\\n"]', '\\n"'), (500, "SyntaxError: '[' was never closed\n")),
            (edited, (200, "Good morning\n")),
        ):
            asked = seen.text.count(" GET / ")
            if text != app.read_text():
                told = "for a change" if expected[0] == 500 else "changed ·"
                before = seen.text.count(told)
                replace(app, text)
                seen.until_seen(told, before + 1)
            status, body = ask(port)
            assert (status, body[: len(expected[1])]) == expected
            seen.until_seen(" GET / ", asked + 1)
        colours = seen.raw
        seen.press("C-c")
        seen.until_prompt("$ ")
        text = seen.text.removesuffix("\n$")
        for actual, shown in ((f" --port {port}", ""), (str(port), "8000"), (str(project), HOME)):
            text = text.replace(actual, shown)
    assert masked(text) == masked(SHOWN)
    assert re.search(r"\x1b\[32m200", colours)
    assert re.search(r"\x1b\[31m500", colours)
    assert re.search(r"\x1b\[31mSyntaxError: ", colours)


@pytest.mark.parametrize(
    ("environ", "width"), [({"NO_COLOR": "1"}, 100), ({"TERM": "dumb"}, 30)], ids=str
)
def test_a_terminal_without_colours_gets_none(
    project: Path, temp: Path, environ: dict[str, str], width: int
) -> None:
    (project / "app.py").write_text(HELLO)
    with screen(project, temp, environ, f"{width}x20") as seen:
        port = start(seen)
        assert ask(port)[0] == 200
        seen.until_seen(" GET / 200 ")
        assert "\x1b" not in seen.raw
        seen.press("C-c")
        seen.until_prompt("$ ")


DEBUGGED = """\
VERSION = "{}"
def app(environ, start_response):
    if environ["PATH_INFO"] == "/debug":
        breakpoint()
    start_response("200 OK", [])
    return [VERSION.encode()]
"""


@AT_WIDTHS
def test_a_debugger_has_the_terminal(project: Path, temp: Path, width: int) -> None:
    """Ctrl-C at its prompt, a save meanwhile, continue, quit; then Ctrl-C is ours again."""
    app = project / "app.py"
    app.write_text(DEBUGGED.format("old"))
    with screen(project, temp, size=f"{width}x50") as seen:
        port = start(seen)
        debugged = Connection(port).send("/debug")
        seen.until_prompt("(Pdb) ")
        seen.press("C-c")
        seen.type("VERSION * 2")
        seen.until_seen("'oldold'")
        replace(app, DEBUGGED.format("new"))
        seen.until_seen("app.py changed; reloading when you leave the debugger")
        assert not re.search(r"\(Pdb\) *[\d:]+ app.py changed;", seen.text)
        seen.type("c")
        assert debugged.receive().body == "old"
        assert ask(port) == (200, "new")
        seen.until_seen("app.py changed · fresh in ")

        debugged = Connection(port).send("/debug")
        seen.until_seen("(Pdb)", 3)
        seen.until_prompt("(Pdb) ")
        seen.type("q")
        if sys.version_info >= (3, 14):
            seen.until_seen("Quit anyway? [y/n]")
            seen.type("y")
        assert debugged.receive().status == 500
        assert ask(port) == (200, "new")
        seen.press("C-c")
        seen.until_prompt("$ ")
        assert " stopped\n" in seen.text
        # The terminal echoes, and edits lines, as before.
        seen.type("echo $? $((6 * 7))")
        seen.until_seen("130 42")


ATTENDED = """\
import time, os
VERSION, SINCE, PID = "{}", str(time.time_ns()), str(os.getpid())
def app(environ, start_response):
    body = {{"/since": SINCE, "/pid": PID}}.get(environ["PATH_INFO"], VERSION)
    if environ["PATH_INFO"] == "/ask":
        body = input("name? ")
    if environ["PATH_INFO"] == "/debug":
        breakpoint()
    start_response("200 OK", [])
    return [body.encode()]
"""
RESTARTED = "asked to reload: starting from nothing"


@AT_WIDTHS
def test_keys_are_taken_while_nobody_else_waits_for_them(
    project: Path, temp: Path, width: int
) -> None:
    """Start, restart, edit, break, mend, an `input()`, a debugger, a killed child, quit."""
    app, browser = project / "app.py", temp / "browser"
    app.write_text(ATTENDED.format("old"))
    # A browser for terminals would take ours from the app.
    browser.write_text('#!/bin/sh\n(: </dev/tty) 2>/dev/null || echo "$1" > "$0.told"\n')
    browser.chmod(0o755)
    with screen(project, temp, {"BROWSER": str(browser)}, size=f"{width}x50") as seen:
        port = start(seen, "--open")
        told = browser.with_suffix(".told")
        seen.until(told.exists, "the browser is opened once the app answers")
        until_opened = f"http://127.0.0.1:{port}/\n"
        seen.until(lambda: told.read_text() == until_opened, "at the app's address")
        told.unlink()
        seen.type("o")
        seen.until(told.exists, "the browser is opened once more")

        before = ask(port, "/since")
        seen.type("r")
        seen.until_seen(RESTARTED)
        seen.until(lambda: ask(port, "/since") != before, "it starts from nothing")
        replace(app, ATTENDED.format("new"))
        assert ask(port) == (200, "new")
        replace(app, ATTENDED.format("broken") + "(")
        assert ask(port)[0] == 500
        seen.type("r")
        seen.until_seen(RESTARTED, 2)
        seen.until_seen("waiting for a change", 2)
        replace(app, ATTENDED.format("mended"))
        assert ask(port) == (200, "mended")
        # Else its line may come when the prompt is there already, and the cursor goes to a new one.
        seen.until_seen("GET / 200", 2)

        asked = Connection(port).send("/ask")
        seen.until_seen("name?")
        seen.type("q")
        assert asked.receive().body == "q"
        seen.until_seen("name? q")
        seen.until_seen("GET /ask 200")
        debugged = Connection(port).send("/debug")
        seen.until_prompt("(Pdb) ")
        seen.type("c")
        assert debugged.receive().body == "mended"
        assert "(Pdb) c" in seen.text  # it was not cleared

        os.kill(int(ask(port, "/pid")[1]), signal.SIGKILL)
        seen.until_seen("killed by SIGKILL")
        # Else the line that tells it may come once the screen is clear.
        seen.until(lambda: "fresh in" in seen.text.rpartition("SIGKILL")[2], "it serves again")
        seen.type("x")
        seen.until_seen("nothing waits for 'x'")
        seen.type("c")
        seen.until(lambda: not seen.text, "the screen is clear")
        seen.type("q")
        seen.until_prompt("$ ")
        seen.type("echo $? $((6 * 7))")
        seen.until_seen("0 42")


PROMPTING = """\
import sys
sys.modules["readline"] = None  # as in a Python that was built without it
VERSION = "{}"
def app(environ, start_response):
    if environ["PATH_INFO"] == "/ask":
        input("name? ")
    if environ["PATH_INFO"] == "/debug":
        breakpoint()
    start_response("200 OK", [])
    return [VERSION.encode()]
"""


@pytest.mark.parametrize(
    ("path", "prompt", "answer"), [("/ask", "name?", "Bob"), ("/debug", "(Pdb)", "c")]
)
def test_nothing_of_ours_lands_behind_a_prompt(
    project: Path, temp: Path, path: str, prompt: str, answer: str
) -> None:
    """A line of the child's, then one of the supervisor's: of a reload, or that it is held."""
    app = project / "app.py"
    app.write_text(PROMPTING.format("old"))
    with screen(project, temp) as seen:
        port = start(seen)
        asked = Connection(port).send(path)
        seen.until_prompt(prompt)
        assert ask(port) == (200, "old")
        seen.until_seen(" GET / 200 ")
        seen.type(answer)
        assert asked.receive().body == "old"

        with closing(Connection(port)) as left:
            left.send(path)
            seen.until_seen(prompt, 2)
            seen.until_prompt(prompt)
            replace(app, PROMPTING.format("new"))
            seen.until_seen("app.py changed")
            if path == "/debug":
                seen.until_prompt(prompt)  # it is shown again
                seen.type(answer)
                seen.until_seen("fresh in")
        seen.press("C-c")
        seen.until_prompt("$ ")
        shown = [line.rstrip() for line in seen.text.splitlines()]
    # It is shown again behind a line of ours; but not when its process ends.
    answered = [prompt, f"{prompt} {answer}"]
    last = answered if path == "/debug" else [prompt]
    assert [line for line in shown if prompt in line] == answered + last
    assert all(shown)


@AT_WIDTHS
def test_keys_come_back_with_the_foreground(project: Path, temp: Path, width: int) -> None:
    """Ctrl-Z, `bg`, a line that is another program's, `fg`."""
    (project / "app.py").write_text(ATTENDED.format("old"))
    with screen(project, temp, size=f"{width}x50") as seen:
        port = start(seen)
        seen.press("C-z")
        seen.until_prompt("$ ")
        seen.type("bg; sleep 1")
        assert ask(port)[0] == 200
        seen.type("q")  # nobody reads it until the shell does
        seen.until_seen("q: not found")
        assert ask(port)[0] == 200
        assert "Stopped (tty input)" not in seen.text
        seen.type("fg")
        seen.type("h")
        seen.until_seen("a letter, then Enter:")
        seen.type("q")
        seen.until_seen(" stopped\n")
        seen.until_prompt("$ ")


@AT_WIDTHS
def test_a_prompt_is_told_of_after_ctrl_z(project: Path, temp: Path, width: int) -> None:
    """Python shows none again; in the background nobody is told."""
    (project / "app.py").write_text(DEBUGGED.format("old"))
    told = "a debugger waits at its prompt: type a command, then Enter"
    with screen(project, temp, size=f"{width}x50") as seen:
        seen.type("exec bash --norc")  # puts the terminal's settings back, as dash does not
        seen.until_seen("$", 2)
        port = start(seen)
        seen.press("C-z")
        seen.until_prompt("$ ")
        seen.type("fg")
        seen.type("h")
        seen.until_seen("a letter, then Enter:")  # by now it has asked whether there is a prompt
        debugged = Connection(port).send("/debug")
        seen.until_prompt("(Pdb) ")
        assert told not in seen.text
        seen.press("C-z")
        seen.until_prompt("$ ")
        seen.type("fg")
        seen.until_seen(told)
        seen.type("VERSION * 2")
        seen.until_seen("'oldold'")
        seen.until_prompt("(Pdb) ")
        seen.type("c")
        assert debugged.receive().body == "old"
        seen.press("C-c")
        seen.until_prompt("$ ")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS always has one")
def test_without_a_browser_the_address_is_told(project: Path, temp: Path) -> None:
    (project / "app.py").write_text(HELLO)
    none = {"BROWSER": "/nowhere/to/be/found", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    with screen(project, temp, none) as seen:
        port = start(seen)
        seen.type("o")
        seen.until_seen(f"no browser could be opened here: open http://127.0.0.1:{port}/ yourself")
        seen.press("C-c")
        seen.until_prompt("$ ")


def test_without_keys_all_that_is_typed_is_left_to_the_app(project: Path, temp: Path) -> None:
    (project / "app.py").write_text(ATTENDED.format("old"))
    with screen(project, temp) as seen:
        port = start(seen, "--no-keys")
        seen.until_seen("Ctrl-C to stop")
        seen.type("early")
        assert Connection(port).send("/ask").receive().body == "early"
