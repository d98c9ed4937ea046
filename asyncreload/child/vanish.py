"""The last thing that an old child does in a reload."""

from __future__ import annotations

import ctypes
import os
from itertools import pairwise
from typing import NoReturn

_STANDARD = 2
_HIGHEST = 0xFFFFFFFF


def vanish(code: int, channel: int, farewell: bytes, slow: int | None = None) -> NoReturn:
    """Close all that is open, say farewell on the channel, and end the process.

    To free the memory of a large process takes the kernel several milliseconds, and only then does
    it close the files. So they are closed here, and the parent need not wait for more: no port,
    lock or file is held when it hears the farewell, and no code runs any more. The C functions are
    called without giving the GIL away, so no thread of the app sees its files closed.

    slow: a descriptor of ours that takes long to close, and that nobody else has to do with.
    """
    libc = ctypes.PyDLL(None)
    kept = sorted({_STANDARD, channel, *([] if slow is None else [slow])})
    if hasattr(libc, "close_range"):
        for low, high in pairwise([*kept, _HIGHEST + 1]):
            if low + 1 < high:
                libc.close_range(ctypes.c_uint(low + 1), ctypes.c_uint(high - 1), 0)
    else:
        for descriptor in map(int, os.listdir("/dev/fd")):
            if descriptor > _STANDARD and descriptor not in kept:
                libc.close(descriptor)
    libc.write(channel, farewell, len(farewell))
    os._exit(code)
