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
from asyncreload.system_calls import has_exceptional_condition

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
        self._descriptor: int | None = None
        with suppress(OSError):  # without /proc nobody can tell
            self._descriptor = os.open(_TABLE, os.O_RDONLY)

    def has_changed(self) -> bool:
        """Tell whether the table has changed since the last call; what was known of it is dropped.

        After the app has closed the descriptor: always.
        """
        if self._descriptor is None or not has_exceptional_condition(self._descriptor):
            return False
        is_local.cache_clear()
        _mounts.cache_clear()
        return True

    def close(self) -> None:
        """Let go of the table."""
        if self._descriptor is not None:
            with suppress(OSError):  # the app has closed it
                os.close(self._descriptor)
            self._descriptor = None


def _unescaped(path: str) -> str:
    for escaped, plain in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        path = path.replace(escaped, plain)
    return path
