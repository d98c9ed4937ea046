"""What the command prints: lines for people on standard error, or JSON for tools on standard out.

Both are handlers of the logger `asyncreload`, to which a supervisor tells everything. Each record
is written at once, whole: the app prints to the same terminal.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from asyncreload import events
from asyncreload.current_directory import current_directory
from asyncreload.errors import SettingsError
from asyncreload.outlet import Outlet
from asyncreload.style import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    clock,
    coloured,
    is_terminal,
    one_line,
    plain,
)
from asyncreload.terminal import line_break

_LEVELS = ((logging.ERROR, RED), (logging.WARNING, YELLOW))
log: logging.Logger = logging.getLogger("asyncreload")

LAST_LINES = 0.3
"""Seconds that a reader gets for the last lines."""
_SEPARATOR = " · "
_CLEAR = "\033[H\033[2J\033[3J"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How the command deals with the person, or the tool, that has started it."""

    quiet: bool = False
    """Tell of problems only."""
    verbose: bool = False
    """Tell why files are watched, and what the standby does."""
    json: bool = False
    """Tell events to standard output, a JSON object a line."""
    open: bool = False
    """Open the browser once the app answers."""
    keys: bool = True
    """Take keys from the terminal. Without them, all that is typed is left to the app."""

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise SettingsError("quiet and verbose exclude each other: ask for one of them")

    @property
    def level(self) -> int:
        """The least level of the logger that is told."""
        if self.verbose:
            return logging.DEBUG
        return logging.WARNING if self.quiet else logging.INFO

    @property
    def may_take_keys(self) -> bool:
        """Whether keys make sense: somebody watches what comes of them."""
        return self.keys and not (self.json or self.quiet) and is_terminal(sys.stderr)


class Printer(logging.Handler):
    """Writes lines to a stream; when nobody reads them any more, that is told, once.

    stream: None for one that was closed before we came.
    on_end: called then.
    """

    def __init__(self, stream: TextIO | None, on_end: Callable[[], None]) -> None:
        super().__init__()
        self.stream = stream
        self._on_end = on_end
        self._outlet = None if stream is None else Outlet(stream, self.end, _tell_lost)
        self.has_ended: bool = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, if there is a line for it."""
        if text := self.format(record):
            self.write(text)

    def write(self, text: str) -> None:
        """Write lines in one piece."""
        if self._outlet is None or self.has_ended:
            return
        try:
            self._outlet.write(f"{text}\n")
        except (OSError, ValueError):
            self.end()

    def clear(self) -> None:
        """Clear the screen, and what has scrolled off it."""
        if self._outlet is not None and os.environ.get("TERM") != "dumb":
            self._outlet.write(_CLEAR)

    def finish(self) -> bool:
        """Write what still waits, but not for long; tell whether all is written."""
        return self._outlet is None or (not self.has_ended and self._outlet.drain(LAST_LINES))

    def end(self) -> None:
        """Note that nobody reads any more what is written, and tell it."""
        if not self.has_ended:
            self.has_ended = True
            self._on_end()

    def has_lost_reader(self) -> bool:
        """Tell whether the other end of a pipe is closed; nothing has to be written for that."""
        try:
            descriptor = self.stream.fileno() if self.stream is not None else -1
            poller = select.poll()
            poller.register(descriptor, 0)  # the end is told without being asked for
            found = poller.poll(0)
        except (OSError, ValueError, AttributeError, OverflowError):
            return False  # closed, or no descriptor: a write tells
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in found)


class ForTools(Printer):
    """One JSON object a line, with `event`, `time` (seconds since the epoch) and its fields.

    exit_code: returns the code with which the command ends, given that of the supervisor.
    """

    def __init__(
        self,
        stream: TextIO | None,
        on_end: Callable[[], None],
        exit_code: Callable[[int], int] = lambda code: code,
    ) -> None:
        super().__init__(stream, on_end)
        self._exit_code = exit_code

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of an event, or of another record, which is a `message`."""
        event: events.Event | None = getattr(record, "event", None)
        told: dict[str, Any] = {"event": "message", "time": round(record.created, 6)}
        if event is None:
            told |= {"level": record.levelname.lower(), "text": record.getMessage()}
        else:
            told |= {"event": type(event).__name__.lower(), **event.fields()}
        if isinstance(event, events.Stopped):
            told["code"] = self._exit_code(event.code)
        return json.dumps(told, default=str)


class ForPeople(Printer):
    """Lines with the time of day, in colours where the stream wants them.

    keys: the line of keys that may be typed, if any may.
    leave_prompt: tells whether the cursor stands behind a prompt that is left now.
    show_prompt: has that shown again.
    """

    def __init__(
        self,
        stream: TextIO | None,
        on_end: Callable[[], None],
        keys: str = "",
        leave_prompt: Callable[[], bool] = lambda: False,
        show_prompt: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(stream, on_end)
        self._keys = keys
        self._leave_prompt = leave_prompt
        self._show_prompt = show_prompt
        self._starting: events.Starting | None = None
        self._failure: events.Failed | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; the first line waits until it is known how many files there are."""
        event: events.Event | None = getattr(record, "event", None)
        if isinstance(event, events.Starting):
            self._starting = event
        elif isinstance(event, events.Ready) and self._starting:
            self.start(events.files(event.files))
        elif isinstance(event, events.Stopped) and event.code == 1 and self._starting:
            self._starting = None  # nothing could be served: the error that follows says why
        elif not isinstance(event, events.Changed) or self._tells(event):
            self.start()
            super().emit(record)

    def _tells(self, change: events.Changed) -> bool:
        """Tell whether a change is told by itself: what is ready soon after tells of it as well."""
        return not change.paths or self.level <= logging.DEBUG

    def start(self, what: str = "") -> None:
        """Print what is served, and what may be typed, unless that was done."""
        if self._starting is None:
            return
        urls = " and ".join(coloured(url, BOLD, self.stream) for url in self._starting.urls)
        stop = "" if self._keys else "Ctrl-C to stop"
        parts = [f"serving {plain(self._starting.target)} at {urls}", what, stop]
        self._starting = None
        line = f"{clock(self.stream)} {_SEPARATOR.join(filter(None, parts))}"
        keys = [coloured(self._keys, DIM, self.stream)] if self._keys else []
        self.write("\n".join([line, *keys]))

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record: the first with time and colour."""
        event: events.Event | None = getattr(record, "event", None)
        first, *more = plain(self._text(event) or record.getMessage()).split("\n")
        colour = next((colour for level, colour in _LEVELS if record.levelno >= level), None)
        if isinstance(event, events.Ready):
            colour = GREEN
        if colour:
            first = coloured(first, colour, self.stream)
        # Over the `^C` that a terminal has just shown.
        start = "\r" if isinstance(event, events.Stopped) and is_terminal(self.stream) else ""
        return "\n".join([f"{start}{clock(self.stream)} {first}", *more])

    def _text(self, event: events.Event | None) -> str:
        """Return an event as a person wants it; "" for what is told to all in the same way."""
        if isinstance(event, events.Failed):
            is_shown, self._failure = event == self._failure, event
            # Without lines of what was loaded meanwhile, nobody sees that it is the same still.
            if is_shown and self.level <= logging.INFO:
                return event.for_people_again(current_directory())
        elif isinstance(event, events.Ready | events.Crashed):
            self._failure = None
        if isinstance(event, events.Failed | events.Changed):
            return event.for_people(current_directory())
        if isinstance(event, events.Ready | events.Refreshed):
            are_there = any(map(os.path.lexists, event.paths))
            return event.for_people(current_directory(), "changed" if are_there else "deleted")
        return ""

    def write(self, text: str) -> None:
        """Write lines in one piece, with what the stream's encoding has for our separator."""
        encoding = (getattr(self.stream, "encoding", "") or "utf-8").lower()
        start = line_break(self.stream, self._leave_prompt)
        super().write(start + (text if encoding.startswith("utf") else text.replace("·", "-")))
        if start:
            self._show_prompt()


def _tell_lost(count: int) -> None:
    log.warning("%d messages were left out here, as nobody has read them", count)


def tell_mistake(mistake: Exception) -> None:
    """Tell the user of a mistake in one line, on standard error; no traceback of ours helps."""
    print(f"asyncreload: error: {one_line(str(mistake))}", file=sys.stderr)  # noqa: T201  our voice
