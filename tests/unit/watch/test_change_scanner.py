"""Looks and comparisons as single steps: what is a change and what is none.

Times are given, or set with `os.utime`; nothing here waits for a clock, but for the tick of the
file system's in `other_bytes`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from threading import get_ident

import pytest

from asyncreload.child.watch import change_scanner, file_state
from asyncreload.child.watch.baselines import Changed
from asyncreload.child.watch.change_scanner import READ_AT_ONCE, SMALL_FILE, ChangeScanner
from asyncreload.child.watch.file_state import ABSENT, RACY, FileState, Now, signature_at
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.import_searches import Winner
from tests.unit.watching import (
    HOUR,
    SECOND,
    Clock,
    Project,
    no_descriptors,
    other_bytes,
    save_after_next_stat,
)

# --- what cannot be read -------------------------------------------------------------------------


def compared_now(project: Project) -> tuple[list[str], bool]:
    """Return what differs, as far as can be told, and whether nothing is known of any of it."""
    scanner = project.watch.scanner
    found = scanner.compare_now(scanner.look())
    return sorted(os.path.relpath(path, project.root) for path in found), scanner.are_unknown(found)


@pytest.mark.usefixtures("an_hour_later")
def test_without_a_descriptor_it_is_not_known_whether_a_file_was_only_touched(
    project: Project,
) -> None:
    os.utime(project.load("app.py"), (10**9, 10**9))
    with no_descriptors():
        assert compared_now(project) == (["app.py"], True)
        assert compared_now(project) == (["app.py"], True)
    assert project.changed() == []
    assert project.suspects() == []


@pytest.mark.usefixtures("an_hour_later")
def test_without_a_descriptor_a_file_that_is_gone_is_known_to_be(project: Project) -> None:
    os.utime(project.load("touched.py"), (10**9, 10**9))
    os.unlink(project.load("app.py"))
    with no_descriptors():
        assert compared_now(project) == (["app.py", "touched.py"], False)


@pytest.mark.usefixtures("an_hour_later")
def test_a_racy_file_that_could_not_be_read_when_it_was_loaded_counts_as_changed(
    project: Project,
) -> None:
    path = project.write("page.html")
    project.clock.stand_still(os.stat(path).st_ctime_ns)
    with no_descriptors():
        project.watch.baselines.take(path)
    assert project.changed() == ["page.html"]


@pytest.mark.usefixtures("an_hour_later")
def test_a_directory_of_imports_that_cannot_be_listed_is_listed_again(project: Project) -> None:
    app = project.load("app.py")
    searches = project.watch.scanner.searches
    searches.note(str(project.root), "app", Winner(app), project.clock.time_ns())
    assert project.changed() == []
    project.write("notes.txt")
    with no_descriptors():
        assert compared_now(project) == (["."], True)
        assert compared_now(project) == (["."], True)
    assert project.changed() == []
    (project.root / "app").mkdir()
    with no_descriptors():
        assert compared_now(project) == (["."], True)
    project.write("app/__init__.py")
    assert project.changed() == ["app/__init__.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_a_directory_of_patterns_that_cannot_be_listed_is_listed_again(project: Project) -> None:
    project.watch.scanner.watch_patterns(Patterns.of(["*.txt"], [], str(project.root)))
    project.write("new/notes.txt")
    with no_descriptors():
        assert compared_now(project) == (["."], True)
    assert project.changed() == ["new/notes.txt"]


# --- what is a change ----------------------------------------------------------------------------


def test_nothing_done_nothing_seen(project: Project) -> None:
    project.load("app.py")
    assert project.changed() == []
    assert project.changed() == []


def test_other_bytes_are_a_change_at_each_look(project: Project) -> None:
    project.load("app.py")
    project.write("app.py", b"x = 2\n")
    assert project.changed() == ["app.py"]
    assert project.changed() == ["app.py"]


def test_other_bytes_and_back_again_are_no_change(project: Project) -> None:
    project.load("app.py")
    project.write("app.py", b"x = 2\n")
    project.write("app.py")
    assert project.changed() == []


@pytest.mark.usefixtures("an_hour_later")
def test_a_touch_is_no_change_and_is_compared_only_once(project: Project) -> None:
    path = project.load("app.py")
    os.utime(path, (10**9, 10**9))
    assert project.suspects() == ["app.py"]
    assert project.changed() == []
    assert project.suspects() == []


@pytest.mark.usefixtures("an_hour_later")
def test_other_permissions_are_no_change(project: Project) -> None:
    path = project.load("app.py")
    status = os.stat(path)
    while os.stat(path).st_ctime_ns == status.st_ctime_ns:
        os.chmod(path, 0o755)
        os.chmod(path, 0o644)
    assert project.suspects() == ["app.py"]
    assert project.changed() == []
    assert project.suspects() == []


@pytest.mark.usefixtures("an_hour_later")
def test_other_bytes_of_the_same_size_and_modification_time_are_a_change(
    project: Project,
) -> None:
    other_bytes(project.load("app.py", b"x = 1"), b"x = 2")
    assert project.suspects() == ["app.py"]
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_an_older_modification_time_is_a_change(project: Project) -> None:
    path = project.load("app.py")
    project.write("app.py", b"x = 2\n")
    os.utime(path, (10**9, 10**9))
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_another_inode_with_other_bytes_is_a_change(project: Project) -> None:
    path = project.load("app.py", b"x = 1")
    before = os.stat(path)
    new = project.write("new", b"x = 2")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(new, path)
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
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
    project.watch.hooks.before_source(project.path("app.py"))
    assert project.changed() == []
    project.write("app.py", b"")
    assert project.changed() == ["app.py"]
    os.unlink(project.path("app.py"))
    assert project.changed() == []


def test_a_link_that_points_elsewhere_is_a_change(project: Project) -> None:
    old, new = project.write("old", b"1"), project.write("new", b"2")
    link = project.path("app.py")
    os.symlink(old, link)
    project.watch.hooks.before_source(link)
    project.watch.baselines.was_read(link, b"1")
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


# --- comparisons ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("an_hour_later")
def test_a_comparison_that_overlaps_a_save_is_made_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.load("app.py")
    os.utime(path, (10**9, 10**9))
    suspects = project.watch.scanner.look()
    save_after_next_stat(monkeypatch, path)
    assert asyncio.run(project.watch.scanner.compare(suspects)) == [path]
    assert project.changed() == ["app.py"]


@pytest.mark.parametrize(
    ("files", "size", "hops"),
    [(1, 1, 0), (READ_AT_ONCE, 1, 0), (READ_AT_ONCE + 1, 1, 1), (1, SMALL_FILE, 1)],
)
def test_only_what_is_quickly_read_is_read_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, files: int, size: int, hops: int
) -> None:
    counted: list[list[str]] = []

    async def hop(read_state: Callable[[list[str]], object], paths: list[str]) -> object:
        counted.append(paths)
        return read_state(paths)

    monkeypatch.setattr(change_scanner, "hop", hop)
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

    def read_state(path: str, now: Now) -> FileState:
        threads.append(get_ident())
        return file_state.read_state(path, now)

    monkeypatch.setattr(change_scanner, "is_local", lambda _: False)
    other_bytes(project.load("app.py"), b"x = 2\n")
    monkeypatch.setattr(change_scanner, "read_state", read_state)
    assert project.changed() == ["app.py"]
    assert threads
    assert get_ident() not in threads


# --- signatures that prove nothing ---------------------------------------------------------------


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
    coarse.advance(RACY - 1)
    assert project.suspects() == ["app.py"]
    assert project.changed() == []
    assert project.suspects() == ["app.py"]  # taken anew, it is racy still
    coarse.advance(1)
    assert project.changed() == []
    assert project.suspects() == []


def test_a_save_in_the_tick_of_the_baseline_is_seen_however_late_the_look_comes(
    project: Project, coarse: Clock
) -> None:
    project.load("app.py", b"x = 1")
    project.write("app.py", b"x = 2")
    coarse.advance(HOUR)
    assert project.changed() == ["app.py"]


@pytest.mark.parametrize("skew", [-RACY + 1, RACY - 1])
def test_a_clock_a_little_before_or_behind_the_file_systems_is_racy_too(
    project: Project, coarse: Clock, skew: int
) -> None:
    coarse.advance(skew)
    project.load("app.py", b"x = 1")
    project.write("app.py", b"x = 2")
    assert project.changed() == ["app.py"]


def test_a_modification_time_in_the_future_hides_no_racy_change_time(
    project: Project, monkeypatch: pytest.MonkeyPatch, coarse: Clock
) -> None:
    stuck = coarse.time_ns()
    monkeypatch.setattr(
        file_state, "signature_of", lambda status: (stuck + SECOND, stuck, status.st_size, 0)
    )
    project.load("app.py", b"x = 1")
    project.write("app.py", b"x = 2")
    assert project.changed() == ["app.py"]


# --- packages ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("an_hour_later")
def test_packages_are_looked_at_less_often(project: Project) -> None:
    package = project.load("site-packages/lib.py")
    app = project.load("app.py")
    assert project.watch.scanner.look_at_all(100.0) == []
    project.write("site-packages/lib.py", b"another one")
    project.write("app.py", b"another one")
    assert project.watch.scanner.look() == [app]  # before each request: the project's alone
    assert project.watch.scanner.look_at_all(101.9) == [app]
    assert project.watch.scanner.look_at_all(102.0) == [app, package]
    assert sorted(asyncio.run(project.watch.scanner.compare([app, package]))) == [app, package]


@pytest.mark.usefixtures("an_hour_later")
def test_a_slow_look_at_the_packages_makes_the_next_one_later(
    project: Project, clock: Clock
) -> None:
    clock.cost = 0.0015
    package = project.load("site-packages/lib.py")
    project.watch.scanner.look_at_all(100.0)
    project.write("site-packages/lib.py", b"another one")
    assert project.watch.scanner.look_at_all(102.9) == []
    assert project.watch.scanner.look_at_all(103.1) == [package]


@pytest.mark.usefixtures("an_hour_later")
def test_a_very_slow_look_at_the_packages_is_not_put_off_for_ever(
    project: Project, clock: Clock
) -> None:
    clock.cost = 1.0
    package = project.load("site-packages/lib.py")
    project.watch.scanner.look_at_all(100.0)
    project.write("site-packages/lib.py", b"another one")
    assert project.watch.scanner.look_at_all(104.9) == []
    assert project.watch.scanner.look_at_all(105.1) == [package]


@pytest.mark.usefixtures("an_hour_later")
def test_a_touched_package_is_no_change_and_suspected_once(project: Project) -> None:
    package = project.load("site-packages/lib.py")
    os.utime(package, (10**9, 10**9))
    assert project.watch.scanner.look_at_all(0.0) == [package]
    assert asyncio.run(project.watch.scanner.compare([package])) == []
    assert project.watch.scanner.look_at_all(10.0) == []


def test_a_look_at_everything_tells_what_that_at_the_project_cost(
    project: Project, clock: Clock
) -> None:
    """The looks at the packages have a pace of their own: they put no other look off."""
    clock.cost = 0.25
    project.watch.scanner.look_at_all(100.0)
    assert project.watch.scanner.cost == 0.25
    project.watch.scanner.look_at_all(100.1)
    assert project.watch.scanner.cost == 0.25


def test_something_installed_or_removed_is_told_once(project: Project) -> None:
    place = project.root / "venv" / "site-packages"
    place.mkdir(parents=True)
    watch = project.new_watch([str(project.root), str(place), ""])
    assert watch.scanner.is_package_directory(str(place))
    assert watch.scanner.is_package(str(place))
    assert not watch.scanner.is_package_directory(str(project.root))
    assert watch.scanner.look_at_all(0.0) == []
    before = place.stat().st_ctime_ns
    while place.stat().st_ctime_ns == before:
        project.write("venv/site-packages/new.py")
        os.unlink(place / "new.py")
    assert watch.scanner.look_at_all(1.0) == []
    assert watch.scanner.look_at_all(2.0) == [str(place)]
    assert asyncio.run(watch.scanner.compare([str(place)])) == [str(place)]
    assert watch.scanner.look_at_all(4.0) == []


def test_packages_are_told_from_the_project(project: Project) -> None:
    app, lib = project.load("app.py"), project.load("site-packages/lib.py")
    assert not project.watch.scanner.is_package(app)
    assert project.watch.scanner.is_package(lib)
    assert not project.watch.scanner.is_package_directory(lib)


# --- after a failed load -------------------------------------------------------------------------


def watch_what_may_mend(
    project: Project,
    since: int | None = None,
    paths: Iterable[str] = (),
    changed: Changed | None = None,
) -> None:
    since = time.time_ns() + HOUR if since is None else since
    project.watch.scanner.watch_what_may_mend(str(project.root), paths, since, changed or {})


def test_a_new_file_under_the_root_is_a_change(project: Project) -> None:
    project.load("app.py")
    watch_what_may_mend(project)
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
    watch_what_may_mend(project)
    project.write("other.py", b"longer than before")
    assert project.changed() == ["other.py"]


def test_a_file_outside_the_root_can_be_the_mending_one(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "config.toml"
    elsewhere.write_text("[]")
    watch_what_may_mend(project, paths=[str(elsewhere)])
    assert project.changed() == []
    elsewhere.write_text("[mended]")
    assert project.watch.changed() == [str(elsewhere)]


def test_a_failed_load_out_of_an_archive_is_mended_by_another_archive(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = tmp_path_factory.mktemp("elsewhere") / "library.zip"
    archive.touch()
    watch_what_may_mend(project, paths=[str(archive / "packed" / "module.py")])
    assert project.watched() == [str(archive)]


def test_a_new_file_that_is_gone_again_is_no_change(project: Project) -> None:
    watch_what_may_mend(project)
    path = project.write("tmp123.py")
    suspects = project.watch.scanner.look()
    os.unlink(path)
    assert suspects == [path]
    assert asyncio.run(project.watch.scanner.compare(suspects)) == []


def test_a_file_that_changed_since_the_load_began_is_a_change(project: Project) -> None:
    late = project.write("late.py")
    watch_what_may_mend(project, since=os.stat(late).st_ctime_ns - 1)
    assert project.changed() == ["late.py"]


def test_a_file_that_changed_just_before_the_load_began_counts_too(project: Project) -> None:
    late = project.write("late.py")
    watch_what_may_mend(project, since=os.stat(late).st_ctime_ns + RACY)
    assert project.changed() == ["late.py"]


def test_a_file_that_is_older_than_the_load_is_no_change(project: Project) -> None:
    old = project.write("old.py")
    watch_what_may_mend(project, since=os.stat(old).st_ctime_ns + RACY + 1)
    assert project.changed() == []


def test_a_file_that_the_load_did_read_keeps_its_baseline(project: Project) -> None:
    path = project.load("app.py")
    watch_what_may_mend(project, since=os.stat(path).st_ctime_ns - 1)
    assert project.changed() == []


def test_a_file_whose_change_led_to_this_load_is_no_change_again(project: Project) -> None:
    late, known = project.write("late.py"), project.write("known.py")
    watch_what_may_mend(
        project, since=os.stat(late).st_ctime_ns - 1, changed={known: [None, "", False]}
    )
    assert project.changed() == ["late.py"]
    project.write("known.py", b"longer than before")
    assert project.changed() == ["known.py", "late.py"]


def test_a_file_whose_absence_led_to_this_load_and_that_is_there_is_a_change(
    project: Project,
) -> None:
    """The load came in the instant between the two halves of a save, and failed."""
    path = project.write("late.py")
    absent = {path: FileState(None, digest=ABSENT).to_json()}
    watch_what_may_mend(project, since=os.stat(path).st_ctime_ns - 1, changed=absent)
    assert project.changed() == ["late.py"]


def test_a_change_time_in_the_future_is_not_since_the_load_began(
    project: Project, clock: Clock
) -> None:
    path = project.write("late.py")
    clock.stand_still(os.stat(path).st_ctime_ns - SECOND)
    watch_what_may_mend(project, since=clock.time_ns() - SECOND)
    assert project.changed() == []


def test_a_save_while_baselines_are_taken_is_not_lost(project: Project) -> None:
    """The walk through a big project takes a while: saves go on meanwhile."""
    path = project.write("late.py")
    began = time.time_ns()
    old = began + 2 * RACY  # so that its first state does not count

    def saved_when_reached() -> Iterator[str]:
        while os.stat(path).st_ctime_ns <= old:
            project.write("late.py", b"mended while it was being walked")
        yield path

    # The paths stand for the walk: they are told one by one.
    empty = str(project.root / "empty")
    project.watch.scanner.watch_what_may_mend(empty, saved_when_reached(), old, {})
    assert project.watch.changed() == [path]


# --- files that need no reload -------------------------------------------------------------------


def watch_for_refresh(scanner: ChangeScanner, text: str, since: int) -> None:
    """Watch files, a few of them."""
    scanner.watch_for_refresh([text], since)
    assert not scanner.is_incomplete()


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more files than are gone through before a request."""
    monkeypatch.setattr(change_scanner, "SCANNED_AT_ONCE", 1)


@pytest.mark.parametrize(("most", "are_many"), [(1, True), (2, False)])
def test_many_directories_are_many_files(
    project: Project, monkeypatch: pytest.MonkeyPatch, most: int, *, are_many: bool
) -> None:
    """To find out by going through them takes what is to be saved."""
    monkeypatch.setattr(change_scanner, "DIRECTORIES_AT_ONCE", most)
    for name in ("one", "two"):
        project.write(f"{name}/a.html", b"one")
    texts = [project.path(f"{name}/**/*") for name in ("one", "two")]
    project.watch.scanner.watch_for_refresh(texts, project.clock.time_ns())
    assert project.watch.scanner.is_incomplete() is are_many


def opened(scanner: ChangeScanner, path: str) -> None:
    scanner.opened.hear("open", (path, "r", os.O_RDONLY), None)


@pytest.mark.usefixtures("many")
def test_what_was_opened_is_watched_at_once_and_the_rest_when_there_is_time(
    project: Project,
) -> None:
    """A project may have thousands of templates; a page is made of a few."""
    before, after = project.write("pages/a.html", b"one"), project.write("pages/b.html", b"one")
    other = project.write("pages/c.html", b"one")
    scanner = project.watch.scanner
    project.clock.advance(HOUR)
    opened(scanner, before)
    opened(scanner, project.write("notes.txt"))
    project.clock.advance(HOUR)
    now = project.clock.time_ns()
    scanner.watch_for_refresh([project.path("pages")], now)
    opened(scanner, after)
    scanner.take_opened()
    assert project.changed() == []
    assert [*project.watch.baselines.project] == [before, after]
    for path in (before, after):
        project.write(os.path.relpath(path, project.root), b"two")
    assert project.changed() == ["pages/a.html", "pages/b.html"]
    scanner.complete(nullcontext())
    assert not scanner.is_incomplete()
    project.write(os.path.relpath(other, project.root), b"two")
    assert project.changed() == ["pages/a.html", "pages/b.html", "pages/c.html"]


@pytest.mark.usefixtures("many")
def test_what_has_come_and_gone_since_it_was_opened_for_the_first_time(project: Project) -> None:
    """Frameworks keep that there was no such file, and go on using one that has gone."""
    changed, gone = (project.write(f"pages/{name}", b"one") for name in ("a.html", "b.html"))
    come, never = project.path("pages/c.html"), project.path("pages/no/d.html")
    scanner = project.watch.scanner
    now = project.clock.time_ns()
    scanner.watch_for_refresh([project.path("pages")], now)
    for path in (changed, gone, come, never):
        opened(scanner, path)
    for path in (changed, come):
        project.write(os.path.relpath(path, project.root), b"two")
        opened(scanner, path)
    os.unlink(gone)
    scanner.take_opened()
    assert project.changed() == ["pages/a.html", "pages/b.html", "pages/c.html"]
    scanner.complete(nullcontext())
    assert never not in project.watch.baselines.project


@pytest.mark.usefixtures("many")
def test_what_was_loaded_and_is_opened_as_well_stays_loaded(project: Project) -> None:
    loaded, scanner = project.load("pages/rules.xyz"), project.watch.scanner
    project.write("pages/a.html")
    scanner.watch_for_refresh([project.path("pages")], project.clock.time_ns())
    opened(scanner, loaded)
    scanner.take_opened()
    assert project.watch.baselines.loaded() == [loaded]
    assert project.watch.baselines.is_loaded(loaded)


@pytest.mark.usefixtures("many")
def test_what_was_opened_is_watched_again_after_a_checkpoint(project: Project) -> None:
    first = project.clock.time_ns()
    paths = [project.write(f"pages/{name}", b"one") for name in ("a.html", "b.html")]
    scanner, baselines = project.watch.scanner, project.watch.baselines
    opened(scanner, paths[0])
    scanner.watch_for_refresh([project.path("pages")], first)
    scanner.complete(nullcontext())
    project.clock.advance(HOUR)
    for name in ("a.html", "b.html"):
        project.write(f"pages/{name}", b"two")
    project.clock.advance(HOUR)
    scanner.watch_again()
    assert scanner.is_incomplete()
    assert baselines.wanted_since(first) == [paths[0]]
    assert project.changed() == []
    scanner.complete(nullcontext())
    assert project.changed() == []
    project.write("pages/b.html", b"three")
    assert project.changed() == ["pages/b.html"]


@pytest.mark.usefixtures("many")
def test_what_comes_while_all_is_gone_through_is_seen_at_any_moment(project: Project) -> None:
    """One that was looked for in vain, before; other threads look meanwhile."""
    listed, later = project.write("pages/a/x.html"), project.path("pages/b.html")
    scanner = project.watch.scanner
    now = project.clock.time_ns()
    scanner.watch_for_refresh([project.path("pages")], now)
    opened(scanner, later)
    seen: list[list[str]] = []

    class Looking:
        def __enter__(self) -> None:
            if seen:  # for the second time: all is listed
                project.write("pages/b.html")
            seen.append(project.changed())

        def __exit__(self, *_: object) -> None: ...

    scanner.complete(Looking())
    assert project.changed() == ["pages/a/x.html", "pages/b.html"]  # the one is as new as the load
    assert listed in project.watch.baselines.project


@pytest.mark.usefixtures("many")
def test_a_file_that_is_named_is_watched_at_once(project: Project) -> None:
    lone, scanner = project.write("rules.txt"), project.watch.scanner
    for name in ("a", "b"):
        project.write(f"pages/{name}.html")
    project.clock.advance(HOUR)
    now = project.clock.time_ns()
    scanner.watch_for_refresh([lone, project.path("pages")], now)
    assert scanner.is_incomplete()
    assert [*project.watch.baselines.project] == [lone]


def test_a_few_files_are_watched_again_at_once(project: Project) -> None:
    page, scanner = project.write("pages/a.html", b"one"), project.watch.scanner
    watch_for_refresh(scanner, project.path("pages"), project.clock.time_ns())
    project.clock.advance(HOUR)
    project.write("pages/a.html", b"two")
    scanner.watch_again()
    assert not scanner.is_incomplete()
    assert project.watch.baselines.wanted_since(0) == [page]


def test_what_is_asked_for_is_watched_again_at_once(project: Project) -> None:
    page, scanner = project.write("pages/a.html", b"one"), project.watch.scanner
    scanner.watch_patterns(Patterns.of([], [], str(project.root), ["pages"]))
    project.clock.advance(HOUR)
    project.write("pages/a.html", b"two")
    scanner.watch_again()
    assert not scanner.is_incomplete()
    assert [*project.watch.baselines.project] == [page]
    assert project.changed() == []


def test_what_is_watched_for_a_refresh_differs_until_it_is_accepted(project: Project) -> None:
    page = project.write("pages/a.html", b"one")
    scanner = project.watch.scanner
    project.clock.advance(HOUR)
    watch_for_refresh(scanner, project.path("pages"), project.clock.time_ns())
    assert project.changed() == []
    project.write("pages/a.html", b"two")
    added = project.write("pages/b.html")
    assert project.changed() == ["pages/a.html", "pages/b.html"]
    scanner.accept(scanner.states([page, added]))
    assert project.changed() == []
    os.unlink(page)
    assert project.changed() == ["pages/a.html"]


def test_what_was_saved_after_it_was_found_is_not_accepted_with_it(project: Project) -> None:
    page = project.write("pages/a.html", b"one")
    scanner = project.watch.scanner
    project.clock.advance(HOUR)
    watch_for_refresh(scanner, project.path("pages"), project.clock.time_ns())
    project.write("pages/a.html", b"two")
    assert project.changed() == ["pages/a.html"]
    states = scanner.states([page])
    project.write("pages/a.html", b"three")
    assert project.changed() == ["pages/a.html"]  # another look has found it
    scanner.accept(states)
    assert project.changed() == ["pages/a.html"]


def test_a_page_that_was_saved_during_the_load_may_have_been_read_before(project: Project) -> None:
    began = project.clock.time_ns()
    project.write("pages/a.html")
    watch_for_refresh(project.watch.scanner, project.path("pages"), began)
    assert project.changed() == ["pages/a.html"]


def test_what_is_watched_for_a_refresh_and_has_changed_since_a_moment(project: Project) -> None:
    project.clock.advance(HOUR)
    began = project.clock.time_ns()
    watch, page = project.watch, project.write("pages/a.html", b"one")
    project.load("app.py")
    watch_for_refresh(watch.scanner, project.path("pages"), began)
    assert watch.baselines.wanted_since(began) == []
    assert watch.baselines.wanted_since(began - 2 * HOUR) == [page]


def test_what_was_loaded_is_in_use_until_it_is_loaded_again(project: Project) -> None:
    page, module = project.write("pages/a.html"), project.load("app.py")
    watch_for_refresh(project.watch.scanner, project.path("pages"), project.clock.time_ns())
    is_in_use = project.watch.baselines.is_in_use
    assert not is_in_use(page)
    assert is_in_use(module)
    project.write("app.py", b"x = 2\n")
    assert project.changed() == ["app.py", "pages/a.html"]
    assert is_in_use(module)
    project.load("app.py", b"x = 2\n")
    assert not is_in_use(module)


def test_what_a_pattern_wants_a_reload_for_nobody_else_sees_to(project: Project) -> None:
    scanner = project.watch.scanner
    scanner.watch_patterns(Patterns.of(["rules"], [], str(project.root), ["pages"]))
    assert not scanner.may_need_no_reload(project.path("rules/a.txt"))
    assert scanner.may_need_no_reload(project.path("pages/a.html"))
    assert scanner.may_need_no_reload(project.path("app.py"))


def test_what_is_watched_in_packages_is_taken_when_there_is_time(project: Project) -> None:
    page = project.write("venv/site-packages/shop/templates/a.html", b"one")
    other = project.write("venv/site-packages/shop/templates/b/b.html", b"one")
    scanner, watch = project.watch.scanner, project.watch
    project.clock.advance(HOUR)
    directory = project.path("venv/site-packages/shop/templates")
    assert not scanner.is_incomplete()
    now = project.clock.time_ns()
    scanner.watch_for_refresh([f"{directory}/**/*"], now)
    assert scanner.is_incomplete()
    assert len(watch.baselines) == 0
    scanner.complete(nullcontext())
    assert not scanner.is_incomplete()
    assert sorted(watch.baselines.packages) == [page, other]
    project.write("venv/site-packages/shop/templates/a.html", b"two")
    assert project.changed() == []  # packages are looked at less often
    assert asyncio.run(scanner.compare(scanner.look_at_all(0.0))) == [page]
    scanner.accept(scanner.states([page]))
    assert asyncio.run(scanner.compare(scanner.look_at_all(9.0))) == []
    assert page not in watch.baselines.project
    watch.baselines.forget_wanted()
    assert not watch.baselines.is_loaded(page)
