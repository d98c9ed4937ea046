"""Gives a fork memory pages of its own before it needs them.

A fork shares all pages with the process it was forked from, until one of the two writes; then the
kernel copies that page. Python writes to most pages that it reads, as each holds reference counts.
For an application of 500 modules, the copies were a fifth of the time from a save to the answer.
A process that waits for its turn can have them made meanwhile (`MADV_POPULATE_WRITE`).

Which pages are shared still, `/proc/self/pagemap` tells. Linux only, 5.14 or newer; elsewhere this
does nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from mmap import PAGESIZE as PAGE

from asyncreload.system_calls import own_pages

MAPS, PAGEMAP = "/proc/self/maps", "/proc/self/pagemap"
MOST = 128 * 1024 * 1024
"""Bytes that are copied at most: what is larger is mostly data, of which a load touches little."""
_AT_A_TIME = 1024 * 1024
"""Bytes between two looks whether to go on; they take less than a millisecond."""
_ENTRY = 8
"""Bytes of `/proc/self/pagemap` for a page."""
_MASK = 1 << 63 | 1 << 61 | 1 << 56
_SHARED = 1 << 63
"""Of present, of a file, mapped by this process alone: the first and neither of the others."""


def own_shared_pages(goes_on: Callable[[], bool]) -> None:
    """Copy the pages that are shared with another process and that this one may write to.

    goes_on: asked now and then.
    """
    left = MOST
    with suppress(OSError):
        for start, size in _shared():
            if left <= 0 or not goes_on() or not own_pages(start, size):
                return
            left -= size


def _shared() -> Iterator[tuple[int, int]]:
    """Iterate over runs of shared pages: the address and the size of each, in bytes."""
    with open(MAPS) as file:
        mappings = file.read().splitlines()
    with open(PAGEMAP, "rb", buffering=0) as pagemap:
        for mapping in mappings:
            place, mode, *_ = mapping.split(maxsplit=2)
            if mode != "rw-p":
                continue
            start, end = (int(number, 16) for number in place.split("-"))
            pagemap.seek(start // PAGE * _ENTRY)
            entries = array("Q", pagemap.read((end - start) // PAGE * _ENTRY))
            for first, last in _runs([entry & _MASK == _SHARED for entry in entries]):
                yield start + first * PAGE, (last - first) * PAGE


def _runs(are_shared: list[bool]) -> Iterator[tuple[int, int]]:
    """Iterate over the runs of true values: the first place and the one behind the last of each."""
    most = _AT_A_TIME // PAGE
    first = None
    for place, is_shared in enumerate([*are_shared, False]):
        if first is not None and (not is_shared or place - first == most):
            yield first, place
            first = None
        if is_shared and first is None:
            first = place
