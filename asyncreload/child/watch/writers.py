"""Which of the watched files somebody may have open for writing.

A write through a shared mapping raises no event, so such a file is asked for at each look. Whoever
maps a file for writing has opened it, and the kernel counts it as open until nothing is mapped any
more. So it need not be asked for once a lease has told that nobody has it open for writing: when
somebody opens it after that, an event tells. Each file is proven so in this order:

1. It is watched: from here on, that it is opened is queued before whoever opens it goes on.
2. It is opened for reading, as a lease needs that; which is queued, too.
3. The queue is drained. Who else has opened the file until now comes before the next step.
4. The lease is asked for.

The queue is one of its own. Programs that open every file (`grep`, an editor's indexer) do not wake
this process up, and do not keep it from hearing of changes: when too much is queued, all files may
be open, which is all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum, auto

from asyncreload.child.watch.polling import Files
from asyncreload.system_calls import hear_of_opens, is_open_for_writing, new_event_queue, opened

AT_A_TIME = 100
"""How many files are tried by one call: one or two milliseconds' work."""
FOUND_AT_A_TIME = 10
"""How many of those that were found open are tried again, when there is no other to be tried."""


class Writers(Enum):
    """What is known of those who have a file open for writing."""

    POSSIBLE = auto()
    """The file was opened, or is watched only now."""
    FOUND = auto()
    """There was one when it was last tried. Nothing tells of the end: it is tried again."""
    UNKNOWABLE = auto()
    """Nobody can tell. It is tried again when it was opened again."""


class OpenFiles:
    """Knows which files may be open for writing. Used by one thread at a time."""

    def __init__(self) -> None:
        self.queue: int | None = None
        """The descriptor of the queue of events; None when the kernel gives no more of them."""
        with suppress(OSError):
            self.queue = new_event_queue()
        self._writers: dict[str, Writers] = {}
        self._paths: dict[int, set[str]] = {}
        self._watches: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the queue."""
        if self.queue is not None:
            with suppress(OSError):  # the app has closed it
                os.close(self.queue)
            self.queue = None

    def watch(self, path: str) -> None:
        """Watch what a path leads to now; until it has been tried, somebody may write to it."""
        self._names(path).discard(path)
        self._writers[path] = Writers.UNKNOWABLE
        if self.queue is None:
            return
        try:
            watch = hear_of_opens(self.queue, path)
        except OSError:
            return
        self._watches[path] = watch
        self._paths.setdefault(watch, set()).add(path)
        self._writers[path] = Writers.POSSIBLE

    def among(self, files: Files) -> set[str]:
        """Return those of the files that somebody may have open for writing, by what was heard."""
        return {path for path in self._writers if path in files}

    def tend(self, files: Files) -> bool:
        """Try some of the files; tell whether there is nobody who is known to write, or may be.

        Called in the background: a file that is opened for writing just then waits for a moment.
        """
        self.listen()
        self._try(self._next_of(files))
        return not any(self._of(files, Writers.POSSIBLE) + self._of(files, Writers.FOUND))

    def _next_of(self, files: Files) -> set[str]:
        """Return the files to be tried next, by all their names.

        To try a file by one of them is noted for all of them.
        """
        possible = self._of(files, Writers.POSSIBLE)[:AT_A_TIME]
        chosen = possible or self._of(files, Writers.FOUND)[:FOUND_AT_A_TIME]
        return set(chosen).union(*map(self._names, chosen))

    def _of(self, files: Files, writers: Writers) -> list[str]:
        return [path for path, known in self._writers.items() if known is writers and path in files]

    def _names(self, path: str) -> set[str]:
        """Return all paths by which the same file is watched."""
        return self._paths.get(self._watches.get(path, 0), set())

    def _try(self, paths: Iterable[str]) -> None:
        """Find out whether files are open for writing."""
        descriptors = {path: _opened(path) for path in paths}
        self.listen()
        for path, descriptor in descriptors.items():
            is_open = None if descriptor is None else is_open_for_writing(descriptor)
            self._writers.pop(path, None)
            if is_open is not False:  # at the end, so that the others' turn comes
                self._writers[path] = Writers.FOUND if is_open else Writers.UNKNOWABLE
            if descriptor is not None:
                os.close(descriptor)

    def listen(self) -> None:
        """Note which files were opened."""
        if self.queue is None:
            return
        watches = opened(self.queue)
        for watch in self._paths if watches is None else watches:
            self._writers.update(dict.fromkeys(self._paths.get(watch, ()), Writers.POSSIBLE))


def _opened(path: str) -> int | None:
    """Return a descriptor of a file, or None when it cannot be read; waits for no named pipe."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
