"""Which files lie on a file system of this machine's own.

Elsewhere (network mounts, folders shared with a virtual machine or a container's host) a change
made by another machine raises no event, and a stat may take its time. Those of Windows are left
out, too: there the name in an event need not be the one that is watched, but for its case.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache, lru_cache

from asyncreload.child.watch.file_kinds import is_below

_LOCAL = frozenset(
    {"btrfs", "bcachefs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "reiserfs", "xfs", "zfs"}
    | {"overlay", "ramfs", "rootfs", "squashfs", "tmpfs", "erofs", "iso9660", "ubifs"}
)
_TABLE = "/proc/self/mountinfo"


@lru_cache(maxsize=4096)
def is_local(directory: str) -> bool:
    """Tell whether a directory is this machine's own; on macOS that is not asked."""
    path = os.path.realpath(directory)
    found = max((at for at in _mounts() if is_below(path, at)), key=len, default=None)
    return found is None or _mounts()[found] in _LOCAL


@cache
def _mounts() -> dict[str, str]:
    """Return the type of the file system at each mount point; the last one mounted there counts."""
    try:
        with open(_TABLE, encoding="utf-8", errors="surrogateescape") as table:
            lines = [line.split(" - ") for line in table]
    except OSError:
        return {}
    return {_unescaped(about.split()[4]): kind.split()[0] for about, kind in lines}


class MountTable:
    """Tells when something was mounted or unmounted. No event of inotify tells that."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        """`poll` tells POLLPRI of it, once, when the table has changed; None if there is none."""
        with suppress(OSError):  # without /proc nobody can tell
            self.descriptor = os.open(_TABLE, os.O_RDONLY)

    def forget(self) -> None:
        """Drop what was known of the table: it has changed."""
        is_local.cache_clear()
        _mounts.cache_clear()

    def close(self) -> None:
        """Let go of the table."""
        if self.descriptor is not None:
            with suppress(OSError):  # the app has closed it
                os.close(self.descriptor)
            self.descriptor = None


def _unescaped(path: str) -> str:
    for escaped, plain in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        path = path.replace(escaped, plain)
    return path
