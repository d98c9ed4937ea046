"""The Python files under a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
"""Names of directories in which nobody's own sources are."""
_MOST_FILES = 20_000
"""Where a walk stops: an app in a home directory must not make it read the whole disk."""


def python_files(root: str) -> Iterator[os.DirEntry[str]]:
    """Walk the Python files under a directory, without caches, hidden and virtual environments."""
    found = 0
    directories = [root]
    while directories:
        try:
            entries = list(os.scandir(directories.pop()))
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue  # an editor's, for the most part
            if entry.name.endswith(".py") and not _is_walked(entry):
                found += 1
                yield entry
            elif _is_walked(entry):
                directories.append(entry.path)
        if found > _MOST_FILES:
            return


def _is_walked(entry: os.DirEntry[str]) -> bool:
    if entry.name in SKIPPED:
        return False
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
