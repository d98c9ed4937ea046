"""The state of a file: its signature, and a digest of its bytes.

A signature that was taken within `RACY` of the file's last change proves nothing: file systems
with coarse clocks give two writes the same times. Until it can be taken again, the digest decides
(git calls such entries "racily clean").
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from asyncreload.sockets import OUT_OF_RESOURCES

Signature = tuple[int, int, int, int]
"""Modification time (ns), change time (ns), size (bytes), inode."""
Now = Callable[[], int]
"""A clock: nanoseconds since the epoch."""

RACY = 20_000_000
"""Nanoseconds: longer than the tick of any file system's clock that is in use (10 ms)."""
LARGEST = 64 * 1024 * 1024
"""Bytes: of a larger file, the signature alone tells whether it has changed."""
_CHUNK = 1024 * 1024
ABSENT = b"absent"
"""The digest of a file that is not there."""
_NO_STATE = (-1, -1, -1, -1)


class FileState(NamedTuple):
    """What is known of a file."""

    signature: Signature | None
    """None when there was no such file."""
    racy: bool = False
    """Whether the signature was taken so soon after a change that it proves nothing."""
    digest: bytes | None = None
    """What stands for the bytes; None when they have not been read."""

    @property
    def is_unread(self) -> bool:
        """Whether there are bytes that are to be read, and were not."""
        has_bytes = self.signature is not None and self.signature[2] <= LARGEST
        return has_bytes and self.digest is None

    def to_json(self) -> list[Any]:
        """Return the state as it travels to another process."""
        return [self.signature, self.digest.hex() if self.digest else "", self.racy]

    @classmethod
    def from_json(cls, fields: Sequence[Any]) -> FileState:
        """Return the state that another process has sent."""
        signature, digest, racy = fields
        return cls(tuple(signature) if signature else None, racy, bytes.fromhex(digest) or None)


MIXED = FileState(_NO_STATE, digest=b"mixed")
"""A file that was loaded more than once, with other bytes each time: no state of it is fresh."""
UNLISTED = FileState(_NO_STATE)
"""A directory that could not be listed: whatever state it is in, it is to be listed again."""


def signature_of(status: os.stat_result) -> Signature:
    """Return what tells two states of a file apart at the price of a stat."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def signature_at(path: str) -> Signature | None:
    """Return the signature of a file, or None when there is none to be had."""
    try:
        return signature_of(os.stat(path))
    except (OSError, ValueError):  # the latter for what can be no path: modules name all sorts
        return None


def stat_state(path: str, now: Now = time.time_ns) -> FileState:
    """Return what a stat tells of a file; its bytes are not read."""
    signature = signature_at(path)
    if signature is None:
        return FileState(None, digest=ABSENT)
    return FileState(signature, racy=is_racy(signature, now()))


def read_state(path: str, now: Now = time.time_ns) -> FileState:
    """Read a file, and return its state with the digest of its bytes.

    If the process is out of descriptors or memory, the digest is None: nothing is known of the
    bytes now, but it can be later.
    """
    try:
        # Not by `open`, which takes twice the time. A named pipe is not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # The status first: bytes that come later make the next signature differ.
            status = os.fstat(descriptor)
            signature = signature_of(status)
            if not stat.S_ISREG(status.st_mode):
                return FileState(signature, digest=ABSENT)
            racy = is_racy(signature, now())
            if status.st_size > LARGEST:
                return FileState(signature)
            return FileState(signature, racy, digest(_read(descriptor, status.st_size)))
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as exc:
        if is_lack(exc):
            return stat_state(path, now)
        return FileState(signature_at(path), digest=ABSENT)


def is_lack(exc: Exception) -> bool:
    """Tell whether an error says that there are no descriptors or no memory, and no more."""
    return isinstance(exc, OSError) and exc.errno in OUT_OF_RESOURCES


def _read(descriptor: int, size: int) -> bytes:
    """Return all that there is to read, which should be so many bytes."""
    data = read = os.read(descriptor, size + 1)
    while len(data) != size and read:
        read = os.read(descriptor, _CHUNK)
        data += read
    return data


def digest_of(path: str, signature: Signature | None, now: Now = time.time_ns) -> bytes | None:
    """Return the digest of the bytes of a state.

    None if the file is in another state, or cannot be read now.
    """
    found = read_state(path, now)
    # Looked at again: else bytes of a save in between would pass for those of this state.
    return found.digest if found.signature == signature_at(path) == signature else None


def digest(data: bytes) -> bytes:
    """Return what stands for the bytes of a file."""
    return blake2b(data, digest_size=16).digest()


def is_later(state: FileState, since: int | None, now: int) -> bool:
    """Tell whether a file changed after a moment (ns since the epoch), or may have."""
    if state.signature is None or since is None:
        return False
    return since - RACY <= state.signature[1] <= now


def is_racy(signature: Signature, now: int) -> bool:
    """Tell whether a signature that was taken at `now` is too close to the last change."""
    return abs(now - signature[1]) < RACY
