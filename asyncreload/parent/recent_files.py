"""The files of a project that were changed last: those that are likely to be edited next."""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Iterator

MOST_DIRECTORIES = 2000
"""So many are looked at, which takes some tens of milliseconds."""
WITHOUT_CODE = 3
"""Levels below the root at which a directory without code is looked through all the same."""
_OTHERS = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})


def recent_files(root: str, most: int) -> list[str]:
    """Return at most so many `.py` files below a directory, the one first that was changed last.

    Hidden directories, environments and installed packages are left out.
    """
    return [path for _, path in heapq.nlargest(most, _files(root))]


def _files(root: str) -> Iterator[tuple[int, str]]:
    waiting = deque([(root, 0)])  # those that are not deep first: code seldom is
    for _ in range(MOST_DIRECTORIES):
        if not waiting:
            return
        directory, depth = waiting.popleft()
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        # Below a directory without code there is none, as a rule, but thousands of translations or
        # images; unless it holds a package or two, as `src` does.
        leads_on = depth < WITHOUT_CODE or any(entry.name.endswith(".py") for entry in entries)
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if leads_on and not entry.name.startswith(".") and entry.name not in _OTHERS:
                        waiting.append((entry.path, depth + 1))
                elif entry.name.endswith(".py"):
                    yield entry.stat().st_mtime_ns, entry.path
            except OSError:
                continue
