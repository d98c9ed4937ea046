"""A report of a failed load, a failed request or a crash, as data and as plain text."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Any, Self, TypeVar

from asyncreload.child.imports.refused_project import RefusedError
from asyncreload.child.imports.unguarded_servers import UnguardedServerError
from asyncreload.child.pages.django_settings import setting_to_blame
from asyncreload.child.pages.missing_package import (
    missing_distribution,
    missing_module,
    module_of,
    remedy,
    remedy_of_distribution,
)
from asyncreload.child.pages.stack_frames import (
    Frame,
    cut,
    fold_libraries,
    frames_of,
    is_machinery,
    is_project_file,
    shorten,
    trim,
)
from asyncreload.errors import (
    EnvironmentFileError,
    InterfaceError,
    LifespanError,
    TargetError,
)
from asyncreload.frozen_data import FrozenData
from asyncreload.style import plain, uncoloured

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FAILED, CRASHED = 500, 503  # the status of a report: the HTTP status it is answered with
MAX_RELATED = 50  # causes, contexts and group members that are shown with their frames
MAX_TITLE, MAX_NOTE, MAX_TRACE = 500, 2000, 200_000  # characters; the middle of more is left out
_SAY_IT_ALL = TargetError | EnvironmentFileError | LifespanError | InterfaceError
"""Errors of ours: their message is all that a user needs."""
MAX_NOTES = 20  # of an exception that are shown; all are in the traceback

Raised = TypeVar("Raised", BaseException, traceback.TracebackException)


class Related(FrozenData):
    """An exception that the reported one came from, or that is in its group."""

    relation: str
    """How it is related, such as "Caused by"."""
    title: str
    """The error and its message, in one line."""
    frames: tuple[Frame, ...] = ()
    """The outermost first."""
    notes: tuple[str, ...] = ()
    """What was added to it by `add_note`."""


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
    """The whole traceback as Python prints it, without the frames of asyncreload.

    "" where it would tell no more than the title.
    """
    own: str = ""
    """The traceback without the frames of libraries, but for the last frame, which raised."""
    mending: tuple[str, ...] = ()
    """The absolute paths of files that a change may mend: a save of one is worth another load."""
    related: tuple[Related, ...] = ()
    """The causes, contexts and group members, from the exception itself back to the first."""
    notes: tuple[str, ...] = ()
    """What was added to the exception by `add_note`."""
    missing: str = ""
    """The module that was not found, if that is why."""
    install: tuple[str, ...] = ()
    """Commands that install the package that seems to be missing; one of them is enough."""
    request: str = ""
    """Method and path of the request in which the exception was raised; "" for a load."""
    occasion: str = ""
    """After which change a load failed, as in "after app.py changed"; "" if there was none."""
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
            # Raised deep in a server, whose event loop may make something else of it.
            exc = next((one for one in _related(exc) if type(one) is UnguardedServerError), exc)
            if isinstance(exc, _SAY_IT_ALL):
                title = _one_line(str(exc))
                return cls(FAILED, title, request=_one_line(request), waits=waits)
            if isinstance(exc, RefusedError):
                return _refusal(str(exc))
            return _report(exc, _one_line(request)).replaced(waits=waits)
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - the exception's own attributes
            hint = f"the exception cannot be shown, looking at it raised {type(failure).__name__}"
            title = _one_line(type(exc).__name__)
            return cls(FAILED, title, hint, request=_one_line(request), waits=waits)

    @classmethod
    def crash(cls, how: str, when: str) -> Report:
        """Return the report of a process that ended, as in "killed by SIGSEGV", "while serving"."""
        hint = "the next save starts the app again"
        return cls(CRASHED, _one_line(f"{how} {when}"), hint)

    @property
    def advice(self) -> str:
        """The hint and what to type, as lines for a terminal; "" if there is none."""
        return "\n".join(filter(None, (self.hint, *(f"  {command}" for command in self.install))))

    def after(self, changed: Iterable[str]) -> Self:
        """Return the same, as it is after changes: what has just gone is not to be installed.

        changed: the paths of files, those that are there no more included.
        """
        for path in changed if self.install else ():
            name = module_of(path)
            if self.missing == name and not os.path.exists(path):
                is_listed = self.hint.startswith("INSTALLED_APPS")
                other = "name" if is_listed else "import"
                where = " in INSTALLED_APPS" if is_listed else ""
                hint = f"{path} has disappeared: restore it, or {other} what is in its place{where}"
                return self.replaced(hint=plain(hint), install=())
        return self

    def text(self) -> str:
        """Return the whole report as plain text, for a terminal or for curl."""
        request = f"in {self.request}" if self.request else ""
        where = (self.title, self.place, request, self.occasion)
        head = "\n".join(filter(None, (*where, self.advice)))
        end = "asyncreload: waiting for a change." if self.waits else ""
        return "\n\n".join(filter(None, (head, self.trace.rstrip("\n"), end))) + "\n"


def public_text(report: Report) -> str:
    """Return what everybody may know: that the app failed, but no names, paths or code."""
    if report.status == CRASHED:
        return "The application crashed."
    if not report.waits:
        return "The application failed to answer this request."
    return "The application failed to load."


def _refusal(text: str) -> Report:
    """Return the report of what a framework says against its project, with that as its trace.

    Without the colours that it has for a terminal, as Django has.
    """
    title, _, more = uncoloured(text).strip().partition("\n")
    more = shorten(more.strip("\n"), MAX_TRACE)
    return Report(FAILED, _one_line(title), trace=more, own=more)


def _report(exc: BaseException, request: str) -> Report:
    summary = traceback.TracebackException.from_exception(exc, lookup_lines=False)
    for one in _related(summary):
        trim(one)
    family = [
        Related(relation, _title(one), frames_of(one), _notes(one))
        for relation, one in _as_printed(summary)
    ]
    # An exception raised in a library may have no frame of the project, but its cause may.
    stacks = (frames_of(one) for one in _related(summary))
    placed = next(filter(_innermost, stacks), None) or family[0].frames
    trace = _trace(summary)
    hint, install = _hint(exc, request)
    for one in _related(summary):
        fold_libraries(one)
    return Report(
        status=FAILED,
        title=_title(summary),
        hint=plain(hint),
        missing=missing_module(exc) or "",
        install=tuple(map(plain, install)),
        place=_place(placed),
        frames=family[0].frames,
        notes=family[0].notes,
        trace=trace,
        own=_trace(summary),
        mending=_mending(exc),
        related=_shown(family[1:]),
        request=request,
    )


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


def _shown(family: Sequence[Related]) -> tuple[Related, ...]:
    shown = family[:MAX_RELATED]
    if more := len(family) - len(shown):
        return (*shown, Related("And", f"{more} more, see the traceback"))
    return tuple(shown)


def _notes(one: traceback.TracebackException) -> tuple[str, ...]:
    notes: object = getattr(one, "__notes__", None)  # the app may set it to anything
    if not isinstance(notes, list | tuple):
        return ()
    texts = [note for note in notes[:MAX_NOTES] if isinstance(note, str)]
    return tuple(shorten(text, MAX_NOTE) for text in texts)


def _trace(summary: traceback.TracebackException) -> str:
    trace = shorten("".join(summary.format()), MAX_TRACE)
    return "" if trace == f"{_title(summary)}\n" else trace


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


def _innermost(frames: tuple[Frame, ...]) -> Frame | None:
    """Return the frame to look at first: of a SyntaxError, else the innermost of the project."""
    unread = [frame for frame in frames if not frame.function and not frame.file.startswith("<")]
    in_project = [
        frame for frame in frames if frame.in_project and not _has_launched(frame, frames)
    ]
    return next(reversed(unread or in_project), None)


def _has_launched(frame: Frame, frames: tuple[Frame, ...]) -> bool:
    """Tell whether a frame is that of Django's `manage.py`, by which a command has been started."""
    return os.path.basename(frame.file) == "manage.py" and frame is not frames[-1]


def _place(frames: tuple[Frame, ...]) -> str:
    real = [frame for frame in frames if not frame.file.startswith("<")]
    frame = _innermost(frames)
    if frame is None and not any(_has_launched(one, frames) for one in frames):
        frame = next(reversed(real), None)
    return f"{frame.file}:{frame.line}" if frame else ""


def _hint(exc: BaseException, request: str) -> tuple[str, tuple[str, ...]]:
    """Return what may be done, and the commands that do it."""
    if isinstance(exc, SystemExit):
        code = "" if exc.code is None else _one_line(repr(exc.code))
        when = "in a request" if request else "while it was being loaded"
        return f"the app called sys.exit({code}) {when}", ()
    if distribution := missing_distribution(exc):
        return remedy_of_distribution(distribution)
    if (name := missing_module(exc)) is None:
        setting, named = setting_to_blame(exc)
        return (f"{setting} in Django's settings names {named}" if setting else ""), ()
    files = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(exc.__traceback__)}
    return remedy(name, near=sorted(filter(is_project_file, files)))


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
    if file.startswith("<") or "\0" in file or is_machinery(file):
        return ()
    return (os.path.abspath(file),)


def _one_line(text: str) -> str:
    return shorten(" ".join(cut(text, MAX_TRACE).split()), MAX_TITLE)
