"""The elements of a report in HTML: its texts escaped, its stacks folded, its source marked."""

from __future__ import annotations

import os
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from asyncreload.child.pages.source_colours import Part, colour, is_python
from asyncreload.editors import link_to
from asyncreload.style import plain

if TYPE_CHECKING:
    from asyncreload.child.pages.error_report import Related, Report
    from asyncreload.child.pages.stack_frames import Frame

UNFOLDED_FRAMES = 4  # of the project's, counted from the innermost; the others are folded
HEADLINE_LENGTH = 160  # characters; a longer message is shown in smaller letters

# As `html.escape` does: but to import `html` takes a millisecond of each boot.
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


class Markup:
    """Writes the parts of a page that tell of a report.

    editor: the template of links that open a file in an editor (editors.py); "" for no links.
    """

    def __init__(self, editor: str = "") -> None:
        self._editor = editor

    def header(self, report: Report) -> str:
        """Return what has happened, where, and what may be done about it."""
        kind, _, message = report.title.partition(": ")
        return "\n".join(
            (
                _request(report.request) or _optional("request", report.occasion),
                _heading(kind, message),
                self._place(report.place),
                _notes(report.notes),
                _hint(report),
            )
        )

    def body(self, report: Report) -> str:
        """Return the calls of the exception and of all that are related, and the traceback."""
        related = "".join(map(self._related, report.related))
        return f"{self._stack(report.frames)}{related}\n{_trace(report)}"

    def _place(self, place: str) -> str:
        if not place:
            return ""
        file, _, line = place.rpartition(":")
        return f'<p class="place">{self._location(file, line)}</p>'

    def _location(self, file: str, line: int | str) -> str:
        """Return `file:line`, the file's name in bold, with what copies it and what opens it."""
        cut = max(file.rfind("/"), file.rfind("\\")) + 1
        name = f"<b>{_path(file[cut:])}:{text(str(line))}</b>"
        opens = ""
        if self._editor and os.path.isabs(file):
            opens = f'<a class="open" href="{text(link_to(self._editor, file, line))}">open</a>'
        return (
            f'<code class="location">{_path(file[:cut])}{name}</code>'
            f"{_copy(f'{file}:{line}')}{opens}"
        )

    def _stack(self, frames: tuple[Frame, ...]) -> str:
        """Return the section of the exception itself."""
        if not frames:
            return ""
        return f"<section><h2>Most recent call first</h2>\n{self._calls(frames)}</section>"

    def _related(self, related: Related) -> str:
        """Return the section of a cause, a context or a group member."""
        heading = f"<h2>{text(related.relation)}</h2><h3>{text(related.title)}</h3>"
        inner = f"{_notes(related.notes)}\n{self._calls(related.frames)}"
        return f'<section class="related">{heading}{inner}</section>'

    def _calls(self, frames: tuple[Frame, ...]) -> str:
        """Return the frames, innermost first, with their source; those of libraries are folded."""
        shown, parts = 0, []
        for in_project, run in groupby(
            reversed(frames), key=lambda frame: frame.in_project or not frame.function
        ):
            calls = list(run)
            if not in_project:
                parts.append(self._folded(calls))
                continue
            for frame in calls:
                parts.append(self._call(frame, unfolded=shown < UNFOLDED_FRAMES))
                shown += 1
        return "".join(parts)

    def _folded(self, frames: list[Frame]) -> str:
        calls = f"{len(frames)} library call{'s' if len(frames) > 1 else ''}"
        inner = "".join(self._call(frame, unfolded=False) for frame in frames)
        return f'<details class="library"><summary>{calls}</summary>{inner}</details>\n'

    def _call(self, frame: Frame, *, unfolded: bool) -> str:
        function = f' <span class="in">in {text(frame.function)}</span>' if frame.function else ""
        summary = f"<summary>{self._location(frame.file, frame.line)}{function}</summary>"
        gap = _optional("gap", f"{frame.repeated} more times" if frame.repeated else "")
        gap += _optional("gap", f"{frame.skipped} more calls" if frame.skipped else "")
        if not frame.source:
            return f'<div class="call">{summary.replace("summary>", "div>")}</div>{gap}\n'
        opened = " open" if unfolded else ""
        return f'<details class="call"{opened}>{summary}{_source(frame)}</details>{gap}\n'


def text(raw: str) -> str:
    """Return text escaped, as it may stand in an element or in a quoted attribute."""
    return plain(raw).translate(_ESCAPED)


def _heading(kind: str, message: str) -> str:
    """Return the error's name above its message; a title that is a sentence stays in one piece."""
    tag = '<h1 class="long">' if len(message) > HEADLINE_LENGTH else "<h1>"
    if not message or " " in kind:
        return f"{tag}{text(': '.join(filter(None, (kind, message))))}</h1>"
    name = text(kind).replace(".", ".<wbr>")
    return f'{tag}<span class="kind">{name}<i>:</i> </span>{text(message)}</h1>'


def _request(request: str) -> str:
    return f'<p class="request"><code>{_path(request)}</code></p>' if request else ""


def _optional(name: str, told: str) -> str:
    return f'<p class="{name}">{text(told)}</p>' if told else ""


def _notes(notes: tuple[str, ...]) -> str:
    return "".join(_optional("note", note) for note in notes)


def _hint(report: Report) -> str:
    commands = "".join(f"<br><code>{text(line)}</code>{_copy(line)}" for line in report.install)
    return f'<p class="hint">{text(report.hint)}{commands}</p>' if report.hint else ""


def _copy(what: str) -> str:
    return f'<button type="button" hidden data-copy="{text(what)}">copy</button>'


def _path(file: str) -> str:
    """Return a path that may be wrapped after its separators."""
    return text(file).replace("/", "/<wbr>").replace("\\", "\\<wbr>")


def _source(frame: Frame) -> str:
    width = len(str(frame.source[-1][0]))
    numbers, codes = zip(*frame.source, strict=True)
    parts = colour(codes, frame.quote) if is_python(frame.file) else [[("", one)] for one in codes]
    lines = "".join(map(partial(_line, frame, width), numbers, codes, parts))
    return f'<pre><code class="lines">{lines}</code></pre>'


def _line(frame: Frame, width: int, number: int, code: str, parts: list[Part]) -> str:
    hit = number == frame.line
    marks = ""
    if hit and frame.column:
        # The text before the marks is there, but hidden: so they are aligned behind tabs as well.
        below = f"<u>{text(code[: frame.column - 1])}</u>{text(frame.marks)}"
        marks = f'<span class="caret"><i>{number:>{width}}</i><b>{below}</b></span>'
    tag = "mark" if hit else "span"
    return f"<{tag}><i>{number:>{width}}</i><b>{''.join(map(_part, parts))}</b>\n</{tag}>{marks}"


def _part(part: Part) -> str:
    kind, code = part
    return f'<span class="{kind[0]}">{text(code)}</span>' if kind and code else text(code)


def _trace(report: Report) -> str:
    """Return the traceback as plain text; unfolded if no frame has source to show instead."""
    if not report.trace:
        return ""
    frames = [*report.frames, *(frame for one in report.related for frame in one.frames)]
    opened = "" if any(frame.source for frame in frames) else " open"
    return (
        f'<details class="trace"{opened}><summary>Traceback as plain text</summary>'
        f"<pre><code>{text(report.trace)}</code></pre></details>"
    )
