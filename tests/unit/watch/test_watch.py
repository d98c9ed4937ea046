"""The watch as single steps: what is a change and what is none, and that nothing is missed.

Times are injected or set with `os.utime`; nothing here waits for a clock, but for the tick of the
file system's in `other_bytes`.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import py_compile
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import get_ident
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreload.child.watch import debounce as burst
from asyncreload.child.watch import file_state as signature
from asyncreload.child.watch import polling
from asyncreload.child.watch import watch as module
from asyncreload.child.watch.debounce import PATIENCE, QUIET, newest, quiet
from asyncreload.child.watch.file_state import (
    ABSENT,
    CACHE_RACY,
    RACY,
    FileState,
    Signature,
    digest,
    digest_of,
    read_cache,
    read_state,
    remove_racy_cache,
    signature_at,
    signature_of,
    stat_state,
)
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.watch import LATELY, LEARNED_AT_A_TIME, Watch
from asyncreload.cpython import forget_archives

SECOND = 1_000_000_000
Loaders = Callable[[Watch], None]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `sys.modules` is to a watch that is made from here on."""
    imported: dict[str, Any] = {}
    monkeypatch.setattr(module, "sys", SimpleNamespace(modules=imported, path=[]))
    return imported


@dataclass
class Clock:
    """The watch's clock: it stands still until it is moved."""

    now: int = 1_700_000_000 * SECOND
    spent: float = 0.0
    cost: float = 0.0

    def time_ns(self) -> int:
        return self.now

    def thread_time(self) -> float:
        self.spent += self.cost
        return self.spent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for each in (module, signature, burst):
        monkeypatch.setattr(each, "time", made)
    return made


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are old to the watch: signatures alone decide who is looked at closely."""
    monkeypatch.setattr(signature, "RACY", 0)


class Project:
    """Files that were loaded, and a watch over them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watch = Watch()

    def path(self, name: str) -> str:
        return str(self.root / name)

    def write(self, name: str, data: bytes = b"x = 1\n") -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def load(self, name: str, data: bytes = b"x = 1\n") -> str:
        """Write a file, and do to it what a loader does."""
        path = self.write(name, data)
        self.watch.before_read(path)
        self.watch.was_read(path, data)
        return path

    def changed(self) -> list[str]:
        """What a look and, if it is called for, a closer one say; by name."""
        found = asyncio.run(self.watch.confirm(self.watch.look()))
        return sorted(os.path.relpath(path, self.root) for path in found)

    def suspects(self) -> list[str]:
        return sorted(os.path.relpath(path, self.root) for path in self.watch.look())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def other_bytes(path: str, data: bytes) -> None:
    """Write in place and set the modification time back: only the change time tells.

    Repeated until the file system's clock has ticked, which it does within 10 ms.
    """
    before = os.stat(path)
    while os.stat(path).st_ctime_ns == before.st_ctime_ns:
        Path(path).write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def saving_after_the_state(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Have a file saved between the next look at its state and whatever follows that look."""
    plain = signature.signature_of

    def then_save(status: os.stat_result) -> Signature:
        found = plain(status)
        monkeypatch.setattr(signature, "signature_of", plain)
        other_bytes(path, b"x = 2\n")
        return found

    monkeypatch.setattr(signature, "signature_of", then_save)


# What is a change


def test_nothing_done_nothing_seen(project: Project) -> None:
    project.load("app.py")
    assert project.changed() == []
    assert project.changed() == []


def test_other_bytes_are_a_change_at_each_look(project: Project) -> None:
    project.load("app.py")
    project.write("app.py", b"x = 2\n")
    assert project.changed() == ["app.py"]
    assert project.changed() == ["app.py"]


def test_other_bytes_are_a_change_though_they_are_loaded_beside_the_old_ones(
    project: Project,
) -> None:
    path = project.load("app.py")
    project.load("app.py", b"x = 2\n")
    assert project.changed() == ["app.py"]
    project.load("app.py")
    assert project.changed() == ["app.py"]
    os.unlink(path)
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize("learned", [True, False])
def test_the_same_bytes_may_be_loaded_again(
    project: Project,
    learned: bool,  # noqa: FBT001  a row
) -> None:
    path = project.write("app.py")
    project.watch.before_read(path)
    if learned:
        project.watch.was_read(path, b"x = 1\n")
        os.utime(path, (10**9, 10**9))
    project.watch.before_read(path)
    project.watch.was_read(path, b"x = 1\n")
    assert project.suspects() == []


def test_other_bytes_and_back_again_are_no_change(project: Project) -> None:
    project.load("app.py")
    project.write("app.py", b"x = 2\n")
    project.write("app.py")
    assert project.changed() == []


@pytest.mark.usefixtures("calm")
def test_a_touch_is_no_change_and_is_looked_at_closely_only_once(project: Project) -> None:
    path = project.load("app.py")
    os.utime(path, (10**9, 10**9))
    assert project.suspects() == ["app.py"]
    assert project.changed() == []
    assert project.suspects() == []


@pytest.mark.usefixtures("calm")
def test_other_permissions_are_no_change(project: Project) -> None:
    path = project.load("app.py")
    status = os.stat(path)
    while os.stat(path).st_ctime_ns == status.st_ctime_ns:
        os.chmod(path, 0o755)
        os.chmod(path, 0o644)
    assert project.suspects() == ["app.py"]
    assert project.changed() == []
    assert project.suspects() == []


@pytest.mark.usefixtures("calm")
def test_other_bytes_of_the_same_size_and_modification_time_are_a_change(
    project: Project,
) -> None:
    other_bytes(project.load("app.py", b"x = 1"), b"x = 2")
    assert project.suspects() == ["app.py"]
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("calm")
def test_an_older_modification_time_is_a_change(project: Project) -> None:
    path = project.load("app.py")
    project.write("app.py", b"x = 2\n")
    os.utime(path, (10**9, 10**9))
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("calm")
def test_another_inode_with_other_bytes_is_a_change(project: Project) -> None:
    path = project.load("app.py", b"x = 1")
    before = os.stat(path)
    new = project.write("new", b"x = 2")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(new, path)
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("calm")
def test_another_inode_with_the_same_bytes_is_no_change(project: Project) -> None:
    path = project.load("app.py")
    os.replace(project.write("new"), path)
    assert project.suspects() == ["app.py"]
    assert project.changed() == []
    assert project.suspects() == []


def test_deletion_is_a_change_and_restoring_undoes_it(project: Project) -> None:
    path = project.load("app.py")
    os.unlink(path)
    assert project.changed() == ["app.py"]
    project.write("app.py")
    assert project.changed() == []


def test_a_directory_in_place_of_the_file_is_a_change(project: Project) -> None:
    path = project.load("app.py")
    os.unlink(path)
    os.mkdir(path)
    assert project.changed() == ["app.py"]


def test_a_file_that_was_absent_and_appears_is_a_change(project: Project) -> None:
    project.watch.before_read(project.path("app.py"))
    assert project.changed() == []
    project.write("app.py", b"")
    assert project.changed() == ["app.py"]
    os.unlink(project.path("app.py"))
    assert project.changed() == []


def test_a_link_that_points_elsewhere_is_a_change(project: Project) -> None:
    old, new = project.write("old", b"1"), project.write("new", b"2")
    link = project.path("app.py")
    os.symlink(old, link)
    project.watch.before_read(link)
    project.watch.was_read(link, b"1")
    assert project.changed() == []
    os.unlink(link)
    os.symlink(new, link)
    assert project.changed() == ["app.py"]


def test_several_changes_are_told_at_once_and_no_others(project: Project) -> None:
    for name in ("a.py", "b.py", "c.py", "d.py"):
        project.load(name)
    project.write("b.py", b"1")
    os.unlink(project.path("d.py"))
    os.utime(project.path("a.py"))
    assert project.changed() == ["b.py", "d.py"]


def test_the_standard_library_is_not_watched() -> None:
    watch = Watch()
    watch.before_read(os.__file__)
    watch.was_read(os.__file__, b"")
    assert (sorted(watch.files()), watch.count()) == ([], 0)


def test_files_are_adopted_in_the_state_that_a_predecessor_saw(project: Project) -> None:
    project.load("app.py")
    project.load("same.py")
    seen = project.watch.files() | {project.path("missing.py"): [None, "", False]}
    project.write("app.py", b"x = 2\n")  # saved after the predecessor's death
    project.watch = Watch()
    project.watch.adopt(seen)
    assert project.changed() == ["app.py"]
    project.write("missing.py")
    assert project.changed() == ["app.py", "missing.py"]


def test_what_is_watched_is_told(project: Project) -> None:
    b, a = project.load("b.py"), project.load("a.py")
    project.load("site-packages/lib.py")
    assert sorted(project.watch.files()) == [a, b]
    assert project.watch.count() == 3


# Saves during a load


def test_a_save_between_the_read_and_the_end_of_the_load_is_seen(project: Project) -> None:
    path = project.write("app.py")
    project.watch.before_read(path)
    project.watch.was_read(path, Path(path).read_bytes())
    project.write("app.py", b"x = 2\n")  # the module is being executed
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("calm")
def test_a_save_between_baseline_and_read_is_loaded_already(project: Project) -> None:
    path = project.write("app.py")
    project.watch.before_read(path)
    other_bytes(path, b"x = 2\n")
    project.watch.was_read(path, b"x = 2\n")
    assert project.suspects() == ["app.py"]
    assert project.changed() == []


@pytest.mark.usefixtures("calm")
def test_a_save_after_the_baseline_is_seen_when_the_bytes_came_from_a_cache(
    project: Project,
) -> None:
    path = project.write("app.py")
    project.watch.before_read(path)
    other_bytes(path, b"x = 2\n")
    assert project.changed() == ["app.py"]


def test_an_examination_that_overlaps_a_save_is_made_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "RACY", 0)
    path = project.load("app.py")
    os.utime(path, (10**9, 10**9))
    suspects = project.watch.look()
    saving_after_the_state(monkeypatch, path)
    assert asyncio.run(project.watch.confirm(suspects)) == [path]
    monkeypatch.undo()
    assert project.changed() == ["app.py"]


@pytest.mark.parametrize(
    ("files", "size", "hops"),
    [(1, 1, 0), (module.AT_ONCE, 1, 0), (module.AT_ONCE + 1, 1, 1), (1, module.SMALL, 1)],
)
def test_only_what_is_quickly_read_is_read_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, files: int, size: int, hops: int
) -> None:
    counted: list[list[str]] = []

    async def hop(read_state: Callable[[list[str]], object], paths: list[str]) -> object:
        counted.append(paths)
        return read_state(paths)

    monkeypatch.setattr(module, "hop", hop)
    names = [f"{number}.py" for number in range(files)]
    for name in names:
        project.load(name)
        project.write(name, b"#" * size + b"\n")
    assert project.changed() == names
    assert len(counted) == hops


def test_what_another_machine_may_hold_up_is_read_in_a_thread(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def read_state(path: str) -> FileState:
        threads.append(get_ident())
        return signature.read_state(path)

    monkeypatch.setattr(module, "is_local", lambda _: False)
    other_bytes(project.load("app.py"), b"x = 2\n")
    monkeypatch.setattr(module, "read_state", read_state)
    assert project.changed() == ["app.py"]
    assert threads
    assert get_ident() not in threads


# Signatures that prove nothing


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Clock:
    """A file system whose clock stands still: all writes have equal signatures."""
    stuck = clock.now

    def stand_still(status: os.stat_result) -> Signature:
        return (stuck, stuck, status.st_size, 0)

    monkeypatch.setattr(signature, "signature_of", stand_still)
    monkeypatch.setattr(polling, "_statx", None)  # it is not asked what the system says
    return clock


@pytest.mark.usefixtures("coarse")
def test_two_writes_with_equal_signatures_are_told_apart_by_their_bytes(project: Project) -> None:
    path = project.load("app.py", b"x = 1")
    before = signature_at(path)
    project.write("app.py", b"x = 2")
    assert signature_at(path) == before
    assert project.suspects() == ["app.py"]
    assert project.changed() == ["app.py"]


def test_a_signature_is_trusted_once_it_is_old_enough(project: Project, coarse: Clock) -> None:
    project.load("app.py")
    coarse.now += RACY - 1
    assert project.suspects() == ["app.py"]
    assert project.changed() == []
    assert project.suspects() == ["app.py"]  # taken anew, it is racy still
    coarse.now += 1
    assert project.changed() == []
    assert project.suspects() == []


def test_a_save_in_the_tick_of_the_baseline_is_seen_however_late_the_look_comes(
    project: Project, coarse: Clock
) -> None:
    project.load("app.py", b"x = 1")
    project.write("app.py", b"x = 2")
    coarse.now += 3600 * SECOND
    assert project.changed() == ["app.py"]


@pytest.mark.parametrize("skew", [-RACY + 1, RACY - 1])
def test_a_clock_a_little_before_or_behind_the_file_systems_is_racy_too(
    project: Project, coarse: Clock, skew: int
) -> None:
    coarse.now += skew
    project.load("app.py", b"x = 1")
    project.write("app.py", b"x = 2")
    assert project.changed() == ["app.py"]


def test_a_modification_time_in_the_future_hides_no_racy_change_time(
    project: Project, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    stuck = clock.now
    monkeypatch.setattr(
        signature, "signature_of", lambda status: (stuck + SECOND, stuck, status.st_size, 0)
    )
    monkeypatch.setattr(polling, "_statx", None)
    project.load("app.py", b"x = 1")
    project.write("app.py", b"x = 2")
    assert project.changed() == ["app.py"]


def test_a_signature_has_both_times_the_size_and_the_inode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    status = path.stat()
    expected = (status.st_mtime_ns, status.st_ctime_ns, 3, status.st_ino)
    assert signature_of(status) == signature_at(str(path)) == expected
    assert signature_at(str(tmp_path / "b")) is None


def test_what_is_known_by_status_and_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123")
    old = path.stat().st_ctime_ns + RACY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signature, "time", Clock(old))
        seen = signature_at(str(path))
        assert stat_state(str(path)) == FileState(seen, racy=False, digest=None)
        assert read_state(str(path)) == FileState(seen, racy=False, digest=digest(b"123"))
        patch.setattr(signature, "time", Clock(old - 1))
        assert stat_state(str(path)).racy
        assert read_state(str(path)).racy
    absent = FileState(None, digest=ABSENT)
    assert stat_state(str(path) + "x") == read_state(str(path) + "x") == absent


def test_a_path_that_can_be_no_file_is_absent(tmp_path: Path) -> None:
    for name in ("a\0b.py", "\ud800.py"):
        assert stat_state(str(tmp_path / name)).digest == ABSENT
        assert read_state(str(tmp_path / name)).digest == ABSENT


# Learning


@pytest.mark.usefixtures("calm", "modules")
def test_bytes_that_the_load_did_not_give_are_learned(project: Project) -> None:
    path = project.write("app.py")
    project.watch.before_read(path)  # and Python takes the code from its cache
    os.utime(path, (10**9, 10**9))
    assert project.changed() == ["app.py"]  # nothing is known of the bytes: the signature decides

    project.watch = Watch()
    project.watch.before_read(path)
    assert project.watch.look_at_all(0.0) == []
    project.watch.catch_up()
    os.utime(path, (10**9 + 1, 10**9 + 1))
    assert project.changed() == []
    other_bytes(path, b"x = 2\n")
    assert project.changed() == ["app.py"]


def trusting(project: Project) -> Watch:
    """Return a watch that has heard what that over the project knows."""
    watch = Watch()
    watch.trust(json.loads(json.dumps(project.watch.files())))
    return watch


@pytest.mark.usefixtures("calm", "modules")
def test_what_a_predecessor_has_read_need_not_be_learned(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [project.load(name) for name in ("app.py", "data.json")]
    project.watch = trusting(project)
    for reads in (module, signature):
        monkeypatch.setattr(reads, "read_state", None)
    project.watch.before_read(paths[0])  # and Python takes the code from its cache
    project.watch.look_for(Patterns.of(["*.json"], [], str(project.root)))
    project.watch.catch_up()
    monkeypatch.undo()
    for path in paths:
        os.utime(path, (10**9, 10**9))
    assert project.changed() == []
    for path in paths:
        other_bytes(path, b"x = 2\n")
    assert project.changed() == ["app.py", "data.json"]


@pytest.mark.usefixtures("calm", "modules")
def test_a_predecessor_is_not_trusted_on_a_file_in_another_state(project: Project) -> None:
    path = project.load("app.py")
    project.watch = trusting(project)
    other_bytes(path, b"x = 2\n")
    project.watch.before_read(path)
    assert project.watch._hot[path].digest is None
    assert project.changed() == []


def test_a_predecessor_is_not_trusted_on_a_state_that_proves_nothing(
    project: Project, coarse: Clock
) -> None:
    path = project.load("app.py")
    coarse.now += RACY
    project.watch = trusting(project)
    project.write("app.py", b"x = 2\n")  # in the same tick
    project.watch.before_read(path)
    assert project.watch._hot[path].digest is None


@pytest.mark.usefixtures("calm", "modules")
def test_the_bytes_of_a_later_state_are_not_learned(project: Project) -> None:
    path = project.write("app.py")
    project.watch.before_read(path)
    other_bytes(path, b"x = 2\n")
    project.watch.catch_up()
    assert project.watch.look_at_all(0.0) == [path]
    assert project.watch._hot[path].digest is None
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("calm", "modules")
def test_bytes_of_a_save_between_state_and_reading_are_not_learned(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.write("app.py")
    project.watch.before_read(path)  # and Python takes the code from its cache
    saving_after_the_state(monkeypatch, path)
    project.watch.catch_up()
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("calm", "modules")
def test_a_few_are_learned_at_a_time(project: Project) -> None:
    paths = [project.write(f"m{n}.py") for n in range(LEARNED_AT_A_TIME + 5)]
    for path in paths:
        project.watch.before_read(path)

    def learned() -> int:
        return sum(known.digest is not None for known in project.watch._hot.values())

    counts = []
    for _ in range(3):
        project.watch.catch_up()
        counts.append(learned())
    assert counts == [LEARNED_AT_A_TIME, LEARNED_AT_A_TIME + 5, LEARNED_AT_A_TIME + 5]


@pytest.mark.usefixtures("calm", "modules")
def test_what_was_loaded_is_not_overwritten_by_what_is_learned(project: Project) -> None:
    path = project.write("app.py", b"x = 1")
    project.watch.before_read(path)
    project.watch.was_read(path, b"x = 0")  # what the loader got
    project.watch.catch_up()
    assert project.watch._hot[path].digest == digest(b"x = 0")


@pytest.mark.usefixtures("modules")
def test_bytes_that_were_loaded_while_they_were_being_learned_stay(
    project: Project, coarse: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The survey runs in a thread beside the import: it must not undo what that one notes."""
    coarse.now += 3600 * SECOND
    path = project.write("app.py", b"x = 1")
    project.watch.before_read(path)
    plain = digest_of

    def meanwhile(path: str, state: Signature | None) -> bytes | None:
        learned = plain(path, state)
        project.watch.was_read(path, b"x = 0")  # what the loader got
        return learned

    monkeypatch.setattr(module, "digest_of", meanwhile)
    project.watch.catch_up()
    assert project.watch._hot[path].digest == digest(b"x = 0")


# Packages are looked at seldom


@pytest.mark.usefixtures("modules")
def test_packages_are_surveyed_at_a_slower_pace(project: Project, clock: Clock) -> None:
    package = project.load("site-packages/lib.py")
    app = project.load("app.py")
    clock.now += 3600 * SECOND * 24 * 365 * 100  # all is old
    assert project.watch.look_at_all(100.0) == []
    project.write("site-packages/lib.py", b"another one")
    project.write("app.py", b"another one")
    assert project.watch.look() == [app]  # before each request: the project's alone
    assert project.watch.look_at_all(101.9) == [app]
    assert project.watch.look_at_all(102.0) == [app, package]
    assert sorted(asyncio.run(project.watch.confirm([app, package]))) == [app, package]


@pytest.mark.usefixtures("modules")
def test_a_slow_look_at_the_packages_makes_the_next_one_later(
    project: Project, clock: Clock
) -> None:
    clock.cost = 0.0015
    package = project.load("site-packages/lib.py")
    project.watch.look_at_all(100.0)
    project.write("site-packages/lib.py", b"another one")
    assert project.watch.look_at_all(102.9) == []
    assert project.watch.look_at_all(103.1) == [package]


@pytest.mark.usefixtures("modules")
def test_a_very_slow_look_at_the_packages_is_not_put_off_for_ever(
    project: Project, clock: Clock
) -> None:
    clock.cost = 1.0
    package = project.load("site-packages/lib.py")
    project.watch.look_at_all(100.0)
    project.write("site-packages/lib.py", b"another one")
    assert project.watch.look_at_all(104.9) == []
    assert project.watch.look_at_all(105.1) == [package]


@pytest.mark.usefixtures("calm", "modules")
def test_a_touched_package_is_no_change_and_suspected_once(project: Project) -> None:
    package = project.load("site-packages/lib.py")
    os.utime(package, (10**9, 10**9))
    assert project.watch.look_at_all(0.0) == [package]
    assert asyncio.run(project.watch.confirm([package])) == []
    assert project.watch.look_at_all(10.0) == []


@pytest.mark.usefixtures("modules")
def test_a_survey_tells_what_it_cost(project: Project, clock: Clock) -> None:
    clock.cost = 0.25
    project.watch.look_at_all(100.0)
    project.watch.look_at_all(100.1)  # no look at the packages: asked for the time but twice
    assert project.watch.cost == 0.25


def test_something_installed_or_removed_is_told_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = project.root / "venv" / "site-packages"
    place.mkdir(parents=True)
    path = [str(project.root), str(place), ""]
    monkeypatch.setattr(module, "sys", SimpleNamespace(modules={}, path=path))
    watch = Watch()
    assert watch.is_place(str(place))
    assert watch.is_package(str(place))
    assert not watch.is_place(str(project.root))
    assert watch.look_at_all(0.0) == []
    before = place.stat().st_ctime_ns
    while place.stat().st_ctime_ns == before:
        project.write("venv/site-packages/new.py")
        os.unlink(place / "new.py")
    assert watch.look_at_all(1.0) == []
    assert watch.look_at_all(2.0) == [str(place)]
    assert asyncio.run(watch.confirm([str(place)])) == [str(place)]
    assert watch.look_at_all(4.0) == []


def test_packages_are_told_from_the_project(project: Project) -> None:
    app, lib = project.load("app.py"), project.load("site-packages/lib.py")
    assert not project.watch.is_package(app)
    assert project.watch.is_package(lib)
    assert not project.watch.is_place(lib)


# In a standby


def test_a_standby_does_not_load_the_project(project: Project) -> None:
    path = project.write("app.py")
    project.watch.refuses_project = True
    with pytest.raises(ImportError) as caught:
        project.watch.before_read(path)
    assert str(caught.value) == f"{path} belongs to the project: a standby does not load it"
    assert sorted(project.watch.files()) == []
    project.watch.before_read(project.write("site-packages/lib.py"))
    project.watch.before_read(os.__file__)
    assert project.watch.count() == 1


def test_packages_are_announced_by_name_before_they_are_loaded(importing: Project) -> None:
    package = importing.write("site-packages/lib_of_ours.py")
    importing.write("app_of_ours.py", b"import lib_of_ours\n")
    sys.path.insert(0, importing.path("site-packages"))
    announced: list[tuple[str, bool]] = []
    importing.watch.before_package = lambda name: announced.append(
        (name, importing.watch.is_package(package))
    )
    again("app_of_ours")
    assert announced == [("lib_of_ours", True)]


# Modules that came another way


def module_of(path: str | None) -> ModuleType:
    made = ModuleType("made")
    if path:
        made.__file__ = path
    return made


def test_modules_that_no_loader_announced_are_found(
    project: Project, modules: dict[str, Any]
) -> None:
    watch = project.watch = Watch()
    loaded = project.load("app.py")
    extension = project.write("fast.so")
    modules |= {
        "app": module_of(loaded),
        "fast": module_of(extension),
        "lib": module_of(project.write("site-packages/lib.py")),
        "os": os,
        "none": None,
        "builtin": sys,
        "namespace": module_of(None),
    }
    watch.rescan()
    assert sorted(watch.files()) == [loaded, extension]
    assert watch.count() == 3
    project.write("fast.so", b"built again")
    assert project.changed() == ["fast.so"]


def test_what_was_imported_before_is_not_the_apps(
    project: Project, modules: dict[str, Any]
) -> None:
    modules["ours"] = module_of(project.write("ours.py"))
    watch = Watch()
    modules["late"] = module_of(project.write("late.py"))
    watch.rescan()
    assert sorted(watch.files()) == [project.path("late.py")]


def test_a_rescan_leaves_a_baseline_as_it_is(project: Project, modules: dict[str, Any]) -> None:
    project.watch = Watch()
    path = project.load("app.py")
    project.write("app.py", b"x = 2\n")
    modules["app"] = module_of(path)
    project.watch.rescan()
    assert project.changed() == ["app.py"]


def test_a_rescan_leaves_out_what_is_ignored(project: Project, modules: dict[str, Any]) -> None:
    """Also one that the load has just written: it would be a change."""
    watch = Watch()
    watch.since = time.time_ns()
    path = project.write("made.py")
    watch.look_for(Patterns.of([], ["made.py"], os.path.dirname(path)))
    modules["made"] = module_of(path)
    watch.rescan()
    assert not watch.files()


@pytest.mark.parametrize(("blamed", "changed"), [(False, ["fast.so"]), (True, [])])
def test_a_module_that_no_loader_announced_and_that_changed_during_the_load_is_a_change(
    project: Project,
    modules: dict[str, Any],
    blamed: bool,  # noqa: FBT001  a row
    changed: list[str],
) -> None:
    """But not once more, when that was what has led to this load."""
    project.watch = Watch()
    project.watch.since = time.time_ns()
    path = project.write("fast.so")
    project.watch.blamed = {path: [None, "", False]} if blamed else {}
    modules["fast"] = module_of(path)
    project.watch.rescan()
    assert project.changed() == changed


def test_to_catch_up_is_to_rescan(project: Project, modules: dict[str, Any]) -> None:
    watch = Watch()
    modules["app"] = module_of(project.write("app.py"))
    watch.catch_up()
    assert sorted(watch.files()) == [project.path("app.py")]


def test_a_module_that_takes_the_place_of_another_is_found(
    project: Project, modules: dict[str, Any]
) -> None:
    watch = Watch()
    modules["a"] = module_of(project.write("a.so"))
    watch.rescan()
    del modules["a"]
    modules["b"] = module_of(project.write("b.so"))
    watch.rescan()
    assert sorted(watch.files()) == [project.path("a.so"), project.path("b.so")]


# After a failed load


def widen(project: Project, since: int | None = None, **options: Any) -> None:
    since = time.time_ns() + 3600 * SECOND if since is None else since
    project.watch.widen(
        str(project.root), options.get("mending", ()), since, options.get("blamed", {})
    )


def test_a_new_file_under_the_root_is_a_change(project: Project) -> None:
    project.load("app.py")
    widen(project)
    assert project.changed() == []
    project.write("deep/er/missing.py", b"")
    assert project.changed() == ["deep/er/missing.py"]


def test_before_a_failure_a_new_file_is_no_change(project: Project) -> None:
    project.load("app.py")
    project.write("new.py")
    assert project.changed() == []


def test_a_file_that_was_not_loaded_can_be_the_mending_one(project: Project) -> None:
    project.load("app.py")
    project.write("other.py")
    widen(project)
    project.write("other.py", b"longer than before")
    assert project.changed() == ["other.py"]


def test_a_file_outside_the_root_can_be_the_mending_one(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "config.toml"
    elsewhere.write_text("[]")
    widen(project, mending=[str(elsewhere)])
    assert project.changed() == []
    elsewhere.write_text("[mended]")
    assert asyncio.run(project.watch.confirm(project.watch.look())) == [str(elsewhere)]


def test_a_failed_load_out_of_an_archive_is_mended_by_another_archive(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = tmp_path_factory.mktemp("elsewhere") / "library.zip"
    archive.touch()
    widen(project, mending=[str(archive / "packed" / "module.py")])
    assert sorted(project.watch.files()) == [str(archive)]


def test_a_new_file_that_is_gone_again_is_no_change(project: Project) -> None:
    widen(project)
    path = project.write("tmp123.py")
    suspects = project.watch.look()
    os.unlink(path)
    assert suspects == [path]
    assert asyncio.run(project.watch.confirm(suspects)) == []


def test_a_file_that_changed_since_the_load_began_is_a_change(project: Project) -> None:
    late = project.write("late.py")
    widen(project, since=os.stat(late).st_ctime_ns - 1)
    assert project.changed() == ["late.py"]


def test_a_file_that_changed_just_before_the_load_began_counts_too(project: Project) -> None:
    late = project.write("late.py")
    widen(project, since=os.stat(late).st_ctime_ns + RACY)
    assert project.changed() == ["late.py"]


def test_a_file_that_is_older_than_the_load_is_no_change(project: Project) -> None:
    old = project.write("old.py")
    widen(project, since=os.stat(old).st_ctime_ns + RACY + 1)
    assert project.changed() == []


def test_a_file_that_the_load_did_read_keeps_its_baseline(project: Project) -> None:
    path = project.load("app.py")
    widen(project, since=os.stat(path).st_ctime_ns - 1)
    assert project.changed() == []


def test_a_file_that_is_blamed_for_this_load_is_no_change_again(project: Project) -> None:
    late, blamed = project.write("late.py"), project.write("blamed.py")
    widen(project, since=os.stat(late).st_ctime_ns - 1, blamed={blamed: [None, "", False]})
    assert project.changed() == ["late.py"]
    project.write("blamed.py", b"longer than before")
    assert project.changed() == ["blamed.py", "late.py"]


def test_a_file_that_is_blamed_for_its_absence_and_is_there_is_a_change(project: Project) -> None:
    """The load came in the instant between the two halves of a save, and failed."""
    path = project.write("late.py")
    absent = {path: FileState(None, digest=ABSENT).tell()}
    widen(project, since=os.stat(path).st_ctime_ns - 1, blamed=absent)
    assert project.changed() == ["late.py"]


def test_a_change_time_in_the_future_is_not_since_the_load_began(
    project: Project, clock: Clock
) -> None:
    path = project.write("late.py")
    clock.now = os.stat(path).st_ctime_ns - SECOND
    widen(project, since=clock.now - SECOND)
    assert project.changed() == []


def test_a_save_while_the_files_are_taken_in_is_not_lost(project: Project) -> None:
    """The walk through a big project takes a while: saves go on meanwhile."""
    path = project.write("late.py")
    began = time.time_ns()
    old = began + 2 * RACY  # so that its first state does not count

    def saved_when_reached() -> Iterator[str]:
        while os.stat(path).st_ctime_ns <= old:
            project.write("late.py", b"mended while it was being walked")
        yield path

    # `mending` stands for the walk: it is told one by one.
    project.watch.widen(str(project.root / "empty"), saved_when_reached(), old, {})
    assert asyncio.run(project.watch.confirm(project.watch.look())) == [path]


# Cached code


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
    assert again("stubborn").x == 2


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
    an_hour_later(monkeypatch)
    assert again("asleep").x == 1
    assert importing.changed() == ["asleep.py"]
    assert again("asleep").x == 2


def test_without_caches_there_is_nothing_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.implementation, "cache_tag", None)
    remove_racy_cache(str(tmp_path / "app.py"), (0, 0, 0, 0))


def test_a_baseline_drops_a_racy_cache_and_leaves_an_old_one(project: Project) -> None:
    cached = Cached(project.root)
    old = cached.began + 3600 * SECOND
    os.utime(cached.cache, ns=(old, old))
    project.watch.before_read(str(cached.source))
    assert cached.cache.exists()
    os.utime(cached.cache, ns=(cached.began, cached.began))
    project.watch.before_read(str(cached.source))
    assert not cached.cache.exists()


@pytest.mark.parametrize(("edited", "kept"), [(0, False), (2 * LATELY, True)])
def test_the_cache_of_a_package_is_left_alone_unless_that_was_edited_lately(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    edited: int,
    kept: bool,  # noqa: FBT001  a row
) -> None:
    (project.root / "site-packages").mkdir()
    cached = Cached(project.root / "site-packages")
    os.utime(cached.cache, ns=(cached.began, cached.began))
    monkeypatch.setattr(module, "time", Clock(time.time_ns() + edited))
    project.watch.before_read(str(cached.source))
    assert cached.cache.exists() is kept


# Loaders


@pytest.fixture
def importing(
    project: Project, imports: None, loaders: Loaders, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project whose modules can be imported, under the eyes of its watch."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    sys.path.insert(0, str(project.root))
    loaders(project.watch)
    return project


def again(name: str) -> ModuleType:
    """Import a module as a process does that has not imported it yet."""
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def test_what_is_imported_is_watched(importing: Project) -> None:
    importing.write("shop_of_ours/__init__.py", b"from . import part\n")
    part = importing.write("shop_of_ours/part.py", b"x = 1\n")
    again("shop_of_ours")
    assert sorted(importing.watch.files()) == [
        importing.path("shop_of_ours/__init__.py"),
        part,
    ]
    assert importing.watch._hot[part].digest == digest(b"x = 1\n")
    assert importing.changed() == []
    importing.write("shop_of_ours/part.py", b"x = 2\n")
    assert importing.changed() == ["shop_of_ours/part.py"]


def test_a_module_that_saves_itself_while_it_is_imported_has_changed(importing: Project) -> None:
    importing.write("restless.py", b"with open(__file__, 'a') as me: me.write('#')\n")
    again("restless")
    assert importing.changed() == ["restless.py"]


def test_a_module_that_fails_is_watched(importing: Project) -> None:
    importing.write("broken_one.py", b"def f(:\n")
    with pytest.raises(SyntaxError):
        again("broken_one")
    assert sorted(importing.watch.files()) == [importing.path("broken_one.py")]
    importing.write("broken_one.py", b"x = 1\n")
    assert importing.changed() == ["broken_one.py"]


def test_a_module_loaded_by_location_is_watched(importing: Project) -> None:
    path = importing.write("plugin.txt", b"x = 1")
    loader = importlib.machinery.SourceFileLoader("plugin", path)
    spec = importlib.util.spec_from_file_location("plugin", path, loader=loader)
    assert spec is not None
    loader.exec_module(importlib.util.module_from_spec(spec))
    assert sorted(importing.watch.files()) == [path]


def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that has been saved until now be an hour old."""
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + 3600 * SECOND)
    monkeypatch.setattr(signature, "time", clock)


def pack(path: Path, text: str) -> None:
    """Make an archive with a module in it, and put it in the place of the one before."""
    other = path.with_suffix(".new")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("packed_one.py", text)
    other.replace(path)


def test_an_archive_is_watched_from_before_it_is_read(importing: Project) -> None:
    archive = importing.root / "library.zip"
    pack(archive, "x = 1\n")
    sys.path.insert(0, str(archive))
    assert again("packed_one").x == 1
    pack(archive, "x = 2\n")
    assert importing.changed() == ["library.zip"]


def test_what_a_standby_has_read_of_an_archive_is_forgotten(importing: Project) -> None:
    """Else another archive is read by the table of contents of the one before."""
    archive = importing.root / "library.zip"
    pack(archive, "x = 1\n")
    sys.path.insert(0, str(archive))
    with pytest.raises(ImportError):
        importlib.import_module("not_in_the_archive")
    pack(archive, "x = 'longer'\n")
    forget_archives()
    assert importlib.import_module("packed_one").x == "longer"


@pytest.mark.parametrize("name", ["compiled_one.pyc", "compiled_one.so"])
def test_code_without_a_source_is_watched_from_before_it_is_read(
    importing: Project, name: str
) -> None:
    path = importing.write(name, b"none")
    with pytest.raises(ImportError):
        importlib.import_module("compiled_one")
    assert sorted(importing.watch.files()) == [path]


def test_what_is_compiled_and_not_loaded_is_not_watched(importing: Project) -> None:
    loader = importlib.machinery.SourceFileLoader("x", importing.path("x.py"))
    loader.source_to_code("x = 1", "<string>")
    loader.source_to_code(b"x = 1", importing.path("x.py"))
    assert sorted(importing.watch.files()) == []


@pytest.mark.parametrize("same_time", [True, False])
@pytest.mark.parametrize("later", [True, False])
def test_two_saves_in_a_second_never_serve_stale_code(
    importing: Project, monkeypatch: pytest.MonkeyPatch, *, same_time: bool, later: bool
) -> None:
    """Python itself does: it trusts a cache by the size and whole seconds of its source."""
    path = importing.write("fickle.py", b"x = 1\n")
    os.utime(path, (10**9, 10**9))
    an_hour_later(monkeypatch)
    assert again("fickle").x == 1
    assert os.path.exists(importlib.util.cache_from_source(path))
    if not later:
        monkeypatch.setattr(signature, "time", time)
    importing.write("fickle.py", b"x = 2\n")
    nanoseconds = 10**18 + (0 if same_time else SECOND - 1)
    os.utime(path, ns=(nanoseconds, nanoseconds))
    assert again("fickle").x == 2


def test_a_cache_that_the_next_load_could_not_rely_on_is_not_written(importing: Project) -> None:
    """To write it would take longer than all the rest of a small load."""
    path = importing.write("fresh_one.py", b"x = 1\n")
    cache = importlib.util.cache_from_source(path)
    py_compile.compile(path)
    assert again("fresh_one").x == 1
    assert not os.path.exists(cache)  # nor is what another Python might take for current left


@pytest.mark.usefixtures("calm")
def test_a_cache_from_before_is_used_and_its_source_is_watched(
    importing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_hour_later(monkeypatch)
    path = importing.write("cached_one.py", b"x = 1\n")
    py_compile.compile(path)
    later = os.stat(path).st_ctime_ns + 60 * SECOND
    cache = importlib.util.cache_from_source(path)
    os.utime(cache, ns=(later, later))
    assert again("cached_one").x == 1
    assert os.stat(cache).st_mtime_ns == later
    assert importing.watch._hot[path].digest is None
    other_bytes(path, b"x = 2\n")
    assert importing.changed() == ["cached_one.py"]


def test_a_source_reached_through_a_link_and_back_is_watched(importing: Project) -> None:
    """`link/..` is not the directory of the link: only the file system can resolve it."""
    importing.write("srv/app/x")
    importing.write("srv/lib/shared_one.py", b"x = 1\n")
    (importing.root / "site").symlink_to(importing.root / "srv" / "app")
    sys.path.insert(0, importing.path("site/../lib"))
    assert again("shared_one").x == 1
    importing.write("srv/lib/shared_one.py", b"x = 2\n")
    changed = asyncio.run(importing.watch.confirm(importing.watch.look()))
    assert [os.path.realpath(path) for path in changed] == [
        os.path.realpath(importing.path("srv/lib/shared_one.py"))
    ]


def test_a_relative_entry_of_the_path_is_watched_where_it_was(
    importing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing.write("lib/near_one.py", b"x = 1\n")
    monkeypatch.chdir(importing.root)
    sys.path.insert(0, "lib")
    again("near_one")
    (importing.root / "else").mkdir()
    monkeypatch.chdir(importing.root / "else")
    assert importing.changed() == []
    importing.write("lib/near_one.py", b"x = 2\n")
    assert importing.changed() == ["lib/near_one.py"]


def test_the_loaders_own_ways_are_kept(importing: Project) -> None:
    path = importing.write("kept_one.py", b"assert __debug__\n")
    loader = importlib.machinery.SourceFileLoader("kept_one", path)
    code = loader.source_to_code(b"assert x", path, _optimize=2)
    assert code.co_names == ()
    assert loader.get_source("kept_one") == "assert __debug__\n"


# Quiet


class Files:
    """A directory whose change times are told, not taken from the disk."""

    def __init__(self, root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.clock = clock
        self.began = clock.now
        self.changed: dict[str, int] = {}
        self.naps: list[float] = []
        self.saves: list[tuple[str, float]] = []
        monkeypatch.setattr(burst, "signature_at", self.signature_at)

    def signature_at(self, path: str) -> Signature | None:
        at = self.changed.get(path)
        return None if at is None else (0, at, 0, 0)

    def save(self, path: str, seconds: float = 0) -> None:
        self.changed[path] = self.clock.now + round(seconds * SECOND)

    async def sleep(self, seconds: float) -> None:
        assert len(self.naps) < 1000
        self.naps.append(round(seconds, 6))
        if self.saves:
            path, at = self.saves.pop(0)
            self.clock.now += round(at * SECOND)
            self.save(path)
            self.clock.now += round((seconds - at) * SECOND)
        else:
            self.clock.now += round(seconds * SECOND)

    async def quiet(self, *paths: str) -> list[float]:
        await quiet(str(self.root), paths, self.sleep)
        return self.naps


@pytest.fixture
def files(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Files:
    for name in ("a.py", "sub/b.py", "page.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return Files(tmp_path, clock, monkeypatch)


@pytest.mark.asyncio
async def test_quiet_is_there_when_nothing_changed_lately(files: Files) -> None:
    files.save(f"{files.root}/a.py", -QUIET / SECOND)
    assert await files.quiet() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["a.py", "sub/b.py", "sub", "."])
async def test_quiet_comes_50_ms_after_the_last_change(files: Files, name: str) -> None:
    files.save(os.path.normpath(f"{files.root}/{name}"), -0.02)
    assert await files.quiet() == [0.03]


@pytest.mark.asyncio
async def test_each_save_puts_quiet_off(files: Files) -> None:
    files.save(f"{files.root}/a.py")
    files.saves = [(f"{files.root}/sub/b.py", 0.04), (f"{files.root}/a.py", 0.01)]
    assert await files.quiet() == [0.05, 0.04, 0.02]


@pytest.mark.asyncio
async def test_quiet_heeds_the_paths_that_it_is_given(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = str(tmp_path_factory.mktemp("elsewhere") / "config.toml")
    files.save(elsewhere)
    assert await files.quiet() == []
    assert await files.quiet(elsewhere) == [0.05]


@pytest.mark.asyncio
async def test_quiet_heeds_no_other_files(files: Files) -> None:
    files.save(f"{files.root}/page.html")
    assert await files.quiet() == []


@pytest.mark.asyncio
async def test_the_deletion_of_the_only_file_of_a_burst_is_heeded(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("elsewhere")
    files.save(str(directory))
    assert await files.quiet(str(directory / "gone.py")) == [0.05]


@pytest.mark.asyncio
async def test_a_time_in_the_future_is_not_waited_for(files: Files) -> None:
    files.save(f"{files.root}/a.py", 3600)
    assert await files.quiet() == []


@pytest.mark.asyncio
async def test_quiet_is_not_waited_for_for_ever(files: Files) -> None:
    files.save(f"{files.root}/a.py")
    files.saves = [(f"{files.root}/a.py", 0.045)] * 1000
    await files.quiet()
    waited = files.clock.now - files.began
    assert PATIENCE <= waited <= PATIENCE + QUIET


def test_the_newest_of_no_files_is_long_ago() -> None:
    assert newest([]) == 0
    assert newest(["/missing/a.py"]) == 0


# Any sequence of operations

CONTENTS = st.sampled_from([b"", b"x = 1", b"x = 2", b"y = 10"])
NAMES = ("a.py", "b.py")
OPERATIONS = st.one_of(
    *(
        st.tuples(st.just(kind), st.sampled_from(NAMES), CONTENTS)
        for kind in ("write", "replace", "unlink", "touch", "back", "chmod", "link", "wait")
    )
)
BASELINES = st.fixed_dictionaries({name: st.none() | CONTENTS for name in NAMES})


@dataclass
class Disk:
    """Operations on real files; in the model, times come from a clock that ticks every 10 ms."""

    root: Path
    clock: Clock
    tick: int = 10_000_000
    times: dict[int, tuple[int, int]] = field(default_factory=dict)
    mtimes: dict[str, int] = field(default_factory=dict)
    contents: dict[str, bytes | None] = field(default_factory=dict)

    def signature_of(self, status: os.stat_result) -> Signature:
        return (*self.times.get(status.st_ino, (0, 0)), status.st_size, status.st_ino)

    def stamp(self, path: Path, mtime: int | None = None) -> None:
        now = self.clock.now // self.tick * self.tick
        self.times[path.stat().st_ino] = (now if mtime is None else mtime, now)

    def lay_out(self, name: str, data: bytes | None) -> str:
        """Put a file as it is at first, if it is there then; return its path."""
        self.contents[name] = None
        if data is not None:
            self.do("write", name, data)
            self.mtimes[name] = self.times[(self.root / name).stat().st_ino][0]
        return str(self.root / name)

    def differing(self, baselines: dict[str, bytes | None]) -> set[str]:
        """Return the files that have other bytes now."""
        return {str(self.root / name) for name in NAMES if self.contents[name] != baselines[name]}

    def do(self, kind: str, name: str, data: bytes) -> None:
        path = self.root / name
        there = self.contents[name] is not None
        if kind == "wait":
            self.clock.now += 3_000_000 * (1 + len(data)) ** 2
        elif kind == "write":
            path.write_bytes(data)
            self.stamp(path)
            self.contents[name] = data
        elif kind == "replace":
            new = self.root / "new"
            new.write_bytes(data)
            new.replace(path)
            self.stamp(path)
            self.contents[name] = data
        elif kind == "link" and there:  # another name for the same file takes its place
            new = self.root / "new"
            os.link(path, new)
            path.unlink()
            new.rename(path)
            self.stamp(path, self.times[path.stat().st_ino][0])
        elif kind == "unlink" and there:
            path.unlink()
            self.contents[name] = None
        elif kind == "touch" and there:
            os.utime(path)
            self.stamp(path)
        elif kind == "back" and there and name in self.mtimes:
            os.utime(path, ns=(0, self.mtimes[name]))
            self.stamp(path, self.mtimes[name])
        elif kind == "chmod" and there:
            path.chmod(0o600 if path.stat().st_mode & 0o044 else 0o644)
            self.stamp(path, self.times[path.stat().st_ino][0])


@contextmanager
def disk() -> Iterator[Disk]:
    with TemporaryDirectory() as root:
        yield Disk(Path(root).resolve(), Clock())


@contextmanager
def coarse_files(made: Disk) -> Iterator[None]:
    """Let the watch see the times that the clock of the made-up disk gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signature, "signature_of", made.signature_of)
        patch.setattr(polling, "_statx", None)
        for each in (module, signature):
            patch.setattr(each, "time", made.clock)
        yield


def reported_iff_different(
    made: Disk, baselines: dict[str, bytes | None], steps: list[tuple[str, str, bytes]], how: str
) -> None:
    watch = Watch()
    for name, data in baselines.items():
        path = made.lay_out(name, data)
        watch.before_read(path)
        if how == "learned":
            watch.learn()
        elif data is not None:
            watch.was_read(path, data)
    with asyncio.Runner() as runner:
        for step in [("wait", "a.py", b""), *steps]:
            made.do(*step)
            expected = made.differing(baselines)
            assert set(runner.run(watch.confirm(watch.look()))) == expected


@settings(max_examples=60, deadline=None)
@given(BASELINES, st.lists(OPERATIONS, max_size=12), st.sampled_from(["read", "learned"]))
def test_changed_is_what_has_other_bytes(
    baselines: dict[str, bytes | None], steps: list[tuple[str, str, bytes]], how: str
) -> None:
    """On the real file system and the real clock."""
    with disk() as made:
        reported_iff_different(made, baselines, steps, how)


@settings(max_examples=150, deadline=None)
@given(BASELINES, st.lists(OPERATIONS, max_size=8), st.lists(OPERATIONS, max_size=8))
def test_changed_is_what_has_other_bytes_also_for_one_that_trusts_its_predecessor(
    baselines: dict[str, bytes | None],
    before: list[tuple[str, str, bytes]],
    after: list[tuple[str, str, bytes]],
) -> None:
    with disk() as made, coarse_files(made), asyncio.Runner() as runner:
        first = Watch()
        for name, data in baselines.items():
            first.before_read(made.lay_out(name, data))
        for step in [*before, ("wait", "a.py", b"xx")]:
            made.do(*step)
            runner.run(first.confirm(first.look()))
        second = Watch()
        second.trust(json.loads(json.dumps(first.files())))
        loaded = dict(made.contents)
        for name in NAMES:
            second.before_read(str(made.root / name))  # and Python takes the code from its cache
        for step in [("wait", "a.py", b""), *after]:
            made.do(*step)
            expected = made.differing(loaded)
            found = set(runner.run(second.confirm(second.look())))
            second.learn()
            assert found >= expected
            known = {path for path, state in second._hot.items() if state.digest}
            assert found & known == expected & known


@settings(max_examples=150, deadline=None)
@given(BASELINES, st.lists(OPERATIONS, max_size=12), st.sampled_from(["read", "learned"]))
def test_changed_is_what_has_other_bytes_also_where_clocks_are_coarse(
    baselines: dict[str, bytes | None], steps: list[tuple[str, str, bytes]], how: str
) -> None:
    """On a file system that ticks every 10 ms: many writes have equal signatures."""
    with disk() as made, coarse_files(made):
        reported_iff_different(made, baselines, steps, how)


def test_constants_are_as_the_contract_says() -> None:
    assert RACY > 10_000_000
    assert CACHE_RACY == SECOND
