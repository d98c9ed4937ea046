"""Files that a process holds open for reading: a fork of it must read on by itself.

A fork shares the place in the file with its parent. What one reads, the other does not get.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from typing import Self

from asyncreload.frozen_data import FrozenData

_STANDARD = range(3)


class ReadFiles(FrozenData):
    """The regular files that are open for reading at one moment. Linux only (`/proc`)."""

    places: dict[int, int]
    """How far each has been read, in bytes, by its descriptor."""

    @classmethod
    def open_now(cls, own: Collection[int]) -> Self:
        """Return those of this process, but for the descriptors that are ours."""
        places = {}
        for number in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError):  # that of the list itself
                if number not in own and number not in _STANDARD and _is_read(number):
                    places[number] = os.lseek(number, 0, os.SEEK_CUR)
        return cls(places)

    def open_anew(self) -> None:
        """In a fork: open each once more, at the same place. Raises OSError."""
        for number, place in self.places.items():
            flags = fcntl.fcntl(number, fcntl.F_GETFL) & ~os.O_NOFOLLOW
            is_inherited = os.get_inheritable(number)
            own = os.open(f"/proc/self/fd/{number}", flags)
            try:
                os.lseek(own, place, os.SEEK_SET)
                os.dup2(own, number, inheritable=is_inherited)
            finally:
                os.close(own)


def _is_read(number: int) -> bool:
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    is_regular = stat.S_ISREG(os.fstat(number).st_mode)
    return is_regular and flags & os.O_ACCMODE == os.O_RDONLY
