"""Which patterns fit no file at all: most likely they are mistyped."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from asyncreload.child.watch.globs import Pattern


def unmatched(patterns: Iterable[tuple[str, Pattern]], files: Collection[str]) -> list[str]:
    """Return the patterns, as they were given, of which none of these files is.

    A path that is given whole is left out if it is absolute: a program has named it, for a file
    that may come one day. So is one that leads to an empty directory.
    """
    return [text for text, pattern in patterns if not _is_of_use(text, pattern, files)]


def _is_of_use(text: str, pattern: Pattern, files: Collection[str]) -> bool:
    if not pattern.parts:
        return os.path.isabs(text) or os.path.exists(pattern.root)
    return any(map(pattern.takes, files))
