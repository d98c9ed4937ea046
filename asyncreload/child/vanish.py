"""The last thing that an old child does in a reload."""

from __future__ import annotations

import ctypes
import os
from itertools import pairwise
from typing import NoReturn

_STANDARD = 2
_HIGHEST = 0xFFFFFFFF
_SMALL = 40_000_000
"""Bytes: so much memory is freed in a millisecond or two."""


def is_small() -> bool:
    """Tell whether the kernel is done with this process as soon as it ends; if unknown, it is."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            resident = int(file.read(256).split()[1])
    except OSError:
        return True
    return resident * os.sysconf("SC_PAGESIZE") <= _SMALL


def vanish(code: int, channel: int, farewell: bytes) -> NoReturn:
    """Close all that is open, say farewell on the channel, and end the process.

    To free the memory of a large process takes the kernel several milliseconds, and only then does
    it close the files. So they are closed here, and nobody need wait for more: no port, lock or
    file is held when the farewell is heard, and no code runs any more. The C functions are
    called without giving the GIL away, so no thread of the app sees its files closed.
    """
    libc = ctypes.PyDLL(None)
    if hasattr(libc, "close_range"):
        for low, high in pairwise([_STANDARD, channel, _HIGHEST + 1]):
            if low + 1 < high:
                libc.close_range(ctypes.c_uint(low + 1), ctypes.c_uint(high - 1), 0)
    else:
        for descriptor in map(int, os.listdir("/dev/fd")):
            if descriptor not in {*range(_STANDARD + 1), channel}:
                libc.close(descriptor)
    libc.write(channel, farewell, len(farewell))
    os._exit(code)
