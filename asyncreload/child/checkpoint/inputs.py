"""What code reads while it is loaded, beside modules: files that it opens, directories it lists.

A checkpoint holds what was made of them, so they must be as they were when the load goes on from
it. An audit hook tells of them, by whatever code they are read: `load_dotenv()` opens a file for
the project. What the standard library and packages are made of is not looked at, nor what the
import system reads, which has baselines of its own, nor the pseudo files of the kernel.

No event is raised, so nothing is known, of `os.stat` and `os.path.exists`, and of files that C code
opens by itself.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from asyncreload.child.watch.file_kinds import FileKind, absolute, kind_of
from asyncreload.child.watch.file_state import FileState, read_state, stat_state
from asyncreload.cpython import caller

_OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")
_OF_IMPORTS = "<frozen importlib"
_OURS = os.path.abspath(__file__).rsplit(os.sep, 3)[0] + os.sep
_CACHES = "__pycache__"
_READS = frozenset({os.O_RDONLY, os.O_RDWR})
_EMPTY = os.O_TRUNC | os.O_EXCL

Names = frozenset[str]


class Inputs:
    """Notes what the main thread reads while `is_noting`. Its hook stays for good.

    There is one in a process: an audit hook cannot be removed.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._files: dict[str, FileState] = {}
        self._listings: dict[str, Names | None] = {}
        self._written: set[str] = set()
        self._events: dict[str, Callable[..., None]] = {
            "open": self._on_open,
            "os.mkdir": self._on_new_directory,
            "os.listdir": self._on_listing,
            "os.scandir": self._on_listing,
        }
        self.is_noting: bool = False
        """Whether what is read now is an input of the load."""

    def install(self) -> None:
        """Add the hook."""
        events = self._events

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in events and self.is_noting:
                self._hear(event, arguments)

        sys.addaudithook(hook)

    def paths(self) -> list[str]:
        """Return the files that were read, and the directories that were listed."""
        return [*self._files, *self._listings]

    def differing(self) -> str:
        """Return a file or directory that is not what it was when it was read; "" if there is none.

        Their metadata decide where that proves something, else their bytes.
        """
        for path, then in self._files.items():
            now = stat_state(path)
            if now.signature == then.signature and not then.racy:
                continue
            if then.digest is None or read_state(path).digest != then.digest:
                return path
        for path, names in self._listings.items():
            if _names(path) != names:
                return path
        return ""

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if threading.get_ident() != self._thread:
            return
        self.is_noting = False  # what is done here is no input
        try:
            origin = caller(2).f_code.co_filename
            if not origin.startswith((_OF_IMPORTS, _OURS)):
                self._events[event](*arguments)
        finally:
            self.is_noting = True

    def _on_open(self, path: Any, mode: Any = None, flags: Any = 0, *_: Any) -> None:
        del mode  # `flags` say the same, and are there for `os.open`, too
        if (name := _path_of(path)) is None:
            return
        if isinstance(flags, int) and flags & os.O_ACCMODE not in _READS:
            self._written.add(name)
        elif name not in self._written:  # else it is this load's own work
            if isinstance(flags, int) and flags & _EMPTY:
                self._written.add(name)
            elif os.path.isdir(name):  # to list it by the descriptor, of which no event tells
                self._on_listing(name)
            elif name not in self._files:
                state = stat_state(name)
                self._files[name] = read_state(name) if state.racy else state

    def _on_listing(self, path: Any = ".", *_: Any) -> None:
        name = _path_of("." if path is None else path)
        if name is not None and name not in self._written:
            self._listings.setdefault(name, _names(name))

    def _on_new_directory(self, path: Any, *_: Any) -> None:
        if (name := _path_of(path)) is not None and not os.path.exists(name):
            self._written.add(name)


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
        return frozenset(os.listdir(directory)) - {_CACHES}
    except OSError:
        return None
