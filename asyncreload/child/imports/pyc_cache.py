"""The `.pyc` files that Python keeps of a project's sources, and which of them must not be used.

Python takes a cache for current by the size and the whole seconds of its source's modification
time. So one that was written within a second of a save may hold older code: such a cache is "racy",
and is deleted before Python reads it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.util import cache_from_source

from asyncreload.child.watch.file_state import Signature, signature_at

CACHE_RACY = 1_000_000_000
"""Nanoseconds: Python compares whole seconds."""
_CACHE_SUFFIX = os.path.basename(cache_from_source("/_.py"))[1:]


def remove_racy_cache(path: str, status: Signature) -> bool:
    """Delete the `.pyc` of a source if Python might take it for current when it is not.

    Return False when such a cache cannot be deleted: it is not to be used.
    """
    try:
        cache = _cache_of(path)
        if _is_cache_racy(os.stat(cache).st_mtime_ns, status):
            os.unlink(cache)
    except (FileNotFoundError, NotADirectoryError, NotImplementedError):
        return True
    except OSError:
        return False
    return True


def read_cache(cache: str, status: Signature) -> bytes:
    """Return the bytes of a `.pyc`, given the signature of its source.

    Raises OSError when there is none, or Python might take it for current when it is not; it is
    deleted then, if that is possible. Takes two thirds of the time of Python's own reading, which
    looks at the cache once more.
    """
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        found = os.fstat(descriptor)
        if _is_cache_racy(found.st_mtime_ns, status):
            os.unlink(cache)
            raise FileNotFoundError(cache)
        data = os.read(descriptor, found.st_size)
    finally:
        os.close(descriptor)
    if len(data) < found.st_size:
        raise OSError(f"{cache} was read in part")
    return data


def is_young(source: Signature, now: int) -> bool:
    """Tell whether a `.pyc` that is written at `now` might pass for current when it is not."""
    return _is_cache_racy(now, source)


def _is_cache_racy(written: int, source: Signature) -> bool:
    """Tell whether Python's own check of a `.pyc` may not tell that its source is newer.

    written: when it was, in ns since the epoch.

    That looks at size and whole seconds of the modification time only. What it can miss was written
    within a second of the cache, or has had its modification time set back; the change time of the
    source tells both.
    """
    return written < max(source[0], source[1]) + CACHE_RACY


def remove_late_cache(path: str, status: Signature | None) -> None:
    """Delete the `.pyc` of a source that has been saved since it was read to be compiled.

    It holds older code, with times that may fit the new source.
    """
    if signature_at(path) != status:
        remove_cache(path)


def remove_cache(path: str) -> None:
    """Delete the `.pyc` of a source, if there is one, and it can be deleted."""
    with suppress(OSError, NotImplementedError):
        os.unlink(_cache_of(path))


def _cache_of(path: str) -> str:
    """Return where Python keeps the code of a source, as `cache_from_source` does, but quickly."""
    directory, slash, name = path.rpartition("/")
    if sys.pycache_prefix is not None or not name.endswith(".py") or "." in name[:-3]:
        return cache_from_source(path)
    return f"{directory}{slash}__pycache__/{name[:-3]}{_CACHE_SUFFIX}"
