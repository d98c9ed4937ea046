"""What went wrong, as data and as plain text: a load that failed or a process that crashed."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asyncreload.errors import EnvironmentFileError, TargetError
from asyncreload.frozen_data import FrozenData
from asyncreload.style import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FAILED, CRASHED = 500, 503  # the HTTP statuses of a report
AROUND = 4  # source lines shown before and after the line that counts
FIRST, LAST = 20, 30  # frames kept of an endless recursion
LONGEST_TITLE, LONGEST_LINE, LONGEST_TRACE = 500, 500, 200_000

_STDLIB = Path(os.__file__).parent
_PACKAGE = Path(__file__).absolute().parents[2]
_INSTALLED = {"site-packages", "dist-packages"}
_MACHINERY = (f"{_PACKAGE}{os.sep}", "<frozen importlib", "<frozen runpy")
_MACHINERY_FILES = {str(_STDLIB / "runpy.py"), str(_STDLIB / "importlib" / "__init__.py")}

Raised = TypeVar("Raised", BaseException, traceback.TracebackException)


class Frame(FrozenData):
    """One call of a traceback, or the line of a `SyntaxError`."""

    file: str
    line: int
    function: str
    source: tuple[tuple[int, str], ...] = ()
    yours: bool = False
    column: int = 0  # of a SyntaxError, counted from 1; 0: unknown
    skipped: int = 0  # frames left out just before this one


class Report(FrozenData):
    """Why there is no app to answer. All but `mending` is safe to print and to encode."""

    status: int
    title: str
    hint: str = ""
    place: str = ""
    frames: tuple[Frame, ...] = ()
    trace: str = ""
    own: str = ""
    """The trace with the user's own calls alone, and the last one."""
    mending: tuple[str, ...] = ()

    @classmethod
    def from_exception(cls, exc: BaseException) -> Report:
        """The report of a load that raised `exc`, without the frames that are not the app's."""
        while isinstance(exc, TargetError) and exc.__cause__ is not None:
            exc = exc.__cause__
        try:
            if isinstance(exc, TargetError | EnvironmentFileError):
                return cls(FAILED, _one_line(str(exc)))
            return _load_report(exc)
        except Exception as failure:  # noqa: BLE001 - the app's exception may refuse to be looked at
            hint = f"the exception cannot be shown, looking at it raised {type(failure).__name__}"
            return cls(FAILED, _one_line(type(exc).__name__), hint)

    @classmethod
    def crash(cls, how: str, when: str) -> Report:
        """The report of a process that ended, as in "killed by SIGSEGV", "while serving"."""
        hint = "the next save starts the app again"
        return cls(CRASHED, _one_line(f"{how} {when}"), hint)

    def text(self) -> str:
        """The whole report for a terminal or for curl."""
        head = "\n".join(filter(None, (self.title, self.place, self.hint)))
        end = "asyncreload: waiting for a change."
        return "\n\n".join(filter(None, (head, self.trace.rstrip("\n"), end))) + "\n"


def public_text(report: Report) -> str:
    """What somebody may know who is not the developer: no names, no paths, no code."""
    if report.status == CRASHED:
        return "The application crashed."
    return "The application failed to load."


def _load_report(exc: BaseException) -> Report:
    told = traceback.TracebackException.from_exception(exc, lookup_lines=False)
    for one in _children(told):
        kept = [_tame(frame) for frame in one.stack if not _machinery(frame.filename)]
        one.stack = _Stack(kept) if kept else None  # type: ignore[assignment]  # None: no header
    # A wrapper that was raised in a library has no frame of the user's, but what it wraps may.
    frames = next(filter(_innermost, map(_frames, _children(told))), None) or _frames(told)
    trace = _trace(told)
    for one in _children(told):
        one.stack = one.stack and _OwnStack(one.stack)  # None stays None
    return Report(
        status=FAILED,
        title=_one_line(next(line for line in told.format_exception_only() if line[:2] != "  ")),
        hint=plain(_hint(exc)),
        place=_place(frames),
        frames=frames,
        trace=trace,
        own=_trace(told),
        mending=_mending(exc),
    )


def _trace(told: traceback.TracebackException) -> str:
    return _shorten(plain("".join(told.format())), LONGEST_TRACE)


class _Stack(traceback.StackSummary):
    """A stack that is told without the middle of an endless recursion."""

    def format(self, **_options: Any) -> list[str]:
        kept, skipped = _ends(self)
        if not skipped:
            return super().format()
        first, last = (self.from_list(part).format() for part in (kept[:FIRST], kept[FIRST:]))
        return [*first, f"  ... {skipped} more calls ...\n", *last]


class _OwnStack(_Stack):
    """A stack that is told without the calls in libraries, but for the last one, that raised."""

    def format(self, **_options: Any) -> list[str]:
        told: list[str] = []
        for shown, group in groupby(self, lambda call: call is self[-1] or _yours(call.filename)):
            calls = _Stack(group)
            told += calls.format() if shown else [f"  ... {_number(calls)} in libraries ...\n"]
        return told


def _number(calls: list[traceback.FrameSummary]) -> str:
    return "1 call" if len(calls) == 1 else f"{len(calls)} calls"


def _ends(stack: list[traceback.FrameSummary]) -> tuple[list[traceback.FrameSummary], int]:
    """The frames of `stack` that are worth showing, and how many are left out of their middle."""
    skipped = max(0, len(stack) - FIRST - LAST)
    return (stack[:FIRST] + stack[-LAST:], skipped) if skipped else (list(stack), 0)


def _children(root: Raised) -> Iterator[Raised]:
    """`root` and all that it was raised from, raised after or groups, each once."""
    kind = BaseException if isinstance(root, BaseException) else traceback.TracebackException
    family, seen = [root], {id(root)}
    for one in family:
        yield one
        members = getattr(one, "exceptions", None)  # also what a public_text's class calls so
        group: Sequence[Any] = members if isinstance(members, list | tuple) else ()
        for relative in (one.__cause__, one.__context__, *group):
            if isinstance(relative, kind) and id(relative) not in seen:
                seen.add(id(relative))
                family.append(relative)


def _machinery(file: str) -> bool:
    """Whether frames of `file` are ours or the import system's, and tell the user nothing."""
    return file.startswith(_MACHINERY) or file in _MACHINERY_FILES


def _yours(file: str) -> bool:
    if file.startswith("<") or _machinery(file):
        return False
    path = Path(os.path.abspath(file))
    return not path.is_relative_to(_STDLIB) and _INSTALLED.isdisjoint(path.parts)


def _tame(frame: traceback.FrameSummary) -> traceback.FrameSummary:
    """`frame`, without its source line where looking that up fails, as for a file named NUL."""
    try:
        _ = frame.line
    except Exception:  # noqa: BLE001 - the loader of a module is asked, and may raise anything
        return traceback.FrameSummary(frame.filename, frame.lineno, frame.name, line="")
    return frame


def _frames(told: traceback.TracebackException) -> tuple[Frame, ...]:
    kept, skipped = _ends(told.stack or [])
    frames = []
    for index, call in enumerate(kept):
        gap = skipped if index == FIRST else 0
        frames.append(_frame(call.filename, call.lineno or 0, call.name, skipped=gap))
    if getattr(told, "lineno", None) and told.filename:  # only a SyntaxError has these
        frames.append(_syntax_frame(told))
    return tuple(frames)


def _frame(file: str, line: int, function: str, *, skipped: int = 0) -> Frame:
    return Frame(
        file=plain(file),
        line=line,
        function=plain(function),
        source=_around(file, line),
        yours=_yours(file),
        skipped=skipped,
    )


def _syntax_frame(told: traceback.TracebackException) -> Frame:
    """The line that Python could not read: nothing calls it, but it is where to look."""
    frame = _frame(str(told.filename), int(told.lineno or 0), "")
    text = ((frame.line, _source_line(told.text)),) if told.text else ()
    return frame.replaced(source=frame.source or text, column=told.offset or 0)


def _around(file: str, line: int) -> tuple[tuple[int, str], ...]:
    """The numbered source lines around `line`; none where `file` is no readable source."""
    try:
        linecache.checkcache(file)
        lines = linecache.getlines(file)
    except Exception:  # noqa: BLE001 - as in `_tame`
        return ()
    start = max(0, line - 1 - AROUND)
    shown = lines[start : line + AROUND] if line else []
    return tuple((start + 1 + index, _source_line(text)) for index, text in enumerate(shown))


def _source_line(text: str) -> str:
    return _shorten(plain(text.rstrip("\r\n\f")), LONGEST_LINE)


def _innermost(frames: tuple[Frame, ...]) -> Frame | None:
    """The frame that a user should look at first: unreadable code, else the deepest of theirs."""
    unread = [frame for frame in frames if not frame.function and not frame.file.startswith("<")]
    yours = [frame for frame in frames if frame.yours]
    return next(reversed(unread or yours), None)


def _place(frames: tuple[Frame, ...]) -> str:
    real = [frame for frame in frames if not frame.file.startswith("<")]
    frame = _innermost(frames) or next(reversed(real), None)
    return f"{frame.file}:{frame.line}" if frame else ""


def _hint(exc: BaseException) -> str:
    if isinstance(exc, SystemExit):
        code = "" if exc.code is None else _one_line(repr(exc.code))
        return f"the app called sys.exit({code}) while it was being loaded"
    if isinstance(exc, ModuleNotFoundError) and "." not in (exc.name or "."):
        return f"if it is a package from elsewhere, is it installed for {sys.executable}?"
    return ""


def _mending(exc: BaseException) -> tuple[str, ...]:
    """The absolute paths of which a change may mend `exc`."""
    names: list[object] = []
    for one in _children(exc):
        names += [frame.f_code.co_filename for frame, _ in traceback.walk_tb(one.__traceback__)]
        if isinstance(one, OSError):
            names += [one.filename, one.filename2]
        elif isinstance(one, SyntaxError):
            names.append(one.filename)
        elif isinstance(one, ImportError):
            names.append(one.path)  # of "cannot import name": the module that lacks it
    return tuple(dict.fromkeys(path for name in names for path in _path(name)))


def _path(name: object) -> tuple[str, ...]:
    """The absolute path that `name` stands for, if it is one that could be looked at."""
    if not isinstance(name, str | bytes | os.PathLike) or not name:
        return ()
    try:
        file = os.fsdecode(name)
        os.fsencode(file)
    except ValueError:  # a lone surrogate: no file system holds it
        return ()
    if file.startswith("<") or "\0" in file or _machinery(file):
        return ()
    return (os.path.abspath(file),)


def _one_line(text: str) -> str:
    return _shorten(plain(" ".join(text.split())), LONGEST_TITLE)


def _shorten(text: str, most: int) -> str:
    """`text`, without its middle where it is longer than anybody reads."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} [...] {text[-half:]}"
