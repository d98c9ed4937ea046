"""Tells the parent that a child is alive: a counter in memory that both share.

Reading it costs no system call, so a healthy pair can be idle; when it stands still, the parent
asks (Ping), and a child that does not answer is silent: stopped, or held up by C code that does
not release the GIL.
"""

from __future__ import annotations

import mmap
import os
import struct

from asyncreload.system_calls import anonymous_file

_COUNTER = struct.Struct("=Q")


class LivenessCounter:
    """A shared counter, by the descriptor of the memory that it is in."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _COUNTER.size)

    @classmethod
    def create(cls) -> LivenessCounter:
        """Return a new counter. Raises OSError when there is no memory for it."""
        return cls(anonymous_file(_COUNTER.size))

    def beat(self) -> None:
        """Count one more."""
        _COUNTER.pack_into(self._memory, 0, self.count() + 1)

    def count(self) -> int:
        """Return how many beats there were, of all children together."""
        (count,) = _COUNTER.unpack_from(self._memory)
        return int(count)

    def close(self) -> None:
        """Let go of the memory and of its descriptor."""
        self._memory.close()
        os.close(self.descriptor)
