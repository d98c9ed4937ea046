"""What a supervisor tells of itself, as data; `str` of each is the line for a person."""

from __future__ import annotations

import os
from dataclasses import dataclass

from asyncreload.style import duration


@dataclass(frozen=True, slots=True)
class Starting:
    """The address is bound, the first child is being started."""

    target: str
    url: str

    def __str__(self) -> str:
        return f"serving {self.target} at {self.url}"


@dataclass(frozen=True, slots=True)
class Ready:
    """A child answers with freshly loaded code.

    seconds: since the change was seen, or since the start.
    paths: the files whose change it answers with; empty for the first load.
    """

    pid: int
    seconds: float
    paths: tuple[str, ...]
    files: int

    def __str__(self) -> str:
        fresh = f"fresh in {duration(self.seconds)}"
        if self.paths:
            return f"{_names(self.paths)} changed · {fresh}"
        return f"{fresh} · {files(self.files)}"


@dataclass(frozen=True, slots=True)
class Changed:
    """Files were saved; the old child is leaving."""

    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"{_names(self.paths) or 'asked to'}: reloading"


@dataclass(frozen=True, slots=True)
class Failed:
    """The load failed; every request is answered with the report.

    place: file and line of the user's to look at first, where there is one.
    own: the traceback with the user's own calls alone.
    """

    error: str
    traceback: str
    place: str = ""
    own: str = ""

    def __str__(self) -> str:
        return self._text(self.place, self.traceback)

    def for_people(self, cwd: str) -> str:
        """Return the text for a terminal: shorter."""
        return self._text(self.place.removeprefix(os.path.join(cwd, "")), self.own)

    def _text(self, place: str, trace: str) -> str:
        first = f"{self.error} · {place}" if place else self.error
        rest = ["the load failed; waiting for a change"]
        return "\n".join([first, *([trace.rstrip()] if trace.strip() else []), *rest])


@dataclass(frozen=True, slots=True)
class Crashed:
    """A child died unasked.

    code: its exit code, -N for signal N.
    how: the same in words, with what it was doing.
    again: whether it is started again at once, not at the next save.
    """

    code: int
    how: str
    again: bool

    def __str__(self) -> str:
        outlook = "starting again" if self.again else "waiting for a change"
        return f"the app died, {self.how}; {outlook}"


@dataclass(frozen=True, slots=True)
class Stopped:
    """The supervisor has ended; nothing is left of it."""

    code: int

    def __str__(self) -> str:
        return "stopped"


Event = Starting | Ready | Changed | Failed | Crashed | Stopped


def files(number: int) -> str:
    """Say how many files are watched."""
    return "1 file" if number == 1 else f"{number} files"


def _names(paths: tuple[str, ...], most: int = 3) -> str:
    names = [os.path.basename(path) for path in paths[:most]]
    more = [f"{len(paths) - most} more"] if len(paths) > most else []
    return ", ".join(names + more)
