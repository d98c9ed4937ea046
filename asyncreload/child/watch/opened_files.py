"""Which files of the project were opened: of no other may the app keep what it has read.

A framework asks for all files in its directories of templates, and these may be thousands. Which
of them matter is known at once so; the others are gone through when there is time.

Not known are files that C code opens by itself, as no event is raised for them.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

from asyncreload import audit
from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of
from asyncreload.child.watch.file_state import Now

_CODE = (".py", ".pyc", ".so")
"""How the names of files end that have baselines, or none, whoever opens them."""

MOST = 10_000
"""How many files are noted: an app may open one after the other for as long as it lives."""


class OpenedFiles:
    """Notes of each file when it was opened for the first time, or was to be; in any thread.

    now: the clock, in ns since the epoch.
    """

    def __init__(self, now: Now = time.time_ns) -> None:
        self._now = now
        self._opened: dict[str, int] = {}
        self._new: deque[str] = deque()

    def install(self) -> None:
        """Be told of what is opened from now on, for as long as the process lives."""
        audit.listen(self.hear, "open")

    def paths(self) -> list[str]:
        """Return the files that were opened so far."""
        return list(self._opened.copy())

    def new(self) -> Iterator[tuple[str, int]]:
        """Iterate over those of which this has not told yet: when each was opened, in ns."""
        with suppress(IndexError):  # there is no more, or another thread has had it
            while True:
                path = self._new.popleft()
                yield path, self._opened[path]

    def hear(self, _event: str, arguments: tuple[Any, ...], _frame: FrameType | None) -> None:
        """Take in an audit event. Raises nothing: that would be raised by what opens the file.

        Quickly: a framework tries to open each template in all of its directories.
        """
        path, _, flags = arguments
        is_name = isinstance(path, str) and not path.endswith(_CODE)
        if not is_name or flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_NONBLOCK:
            return  # nothing is read, or it is we who read (file_state.py)
        try:
            path = absolute(path)
            is_news = path not in self._opened and kind_of(path) is FileKind.PROJECT
        except (OSError, ValueError):  # the current directory is gone; it can be no path
            return
        if is_news and len(self._opened) < MOST:
            self._opened[path] = self._now()
            self._new.append(path)
