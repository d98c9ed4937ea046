"""The frames of a traceback: which of them are shown, and as what."""

from __future__ import annotations

import linecache
import os
import traceback
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

from asyncreload.frozen_data import FrozenData
from asyncreload.style import plain

CONTEXT_LINES = 4  # shown before and after the source line of a frame
FIRST_FRAMES, LAST_FRAMES = 20, 30  # kept of a longer stack, such as an endless recursion
MAX_LINE = 500  # characters; the middle of more is left out

_STDLIB = Path(os.__file__).parent
_PACKAGE = Path(__file__).absolute().parents[2]
_INSTALLED = {"site-packages", "dist-packages"}
_MACHINERY = (f"{_PACKAGE}{os.sep}", "<frozen importlib", "<frozen runpy")
_MACHINERY_FILES = {str(_STDLIB / "runpy.py"), str(_STDLIB / "importlib" / "__init__.py")}
_SERVER_FILE = str(_STDLIB / "wsgiref" / "handlers.py")


class Frame(FrozenData):
    """A frame of a traceback, or the line of a `SyntaxError`, which has no function."""

    file: str
    line: int
    function: str
    source: tuple[tuple[int, str], ...] = ()
    """The lines around `line`, each with its number."""
    in_project: bool = False
    """Whether the file is neither an installed package's nor the standard library's."""
    column: int = 0
    """Of a SyntaxError, counted from 1; 0 if it is not known."""
    skipped: int = 0
    """How many frames were left out just before this one."""


def trim(one: traceback.TracebackException) -> None:
    """Leave out the frames of asyncreload, and those of the server that called the app."""
    kept = [_with_safe_source(frame) for frame in one.stack if not is_machinery(frame.filename)]
    kept = list(dropwhile(lambda frame: frame.filename == _SERVER_FILE, kept))
    one.stack = _Stack(kept) if kept else None  # type: ignore[assignment]  # None: no header


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
    path = Path(os.path.abspath(file))
    return not path.is_relative_to(_STDLIB) and _INSTALLED.isdisjoint(path.parts)


def _with_safe_source(frame: traceback.FrameSummary) -> traceback.FrameSummary:
    """Return a frame, without its source line if reading that fails, as for a file named NUL."""
    try:
        _ = frame.line
    except Exception:  # noqa: BLE001 - the module's loader is called, and may raise anything
        return traceback.FrameSummary(frame.filename, frame.lineno, frame.name, line="")
    return frame


def frames_of(summary: traceback.TracebackException) -> tuple[Frame, ...]:
    kept, skipped = _first_and_last(summary.stack or [])
    frames = []
    for index, call in enumerate(kept):
        gap = skipped if index == FIRST_FRAMES else 0
        frames.append(_frame(call.filename, call.lineno or 0, call.name, skipped=gap))
    if getattr(summary, "lineno", None) and summary.filename:  # only a SyntaxError has these
        frames.append(_syntax_frame(summary))
    return tuple(frames)


def _frame(file: str, line: int, function: str, *, skipped: int = 0) -> Frame:
    return Frame(
        file=plain(file),
        line=line,
        function=plain(function),
        source=_around(file, line),
        in_project=is_project_file(file),
        skipped=skipped,
    )


def _syntax_frame(summary: traceback.TracebackException) -> Frame:
    """Return a frame for the line that Python could not parse: there is none in the traceback."""
    frame = _frame(str(summary.filename), int(summary.lineno or 0), "")
    text = ((frame.line, _source_line(summary.text)),) if summary.text else ()
    return frame.replaced(source=frame.source or text, column=summary.offset or 0)


def _around(file: str, line: int) -> tuple[tuple[int, str], ...]:
    """Return the source lines around a line, with their numbers; none if they cannot be read."""
    try:
        linecache.checkcache(file)
        lines = linecache.getlines(file)
    except Exception:  # noqa: BLE001 - as in `_with_safe_source`
        return ()
    start = max(0, line - 1 - CONTEXT_LINES)
    shown = lines[start : line + CONTEXT_LINES] if line else []
    return tuple((start + 1 + index, _source_line(text)) for index, text in enumerate(shown))


def _source_line(text: str) -> str:
    return shorten(plain(text.rstrip("\r\n\f")), MAX_LINE)


class _Stack(traceback.StackSummary):
    """A stack that is printed without the middle of an endless recursion."""

    def format(self, **_options: Any) -> list[str]:
        kept, skipped = _first_and_last(self)
        if not skipped:
            return super().format()
        first, last = (
            self.from_list(part).format() for part in (kept[:FIRST_FRAMES], kept[FIRST_FRAMES:])
        )
        return [*first, f"  ... {skipped} more calls ...\n", *last]


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


def _first_and_last(
    stack: list[traceback.FrameSummary],
) -> tuple[list[traceback.FrameSummary], int]:
    """Return the first and the last frames of a stack, and how many are left out between them."""
    skipped = max(0, len(stack) - FIRST_FRAMES - LAST_FRAMES)
    return (stack[:FIRST_FRAMES] + stack[-LAST_FRAMES:], skipped) if skipped else (list(stack), 0)


def shorten(text: str, most: int) -> str:
    """Return text without its middle if it has more than `most` characters."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} [...] {text[-half:]}"
