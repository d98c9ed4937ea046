"""Which `.pyc` files must not be used."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import py_compile
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from asyncreload.child.imports.import_hooks import EDITED_LATELY
from asyncreload.child.imports.pyc_cache import (
    CACHE_RACY,
    is_young,
    read_cache,
    remove_late_cache,
    remove_racy_cache,
)
from asyncreload.child.watch.file_state import Signature, signature_at
from tests.unit.watching import HOUR, SECOND, Project, import_again, other_bytes


class Cached:
    """A source and its cache, whose times are set one by one; seconds after `began`."""

    def __init__(self, root: Path) -> None:
        self.source = root / "app.py"
        self.source.write_text("x = 1")
        py_compile.compile(str(self.source), doraise=True)
        self.cache = Path(importlib.util.cache_from_source(str(self.source)))
        assert self.cache.exists()
        self.began = self.source.stat().st_ctime_ns

    def is_removed(self, modified: float, changed: float, cached: float) -> bool:
        remove_racy_cache(str(self.source), self.dated(modified, changed, cached))
        return not self.cache.exists()

    def dated(self, modified: float, changed: float, cached: float) -> Signature:
        """Set the time of the cache; return the signature of a source with such times."""
        at = self.began + round(cached * SECOND)
        os.utime(self.cache, ns=(at, at))
        return (self.began + round(modified * SECOND), self.began + round(changed * SECOND), 5, 1)


@pytest.mark.parametrize(
    ("modified", "changed", "cached", "removed"),
    [
        (0, 0, 0, True),  # written at the same time
        (0, 0, 0.999, True),  # ... within a second of each other
        (0, 0, 1.0, False),  # old and trusted
        (0, 0, 86400, False),
        (0, 0, -5, True),  # the source is newer
        (-86400, 0, -3600, True),  # a modification time set back: a copy that keeps times
        (-86400, 0, 0.5, True),
        (-86400, 0, 1.0, False),
        (3600, 0, 60, True),  # a modification time in the future proves nothing
    ],
)
def test_a_cache_is_removed_when_it_may_be_stale(
    tmp_path: Path,
    modified: float,
    changed: float,
    cached: float,
    removed: bool,  # noqa: FBT001
) -> None:
    assert Cached(tmp_path).is_removed(modified, changed, cached) is removed
    other = Cached(tmp_path)
    signature = other.dated(modified, changed, cached)
    data = other.cache.read_bytes()
    if not removed:
        assert read_cache(str(other.cache), signature) == data
        return
    with pytest.raises(FileNotFoundError):
        read_cache(str(other.cache), signature)
    assert not other.cache.exists()


def test_a_cache_that_is_read_in_part_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = Cached(tmp_path)
    signature = cached.dated(0, 0, 60)
    plain = os.read
    monkeypatch.setattr(os, "read", lambda file, size: plain(file, size - 1))
    with pytest.raises(OSError, match="in part"):
        read_cache(str(cached.cache), signature)


def test_a_cache_elsewhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "caches"))
    cached = Cached(tmp_path)
    assert cached.cache.is_relative_to(tmp_path / "caches")
    assert not cached.is_removed(0, 0, 1.0)
    assert cached.is_removed(0, 0, 0.5)


def test_no_cache_is_no_error(tmp_path: Path) -> None:
    remove_racy_cache(str(tmp_path / "app.py"), (0, 0, 0, 0))


def test_a_cache_that_cannot_be_removed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = Cached(tmp_path)

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert not cached.is_removed(0, 0, 0)
    assert not remove_racy_cache(str(cached.source), (cached.began, cached.began, 5, 1))


def test_without_caches_there_is_nothing_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.implementation, "cache_tag", None)
    remove_racy_cache(str(tmp_path / "app.py"), (0, 0, 0, 0))


# --- through the import hooks --------------------------------------------------------------------


def test_what_a_loader_of_the_apps_would_read_is_removed_if_it_is_racy(importing: Project) -> None:
    """It has its own way to read a cache: it cannot be refused one there."""

    class Own(importlib.machinery.SourceFileLoader):
        def get_data(self, path: str) -> bytes:
            return Path(path).read_bytes()

    path = importing.write("own_way.py", b"x = 1\n")
    py_compile.compile(path)
    other_bytes(path, b"x = 2\n")
    code = Own("own_way", path).get_code("own_way")
    assert code is not None
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["x"] == 2


def test_a_racy_cache_that_cannot_be_removed_is_not_used(
    importing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, as a container leaves it: Python itself would take it for current."""
    path = importing.write("stubborn.py", b"x = 1\n")
    py_compile.compile(path)
    other_bytes(path, b"x = 2\n")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert import_again("stubborn").x == 2


def test_a_cache_that_is_written_long_after_a_save_is_not_kept(
    importing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine was suspended between the reading of the source and the writing of the cache."""
    path = importing.write("asleep.py", b"x = 1\n")
    plain = importlib.machinery.SourceFileLoader.set_data

    def later(self: Any, cache: str, data: bytes, **mode: int) -> None:
        other_bytes(path, b"x = 2\n")
        plain(self, cache, data, **mode)
        future = time.time_ns() + 2 * CACHE_RACY
        os.utime(cache, ns=(future, future))

    monkeypatch.setattr(importlib.machinery.SourceFileLoader, "set_data", later)
    importing.clock.advance(HOUR)
    assert import_again("asleep").x == 1
    assert importing.changed() == ["asleep.py"]
    assert import_again("asleep").x == 2


def test_a_baseline_drops_a_racy_cache_and_leaves_an_old_one(project: Project) -> None:
    cached = Cached(project.root)
    old = cached.began + HOUR
    os.utime(cached.cache, ns=(old, old))
    project.watch.hooks.before_source(str(cached.source))
    assert cached.cache.exists()
    os.utime(cached.cache, ns=(cached.began, cached.began))
    project.watch.hooks.before_source(str(cached.source))
    assert not cached.cache.exists()


@pytest.mark.parametrize(("edited", "kept"), [(0, False), (2 * EDITED_LATELY, True)])
def test_the_cache_of_a_package_is_left_alone_unless_that_was_edited_lately(
    project: Project,
    edited: int,
    kept: bool,  # noqa: FBT001  a row
) -> None:
    (project.root / "site-packages").mkdir()
    cached = Cached(project.root / "site-packages")
    os.utime(cached.cache, ns=(cached.began, cached.began))
    project.clock.advance(edited)
    project.watch.hooks.before_source(str(cached.source))
    assert cached.cache.exists() is kept


@pytest.mark.parametrize("same_time", [True, False])
@pytest.mark.parametrize("later", [True, False])
def test_two_saves_in_a_second_never_serve_stale_code(
    importing: Project, *, same_time: bool, later: bool
) -> None:
    """Python itself does: it trusts a cache by the size and whole seconds of its source."""
    path = importing.write("fickle.py", b"x = 1\n")
    os.utime(path, (10**9, 10**9))
    importing.clock.advance(HOUR)
    assert import_again("fickle").x == 1
    assert os.path.exists(importlib.util.cache_from_source(path))
    if not later:
        importing.clock.advance(-HOUR)
    importing.write("fickle.py", b"x = 2\n")
    nanoseconds = 10**18 + (0 if same_time else SECOND - 1)
    os.utime(path, ns=(nanoseconds, nanoseconds))
    assert import_again("fickle").x == 2


def test_a_cache_that_the_next_load_could_not_rely_on_is_not_written(importing: Project) -> None:
    """To write it would take longer than all the rest of a small load."""
    path = importing.write("fresh_one.py", b"x = 1\n")
    cache = importlib.util.cache_from_source(path)
    py_compile.compile(path)
    assert import_again("fresh_one").x == 1
    assert not os.path.exists(cache)  # nor is what another Python might take for current left


@pytest.mark.usefixtures("an_hour_later")
def test_a_cache_from_before_is_used_and_its_source_is_watched(importing: Project) -> None:
    path = importing.write("cached_one.py", b"x = 1\n")
    py_compile.compile(path)
    later = os.stat(path).st_ctime_ns + 60 * SECOND
    cache = importlib.util.cache_from_source(path)
    os.utime(cache, ns=(later, later))
    assert import_again("cached_one").x == 1
    assert os.stat(cache).st_mtime_ns == later
    assert importing.watch.baselines.project[path].digest is None
    other_bytes(path, b"x = 2\n")
    assert importing.changed() == ["cached_one.py"]


# --- caches that are written now -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("modified", "changed", "young"),
    [
        (0, 0, True),
        (-5, -0.999, True),
        (-5, -1, False),
        (3600, -5, True),  # a modification time in the future proves nothing
    ],
)
def test_a_source_is_young_for_a_second(
    modified: float,
    changed: float,
    young: bool,  # noqa: FBT001  a row
) -> None:
    now = 1_700_000_000 * SECOND
    times = (now + round(modified * SECOND), now + round(changed * SECOND))
    assert is_young((*times, 5, 1), now) is young


def test_a_cache_is_removed_when_its_source_was_saved_while_it_was_compiled(
    tmp_path: Path,
) -> None:
    cached = Cached(tmp_path)
    source = str(cached.source)
    read = signature_at(source)
    remove_late_cache(source, read)
    assert cached.cache.exists()
    other_bytes(source, b"x = 2")
    remove_late_cache(source, read)
    assert not cached.cache.exists()
