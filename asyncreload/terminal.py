"""The settings of the terminal, which a debugger changes while it waits at its prompt."""

from __future__ import annotations

import os
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from asyncreload.input_prompt import leave_prompt, show_prompt_again
from asyncreload.style import is_terminal

_LOCAL_FLAGS = 3
"""The place among the settings of those for echo, whole lines and signals."""


class Terminal:
    """The settings of the terminal (echo and all the rest) as they are now, to be put back.

    Those of an open prompt are none to be put back: it has others, and forgets them when it ends.
    Nor are those of `getpass`, which has what is typed not shown.
    """

    def __init__(self) -> None:
        self._settings: list[Any] | None = None
        self.note()

    def note(self) -> None:
        """Take the settings that there are now as those to be put back, unless a prompt is open."""
        with suppress(termios.error, OSError, ValueError):
            settings = termios.tcgetattr(0)
            if _has_whole_lines(settings) and settings[_LOCAL_FLAGS] & termios.ECHO:
                self._settings = settings

    def restore(self) -> None:
        """Put the settings back where they differ; does nothing without a terminal."""
        if self._settings is None:
            return
        with suppress(termios.error, OSError):
            if not is_in_foreground():
                return  # in the background it is not ours, and touching it would stop us
            if termios.tcgetattr(0) != self._settings:
                termios.tcsetattr(0, termios.TCSANOW, self._settings)


def is_in_foreground(terminal: int = 0) -> bool:
    """Tell whether a terminal is ours to read from. Raises OSError if it is not open any more."""
    return os.tcgetpgrp(terminal) == os.getpgrp()


def waits_for_whole_lines(terminal: int | TextIO) -> bool:
    """Tell whether a terminal is in its usual mode; no program then reads key by key.

    The prompt of a debugger does, as it edits its line. What is no terminal is in no other mode.
    """
    try:
        return _has_whole_lines(termios.tcgetattr(terminal))
    except (termios.error, OSError, ValueError):
        return True


def _has_whole_lines(settings: list[Any]) -> bool:
    return bool(settings[_LOCAL_FLAGS] & termios.ICANON)


def line_break(stream: TextIO | None, leave: Callable[[], bool] = leave_prompt) -> str:
    """Return what has to precede a line of ours: nothing, or a newline behind an open prompt.

    leave: tells whether the cursor stands behind a prompt that is left now.
    """
    if stream is None or not is_terminal(stream):
        return ""
    return "\n" if leave() or not waits_for_whole_lines(stream) else ""


def write_lines(stream: TextIO, text: str) -> None:
    """Write lines of ours to a terminal, or elsewhere; an open prompt is shown again behind them.

    Raises what the stream raises.
    """
    start = line_break(stream)
    stream.write(f"{start}{text}")
    stream.flush()
    if start:
        show_prompt_again()
