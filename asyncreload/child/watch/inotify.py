"""Looks at what the kernel has noted: no file is asked for that nothing was heard of.

The kernel queues an event before the call returns that made it. So to drain the queue before a
request is taken sees every save that came before, as polling does, at a price that does not grow
with the number of files. An event only leads to a closer look; the files' states decide, as ever.

Directories are watched, as names come and go in them, and so are the project's files themselves: a
write by another name of a file raises no event in its own directory. A write through a mapping
raises none before the mapping is closed: the files that somebody may have open for writing are
asked for as well (writers.py). When something is mounted or unmounted, all is looked at again.

What can change without an event is looked at each time: links, files of another machine; and, as
directories above the project are not watched, whether the project's own is still the one that was
there.

Needs the package `asyncinotify`, of the extra `inotify`. Raises ImportError without it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import stat
import termios
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

if find_spec("asyncinotify") is None:  # before anything that only that one needs is imported
    raise ImportError("asyncinotify is not installed")

import ctypes.util

from asyncreload.child.watch.file_kinds import FileKind, is_below, kind_of
from asyncreload.child.watch.filesystems import MountTable, is_local
from asyncreload.child.watch.polling import Files, Identities, Identity, LimitError, Polling
from asyncreload.child.watch.writers import OpenFiles
from asyncreload.system_calls import Polled

# asyncinotify has `ldconfig` started to find the C library, though Python has it loaded.
_find_library = ctypes.util.find_library
ctypes.util.find_library = lambda name: None  # noqa: ARG005
try:
    from asyncinotify import Event, Inotify, Mask
finally:
    ctypes.util.find_library = _find_library

_OF_A_FILE = Mask.MODIFY | Mask.CLOSE_WRITE | Mask.ATTRIB
_OF_A_DIRECTORY = (
    _OF_A_FILE
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)
# As numbers: each operation of flags takes microseconds, and there are some for each event.
_ENTRIES = int(Mask.CREATE | Mask.DELETE | Mask.MOVED_FROM | Mask.MOVED_TO)
_UPSET = int(Mask.UNMOUNT | Mask.IGNORED | Mask.DELETE_SELF | Mask.MOVE_SELF)
_OVERFLOW = int(Mask.Q_OVERFLOW)
"""What is heard when what is watched is not any more what it was."""
_LIMITS = {errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_SMALLEST_EVENT, _LARGEST_EVENT = 16, 272
"""Bytes of an event: without a name, and with the longest one."""
_BUFFER = 64 * _LARGEST_EVENT
"""Bytes that are read at once."""
_READ_AT_ONCE = _BUFFER // _SMALLEST_EVENT
"""How many events may have been read already and wait in asyncinotify."""

AT_A_TIME = 250
"""How many files `tend` begins to watch: some milliseconds' work."""


class Events:
    """Asks for the files of which something was heard.

    roots: directories of projects and packages; all below them is watched down from there.
    Raises `LimitError`, here and in `tend`, when the kernel's limits are reached.
    """

    def __init__(self, roots: Iterable[str]) -> None:
        self._roots = sorted(roots, key=len, reverse=True)
        try:
            self._queue = Inotify(cache_size=_BUFFER // _LARGEST_EVENT)
        except OSError as exc:
            raise LimitError(_remedy(exc, "max_user_instances")) from exc
        self.descriptor: int = self._queue.fd
        """Readable when there is something to look at."""
        self._has_more = False
        self._open_files = OpenFiles()
        self._polling = Polling()
        # Not closed at exit: for that the kernel waits some 10 ms until nobody can still use it.
        self._queue._finalizer.atexit = False  # noqa: SLF001  asyncinotify has no other way
        self._doubted: deque[str] = deque()
        self._mounts = MountTable()
        opens = self._open_files.queue
        self._news = Polled(
            (_number(self._mounts.descriptor), select.POLLPRI),
            (self.descriptor, select.POLLIN),
            (_number(opens), select.POLLIN),
        )
        os.set_blocking(self.descriptor, False)  # as asyncinotify means to; in 4.4.4 it does not
        self._forget()

    def close(self) -> None:
        """Let go of the queue."""
        self._queue.close()
        self._open_files.close()
        self._mounts.close()

    @property
    def queues(self) -> list[int]:
        """The descriptors of the kernel's queues."""
        opens = self._open_files.queue
        return [self.descriptor] if opens is None else [self.descriptor, opens]

    def look(self, files: Files) -> list[str]:
        """Return the files that may differ.

        A look at those that were heard of, are new, or may be open for writing.
        """
        if not files:
            return []  # what is heard meanwhile is kept for those that there are
        self.listen()
        return self.look_on(files)

    def look_on(self, files: Files) -> list[str]:
        """Do what `look` does, by what was heard until now."""
        if not files:
            return []
        asked = self._asked_of(files)
        # Only what was watched before the look: a change is either heard of, or seen.
        watched = self._covered.intersection(asked)
        suspects = self._polling.look_at(files, asked | self._open_files.among(files))
        asked -= watched
        asked.update(suspects)
        return suspects

    def doubt(self, path: str) -> None:
        """Have a file looked at, as something else is known of it now."""
        self._doubted.append(path)

    def begin_afresh(self) -> None:
        """Look at all again, and watch it anew."""
        self._polling.begin_afresh()
        self._forget()

    def tend(self, files: Files) -> bool:
        """Watch some more of the files; tell whether nothing has to be asked for any more.

        Nor of other files: what was heard of one, while these were seen to, is heard but once.
        """
        self.listen()
        waiting = [path for path in self._asked_of(files) if path not in self._covered]
        free = [path for path in waiting if path not in self._bound]
        for path in free[:AT_A_TIME]:
            (self._covered if self._can_cover(path) else self._bound).add(path)
        is_read_only = self._open_files.tend(files)
        self.look(files)
        return is_read_only and not self._asked_of(files) and not any(self._asked.values())

    def _asked_of(self, files: Files) -> set[str]:
        """Return the files to be asked for: those that were heard of, and those that are new."""
        asked = self._asked.setdefault(files, set())
        begun = self._begun.setdefault(files, set())
        if len(files) != len(begun):
            new = set(files.copy()) - begun
            begun |= new
            asked |= new
        return asked

    # --- what was heard ----------------------------------------------------------------------

    def listen(self) -> None:
        """Drain the queues; note what was heard of."""
        mounts, events, opens = self._news.now()
        if opens:
            self._open_files.listen()
        if mounts:
            self._mounts.forget()
        upset = self._have_anchors_moved() or mounts
        if events or self._has_more:
            for event in self._queued_events():
                upset = self._hear(event) or upset
        if upset:
            self._forget()
        while self._doubted:
            self._heard.add(self._doubted.popleft())
        for files, asked in self._asked.items():
            asked.update(path for path in self._heard if path in files)
        self._heard.clear()

    def _queued_events(self) -> Iterator[Event]:
        """Iterate over what was queued when this began, and perhaps some more.

        Not until nothing is queued: something may write to the directory faster than this reads.
        """
        self._has_more = True
        size = array("i", [0])
        fcntl.ioctl(self.descriptor, termios.FIONREAD, size)
        for _ in range(size[0] // _SMALLEST_EVENT + _READ_AT_ONCE):
            try:
                event = self._queue.sync_get()
            except BlockingIOError:
                self._has_more = False
                return
            if event is not None:
                yield event

    def _hear(self, event: Event) -> bool:
        """Note an event; tell whether what is watched is not what it was."""
        mask = int(event.mask)
        if mask & _OVERFLOW or event.watch is None:
            return bool(mask & _OVERFLOW)
        watched = self._watched.get(event.watch.wd, set())
        if mask & _UPSET:
            self._heard.update(self._covered.intersection(watched))
            self._covered.difference_update(watched)
            return not self._chained.isdisjoint(watched)
        name = str(event.name) if event.name else ""
        paths = [os.path.join(path, name) if name else path for path in watched]
        if not mask & _ENTRIES:
            self._heard.update(self._covered.intersection(paths))
            # What may be reached of a directory depends on its permissions.
            return not self._chained.isdisjoint(paths)
        self._heard.update(self._covered.intersection({*paths, *watched}))
        # What stands under a name now may be of another kind.
        self._covered.difference_update(paths)
        self._bound.difference_update(paths)
        return not self._chained.isdisjoint(paths)

    def _forget(self) -> None:
        """Begin afresh: nothing is watched, so everything is to be looked at."""
        for watch in self._queue.watches:
            try:
                self._queue.rm_watch(watch)
            except OSError:
                continue  # it has gone by itself
        self._watched: dict[int, set[str]] = {}
        self._chained: set[str] = set()
        self._anchors: dict[str, Identity] = {}
        self._places = Identities()
        self._covered: set[str] = set()
        self._bound: set[str] = set()
        self._heard: set[str] = set()
        self._asked: dict[Files, set[str]] = {}
        self._begun: dict[Files, set[str]] = {}

    # --- what is watched ---------------------------------------------------------------------

    def _can_cover(self, path: str) -> bool:
        """Have changes of a path heard of; tell whether all of them are."""
        status = _status(path)
        inside = path if status and stat.S_ISDIR(status.st_mode) else os.path.dirname(path)
        # What it is, it is asked again: from now on it is heard when it becomes another.
        return self._chain(inside) and self._hears_of(path)

    def _hears_of(self, path: str) -> bool:
        """Tell whether all changes of what a path leads to are heard of, and see to it."""
        status = _status(path)
        if status is None or stat.S_ISDIR(status.st_mode):
            return True
        if not stat.S_ISREG(status.st_mode):
            return False
        if kind_of(path) is not FileKind.PROJECT:
            return status.st_nlink == 1
        if not self._watch(path, _OF_A_FILE | Mask.DONT_FOLLOW):
            return False
        self._open_files.watch(path)
        return True

    def _chain(self, directory: str) -> bool:
        """Watch a directory, and those above it in the same project."""
        if directory in self._chained:
            return True
        if not os.path.isabs(directory) or not is_local(directory):
            return False
        anchor = self._anchor(directory)
        self._note_anchor(anchor)
        for link in _down(anchor, directory):
            if link in self._chained:
                continue
            if os.path.islink(link):
                self._note_anchor(link)
            if not self._watch(link, _OF_A_DIRECTORY):
                return False
            self._chained.add(link)
        return True

    def _note_anchor(self, path: str) -> None:
        if path not in self._anchors:
            (self._anchors[path],) = Identities(path).now()
            self._places = Identities(*self._anchors)

    def _have_anchors_moved(self) -> bool:
        return self._places.now() != [*self._anchors.values()]

    def _watch(self, path: str, mask: Mask) -> bool:
        try:
            watch = self._queue.add_watch(path, mask)
        except OSError as exc:
            if exc.errno in _LIMITS:
                raise LimitError(_remedy(exc, "max_user_watches")) from exc
            return False
        self._watched.setdefault(watch.wd, set()).add(path)
        return True

    def _anchor(self, directory: str) -> str:
        """Return the topmost directory that is watched for the sake of this one."""
        for known in (*self._roots, *self._anchors):
            if is_below(directory, known):
                return known
        while os.path.exists(os.path.join(os.path.dirname(directory), "__init__.py")):
            directory = os.path.dirname(directory)
        return directory


def _down(top: str, bottom: str) -> Iterable[str]:
    """Iterate over the directories from one down to another below it.

    They are spelt as in the latter, also where that has a slash too many.
    """
    yield top
    for name in re.finditer(rf"[^{os.sep}]+", bottom):
        if name.end() > len(top):
            yield bottom[: name.end()]


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _number(descriptor: int | None) -> int:
    return -1 if descriptor is None else descriptor


def _remedy(exc: OSError, limit: str) -> str:
    return f"{os.strerror(exc.errno or 0)}: raise /proc/sys/fs/inotify/{limit}"
