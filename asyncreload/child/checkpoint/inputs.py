"""What code reads while it is loaded, beside modules: files that it opens, directories it lists.

A checkpoint holds what was made of them, so they must be as they were when the load goes on from
it. An audit hook tells of them, by whatever code and in whatever thread they are read:
`load_dotenv()` opens a file for the project. What the standard library and packages are made of is
not looked at, nor modules, which have baselines of their own, nor the pseudo files of the kernel.

No event is raised, so nothing is known, of `os.stat` and `os.path.exists`, and of files that C code
opens by itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import filterfalse
from types import FrameType
from typing import Any

from asyncreload import audit
from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of
from asyncreload.child.watch.file_state import FileState, read_state, stat_state

_OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")
_OF_IMPORTS = "<frozen importlib"
_OURS = os.path.abspath(__file__).rsplit(os.sep, 3)[0] + os.sep
_CACHES, _CACHED = "__pycache__", ".pyc"

Names = frozenset[tuple[str, bool]]
"""The entries of a directory, each with whether it is a directory itself."""


class Inputs:
    """Notes what is read while `is_noting`, but by our own threads. It listens for good.

    There is one in a process: nobody stops to listen to audit events.

    is_loaded: tells whether a file was loaded as code, and so has a baseline of its own.
    """

    def __init__(self, is_loaded: Callable[[str], bool]) -> None:
        self._thread = threading.get_ident()
        self._is_loaded = is_loaded
        self._files: dict[str, FileState] = {}
        self._listings: dict[str, Names | None] = {}
        self._mixed: dict[str, None] = {}
        self._made: set[str] = set()
        self._hearing: set[int] = set()
        self._events: dict[str, Callable[..., None]] = {
            "open": self._on_open,
            "os.mkdir": self._on_new_directory,
            "os.listdir": self._on_listing,
            "os.scandir": self._on_listing,
        }
        self.is_noting: bool = False
        """Whether what is read now is an input of the load."""

    def install(self) -> None:
        """Be told of what is read from now on."""

        def hear(event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
            if self.is_noting:
                self._hear(event, arguments, frame)

        audit.listen(hear, *self._events)

    def paths(self) -> list[str]:
        """Return the files that were read, and the directories that were listed."""
        return [*self._files, *self._listings]

    def differing(self) -> str:
        """Return a file or directory that is not what it was when it was read; "" if there is none.

        Their metadata decide where that proves something, else their bytes. What the load has made
        itself may also be gone again: it was not there when the load began.
        """
        for path, then in self._files.items():
            now = stat_state(path)
            if now.signature == then.signature and not then.racy:
                continue
            if self._is_gone_again(path):
                continue
            if then.digest is None or read_state(path).digest != then.digest:
                return path
        for path, names in self._listings.items():
            if _names(path) != names and not self._is_gone_again(path):
                return path
        return next(filterfalse(self._is_gone_again, self._mixed), "")

    def _is_gone_again(self, path: str) -> bool:
        return path in self._made and not os.path.lexists(path)

    def note(self, path: str) -> None:
        """Note a file that is about to be read, as it is now."""
        state = stat_state(path)
        if state.signature is not None and not os.path.isfile(path):
            return  # to look into a named pipe would take what is meant for the app
        if state.racy:
            state = read_state(path)
        before = self._files.setdefault(path, state)
        both_read = before.digest is not None and state.digest is not None
        if before.signature != state.signature or (both_read and before.digest != state.digest):
            self._mixed[path] = None  # the load has read the one and the other

    def _hear(self, event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        thread = threading.get_ident()
        if thread in self._hearing:  # what is done here is no input
            return
        self._hearing.add(thread)
        try:
            origin = frame.f_code.co_filename if frame is not None else ""
            if not origin.startswith(_OURS) and not self._is_own_thread(frame):
                self._events[event](*arguments, is_import=origin.startswith(_OF_IMPORTS))
        finally:
            self._hearing.discard(thread)

    def _is_own_thread(self, frame: FrameType | None) -> bool:
        """Tell whether the thread in which a frame is was started by our own code."""
        if frame is None or threading.get_ident() == self._thread:
            return False
        while frame.f_back is not None:
            frame = frame.f_back
        return frame.f_code.co_filename.startswith(_OURS)

    def _on_open(self, path: Any, mode: Any, flags: Any, *, is_import: bool) -> None:
        del mode  # `flags` say the same, and are there for `os.open`, too
        name = _path_of(path)
        if name is None:
            return
        if flags & os.O_CREAT and not os.path.lexists(name):
            self._made.add(name)
        if flags & (os.O_TRUNC | os.O_EXCL) or flags & os.O_ACCMODE == os.O_WRONLY:
            return  # nothing is read that was there
        if os.path.isdir(name):  # to list it by the descriptor, of which no event tells
            self._on_listing(name, is_import=is_import)
            return
        # Loaders read data, too, for `pkgutil.get_data` and its like.
        if not is_import or not (name.endswith(_CACHED) or self._is_loaded(name)):
            self.note(name)

    def _on_listing(self, path: Any, *, is_import: bool) -> None:
        name = _path_of(_here() if path in (None, os.curdir) else path)
        if name is None or is_import:  # what imports look for is noted elsewhere
            return
        names = _names(name)
        if self._listings.setdefault(name, names) != names:
            self._mixed[name] = None

    def _on_new_directory(self, path: Any, *_: Any, is_import: bool) -> None:
        del is_import
        if (name := _path_of(path)) is not None and not os.path.exists(name):
            self._made.add(name)


def _here() -> str | None:
    """Return the current directory; None when it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _path_of(path: Any) -> str | None:
    """Return the absolute path of what counts; None for a descriptor, and for what does not."""
    try:
        name = absolute(os.fsdecode(path))
    except TypeError:
        return None
    if name.startswith(_OF_THE_KERNEL) or "\0" in name:
        return None
    return name if kind_of(name) is FileKind.PROJECT else None


def _names(directory: str) -> Names | None:
    """Return what is in a directory; None if it cannot be listed."""
    try:
        with os.scandir(directory) as entries:
            return frozenset((one.name, one.is_dir()) for one in entries if one.name != _CACHES)
    except OSError:
        return None
