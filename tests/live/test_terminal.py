"""The command at a real terminal: what a person sees is what the README shows."""

from __future__ import annotations

import re
import shutil
import sys
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
    text = re.sub(r"( · Ctrl-C to stop)\n\S+ fresh in .*( · 1 file)\n", r"\2\1\n", text)
    text = re.sub(r"^\d\d:\d\d:\d\d ", "HH:MM:SS ", text, flags=re.MULTILINE)
    return re.sub(r"[\d.]+ m?s$", "TIME", text, flags=re.MULTILINE).splitlines()


def start(seen: Screen, *options: str) -> int:
    """Serve app.py; return the port."""
    port = free_port()
    seen.type(" ".join(["asyncreload app.py --port", str(port), *options]))
    seen.until_seen("1 file")
    return port


def test_the_screen_is_as_the_readme_shows_it(project: Path, temp: Path) -> None:
    app = project / "app.py"
    app.write_text(HELLO)
    edited = HELLO.replace("Hello", "Good morning")
    with screen(project, temp) as seen:
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


def test_a_debugger_has_the_terminal(project: Path, temp: Path) -> None:
    """Ctrl-C at its prompt, a save meanwhile, continue, quit; then Ctrl-C is ours again."""
    app = project / "app.py"
    app.write_text(DEBUGGED.format("old"))
    with screen(project, temp) as seen:
        port = start(seen)
        debugged = Connection(port).send("/debug")
        seen.until_prompt("(Pdb) ")
        seen.press("C-c")
        seen.type("VERSION * 2")
        seen.until_seen("'oldold'")
        replace(app, DEBUGGED.format("new"))
        seen.until_seen("app.py changed; reloading when you leave the debugger")
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
