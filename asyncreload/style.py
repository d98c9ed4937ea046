"""How a line for people looks: its colours, its durations, no characters that steer a terminal."""

from __future__ import annotations

import os
import re
import reprlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TextIO

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"

# Newline and tab are layout; the rest would steer a terminal, or be no character of HTML.
_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}
_COLOURS: Final = re.compile(r"(?:\033\[|\x9b)[0-9;:]*m")
_ZONE: Final = os.environ.get("TZ")
_OFFSET: Final = time.localtime().tm_gmtoff
"""The user's time zone, as it was before an app could set another: Django sets `TZ`. In seconds."""


def plain(text: str) -> str:
    """Return the text in characters that every UTF-8 stream, terminal and HTML page can take."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").translate(_CONTROLS)


def uncoloured(text: str) -> str:
    """Return the text without the colours that a library has given it for a terminal."""
    return _COLOURS.sub("", text)


def one_line(text: str) -> str:
    """Return the text as `plain` does, with its line ends and tabs as escapes, too."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def shown(value: Any) -> str:
    """Return a value as a message names it: as Python writes it, but not longer than a line."""
    try:
        return reprlib.repr(value)
    except ValueError:  # too many digits for Python to print
        return "that"


def file_names(paths: Sequence[str], directory: str = "") -> str:
    """Return the names of some files, for a line: of many, the first and how many more there are.

    A name that says little is told with its directory: `__init__.py`, or that of several files.

    directory: a file below it is named from there; "" if there is none to name files from.
    """
    times = Counter(map(os.path.basename, paths))
    names = []
    for path in paths:
        above, name = os.path.split(path)
        if directory and (below := path.removeprefix(os.path.join(directory, ""))) != path:
            names.append(below)
        elif times[name] == 1 and name != "__init__.py":
            names.append(name)
        else:
            names.append(os.path.join(os.path.basename(above), name))
    return ", ".join(first_names(names))


def first_names(names: Sequence[str], most: int = 3) -> list[str]:
    """Return the first of some names, and how many more there are."""
    more = len(names) - most
    return [*names[:most], *([f"{more} more"] if more > 0 else [])]


def has_colours(stream: TextIO | None) -> bool:
    """Tell whether a stream wants colours, as Python itself judges: https://no-color.org first."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and is_terminal(stream)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is shown by a terminal."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # replaced by the app, or closed
        return False


def coloured(text: str, colour: str, stream: TextIO | None) -> str:
    """Return the text in a colour if the stream wants that."""
    return f"\033[{colour}m{text}\033[0m" if has_colours(stream) else text


_LONG = 120
"""Characters of an error that a headline has room for, beside the place."""


def headline(error: str, place: str, directory: str = "") -> str:
    """Return what went wrong and where, in one line.

    place: `file:line`; "" if that is not known. A file below the directory is named from there.
        Where there is one a traceback follows, which ends with the whole of a long message.
    """
    if place and len(error) > _LONG:
        error = f"{error[:_LONG].rpartition(' ')[0] or error[:_LONG]} …"
    return f"{error} · {place.removeprefix(os.path.join(directory, ''))}" if place else error


def duration(seconds: float) -> str:
    """Return a duration as people say it: 0.4 ms, 6 ms, 2.1 s."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.{int(seconds < 0.001)}f} ms"  # noqa: PLR2004  a millisecond


def clock(stream: TextIO | None) -> str:
    """Return the time of day, with which each line of ours begins; in the user's time zone."""
    is_users = os.environ.get("TZ") == _ZONE  # then it also knows of the change to summer time
    now = time.localtime() if is_users else time.gmtime(time.time() + _OFFSET)
    return coloured(time.strftime("%H:%M:%S", now), DIM, stream)
