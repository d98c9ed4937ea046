"""Looks that ask the system for the state of each file.

On Linux by one call for all of them, which does not come back to Python in between: `os.stat`
gives the GIL away each time, and beside busy threads waits 5 ms to get it back.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import starmap
from typing import Any, Protocol

from asyncreload.child.mounts import is_local
from asyncreload.child.signature import Known, Signature, glance


class Files(dict[str, Known]):
    """What is known of files; counts how often that has changed. Itself a key of tables."""

    version: int = 0

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __setitem__(self, path: str, known: Known) -> None:
        super().__setitem__(path, known)
        self.version += 1


class LimitError(Exception):
    """The kernel watches no more for this user; the text says what limits it."""


class Looks(Protocol):
    """A way to see which files may have changed."""

    def look(self, files: Files) -> list[str]:
        """Return the files that may not be as they are known. Called by one thread at a time."""

    def tend(self, files: Files) -> bool:
        """Make the next looks cheaper; tell whether there is nothing to be looked at by itself."""

    def close(self) -> None:
        """Let go of what is held open."""


def differing(files: Mapping[str, Known], paths: Iterable[str]) -> list[str]:
    """Return those of the paths whose state differs, or proves nothing."""
    return [path for path in paths if files[path].racy or glance(path) != files[path].signature]


class Polling:
    """Asks for every file at each look."""

    def __init__(self) -> None:
        self._rounds: dict[Files, _Round] = {}

    def look(self, files: Files) -> list[str]:
        """Return the files that differ; one system call a file, nothing is read."""
        last = self._rounds.get(files)
        if last is None or last.count != len(files):
            last = self._rounds[files] = _Round(list(files))
        return last.look(files)

    def tend(self, files: Files) -> bool:
        """Tell that there is always something to be looked at."""
        return not files

    def close(self) -> None:
        """Do nothing: nothing is held open."""


# --- many at once ------------------------------------------------------------------------------

# From linux/stat.h: `struct statx`, and what is asked for.
_SIZE = 256
_MTIME, _CTIME, _INO, _BYTES = 0x40, 0x80, 0x100, 0x200
_AT_FDCWD = -100
_INODE_AND_SIZE = struct.Struct("=32xQQ")
_TIMES = struct.Struct("=96xqI4xqI4x")


def _bulk_call() -> Callable[..., Any] | None:
    if not sys.platform.startswith("linux"):
        return None
    # `PyDLL` keeps the GIL. A look at files of this machine takes microseconds.
    call = getattr(ctypes.PyDLL(None), "statx", None)
    if call is not None:
        call.restype = ctypes.c_int
    return call


_statx = _bulk_call()


class _Round:
    """One round through a given list of files."""

    def __init__(self, paths: list[str]) -> None:
        self.count = len(paths)
        quick = [path for path in paths if _statx and is_local(os.path.dirname(path))]
        self._paths = quick
        self._slow = sorted({*paths} - {*quick})
        self._buffer = ctypes.create_string_buffer(_SIZE * len(quick))
        start = ctypes.addressof(self._buffer)
        where, flags = ctypes.c_int(_AT_FDCWD), ctypes.c_int(0)
        asked = ctypes.c_uint(_MTIME | _CTIME | _INO | _BYTES)
        self._arguments = [
            (where, _encoded(path), flags, asked, ctypes.c_void_p(start + place * _SIZE))
            for place, path in enumerate(quick)
        ]
        self._approved: tuple[int, list[int], bytes] | None = None

    def look(self, files: Files) -> list[str]:
        suspects = differing(files, self._slow)
        version = files.version  # before: another thread may be importing
        assert _statx or not self._arguments  # noqa: S101
        failed = list(starmap(_statx, self._arguments)) if _statx else []
        seen = self._buffer.raw
        # As a whole, at the price of comparing some kilobytes.
        if self._approved == (version, failed, seen):
            return suspects
        found = self._compare(files, failed, seen)
        self._approved = None if found else (version, failed, seen)
        return suspects + found

    def _compare(self, files: Files, failed: list[int], seen: bytes) -> list[str]:
        found = []
        for place, path in enumerate(self._paths):
            known = files[path]
            now = None if failed[place] else _signature(seen, place * _SIZE)
            if known.racy or now != known.signature:
                found.append(path)
        return found


def _encoded(path: str) -> Any:
    # What can be no path is asked for as the empty one, which does not exist either.
    return ctypes.c_char_p(b"" if "\0" in path else os.fsencode(path))


def _signature(status: bytes, at: int) -> Signature:
    inode, size = _INODE_AND_SIZE.unpack_from(status, at)
    changed, changed_ns, modified, modified_ns = _TIMES.unpack_from(status, at)
    return (modified * 10**9 + modified_ns, changed * 10**9 + changed_ns, size, inode)
