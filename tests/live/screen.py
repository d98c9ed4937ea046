"""A terminal as a person has it: tmux, with a shell in it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.live.driving import Connection, until


class Screen:
    """What is typed and what is seen. The shell's prompt is `$ `."""

    def __init__(self, directory: Path, temp: Path, environ: Mapping[str, str], size: str) -> None:
        # A path for a socket must be short, whatever the directories of tests are called.
        self._tmux = ["tmux", "-L", f"asyncreload-{os.getpid()}", "-f", os.devnull]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = {"TMPDIR": str(temp), "PATH": path, "PS1": "$ ", "ENV": "", **environ}
        shell = ["env", "-u", "NO_COLOR", "-u", "FORCE_COLOR", "-u", "PYTHONUNBUFFERED"]
        shell += [f"{name}={value}" for name, value in variables.items()] + ["sh"]
        width, height = size.split("x")
        place = ["-x", width, "-y", height, "-c", str(directory)]
        self._run("new-session", "-d", *place, shlex.join(shell))
        self.until(lambda: self.text.startswith("$"), "the shell is there")

    def _run(self, *arguments: str) -> str:
        return subprocess.check_output([*self._tmux, *arguments], text=True)

    @property
    def text(self) -> str:
        """What is on the screen, long lines joined again, without the colours."""
        return self._run("capture-pane", "-p", "-J", "-S", "-").rstrip()

    @property
    def raw(self) -> str:
        """The same with the colours."""
        return self._run("capture-pane", "-p", "-e", "-S", "-")

    def type(self, text: str) -> None:
        """Type a line, and press Enter."""
        self._run("send-keys", "-l", text)
        self._run("send-keys", "Enter")

    def press(self, key: str) -> None:
        """Press a key, by tmux's name."""
        self._run("send-keys", key)

    def until(self, condition: object, what: str) -> None:
        """Wait for a condition; the screen is in the failure."""
        assert callable(condition)
        until(condition, what, report=lambda: self.text)

    def until_seen(self, text: str, times: int = 1) -> None:
        """Wait until a text is on the screen so often."""
        self.until(lambda: self.text.count(text) >= times, f"{text!r} is seen {times} times")

    def until_prompt(self, prompt: str) -> None:
        """Wait until the last line is that prompt."""
        self.until(lambda: self.text.splitlines()[-1:] == [prompt.rstrip()], f"{prompt!r}")

    def close(self) -> None:
        """End the terminal with all that runs in it."""
        self._run("kill-server")


@contextmanager
def screen(
    directory: Path, temp: Path, environ: Mapping[str, str] | None = None, size: str = "100x50"
) -> Iterator[Screen]:
    """Open a terminal in a directory."""
    opened = Screen(directory, temp, environ or {}, size)
    try:
        yield opened
    finally:
        print(opened.text)
        opened.close()


def ask(port: int, path: str = "/") -> tuple[int, str]:
    """Return status and body."""
    answer = Connection(port).send(path).receive()
    return answer.status, answer.body
