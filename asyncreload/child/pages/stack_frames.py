"""The frames of a traceback: which of them are shown, and as what."""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Iterable
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

from asyncreload.child.pages.source_colours import is_python, quote_before
from asyncreload.frozen_data import FrozenData
from asyncreload.style import plain

CONTEXT_LINES = 4  # shown before and after the source line of a frame
FIRST_FRAMES, LAST_FRAMES = 20, 30  # kept of a longer stack, such as an endless recursion
PRINTED_REPEATS = 3  # of the same frame in a row are printed; Python counts the others
MAX_LINE = 500  # characters; the middle of more is left out

_STDLIB = Path(os.__file__).parent
_PACKAGE = Path(__file__).absolute().parents[2]
_INSTALLED = {"site-packages", "dist-packages"}
_MACHINERY = (f"{_PACKAGE}{os.sep}", "<frozen importlib", "<frozen runpy")
_MACHINERY_FILES = {str(_STDLIB / "runpy.py"), str(_STDLIB / "importlib" / "__init__.py")}
_CYTHON = (".pyx", ".pxd", ".pxi")
_COMPILED = {"", ".py", ".pyw", ".wsgi"}
"""Suffixes of files that Python compiles as they are."""
_SERVER_FILE = str(_STDLIB / "wsgiref" / "handlers.py")


_Run = tuple[traceback.FrameSummary, int]
"""A frame, and how many times it comes in a row."""


class Frame(FrozenData):
    """A frame of a traceback, or the line of a `SyntaxError`, which has no function."""

    file: str
    line: int
    function: str
    source: tuple[tuple[int, str], ...] = ()
    """The lines around `line`, each with its number."""
    quote: str = ""
    """The three quotes of a text that the source begins in, if it does."""
    in_project: bool = False
    """Whether the file is neither an installed package's nor the standard library's."""
    column: int = 0
    """Where in the line the error is, counted from 1; 0 for all of it, or if it is not known."""
    marks: str = "^"
    """What Python prints from there on below the line, such as `~~^~~`."""
    skipped: int = 0
    """How many frames were left out just before this one."""
    repeated: int = 0
    """How many more calls there were from the same line just before this one: a recursion."""


def trim(one: traceback.TracebackException) -> None:
    """Leave out the frames of asyncreload, and those of the server that called the app."""
    kept = [_with_safe_source(frame) for frame in one.stack if not is_machinery(frame.filename)]
    kept = list(dropwhile(lambda frame: frame.filename == _SERVER_FILE, kept))
    one.stack = _Stack(kept) if kept else None  # type: ignore[assignment]  # None: no header
    end = getattr(one, "end_offset", None)  # of a SyntaxError; one of the app's own may be anywhere
    if isinstance(end, int):
        one.end_offset = min(end, (one.offset or 0) + MAX_LINE)


def fold_libraries(one: traceback.TracebackException) -> None:
    """Leave out the frames of libraries as well, but for the last, which raised."""
    one.stack = one.stack and _OwnStack(one.stack)  # None stays None


def is_machinery(file: str) -> bool:
    """Tell whether a file is asyncreload's or the import system's: users need no such frames."""
    return file.startswith(_MACHINERY) or file in _MACHINERY_FILES


def is_project_file(file: str) -> bool:
    """Tell whether a file is neither an installed package's nor the standard library's."""
    if file.startswith("<") or is_machinery(file):
        return False
    if file.endswith(_CYTHON) and not os.path.exists(file):
        return False  # named from where the package was built
    path = Path(os.path.abspath(file))
    return not path.is_relative_to(_STDLIB) and _INSTALLED.isdisjoint(path.parts)


def _with_safe_source(frame: traceback.FrameSummary) -> traceback.FrameSummary:
    """Return a frame, without its source line if reading that fails, as for a file named NUL.

    And without columns in a file that Python has not compiled: those of a template are columns of
    the code that was made of it.
    """
    try:
        _ = frame.line
    except Exception:  # noqa: BLE001 - the module's loader is called, and may raise anything
        return traceback.FrameSummary(frame.filename, frame.lineno, frame.name, line="")
    if os.path.splitext(frame.filename)[1] not in _COMPILED and os.path.isfile(frame.filename):
        return traceback.FrameSummary(frame.filename, frame.lineno, frame.name)
    return frame


def frames_of(summary: traceback.TracebackException) -> tuple[Frame, ...]:
    kept, skipped = _first_and_last(_runs(summary.stack or []))
    frames = []
    for index, (call, count) in enumerate(kept):
        gap = skipped if index == FIRST_FRAMES else 0
        frame = _frame(call.filename, call.lineno or 0, call.name)
        column, marks = _marks(call)
        frames.append(frame.replaced(column=column, marks=marks, skipped=gap, repeated=count - 1))
    if getattr(summary, "lineno", None) and summary.filename:  # only a SyntaxError has these
        frames.append(_syntax_frame(summary))
    return tuple(frames)


def _frame(file: str, line: int, function: str) -> Frame:
    source, quote = _around(file, line)
    return Frame(
        file=plain(file),
        line=line,
        function=plain(function),
        source=source,
        quote=quote,
        in_project=is_project_file(file),
    )


def _marks(call: traceback.FrameSummary) -> tuple[int, str]:
    """Return in which column Python's marks begin below the line of a frame, and the marks.

    Python prints none if they would stand below all of the line: the column is 0 then.
    """
    try:
        text = linecache.getline(call.filename, call.lineno or 0).rstrip("\r\n")
        _, _, marks, *_ = traceback.StackSummary().format_frame_summary(call).split("\n")
        before = text.encode()[: call.colno or 0].decode()
    except Exception:  # noqa: BLE001 - as in `_with_safe_source`; or it has been saved since
        return 0, "^"
    if not set(marks) <= set(" ~^") or not marks.strip() or len(text) > MAX_LINE:
        return 0, "^"
    return len(plain(before)) + 1, marks.strip()


def _syntax_frame(summary: traceback.TracebackException) -> Frame:
    """Return a frame for the line that Python could not parse: there is none in the traceback."""
    frame = _frame(str(summary.filename), int(summary.lineno or 0), "")
    text = ((frame.line, _source_line(summary.text)),) if summary.text else ()
    offset = summary.offset or 0
    end = offset + 1
    if int(summary.end_lineno or 0) == frame.line:
        end = max(end, summary.end_offset or 0)
    return frame.replaced(source=frame.source or text, column=offset, marks="^" * (end - offset))


def _around(file: str, line: int) -> tuple[tuple[tuple[int, str], ...], str]:
    """Return the source lines around a line, with their numbers; none if they cannot be read.

    Also return the three quotes that they begin within, or "".
    """
    try:
        linecache.checkcache(file)
        lines = linecache.getlines(file)
    except Exception:  # noqa: BLE001 - as in `_with_safe_source`
        return (), ""
    start = max(0, line - 1 - CONTEXT_LINES)
    shown = lines[start : line + CONTEXT_LINES] if line else []
    quote = quote_before(lines, start) if shown and is_python(file) else ""
    numbers = range(start + 1, start + 1 + len(shown))
    return tuple(zip(numbers, map(_source_line, shown), strict=True)), quote


def _source_line(text: str) -> str:
    return shorten(text.rstrip("\r\n\f"), MAX_LINE)


class _Stack(traceback.StackSummary):
    """A stack that is printed without the middle of an endless recursion."""

    def format(self, **_options: Any) -> list[str]:
        kept, skipped = _first_and_last(_runs(self))
        lines = [line for run in kept[:FIRST_FRAMES] for line in self._format_run(*run)]
        if skipped:
            lines.append(f"  ... {skipped} more calls ...\n")
        return lines + [line for run in kept[FIRST_FRAMES:] for line in self._format_run(*run)]

    def _format_run(self, call: traceback.FrameSummary, count: int) -> list[str]:
        """Return the lines of a frame as Python prints it, when it comes `count` times."""
        lines = self.from_list([call] * min(count, PRINTED_REPEATS)).format()
        if (more := count - PRINTED_REPEATS) > 0:
            lines.append(f"  [Previous line repeated {more} more time{'s' * (more > 1)}]\n")
        return lines


class _OwnStack(_Stack):
    """A stack that is printed without frames of libraries, but for the last one, which raised."""

    def format(self, **_options: Any) -> list[str]:
        lines: list[str] = []
        for shown, group in groupby(
            self, lambda call: call is self[-1] or is_project_file(call.filename)
        ):
            calls = _Stack(group)
            lines += calls.format() if shown else [f"  ... {_number(calls)} in libraries ...\n"]
        return lines


def _number(calls: list[traceback.FrameSummary]) -> str:
    return "1 call" if len(calls) == 1 else f"{len(calls)} calls"


def _runs(stack: Iterable[traceback.FrameSummary]) -> list[_Run]:
    """Return frames, each with the number of times that it comes one after the other."""
    return [
        (calls[-1], len(calls))
        for _, same in groupby(stack, lambda call: (call.filename, call.lineno, call.name))
        for calls in [list(same)]
    ]


def _first_and_last(runs: list[_Run]) -> tuple[list[_Run], int]:
    """Return the first and the last of the frames, and how many calls are left out between."""
    skipped = sum(count for _, count in runs[FIRST_FRAMES:-LAST_FRAMES])
    return (runs[:FIRST_FRAMES] + runs[-LAST_FRAMES:], skipped) if skipped else (runs, 0)


def shorten(text: str, most: int) -> str:
    """Return plain text, without its middle if it has more than `most` characters."""
    # Cut before, too: to make a text of megabytes plain takes seconds.
    return cut(plain(cut(text, 2 * most)), most)


def cut(text: str, most: int) -> str:
    """Return text without its middle if it has more than `most` characters."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} [...] {text[-half:]}"
