"""What tells two states of a file apart: its signature, and a digest of its bytes.

A signature that was taken within `RACY` of the file's last change proves nothing: file systems
with coarse clocks give two writes the same times. Until it can be taken again, the digest decides
(git calls such entries "racily clean").
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from importlib.util import cache_from_source
from typing import Any, NamedTuple

Signature = tuple[int, int, int, int]

RACY = 20_000_000
"""Nanoseconds: longer than the tick of any file system's clock that is in use (10 ms)."""
CACHE_RACY = 1_000_000_000
"""Nanoseconds: Python trusts a `.pyc` by its source's size and whole seconds."""
LARGEST = 64 * 1024 * 1024
"""Bytes: of a larger file, the signature alone tells whether it has changed."""
_CHUNK = 1024 * 1024
_CACHE_SUFFIX = os.path.basename(cache_from_source("/_.py"))[1:]
ABSENT = b"absent"
"""The digest of a file that is not there."""
_NO_STATE = (-1, -1, -1, -1)


class FileState(NamedTuple):
    """What is known of a file: its signature, when that was taken, and a digest of its bytes."""

    signature: Signature | None
    racy: bool = False
    digest: bytes | None = None

    def tell(self) -> list[Any]:
        """Return this as it travels to another process."""
        return [self.signature, self.digest.hex() if self.digest else "", self.racy]

    @classmethod
    def heard(cls, told: Sequence[Any]) -> FileState:
        """Return what another process has told."""
        signature, digest, racy = told
        return cls(tuple(signature) if signature else None, racy, bytes.fromhex(digest) or None)


MIXED = FileState(_NO_STATE, digest=b"mixed")
"""A file that was loaded more than once, with other bytes each time: no state of it is fresh."""


def signature_of(status: os.stat_result) -> Signature:
    """Return what tells two states of a file apart at the price of a stat."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def signature_at(path: str) -> Signature | None:
    """Return the signature of a file, or None when there is none to be had."""
    try:
        return signature_of(os.stat(path))
    except (OSError, ValueError):  # the latter for what can be no path: modules name all sorts
        return None


def stat_state(path: str) -> FileState:
    """Return what a stat tells of a file; its bytes are not read."""
    signature = signature_at(path)
    if signature is None:
        return FileState(None, digest=ABSENT)
    return FileState(signature, racy=is_racy(signature))


def read_state(path: str) -> FileState:
    """Return all that is to be known of a file now."""
    try:
        # Not by `open`, which takes twice the time. A named pipe is not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # The status first: bytes that come later make the next signature differ.
            status = os.fstat(descriptor)
            signature = signature_of(status)
            if not stat.S_ISREG(status.st_mode):
                return FileState(signature, digest=ABSENT)
            racy = is_racy(signature)
            if status.st_size > LARGEST:
                return FileState(signature)
            return FileState(signature, racy, digest(_read(descriptor, status.st_size)))
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return FileState(signature_at(path), digest=ABSENT)


def _read(descriptor: int, size: int) -> bytes:
    """Return all that there is to read, which should be so many bytes."""
    data = read = os.read(descriptor, size + 1)
    while len(data) != size and read:
        read = os.read(descriptor, _CHUNK)
        data += read
    return data


def digest_of(path: str, signature: Signature | None) -> bytes | None:
    """Return the digest of the bytes of a state, or None if the file is in another one."""
    now = read_state(path)
    # Looked at again: else bytes of a save in between would pass for those of this state.
    return now.digest if now.signature == signature_at(path) == signature else None


def digest(data: bytes) -> bytes:
    """Return what stands for the bytes of a file."""
    return blake2b(data, digest_size=16).digest()


def is_later(known: FileState, since: int | None) -> bool:
    """Tell whether a file changed after a moment (ns since the epoch), or may have."""
    if known.signature is None or since is None:
        return False
    return since - RACY <= known.signature[1] <= time.time_ns()


def is_racy(signature: Signature) -> bool:
    return abs(time.time_ns() - signature[1]) < RACY


def remove_racy_cache(path: str, status: Signature) -> bool:
    """Delete the `.pyc` of a source if Python might take it for current when it is not.

    Return False when such a cache cannot be deleted: it is not to be used.
    """
    try:
        cache = _cache_of(path)
        if _is_cache_racy(os.stat(cache).st_mtime_ns, status):
            os.unlink(cache)
    except (FileNotFoundError, NotADirectoryError, NotImplementedError):
        return True
    except OSError:
        return False
    return True


def read_cache(cache: str, status: Signature) -> bytes:
    """Return the bytes of a `.pyc`, given the signature of its source.

    Raises OSError when there is none, or Python might take it for current when it is not; it is
    deleted then, if that is possible. Takes two thirds of the time of Python's own reading, which
    looks at the cache once more.
    """
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        found = os.fstat(descriptor)
        if _is_cache_racy(found.st_mtime_ns, status):
            os.unlink(cache)
            raise FileNotFoundError(cache)
        data = os.read(descriptor, found.st_size)
    finally:
        os.close(descriptor)
    if len(data) < found.st_size:
        raise OSError(f"{cache} was read in part")
    return data


def is_young(source: Signature) -> bool:
    """Tell whether Python might take a `.pyc` for current, when it is not, that is written now."""
    return _is_cache_racy(time.time_ns(), source)


def _is_cache_racy(written: int, source: Signature) -> bool:
    """Tell whether Python's own check of a `.pyc` may not tell that its source is newer.

    written: when it was, in ns since the epoch.

    That looks at size and whole seconds of the modification time only. What it can miss was written
    within a second of the cache, or has had its modification time set back; the change time of the
    source tells both.
    """
    return written < max(source[0], source[1]) + CACHE_RACY


def remove_late_cache(path: str, status: Signature | None) -> None:
    """Delete the `.pyc` of a source that has been saved since it was read to be compiled.

    It holds older code, with times that may fit the new source.
    """
    if signature_at(path) != status:
        remove_cache(path)


def remove_cache(path: str) -> None:
    """Delete the `.pyc` of a source, if there is one, and it can be deleted."""
    with suppress(OSError, NotImplementedError):
        os.unlink(_cache_of(path))


def _cache_of(path: str) -> str:
    """Return where Python keeps the code of a source, as `cache_from_source` does, but quickly."""
    directory, slash, name = path.rpartition("/")
    if sys.pycache_prefix is not None or not name.endswith(".py") or "." in name[:-3]:
        return cache_from_source(path)
    return f"{directory}{slash}__pycache__/{name[:-3]}{_CACHE_SUFFIX}"
