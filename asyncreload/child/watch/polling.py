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
from collections.abc import Set as AbstractSet
from itertools import starmap
from typing import Any, Protocol

from asyncreload.child.watch.file_kinds import is_below
from asyncreload.child.watch.file_state import FileState, Signature, signature_at
from asyncreload.child.watch.filesystems import is_local


class Files(dict[str, FileState]):
    """What is known of files. Itself a key of tables."""

    version: int = 0
    """How often something else has become known of a file, or it was removed; not how many came."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __setitem__(self, path: str, known: FileState) -> None:
        is_new = path not in self
        super().__setitem__(path, known)
        if not is_new:
            self.version += 1

    def forget(self, path: str) -> None:
        """Remove a file, if it is there."""
        self.pop(path, None)
        self.version += 1


class LimitError(Exception):
    """The kernel watches no more for this user; the text says what limits it."""


class Looks(Protocol):
    """A way to see which files may have changed."""

    def look(self, files: Files) -> list[str]:
        """Return the files that may not be as they are known. Called by one thread at a time."""

    def listen(self) -> None:
        """Take in what there is to be heard; `look_on` rests on that, for several looks."""

    def look_on(self, files: Files) -> list[str]:
        """Return the files that may not have been as they are known when `listen` was called."""

    def doubt(self, path: str) -> None:
        """Have a file looked at, as something else is known of it now. Called by any thread."""

    def tend(self, files: Files) -> bool:
        """Make the next looks cheaper; tell whether there is nothing to be looked at by itself."""

    def begin_afresh(self) -> None:
        """Look at all the next time: a look was broken off."""

    def close(self) -> None:
        """Let go of what is held open."""


def differing(files: Mapping[str, FileState], paths: Iterable[str]) -> list[str]:
    """Return those of the paths whose state differs, or proves nothing."""
    return [
        path for path in paths if files[path].racy or signature_at(path) != files[path].signature
    ]


class Polling:
    """Asks for every file at each look."""

    def __init__(self) -> None:
        self._rounds: dict[Files, _GrowingRound] = {}
        self._rounds_of_some: dict[Files, _Round] = {}

    def listen(self) -> None:
        """Do nothing: nothing is heard."""

    def look_on(self, files: Files) -> list[str]:
        """Do what `look` does."""
        return self.look(files)

    def look(self, files: Files) -> list[str]:
        """Return the files that differ; one system call a file, nothing is read."""
        return self._rounds.setdefault(files, _GrowingRound()).look(files)

    def look_at(self, files: Files, paths: AbstractSet[str]) -> list[str]:
        """Return those of some of the files that differ; and perhaps others that differ, too."""
        if len(paths) > len(files) * _WORTH_ALL:
            return self.look(files)
        if not paths:
            return []
        last = self._rounds_of_some.get(files)
        if last is None or not last.is_of(paths) or last.has_moved():
            # The old one goes first: the number of its descriptor may be the new one's.
            self._rounds_of_some.pop(files, None)
            del last
            last = self._rounds_of_some[files] = _Round(list(paths))
        return last.look(files)

    def descriptors(self) -> list[int]:
        """Return the directories that are held open."""
        return [one for last in self._rounds.values() for one in last.descriptors()]

    def doubt(self, path: str) -> None:
        """Do nothing: every file is looked at."""

    def tend(self, files: Files) -> bool:
        """Tell that there is always something to be looked at."""
        return not files

    def begin_afresh(self) -> None:
        """Ask for all without comparing with the last round."""
        self._rounds.clear()
        self._rounds_of_some.clear()

    def close(self) -> None:
        """Do nothing: nothing is held open."""


# --- many at once ------------------------------------------------------------------------------

# From linux/stat.h: `struct statx`, and what is asked for.
_SIZE = 256
_ASKED = 0x40 | 0x80 | 0x100 | 0x200  # the times of modification and change, inode, size
_ASKED |= 0x1000  # the mount, from Linux 5.8 on: a directory may be mounted on itself
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_IDENTITY = struct.Struct("=32xQ96xQQ")
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


_WORTH_ALL = 0.25
"""From which share of the files on all are asked for: a round through other files than before is
to be prepared, which takes three times as long as the round itself."""
_MOST_ROUNDS = 4
"""Rounds through what has come since the last look, until one is prepared through all."""
_WORTH_A_TOP = 12
"""How many files make up for two more questions."""


class _GrowingRound:
    """One round through all of some files, which become more while an app is loaded.

    To prepare a round takes three times as long as the round itself. So what has come since the
    last one gets a round of its own, and the others stay as they are.
    """

    def __init__(self) -> None:
        self._rounds: list[_Round] = []
        self._covered: set[str] = set()
        self._version = 0

    def descriptors(self) -> list[int]:
        """Return the directories that are held open."""
        return [one.top_descriptor for one in self._rounds if one.top_descriptor is not None]

    def look(self, files: Files) -> list[str]:
        if any(one.has_moved() for one in self._rounds):
            self._begin_afresh()
        self._cover(files)
        return [path for one in self._rounds for path in one.look(files)]

    def _cover(self, files: Files) -> None:
        """Have a round through each of the files, and through no other."""
        version = files.version  # before: another thread may be importing
        if version == self._version and len(files) == len(self._covered):
            return
        paths = list(files)
        new = [path for path in paths if path not in self._covered]
        are_gone = len(self._covered) + len(new) > len(paths)
        if are_gone or (new and len(self._rounds) >= _MOST_ROUNDS):
            self._begin_afresh()
            new = paths
        if new:
            self._rounds.append(_Round(new))
            self._covered.update(new)
        self._version = version

    def _begin_afresh(self) -> None:
        # Before there is another: the number of a descriptor may be the new one's.
        self._rounds.clear()
        self._covered.clear()


class _Round:
    """One round through a given list of files.

    Many are asked for from the directory on that they have in common: to come down to it is a
    third of the work. That it is still the one that has its name is asked for each time.
    """

    def __init__(self, paths: list[str]) -> None:
        self._all = {*paths}
        quick = [path for path in paths if _statx and is_local(os.path.dirname(path))]
        self._paths = quick
        self._slow = sorted({*paths} - {*quick})
        self._top = _Top(_in_common(quick) if len(quick) >= _WORTH_A_TOP else "")
        self._buffer = ctypes.create_string_buffer(_SIZE * len(quick))
        self._arguments = [
            _arguments(*self._top.below(path), self._buffer, place * _SIZE)
            for place, path in enumerate(quick)
        ]
        self._approved: tuple[int, list[int], bytes] | None = None

    @property
    def top_descriptor(self) -> int | None:
        """The directory in common, if it is held open."""
        return self._top.descriptor

    def is_of(self, paths: AbstractSet[str]) -> bool:
        """Tell whether this is a round through these files."""
        return paths == self._all

    def has_moved(self) -> bool:
        """Tell whether another directory has come to the place of the one in common."""
        return self._top.has_moved()

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


class _Top:
    """A directory that is held open, so that files can be asked for from there on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor: int | None = None
        """It is open at this number."""
        if not path or _statx is None:
            return
        try:
            self.descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY)
        except (OSError, ValueError):
            return  # names are asked for from the root on
        self._places = Identities(path, self.descriptor)
        self._identity = self._places.now()[1]

    def __del__(self) -> None:
        # An app may have closed what it has not opened, and have got the number for its own.
        if self.descriptor is not None and self._places.now()[1] == self._identity:
            os.close(self.descriptor)

    def below(self, path: str) -> tuple[int, str]:
        """Return from where to ask for a path, and by which name."""
        if self.descriptor is None or not (os.path.isabs(path) and is_below(path, self._path)):
            return _AT_FDCWD, path
        return self.descriptor, path[len(self._path.rstrip(os.sep)) + 1 :] or "."

    def has_moved(self) -> bool:
        """Tell whether its name leads elsewhere now, or the descriptor does."""
        if self.descriptor is None:
            return False
        return any(found != self._identity for found in self._places.now())


Identity = tuple[int, ...] | None
"""What tells a file from all others; None when there is none."""


class Identities:
    """Tells to which file each of some paths or descriptors leads."""

    def __init__(self, *asked: str | int) -> None:
        self._asked = asked
        self._statx = _statx  # for as long as this lives, also while Python ends
        self._buffer = ctypes.create_string_buffer(_SIZE * len(asked))
        self._arguments = [
            _arguments(_AT_FDCWD, one, self._buffer, place * _SIZE)
            if isinstance(one, str)
            else _arguments(one, "", self._buffer, place * _SIZE, _AT_EMPTY_PATH)
            for place, one in enumerate(asked)
        ]

    def now(self) -> list[Identity]:
        """Return the identity of each of them, as it is now."""
        if self._statx is None:
            return [_identity(one) for one in self._asked]
        failed = list(starmap(self._statx, self._arguments))
        return [
            None if failed[place] else _IDENTITY.unpack_from(self._buffer, place * _SIZE)
            for place in range(len(failed))
        ]


def _identity(one: str | int) -> Identity:
    try:
        status = os.stat(one)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _in_common(paths: list[str]) -> str:
    """Return the directory that all of the paths are in, or nothing."""
    whole = [os.path.dirname(path) for path in paths if os.path.isabs(path)]
    return os.path.commonpath(whole) if whole else ""


def _arguments(
    where: int, path: str, buffer: ctypes.Array[ctypes.c_char], at: int, flags: int = 0
) -> tuple[Any, ...]:
    """Return what `statx` is called with; converted here, as far as that is possible."""
    # What can be no path is asked for as the empty one, which does not exist either.
    try:
        name = b"" if "\0" in path else os.fsencode(path)
    except UnicodeEncodeError:  # half of a character that takes two in UTF-16
        name = b""
    convert: Any = ctypes.c_int.from_param
    encoded: Any = ctypes.c_char_p.from_param(name)
    return (convert(where), encoded, flags, _ASKED, ctypes.byref(buffer, at))


def _signature(status: bytes, at: int) -> Signature:
    inode, size = _INODE_AND_SIZE.unpack_from(status, at)
    changed, changed_ns, modified, modified_ns = _TIMES.unpack_from(status, at)
    return (modified * 10**9 + modified_ns, changed * 10**9 + changed_ns, size, inode)
