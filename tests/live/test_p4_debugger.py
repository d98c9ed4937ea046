"""P4: while a debugger waits at its prompt nothing disturbs it, and the terminal stays sane."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
import termios
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.driving import COMMAND, LOGGED, Answer, Speech, lay_out
from tests.live.failing import DIED, TRACEBACK, Bench, serving, soon
from tests.live.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.driving import Connection

pytestmark = pytest.mark.without_standby

PROMPT = "(Pdb) "
QUIT = "q" if sys.version_info < (3, 14) else "q\ny"  # it asks back, and raises another exception
QUITTED = "bdb.BdbQuit" if sys.version_info < (3, 14) else "SystemExit: 1"
COLOUR = re.compile(r"\x1b\[\d+m")
DEAF = "a debugger waits at its prompt, where Ctrl-C does nothing: leave it with c first, or"
HELD = "app.py changed; reloading when you leave the debugger"

APP = (
    LOGGED
    + """\
VERSION = "%s"
%s
def app(environ, start_response):
    if environ["PATH_INFO"] == "/debug":
        breakpoint()
    start_response("200 OK", [])
    return [VERSION.encode()]
"""
)


def app_of(version: object, at_load: str = "") -> str:
    return APP % (version, at_load)


class AtTerminal(Bench):
    """A command whose controlling terminal is ours to type at."""

    def __init__(self, place: Path, *options: str) -> None:
        self.master, self.slave = pty.openpty()
        self.settings = self.attributes()
        self._screen = bytearray()
        # A terminal becomes the controlling one when the leader of a session opens it.
        shell = 'TERM=xterm exec "$@" 0<>"$0" 1>&0 2>&0'
        command = [*COMMAND, "app.py", "--port", "0", *options]
        super().__init__(
            place / "project",
            place / "tmp",
            ["sh", "-c", shell, os.ttyname(self.slave), *command],
            place / "output.txt",
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        with suppress(OSError):  # the last of those who have it open is gone
            while data := os.read(self.master, 65536):
                self._screen += data

    @property
    def output(self) -> str:
        text = self._screen.decode(errors="replace").replace("\r\n", "\n")
        return COLOUR.sub("", text)

    def attributes(self) -> list[Any]:
        """Return the settings of the terminal: echo and all the rest."""
        return termios.tcgetattr(self.slave)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until_prompt(self, number: int = 1) -> None:
        """Wait until the debugger has asked so often, and waits for an answer."""
        self.until_told(PROMPT, number)
        # Only then has readline taken the terminal over.
        self.until(lambda: not self.attributes()[3] & termios.ICANON, "it waits at the prompt")

    def until_as_before(self) -> None:
        self.until(lambda: self.attributes() == self.settings, "the terminal is as before", soon())

    def debug(self) -> Connection:
        """Send a request that leads to a prompt, and wait for that."""
        prompts = self.output.count(PROMPT)
        connection = self.connect().send("/debug")
        self.until_prompt(prompts + 1)
        return connection

    def close(self) -> None:
        """Let go of the terminal."""
        os.close(self.slave)
        self._reading.join()
        os.close(self.master)


THREADS = ["64", "1"]
"""How many answer; the only one is the main thread."""


MOMENTS = [
    ("in a request", "wsgi"),
    ("in the main thread", "wsgi"),
    ("in the main thread", "asgi"),
    ("while loading", "wsgi"),
]
"""When a debugger is entered; and the interface of the app."""
at_each_moment = pytest.mark.parametrize(("moment", "interface"), MOMENTS, indirect=["interface"])


def options_for(moment: str) -> list[str]:
    """Return what the app does when it is loaded, for that moment, and the options."""
    if moment == "while loading":
        return ["breakpoint()"]
    if moment == "in a request":
        return [""]
    return ["in_loop = True"] if Speech.asgi else ["", "--threads", "1"]


@contextmanager
def at_terminal(tmp_path: Path, at_load: str = "", *options: str) -> Iterator[AtTerminal]:
    """Serve at a terminal, whose settings are in the end as they were."""
    lay_out(tmp_path / "project", files={"app.py": app_of("old", at_load)})
    bench = AtTerminal(tmp_path, *options)
    try:
        yield bench
    finally:
        try:
            bench.stop()
            assert bench.attributes() == bench.settings, bench.output
        finally:
            bench.hang_up()
            bench.kill()
            bench.close()
            print(bench.output)


def save_while_debugging(bench: AtTerminal, version: str = "new") -> Connection:
    """Save: that is told, but nothing is reloaded; return a request that waits for it."""
    loads, prompts = bench.load_count, bench.output.count(PROMPT)
    bench.replace("app.py", app_of(version))
    waiting = bench.connect().send()
    bench.until_told(HELD)
    # More of a command line than a wait: the debugger still works, and has the old code.
    bench.type("VERSION\n")
    bench.until_told("'old'")
    bench.until_prompt(prompts + 1)
    assert bench.load_count == loads, bench.output
    assert bench.output.count(HELD) == 1
    return waiting


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("leave", ["c", QUIT], ids=["continue", "quit"])
def test_p4_a_prompt_in_a_request_holds_the_reload(
    tmp_path: Path, leave: str, threads: str
) -> None:
    with at_terminal(tmp_path, "", "--threads", threads) as bench:
        debugged = bench.debug()
        waiting = save_while_debugging(bench)
        bench.type(f"{leave}\n")
        answer = debugged.receive()
        assert answer == Answer(200, "old") if leave == "c" else answer.status == 500, answer
        assert waiting.receive().body == "new", bench.output
        bench.fresh("new")
        assert bench.load_count == 2
        bench.until_as_before()


@pytest.mark.parametrize("leave", ["c", QUIT], ids=["continue", "quit"])
def test_p4_a_prompt_while_loading_holds_the_reload(tmp_path: Path, leave: str) -> None:
    with at_terminal(tmp_path, "breakpoint()") as bench:
        bench.until_prompt()
        waiting = save_while_debugging(bench)
        bench.type(f"{leave}\n")
        assert waiting.receive() == Answer(200, "new"), bench.output
        bench.fresh("new")
        assert bench.load_count == 2
        bench.until_as_before()


def test_p4_quitting_while_loading_is_reported(tmp_path: Path) -> None:
    """When nothing was saved meanwhile, that load has failed."""
    with at_terminal(tmp_path, "breakpoint()") as bench:
        bench.until_prompt()
        bench.type(f"{QUIT}\n")
        answer = bench.get()
        assert (answer.status, answer.body.splitlines()[0]) == (500, QUITTED)
        bench.until_told("the load failed")
        assert bench.output.count(TRACEBACK) == 1
        bench.replace("app.py", app_of("new"))
        bench.fresh("new")


@at_each_moment
def test_p4_ctrl_c_at_a_prompt_is_the_debuggers(tmp_path: Path, moment: str) -> None:
    with at_terminal(tmp_path, *options_for(moment)) as bench:
        if moment == "while loading":
            bench.until_prompt()
            asked = bench.connect().send()
        else:
            bench.body()
            asked = bench.debug()
        for number in (1, 2):
            bench.type("\x03")
            # It reaches the main thread, and readline in no other.
            told = DEAF if moment == "in a request" else "--KeyboardInterrupt--"
            bench.until_told(told, number)
            bench.until_prompt()
            bench.type(f"VERSION * {number + 1}\n")
            bench.until_told("'old" + "old" * number)
            bench.until(lambda: bench.output.endswith(PROMPT), "it asks again")
            bench.until_prompt()
        waiting = save_while_debugging(bench)
        bench.type("c\n")
        version = "new" if moment == "while loading" else "old"
        assert asked.receive() == Answer(200, version), bench.output
        assert waiting.receive() == Answer(200, "new")
        bench.fresh("new")


def test_p4_ctrl_c_at_a_prompt_that_does_not_hear_it_ends_it_when_it_is_pressed_again(
    tmp_path: Path,
) -> None:
    with at_terminal(tmp_path) as bench:
        bench.body()
        bench.debug()
        bench.type("\x03")
        bench.until_told(DEAF)
        bench.until_prompt(2)  # it is shown again
        assert bench.output.endswith(f" to end all\n{PROMPT}")
        bench.type("\x03")
        assert bench.wait() == 130
        bench.until_as_before()


@at_each_moment
def test_p4_ctrl_c_ends_it_when_the_debugger_was_left(tmp_path: Path, moment: str) -> None:
    """In the main thread pdb has taken Ctrl-C for itself meanwhile."""
    with at_terminal(tmp_path, *options_for(moment)) as bench:
        if moment == "while loading":
            bench.until_prompt()
            debugged = bench.connect().send()
        else:
            debugged = bench.debug()
        bench.type("c\n")
        assert debugged.receive().body == "old"
        bench.until_as_before()
        bench.body()  # so the one that was debugged is over, in the server as well
        bench.type("\x03")
        assert bench.wait() == 130
        assert TRACEBACK not in bench.output
        assert "Program interrupted" not in bench.output  # by pdb


@at_each_moment
def test_p4_the_terminal_is_as_before_when_the_child_dies_at_a_prompt(
    tmp_path: Path, moment: str
) -> None:
    with at_terminal(tmp_path, *options_for(moment)) as bench:
        asked = None
        if moment == "while loading":
            bench.until_prompt()
        else:
            asked = bench.debug()
        assert bench.attributes() != bench.settings
        (child,) = set(bench.loads())
        os.kill(child, signal.SIGKILL)
        bench.until(lambda: not is_alive(child), "the child is dead")
        bench.until_as_before()
        bench.until_told(f"{DIED}killed by SIGKILL")
        if asked:
            asked.close()
        bench.replace("app.py", app_of("new"))
        bench.fresh("new")


@at_each_moment
def test_p4_the_terminal_is_as_before_when_all_ends_at_a_prompt(
    tmp_path: Path, moment: str
) -> None:
    with at_terminal(tmp_path, *options_for(moment), "--grace", "0.5") as bench:
        asked = None
        if moment == "while loading":
            bench.until_prompt()
        else:
            asked = bench.debug()
        assert bench.attributes() != bench.settings
        bench.signal(signal.SIGTERM)
        assert bench.wait() == 143
        bench.until_as_before()
        if asked:
            asked.close()


OTHER = """\
import pdb, sys
class Other(pdb.Pdb):
    pass
sys.breakpointhook = lambda: Other().set_trace(sys._getframe(1))
"""


def test_p4_the_terminal_is_as_before_though_the_process_was_made_at_a_prompt(
    tmp_path: Path,
) -> None:
    """It has found the terminal as the prompt had it."""
    with at_terminal(tmp_path, "", "--standby") as bench:
        bench.body()
        bench.replace("app.py", app_of("one"))
        bench.fresh("one")
        debugged = bench.debug()
        bench.replace("app.py", app_of("two"))
        bench.until_told(HELD)
        time.sleep(2.0)  # the next process is made ahead meanwhile, if there is time for it
        bench.type("c\n")
        debugged.receive()
        bench.fresh("two")
        bench.debug()
        bench.type("\x03")
        bench.until_told(DEAF)
        bench.type("\x03")
        assert bench.wait() == 130
        bench.until_as_before()


def test_p4_a_debugger_built_on_pdb_holds_the_reload_too(tmp_path: Path) -> None:
    with at_terminal(tmp_path, OTHER) as bench:
        debugged = bench.debug()
        waiting = save_while_debugging(bench)
        bench.type("c\n")
        assert debugged.receive().body == "old"
        assert waiting.receive().body == "new"


def test_p4_without_a_terminal_breakpoint_is_an_error_of_the_request(tmp_path: Path) -> None:
    """Input is at its end: pdb quits, and nothing is held."""
    with serving(tmp_path, files={"app.py": app_of("old")}) as bench:
        assert bench.get("/debug").status == 500
        bench.replace("app.py", app_of("new"))
        bench.fresh("new")
