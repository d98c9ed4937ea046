"""What the files were when they were loaded, and which of them are different now.

Freshness rests on three rules:

1. A file's baseline is taken just *before* its loader reads it. A save during the import makes
   it differ from the baseline, so no save is lost.
2. A file is the same as long as its signature is. When that differs, a digest of the bytes
   decides, so `touch` is no change.
3. A signature that was taken within `RACY` of the file's last change proves nothing: file systems
   with coarse clocks give two writes the same times. Until it can be taken again, the digest
   decides (git calls such entries "racily clean").
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from types import CodeType
from typing import Any

import aiofiles.os

from asyncreload.child.files import Heat, absolute, heat, source_file
from asyncreload.child.threads import HOPS
from asyncreload.walk import python_files

Signature = tuple[int, int, int, int]

RACY = 20_000_000
"""Nanoseconds: longer than the tick of any file system's clock that is in use (10 ms)."""
CACHE_RACY = 1_000_000_000
"""Nanoseconds: Python trusts a `.pyc` by its source's size and whole seconds."""
COLD_BUDGET = 0.001
"""The share of a core that looking at packages may cost."""
COLD_SOONEST, COLD_LATEST = 2.0, 5.0
"""Seconds between two looks at packages."""
QUIET = 50_000_000
"""Nanoseconds without a change after which a burst of changes is over."""
PATIENCE = 2_000_000_000
"""Nanoseconds after which the end of a burst is not waited for any longer."""
ABSENT = b"absent"
"""The digest of a file that is not there."""
LEARNED_AT_A_TIME = 20
"""How many digests are learned in one survey: at most a millisecond's work."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file: its signature, when that was taken, and a digest of its bytes."""

    signature: Signature | None
    racy: bool = False
    digest: bytes | None = None

    def tell(self) -> list[Any]:
        """Return this as it travels to another process."""
        return [self.signature, self.digest.hex() if self.digest else ""]

    @classmethod
    def heard(cls, told: Sequence[Any]) -> Known:
        """Return what another process has told."""
        signature, digest = told
        return cls(tuple(signature) if signature else None, digest=bytes.fromhex(digest) or None)


def signature_of(status: os.stat_result) -> Signature:
    """Return what tells two states of a file apart at the price of a stat."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def glance(path: str) -> Signature | None:
    """Return the signature of a file, or None when there is none to be had."""
    try:
        return signature_of(os.stat(path))
    except (OSError, ValueError):  # the latter for what can be no path: modules name all sorts
        return None


def known_by_status(path: str) -> Known:
    """Return what a stat tells of a file; its bytes are not read."""
    signature = glance(path)
    if signature is None:
        return Known(None, digest=ABSENT)
    return Known(signature, racy=_is_racy(signature))


def examine(path: str) -> Known:
    """Return all that is to be known of a file now."""
    try:
        with open(path, "rb", buffering=0) as file:
            # The status first: bytes that come later make the next signature differ.
            signature = signature_of(os.fstat(file.fileno()))
            racy = _is_racy(signature)
            return Known(signature, racy, digest(file.readall()))
    except (OSError, ValueError):
        return Known(glance(path), digest=ABSENT)


def digest(data: bytes) -> bytes:
    """Return what stands for the bytes of a file."""
    return blake2b(data, digest_size=16).digest()


def _is_racy(signature: Signature) -> bool:
    return abs(time.time_ns() - signature[1]) < RACY


def remove_racy_cache(path: str, status: Signature) -> None:
    """Delete the `.pyc` of a source if Python might take it for current when it is not.

    It looks at size and whole seconds of the modification time only. What it can miss was written
    within a second of the cache, or has had its modification time set back; the change time of the
    source tells both.
    """
    with suppress(OSError, NotImplementedError):
        cache = cache_from_source(path)
        if os.stat(cache).st_mtime_ns < max(status[0], status[1]) + CACHE_RACY:
            os.unlink(cache)


def _ignore(*_: object) -> None:
    """Do nothing."""


class Watch:
    """The files that the app was loaded from. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._hot: dict[str, Known] = {}
        self._cold: dict[str, Known] = {}
        self._changed: dict[str, Known] = {}
        self._seen = set(sys.modules)  # what we need ourselves is not the app's
        self._wide: str | None = None
        self._cold_due = 0.0
        self.before_package: Callable[[str], None] = _ignore
        """Told the name of each package's module that is about to be loaded."""
        self.after_compile: Callable[[str, CodeType], None] = _ignore
        """Told path and code of each of the project's modules that is about to be run."""
        self.refuses_project = False
        self.refused: int = 0
        """How often the project's code was refused."""
        self.cost: float = 0.0
        """Seconds of CPU that the last survey took."""
        self._news = False
        self._places: dict[str, Signature | None] = {
            place: glance(place) for place in sys.path if heat(place + os.sep) is Heat.COLD
        }
        self._unlearned: deque[tuple[dict[str, Known], str]] = deque()

    # --- baselines ---------------------------------------------------------------------------

    def before_read(self, path: str, name: str = "") -> None:
        """Take the baseline of a source that is about to be loaded; drop a racy cache of it.

        Raises ImportError for a project's source in a standby: it would be old before it is used.
        """
        kind = heat(path)
        if kind is Heat.HOT:
            if self.refuses_project:
                self.refused += 1
                raise ImportError(f"{path} belongs to the project: a standby does not load it")
            known = self._take_in(path, kind)
            if known.signature:
                remove_racy_cache(path, known.signature)
        elif kind is Heat.COLD:
            self._take_in(path, kind)
            self.before_package(name)

    def _take_in(self, path: str, kind: Heat) -> Known:
        files = self._hot if kind is Heat.HOT else self._cold
        files[path] = known = known_by_status(path)
        self._unlearned.append((files, path))
        return known

    def was_compiled(self, path: str, code: CodeType) -> None:
        """Note the code of a source that is about to be run."""
        if heat(path) is Heat.HOT:
            self.after_compile(path, code)

    def was_read(self, path: str, data: bytes) -> None:
        """Note the very bytes that were loaded."""
        files = self._hot if path in self._hot else self._cold
        if known := files.get(path):
            files[path] = replace(known, digest=digest(data))

    def adopt(self, files: Mapping[str, Sequence[Any]]) -> None:
        """Watch files that a predecessor has loaded, from the state on that it saw.

        Else a save between its death and now would not be one.
        """
        for path, told in files.items():
            self._hot[path] = Known.heard(told)
            self._unlearned.append((self._hot, path))

    def has_learned(self) -> bool:
        """Tell once that more digests are known than before, and none is to be learned any more."""
        news = self._news and not self._unlearned
        self._news = self._news and not news
        return news

    def rescan(self) -> None:
        """Take in modules that came another way than through `before_read`."""
        if sys.modules.keys() == self._seen:
            return
        names = set(sys.modules)
        for name in names - self._seen:
            path = source_file(sys.modules.get(name))
            if path is None or path in self._hot or path in self._cold:
                continue
            if (kind := heat(path)) is not Heat.IGNORED:
                self._take_in(path, kind)
        self._seen = names

    def widen(self, root: str, mending: Iterable[str], since: int, blamed: Container[str]) -> None:
        """Watch every Python file under `root`, and `mending`: after a failed load any may mend it.

        One that came or changed after `since` (ns) and was not read by the load is a change; but
        not one of those that are `blamed` for this load: an app that writes such a file whenever
        it is loaded must not be loaded for ever.
        """
        for path in (*mending, *(entry.path for entry in python_files(root))):
            if path in self._hot:
                continue
            known = known_by_status(path)
            late = known.signature and since - RACY <= known.signature[1] <= time.time_ns()
            self._hot[path] = Known(None, digest=ABSENT) if late and path not in blamed else known
        self._wide = root

    # --- looks -------------------------------------------------------------------------------

    def look(self) -> list[str]:
        """Return the project files that may have changed: one stat a file, nothing is read."""
        # A copy, made in one step: another thread may be importing.
        files = list(self._hot.items())
        suspects = [path for path, known in files if known.racy or glance(path) != known.signature]
        if self._wide is not None:
            new = (entry.path for entry in python_files(self._wide))
            suspects += [path for path in new if path not in self._hot]
        return suspects

    def survey(self, now: float) -> list[str]:
        """Look, also for new modules; and seldom at the packages too. Return the suspects."""
        began = time.thread_time()
        suspects = self._survey(now)
        self.cost = time.thread_time() - began
        return suspects

    def _survey(self, now: float) -> list[str]:
        self.rescan()
        suspects = self.look()
        self._learn()
        if now >= self._cold_due:
            began = time.thread_time()
            cold = list(self._cold.items())
            suspects += [path for path, known in cold if glance(path) != known.signature]
            suspects += self._moved_places()
            cost = time.thread_time() - began
            self._cold_due = now + min(max(cost / COLD_BUDGET, COLD_SOONEST), COLD_LATEST)
        return suspects

    def _moved_places(self) -> list[str]:
        """Return the directories of packages in which something was installed or removed."""
        moved = [place for place, known in self._places.items() if glance(place) != known]
        for place in moved:
            self._places[place] = glance(place)
        return moved

    async def confirm(self, suspects: list[str]) -> list[str]:
        """Return those whose bytes differ from what was loaded; take note of the others.

        Of the directories of packages, all: there are no bytes to tell.
        """
        states = await _examine_all(suspects, executor=HOPS)
        return [path for path, now in states.items() if self._differs(path, now)]

    def _differs(self, path: str, now: Known) -> bool:
        files = self._cold if path in self._cold else self._hot
        if path in self._places:
            return True
        before = files.get(path)
        if before is None:
            self._changed[path] = now
            return now.digest != ABSENT
        if before.digest is None:  # not learned yet: the signature alone can tell
            differs = before.signature != now.signature
        else:
            differs = before.digest != now.digest
        if differs:
            self._changed[path] = now
        else:
            files[path] = now
        return differs

    def _learn(self) -> None:
        """Read the digests that the load did not give, while the signature still vouches."""
        for _ in range(min(len(self._unlearned), LEARNED_AT_A_TIME)):
            files, path = self._unlearned.popleft()
            known = files[path]
            if known.digest is not None or known.racy:
                continue
            now = examine(path)
            # Whoever loads the file meanwhile knows better what was loaded.
            if now.signature == known.signature and files.get(path) is known:
                files[path] = replace(known, digest=now.digest)
                self._news = True

    # --- what there is -----------------------------------------------------------------------

    def files(self) -> dict[str, list[Any]]:
        """Return the project files that are watched, as they were when they were loaded."""
        return {path: known.tell() for path, known in list(self._hot.items())}

    def changes(self, paths: Iterable[str]) -> dict[str, list[Any]]:
        """Return how files were when they were found to have changed."""
        return {path: self._changed.get(path, Known(None)).tell() for path in paths}

    def is_package(self, path: str) -> bool:
        """Tell whether a file is an installed package's."""
        return path in self._cold or path in self._places

    def is_place(self, path: str) -> bool:
        """Tell whether this is a directory of packages."""
        return path in self._places

    def count(self) -> int:
        """Return how many files are watched, packages included."""
        return len(self._hot) + len(self._cold)


def _examine_many(paths: list[str]) -> dict[str, Known]:
    return {path: examine(path) for path in paths}


# One hop to a thread for all of them: one for each file costs more than the reading.
_examine_all = aiofiles.os.wrap(_examine_many)


def watch_loaders(watch: Watch) -> None:
    """Let every load of a Python source, by whatever finder, take its baseline first.

    Wraps `SourceFileLoader.get_code`, which finds and reads cache and source, and its
    `source_to_code`, which is given the bytes. A finder on `sys.meta_path` would be seen by the
    app, and would miss what `spec_from_file_location` and `runpy` load.
    """
    plain_get_code = SourceFileLoader.get_code
    plain_source_to_code = SourceFileLoader.source_to_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        path = absolute(self.path)
        watch.before_read(path, fullname)
        code = plain_get_code(self, fullname)
        if code is not None:
            watch.was_compiled(path, code)
        return code

    def source_to_code(
        self: SourceFileLoader, data: Any, path: Any, *, _optimize: int = -1
    ) -> CodeType:
        if isinstance(data, bytes) and isinstance(path, str):
            watch.was_read(absolute(path), data)
        return plain_source_to_code(self, data, path, _optimize=_optimize)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    SourceFileLoader.source_to_code = source_to_code  # type: ignore[method-assign,assignment]


def newest(paths: Iterable[str]) -> int:
    """Return when the last change of any of these files was, in ns; 0 if there is none."""
    times = (glance(path) for path in paths)
    # A time in the future says nothing: the clock was set back, or another machine's is ahead.
    return max((at[1] for at in times if at is not None and at[1] <= time.time_ns()), default=0)


async def quiet(root: str, paths: Iterable[str], sleep: Callable[[float], Any]) -> None:
    """Wait until nothing under `root`, nor any of `paths`, has changed for `QUIET` ns.

    Not for longer than `PATIENCE`: something may write there all the time.
    """
    extra = list(paths)
    deadline = time.time_ns() + PATIENCE

    def last() -> int:
        files = [*extra, *(entry.path for entry in python_files(root))]
        # A directory changes when a file comes, goes, or is replaced.
        return newest({*files, *map(os.path.dirname, files)})

    while time.time_ns() < deadline:
        left = await aiofiles.os.wrap(last)(executor=HOPS) + QUIET - time.time_ns()
        if left <= 0:
            return
        await sleep(left / 1e9)
