"""A report of a failed load, a failed request or a crash, as data and as plain text."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from itertools import dropwhile, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asyncreload.errors import EnvironmentFileError, TargetError
from asyncreload.frozen_data import FrozenData
from asyncreload.style import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FAILED, CRASHED = 500, 503  # the status of a report: the HTTP status it is answered with
CONTEXT_LINES = 4  # shown before and after the source line of a frame
FIRST_FRAMES, LAST_FRAMES = 20, 30  # kept of a longer stack, such as an endless recursion
MAX_RELATED = 20  # causes, contexts and group members that are shown with their frames
MAX_TITLE, MAX_LINE, MAX_TRACE = 500, 500, 200_000  # characters; the middle of more is left out

_STDLIB = Path(os.__file__).parent
_PACKAGE = Path(__file__).absolute().parents[2]
_INSTALLED = {"site-packages", "dist-packages"}
_MACHINERY = (f"{_PACKAGE}{os.sep}", "<frozen importlib", "<frozen runpy")
_MACHINERY_FILES = {str(_STDLIB / "runpy.py"), str(_STDLIB / "importlib" / "__init__.py")}
_SERVER_FILE = str(_STDLIB / "wsgiref" / "handlers.py")

Raised = TypeVar("Raised", BaseException, traceback.TracebackException)


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


class Related(FrozenData):
    """An exception that the reported one came from, or that is in its group."""

    relation: str
    """How it is related, such as "Caused by"."""
    title: str
    """The error and its message, in one line."""
    frames: tuple[Frame, ...] = ()
    """The outermost first."""


class Report(FrozenData):
    """Why the app does not answer. All texts but `mending` are safe to print and to encode."""

    status: int
    """500 for a load or a request that failed, 503 for a crash."""
    title: str
    """The error and its message, in one line."""
    hint: str = ""
    """What may be done about it."""
    place: str = ""
    """`file:line`, where to look first."""
    frames: tuple[Frame, ...] = ()
    """Of the exception itself, the outermost first."""
    trace: str = ""
    """The whole traceback as Python prints it, without the frames of asyncreload."""
    own: str = ""
    """The traceback without the frames of libraries, but for the last frame, which raised."""
    mending: tuple[str, ...] = ()
    """The absolute paths of files that a change may mend: a save of one is worth another load."""
    related: tuple[Related, ...] = ()
    """The causes, contexts and group members, from the exception itself back to the first."""
    request: str = ""
    """Method and path of the request in which the exception was raised; "" for a load."""
    waits: bool = True
    """Whether nothing is answered but this report until a file changes; else by one request."""

    @classmethod
    def from_exception(cls, exc: BaseException, request: str = "", *, waits: bool = True) -> Report:
        """Return the report of a load, or of a request, that raised `exc`.

        Raises nothing, whatever `exc` is.

        request: method and path, as in "GET /cart"; "" for a load.
        waits: whether this is the answer to all requests until a file changes.
        """
        while isinstance(exc, TargetError) and exc.__cause__ is not None:
            exc = exc.__cause__
        try:
            if isinstance(exc, TargetError | EnvironmentFileError):
                return cls(FAILED, _one_line(str(exc)))
            return _report(exc, _one_line(request)).replaced(waits=waits)
        except Exception as failure:  # noqa: BLE001 - attributes of the app's exception may raise
            hint = f"the exception cannot be shown, looking at it raised {type(failure).__name__}"
            title = _one_line(type(exc).__name__)
            return cls(FAILED, title, hint, request=_one_line(request), waits=waits)

    @classmethod
    def crash(cls, how: str, when: str) -> Report:
        """Return the report of a process that ended, as in "killed by SIGSEGV", "while serving"."""
        hint = "the next save starts the app again"
        return cls(CRASHED, _one_line(f"{how} {when}"), hint)

    def text(self) -> str:
        """Return the whole report as plain text, for a terminal or for curl."""
        request = f"in {self.request}" if self.request else ""
        head = "\n".join(filter(None, (self.title, self.place, request, self.hint)))
        end = "asyncreload: waiting for a change." if self.waits else ""
        return "\n\n".join(filter(None, (head, self.trace.rstrip("\n"), end))) + "\n"


def public_text(report: Report) -> str:
    """Return what everybody may know: that the app failed, but no names, paths or code."""
    if report.status == CRASHED:
        return "The application crashed."
    if not report.waits:
        return "The application failed to answer this request."
    return "The application failed to load."


def _report(exc: BaseException, request: str) -> Report:
    summary = traceback.TracebackException.from_exception(exc, lookup_lines=False)
    for one in _related(summary):
        _trim(one)
    family = [(relation, one, _frames(one)) for relation, one in _as_printed(summary)]
    # An exception raised in a library may have no frame of the project, but its cause may.
    stacks = (_frames(one) for one in _related(summary))
    placed = next(filter(_innermost, stacks), None) or family[0][2]
    trace = _trace(summary)
    for one in _related(summary):
        one.stack = one.stack and _OwnStack(one.stack)  # None stays None
    return Report(
        status=FAILED,
        title=_title(summary),
        hint=plain(_hint(exc, request)),
        place=_place(placed),
        frames=family[0][2],
        trace=trace,
        own=_trace(summary),
        mending=_mending(exc),
        related=_shown(family[1:]),
        request=request,
    )


def _trim(one: traceback.TracebackException) -> None:
    """Leave out the frames of asyncreload, and those of the server that called the app."""
    kept = [_with_safe_source(frame) for frame in one.stack if not _is_machinery(frame.filename)]
    kept = list(dropwhile(lambda frame: frame.filename == _SERVER_FILE, kept))
    one.stack = _Stack(kept) if kept else None  # type: ignore[assignment]  # None: no header


def _title(summary: traceback.TracebackException) -> str:
    return _one_line(next(line for line in summary.format_exception_only() if line[:2] != "  "))


def _as_printed(
    root: traceback.TracebackException,
) -> Iterator[tuple[str, traceback.TracebackException]]:
    """Iterate over those of the family that Python prints, each with its relation.

    The root comes first, then the members of its group, then what it was raised from; and so on
    with each of these.
    """
    waiting, seen = [("", root)], set()
    while waiting:
        relation, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield relation, one
        if one.__cause__ is not None:
            waiting.append(("Caused by", one.__cause__))
        elif one.__context__ is not None and not one.__suppress_context__:
            waiting.append(("Raised while handling", one.__context__))
        members = getattr(one, "exceptions", None) or []
        places = [f"{number} of {len(members)} in the group" for number in _numbers(members)]
        waiting += reversed([*zip(places, members, strict=True)])


def _numbers(members: Sequence[object]) -> range:
    return range(1, len(members) + 1)


def _shown(
    family: Sequence[tuple[str, traceback.TracebackException, tuple[Frame, ...]]],
) -> tuple[Related, ...]:
    shown = [Related(how, _title(one), frames) for how, one, frames in family[:MAX_RELATED]]
    if more := len(family) - len(shown):
        shown.append(Related("And", f"{more} more, see the traceback"))
    return tuple(shown)


def _trace(summary: traceback.TracebackException) -> str:
    return _shorten(plain("".join(summary.format())), MAX_TRACE)


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
            self, lambda call: call is self[-1] or _is_project_file(call.filename)
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


def _related(root: Raised) -> Iterator[Raised]:
    """Iterate over an exception and those that are its cause, its context or in its group."""
    kind = BaseException if isinstance(root, BaseException) else traceback.TracebackException
    family, seen = [root], {id(root)}
    for one in family:
        yield one
        # Of a group; but the app's own exceptions may use that name for anything.
        members = getattr(one, "exceptions", None)
        group: Sequence[Any] = members if isinstance(members, list | tuple) else ()
        for relative in (one.__cause__, one.__context__, *group):
            if isinstance(relative, kind) and id(relative) not in seen:
                seen.add(id(relative))
                family.append(relative)


def _is_machinery(file: str) -> bool:
    """Tell whether a file is asyncreload's or the import system's: users need no such frames."""
    return file.startswith(_MACHINERY) or file in _MACHINERY_FILES


def _is_project_file(file: str) -> bool:
    """Tell whether a file is neither an installed package's nor the standard library's."""
    if file.startswith("<") or _is_machinery(file):
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


def _frames(summary: traceback.TracebackException) -> tuple[Frame, ...]:
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
        in_project=_is_project_file(file),
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
    return _shorten(plain(text.rstrip("\r\n\f")), MAX_LINE)


def _innermost(frames: tuple[Frame, ...]) -> Frame | None:
    """Return the frame to look at first: of a SyntaxError, else the innermost of the project."""
    unread = [frame for frame in frames if not frame.function and not frame.file.startswith("<")]
    in_project = [frame for frame in frames if frame.in_project]
    return next(reversed(unread or in_project), None)


def _place(frames: tuple[Frame, ...]) -> str:
    real = [frame for frame in frames if not frame.file.startswith("<")]
    frame = _innermost(frames) or next(reversed(real), None)
    return f"{frame.file}:{frame.line}" if frame else ""


def _hint(exc: BaseException, request: str) -> str:
    if isinstance(exc, SystemExit):
        code = "" if exc.code is None else _one_line(repr(exc.code))
        when = "in a request" if request else "while it was being loaded"
        return f"the app called sys.exit({code}) {when}"
    if isinstance(exc, ModuleNotFoundError) and "." not in (exc.name or "."):
        return f"if it is a package from elsewhere, is it installed for {sys.executable}?"
    return ""


def _mending(exc: BaseException) -> tuple[str, ...]:
    """Return the absolute paths of files that a change may mend."""
    names: list[object] = []
    for one in _related(exc):
        names += [frame.f_code.co_filename for frame, _ in traceback.walk_tb(one.__traceback__)]
        if isinstance(one, OSError):
            names += [one.filename, one.filename2]
        elif isinstance(one, SyntaxError):
            names.append(one.filename)
        elif isinstance(one, ImportError):
            names.append(one.path)  # of "cannot import name": the module that lacks it
    return tuple(dict.fromkeys(path for name in names for path in _path(name)))


def _path(name: object) -> tuple[str, ...]:
    """Return the absolute path that a name stands for, () if it is no name of a file."""
    if not isinstance(name, str | bytes | os.PathLike) or not name:
        return ()
    try:
        file = os.fsdecode(name)
        os.fsencode(file)
    except ValueError:  # a lone surrogate: no file system holds it
        return ()
    if file.startswith("<") or "\0" in file or _is_machinery(file):
        return ()
    return (os.path.abspath(file),)


def _one_line(text: str) -> str:
    return _shorten(plain(" ".join(text.split())), MAX_TITLE)


def _shorten(text: str, most: int) -> str:
    """Return text without its middle if it has more than `most` characters."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} [...] {text[-half:]}"
