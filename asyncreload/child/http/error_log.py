"""The error log: on standard error, what the app has raised and where, and the traceback."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from asyncreload.current_directory import current_directory
from asyncreload.style import RED, clock, coloured, headline
from asyncreload.terminal import write_lines

if TYPE_CHECKING:
    from asyncreload.child.pages.error_report import Report


def log_error(report: Report, occasion: str = "") -> None:
    """Write what went wrong and where, the traceback, and what may be done.

    occasion: when that was, as in "in the app's shutdown".
    """
    # Standard error may be a broken pipe, closed, or None; the client is answered.
    with suppress(OSError, ValueError, AttributeError):
        stderr: TextIO = sys.stderr
        title = f"{occasion}: {report.title}" if occasion else report.title
        first = coloured(headline(title, report.place, current_directory()), RED, stderr)
        lines = (f"{clock(stderr)} {first}", report.own.rstrip("\n"), report.advice)
        write_lines(stderr, "\n".join(filter(None, lines)) + "\n")
