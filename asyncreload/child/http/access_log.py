"""The access log: a line on standard error for each answer, `12:00:00 GET /path 200 6 ms`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

from asyncreload.outlet import PATIENCE, takes_some
from asyncreload.style import (
    BOLD,
    CYAN,
    DIM,
    GREEN,
    RED,
    YELLOW,
    clock,
    coloured,
    duration,
    plain,
)
from asyncreload.terminal import line_break, write_lines

_STATUSES: Final = {2: GREEN, 3: CYAN, 4: YELLOW, 5: RED}


def log_access(request: str, status: str, seconds: float, remark: str = "") -> None:
    """Write the line of an answer.

    request: what was asked for, as in `GET /path`.
    seconds: how long the answer took.
    remark: why the answer is not what the app meant, such as "cut off".
    """
    _write(lambda stream: access_line(request, status, seconds, stream, remark))


def log_cut_off(request: str, when: str = "", status: str = "") -> None:
    """Write the line of a request that is given up, as the process ends.

    when: such as "after 5 s".
    status: that of the answer which its client gets in the place of the app's, if it gets one.
    """
    with suppress(OSError, ValueError, AttributeError):
        stream: TextIO = sys.stderr
        end = coloured(f"cut off {when}".rstrip(), RED, stream)
        if takes_some(stream, PATIENCE):
            # A prompt is not shown again: its process is about to end.
            answer = f" {coloured(status, RED, stream)} ·" if status else ""
            stream.write(f"{line_break(stream)}{clock(stream)} {plain(request)}{answer} {end}\n")
            stream.flush()


def log_line(text: str) -> None:
    """Write a line that the supervisor does not hear any more."""
    _write(lambda stream: f"{clock(stream)} {text}\n")


def _write(line_for: Callable[[TextIO], str]) -> None:
    # Standard error may be a broken pipe, closed, or None.
    with suppress(OSError, ValueError, AttributeError):
        stream: TextIO = sys.stderr
        if takes_some(stream, PATIENCE):  # else all threads would soon wait here, and none answer
            write_lines(stream, line_for(stream))


def access_line(request: str, status: str, seconds: float, stream: TextIO, remark: str = "") -> str:
    """Return the line of an answer, in colours where the stream wants them."""
    colour = _STATUSES.get(int(status[:1]) if status[:1].isdecimal() else 0, BOLD)
    status = coloured(status, colour, stream)
    took = coloured(duration(seconds), DIM, stream)
    end = f" · {coloured(remark, RED, stream)}" if remark else ""
    return f"{clock(stream)} {plain(request)} {status} {took}{end}\n"
