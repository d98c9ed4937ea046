"""The requests that a child is answering, in memory that both processes share.

When the child crashes, nobody is left to tell what it was doing; but the memory is still there.
Writing it costs no system call.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from asyncreload.system_calls import anonymous_file

SLOTS: Final = 64
"""How many requests are noted at a time; more go without."""
_OWNER: Final = struct.Struct("=I")
"""The process that answers the request of a slot; 0 if none does."""
_LONGEST: Final = 250
"""Bytes of a request that are noted."""
_TEXT: Final = struct.Struct(f"=H{_LONGEST}s")
_SLOT: Final = _OWNER.size + _TEXT.size


class RunningRequests:
    """Where requests are noted, by the descriptor of the memory that it is in.

    Processes may use it at the same time: one that still sends a last response, and the next one.
    Methods may be called in any thread.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, SLOTS * _SLOT)
        self._free = list(range(SLOTS))

    @classmethod
    def create(cls) -> RunningRequests:
        """Return an empty one. Raises OSError when there is no memory for it."""
        return cls(anonymous_file(SLOTS * _SLOT))

    @contextmanager
    def noted(self, request: str) -> Iterator[None]:
        """Note a request while the context is open.

        request: method and path, as in "GET /cart".
        """
        pid = os.getpid()
        place = self._take()
        if place is None:
            yield
            return
        text = request.encode("utf-8", "backslashreplace")
        _TEXT.pack_into(self._memory, place + _OWNER.size, min(len(text), _LONGEST), text)
        _OWNER.pack_into(self._memory, place, pid)  # last: a crash leaves nothing half written
        try:
            yield
        finally:
            if _OWNER.unpack_from(self._memory, place) == (pid,):  # not of the next process
                _OWNER.pack_into(self._memory, place, 0)
            self._free.append(place // _SLOT)

    def _take(self) -> int | None:
        """Return the place of a free slot; one may be taken by a process that still answers."""
        with suppress(IndexError):  # other threads may take the last ones meanwhile
            for _ in range(len(self._free)):
                slot = self._free.pop()
                if _OWNER.unpack_from(self._memory, slot * _SLOT) == (0,):
                    return slot * _SLOT
                self._free.insert(0, slot)
        return None

    def left_by(self, pid: int) -> tuple[str, ...]:
        """Return what a process was answering when it ended, and forget it."""
        left = []
        for place in range(0, SLOTS * _SLOT, _SLOT):
            if _OWNER.unpack_from(self._memory, place) == (pid,):
                size, text = _TEXT.unpack_from(self._memory, place + _OWNER.size)
                left.append(text[:size].decode("utf-8", "ignore"))
                _OWNER.pack_into(self._memory, place, 0)
        return tuple(left)

    def close(self) -> None:
        """Let go of the memory and of its descriptor."""
        self._memory.close()
        os.close(self.descriptor)
