"""Baselines: how they are taken, learned, trusted and compared."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from asyncreload.child.watch import baselines as module
from asyncreload.child.watch import file_state
from asyncreload.child.watch.baselines import LEARNED_AT_A_TIME, Baselines
from asyncreload.child.watch.file_kinds import FileKind
from asyncreload.child.watch.file_state import (
    ABSENT,
    MIXED,
    RACY,
    FileState,
    Now,
    Signature,
    digest,
    digest_of,
    read_state,
    stat_state,
)
from asyncreload.child.watch.globs import Patterns
from tests.unit.watching import (
    HOUR,
    Clock,
    Project,
    no_descriptors,
    other_bytes,
    save_after_next_stat,
)

# --- taking them ---------------------------------------------------------------------------------


def test_files_are_adopted_in_the_state_that_the_process_before_saw(project: Project) -> None:
    project.load("app.py")
    project.load("same.py")
    seen = project.watch.baselines.to_json() | {project.path("missing.py"): [None, "", False]}
    project.write("app.py", b"x = 2\n")  # saved after the death of that process
    project.new_watch()
    project.watch.baselines.adopt(seen)
    assert project.changed() == ["app.py"]
    project.write("missing.py")
    assert project.changed() == ["app.py", "missing.py"]


def test_what_is_watched_is_told(project: Project) -> None:
    b, a = project.load("b.py"), project.load("a.py")
    project.load("site-packages/lib.py")
    assert project.watched() == [a, b]
    assert len(project.watch.baselines) == 3


def test_the_standard_library_is_not_watched(project: Project) -> None:
    watch = project.watch
    watch.hooks.before_source(os.__file__)
    watch.baselines.was_read(os.__file__, b"")
    assert (sorted(watch.baselines.to_json()), len(watch.baselines)) == ([], 0)


@pytest.mark.usefixtures("an_hour_later")
@pytest.mark.parametrize("learned", [True, False])
def test_the_same_bytes_may_be_loaded_again(
    project: Project,
    learned: bool,  # noqa: FBT001  a row
) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)
    if learned:
        project.watch.baselines.was_read(path, b"x = 1\n")
        os.utime(path, (10**9, 10**9))
    project.watch.hooks.before_source(path)
    project.watch.baselines.was_read(path, b"x = 1\n")
    assert project.suspects() == []


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


def test_a_save_between_the_read_and_the_end_of_the_load_is_seen(project: Project) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)
    project.watch.baselines.was_read(path, Path(path).read_bytes())
    project.write("app.py", b"x = 2\n")  # the module is being executed
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_a_save_between_baseline_and_read_is_loaded_already(project: Project) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)
    other_bytes(path, b"x = 2\n")
    project.watch.baselines.was_read(path, b"x = 2\n")
    assert project.suspects() == ["app.py"]
    assert project.changed() == []


@pytest.mark.usefixtures("an_hour_later")
def test_a_save_after_the_baseline_is_seen_when_the_bytes_came_from_a_cache(
    project: Project,
) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)
    other_bytes(path, b"x = 2\n")
    assert project.changed() == ["app.py"]


# --- digests that are learned --------------------------------------------------------------------


@pytest.mark.usefixtures("an_hour_later")
def test_bytes_that_the_load_did_not_give_are_learned(project: Project) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)  # and Python takes the code from its cache
    os.utime(path, (10**9, 10**9))
    assert project.changed() == ["app.py"]  # nothing is known of the bytes: the signature decides

    project.new_watch()
    project.watch.hooks.before_source(path)
    assert project.watch.scanner.look_at_all(0.0) == []
    project.watch.catch_up()
    os.utime(path, (10**9 + 1, 10**9 + 1))
    assert project.changed() == []
    other_bytes(path, b"x = 2\n")
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_what_cannot_be_read_for_lack_of_descriptors_is_learned_later(project: Project) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)
    baselines = project.watch.baselines
    with no_descriptors():
        baselines.learn()
    assert baselines.is_learning()
    baselines.learn()
    assert not baselines.is_learning()
    os.utime(path, (10**9, 10**9))
    assert project.changed() == []


@pytest.mark.usefixtures("an_hour_later")
def test_the_bytes_of_a_later_state_are_not_learned(project: Project) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)
    other_bytes(path, b"x = 2\n")
    project.watch.catch_up()
    assert project.watch.scanner.look_at_all(0.0) == [path]
    assert project.watch.baselines.project[path].digest is None
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_bytes_of_a_save_between_state_and_reading_are_not_learned(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.write("app.py")
    project.watch.hooks.before_source(path)  # and Python takes the code from its cache
    save_after_next_stat(monkeypatch, path)
    project.watch.catch_up()
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_a_few_are_learned_at_a_time(project: Project) -> None:
    paths = [project.write(f"m{n}.py") for n in range(LEARNED_AT_A_TIME + 5)]
    for path in paths:
        project.watch.hooks.before_source(path)

    def learned() -> int:
        return sum(known.digest is not None for known in project.watch.baselines.project.values())

    counts = []
    for _ in range(3):
        project.watch.catch_up()
        counts.append(learned())
    assert counts == [LEARNED_AT_A_TIME, LEARNED_AT_A_TIME + 5, LEARNED_AT_A_TIME + 5]


@pytest.mark.usefixtures("an_hour_later")
def test_what_was_loaded_is_not_overwritten_by_what_is_learned(project: Project) -> None:
    path = project.write("app.py", b"x = 1")
    project.watch.hooks.before_source(path)
    project.watch.baselines.was_read(path, b"x = 0")  # what the loader got
    project.watch.catch_up()
    assert project.watch.baselines.project[path].digest == digest(b"x = 0")


def test_bytes_that_were_loaded_while_they_were_being_learned_stay(
    project: Project, coarse: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests are read in a thread beside the import: it must not undo what that one notes."""
    coarse.advance(HOUR)
    path = project.write("app.py", b"x = 1")
    project.watch.hooks.before_source(path)
    plain = digest_of

    def meanwhile(path: str, state: Signature | None, now: Now) -> bytes | None:
        learned = plain(path, state, now)
        project.watch.baselines.was_read(path, b"x = 0")  # what the loader got
        return learned

    monkeypatch.setattr(module, "digest_of", meanwhile)
    project.watch.catch_up()
    assert project.watch.baselines.project[path].digest == digest(b"x = 0")


# --- the process before --------------------------------------------------------------------------


def trust(project: Project) -> None:
    """Have the files watched by another process, which has heard what this one knows."""
    told = json.loads(json.dumps(project.watch.baselines.to_json()))
    project.new_watch().baselines.trust(told)


@pytest.mark.usefixtures("an_hour_later")
def test_what_the_process_before_has_read_need_not_be_read_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [project.load(name) for name in ("app.py", "data.json")]
    trust(project)
    for reader in (module, file_state):
        monkeypatch.setattr(reader, "read_state", None)
    project.watch.hooks.before_source(paths[0])  # and Python takes the code from its cache
    project.watch.scanner.watch_patterns(Patterns.of(["*.json"], [], str(project.root)))
    project.watch.catch_up()
    monkeypatch.undo()
    for path in paths:
        os.utime(path, (10**9, 10**9))
    assert project.changed() == []
    for path in paths:
        other_bytes(path, b"x = 2\n")
    assert project.changed() == ["app.py", "data.json"]


@pytest.mark.usefixtures("an_hour_later")
def test_the_process_before_is_not_trusted_on_a_file_in_another_state(project: Project) -> None:
    path = project.load("app.py")
    trust(project)
    other_bytes(path, b"x = 2\n")
    project.watch.hooks.before_source(path)
    assert project.watch.baselines.project[path].digest is None
    assert project.changed() == []


def test_the_process_before_is_not_trusted_on_a_signature_that_proves_nothing(
    project: Project, coarse: Clock
) -> None:
    path = project.load("app.py")
    coarse.advance(RACY)
    trust(project)
    project.write("app.py", b"x = 2\n")  # in the same tick
    project.watch.hooks.before_source(path)
    assert project.watch.baselines.project[path].digest is None


# --- in a process that goes on from a checkpoint, where some files were loaded before ------------


@pytest.mark.usefixtures("an_hour_later")
def test_what_the_process_before_has_learned_counts_for_what_was_loaded_already(
    project: Project,
) -> None:
    path = project.write("app.py")
    told = {path: read_state(path, project.clock.time_ns).to_json()}
    baselines = project.watch.baselines
    baselines.take(path)
    assert baselines.project[path].digest is None
    baselines.trust(told)
    os.utime(path, (10**9, 10**9))
    assert project.changed() == []  # by its bytes, which nobody has read here
    other_bytes(path, b"x = 2\n")
    assert project.changed() == ["app.py"]


@pytest.mark.usefixtures("an_hour_later")
def test_but_not_of_a_file_that_was_in_another_state_when_it_was_loaded(project: Project) -> None:
    path = project.write("app.py")
    baselines = project.watch.baselines
    baselines.take(path)
    loaded = baselines.project[path]
    other_bytes(path, b"x = 2\n")
    baselines.trust({path: read_state(path, project.clock.time_ns).to_json()})
    assert baselines.project[path] == loaded
    assert project.changed() == ["app.py"]


def test_nor_where_the_signature_proves_nothing(project: Project, coarse: Clock) -> None:
    path = project.write("app.py")
    baselines = project.watch.baselines
    baselines.project[path] = FileState(stat_state(path, coarse.time_ns).signature, racy=True)
    coarse.advance(2 * RACY)
    baselines.trust({path: read_state(path, coarse.time_ns).to_json()})
    assert baselines.project[path].digest is None


@pytest.mark.usefixtures("an_hour_later")
def test_what_was_read_here_is_not_replaced(project: Project) -> None:
    path = project.load("app.py")
    loaded = project.watch.baselines.project[path]
    told = loaded._replace(digest=digest(b"x = 9\n"))
    project.watch.baselines.trust({path: told.to_json()})
    assert project.watch.baselines.project[path] == loaded


@pytest.mark.usefixtures("an_hour_later")
def test_what_patterns_ask_for_is_taken_as_it_is_now_and_what_was_loaded_as_it_was(
    project: Project,
) -> None:
    asked, loaded = project.write("data.json"), project.write("page.html")
    patterns = Patterns.of(["*.json", "*.html"], [], str(project.root))
    project.watch.scanner.watch_patterns(patterns)
    project.load("page.html")
    project.write("data.json", b"[1]")
    project.write("page.html", b"<p>")
    assert project.changed() == ["data.json", "page.html"]
    project.watch.scanner.watch_patterns(patterns)
    assert project.changed() == ["page.html"]
    assert project.watched() == sorted([asked, loaded])
    project.write("data.json", b"[2]")
    assert project.changed() == ["data.json", "page.html"]


@pytest.mark.usefixtures("an_hour_later")
def test_what_nobody_asks_for_any_more_is_forgotten_and_not_read(project: Project) -> None:
    project.write("data.json")
    project.watch.scanner.watch_patterns(Patterns.of(["*.json"], [], str(project.root)))
    version = project.watch.baselines.project.version
    project.watch.scanner.watch_patterns(Patterns.of([], [], str(project.root)))
    assert project.watched() == []
    assert project.watch.baselines.project.version > version  # so that looks notice
    project.watch.catch_up()
    assert project.changed() == []


# --- other ways to take them ---------------------------------------------------------------------


def test_each_new_baseline_is_told(project: Project) -> None:
    told: list[str] = []
    baselines = Baselines(told.append, search_path=())
    baselines.patterns = Patterns.of([], ["ignored.py"], str(project.root))
    for name in ("app.py", "ignored.py", "missing.py"):
        baselines.take(project.path(name))
    assert told == [project.path("app.py"), project.path("missing.py")]


def test_an_ignored_file_is_read_and_not_watched(project: Project) -> None:
    baselines = project.watch.baselines
    baselines.patterns = Patterns.of([], ["ignored.py"], str(project.root))
    path = project.write("ignored.py", b"x = 1")
    assert baselines.take(path, reads=True).digest == digest(b"x = 1")
    assert not baselines.is_watched(path)
    assert len(baselines) == 0


@pytest.mark.usefixtures("an_hour_later")
def test_bytes_are_read_at_once_where_that_is_asked_for(project: Project) -> None:
    path = project.write("data.json", b"{}")
    baselines = project.watch.baselines
    assert baselines.take(path).digest is None
    assert baselines.is_learning()
    assert baselines.take(path, reads=True).digest == digest(b"{}")


def test_a_file_in_a_state_that_proves_nothing_is_read_at_once(project: Project) -> None:
    path = project.write("app.py", b"x = 1")
    assert project.watch.baselines.take(path).digest == digest(b"x = 1")


def test_a_file_that_is_taken_as_absent_differs_while_it_is_there(project: Project) -> None:
    path = project.write("new.py")
    project.watch.baselines.take_as_absent(path)
    assert project.changed() == ["new.py"]
    os.unlink(path)
    assert project.changed() == []


def test_a_baseline_is_kept_when_the_file_appears(project: Project) -> None:
    path = project.load("app.py")
    project.watch.baselines.take_as_absent(path)
    project.watch.baselines.take_unless_known(path, 0, {})
    assert project.changed() == []


@pytest.mark.parametrize(
    ("kind", "changed"), [(FileKind.PROJECT, ["app.py"]), (FileKind.PACKAGE, [])]
)
def test_a_file_of_the_project_that_is_taken_late_has_changed_if_it_did_since_the_load_began(
    project: Project, kind: FileKind, changed: list[str]
) -> None:
    path = project.write("app.py")
    baselines = project.watch.baselines
    baselines.begin_load(os.stat(path).st_ctime_ns, {})
    baselines.take_late(path, kind)
    assert baselines.is_watched(path)
    assert (path in baselines.project) is (kind is FileKind.PROJECT)
    assert project.changed() == changed


SAVED, AGAIN = b"x = 1", b"x = 2"


@pytest.mark.parametrize(
    ("now", "late", "changed"),
    [
        (SAVED, (), []),  # what has led to the load
        (AGAIN, (), ["app.py"]),  # it was saved once more since
        (AGAIN, ("app.py",), []),  # as in the load before: the app writes it itself
    ],
)
def test_a_file_that_has_led_to_the_load_and_is_found_late(
    project: Project, now: bytes, late: tuple[str, ...], changed: list[str]
) -> None:
    """Nobody knows which bytes were loaded of it, so those that came since are another save."""
    path = project.write("app.py", SAVED)
    told = {path: read_state(path, time.time_ns).to_json()}
    project.write("app.py", now)
    baselines = project.watch.baselines
    baselines.begin_load(os.stat(path).st_ctime_ns, told, map(project.path, late))
    baselines.take_late(path, FileKind.PROJECT)
    assert project.changed() == changed
    assert baselines.late([path]) == tuple(map(project.path, changed))

    failed = Baselines()
    failed.begin_load(0, told, map(project.path, late))
    failed.take_unless_known(path, 0, told)
    assert failed.differs(path, read_state(path, time.time_ns)) is bool(changed)


def test_before_a_load_has_begun_nothing_is_late(project: Project) -> None:
    project.watch.baselines.take_late(project.write("app.py"), FileKind.PROJECT)
    assert project.changed() == []


def test_of_what_is_not_watched_nothing_is_noted(project: Project) -> None:
    project.watch.baselines.was_read(project.path("app.py"), b"x = 1")
    assert len(project.watch.baselines) == 0


def test_a_file_that_was_loaded_twice_with_other_bytes_has_no_fresh_state(
    project: Project,
) -> None:
    path = project.load("app.py", b"x = 1")
    project.load("app.py", b"x = 2")
    assert project.watch.baselines.project[path] == MIXED


def test_directories_of_packages_are_those_of_the_search_path(tmp_path: Path) -> None:
    packages = tmp_path / "venv" / "site-packages"
    packages.mkdir(parents=True)
    baselines = Baselines(
        search_path=[str(tmp_path), str(packages), "", os.path.dirname(os.__file__)]
    )
    assert [*baselines.package_directories] == [str(packages)]


# --- comparing -----------------------------------------------------------------------------------


def test_a_file_without_a_baseline_differs_unless_it_is_absent(project: Project) -> None:
    """One of the directories that were searched may have gone again since the look."""
    baselines = project.watch.baselines
    assert baselines.differs(project.path("new.py"), FileState((1, 2, 3, 4), digest=digest(b"")))
    assert not baselines.differs(project.path("gone.py"), FileState(None, digest=ABSENT))


@pytest.mark.usefixtures("an_hour_later")
def test_a_state_with_the_same_bytes_is_the_baseline_from_now_on(project: Project) -> None:
    path = project.load("app.py", b"x = 1")
    touched = FileState((1, 2, 3, 4), digest=digest(b"x = 1"))
    assert not project.watch.baselines.differs(path, touched)
    assert project.watch.baselines.project[path] == touched


@pytest.mark.usefixtures("an_hour_later")
def test_bytes_that_were_read_late_are_not_taken_for_those_that_were_loaded(
    project: Project,
) -> None:
    path = project.write("app.py")
    state = project.watch.baselines.take(path)
    assert not project.watch.baselines.differs(path, state._replace(digest=digest(b"x = 2")))
    assert project.watch.baselines.project[path].digest is None


@pytest.mark.usefixtures("an_hour_later")
def test_that_all_digests_are_known_is_told_once(project: Project) -> None:
    baselines = project.watch.baselines
    assert not baselines.has_learned()
    for number in range(LEARNED_AT_A_TIME + 1):
        baselines.take(project.write(f"m{number}.py"))
    baselines.learn()
    assert not baselines.has_learned()  # one is left
    baselines.learn()
    assert [baselines.has_learned(), baselines.has_learned()] == [True, False]


@pytest.mark.usefixtures("an_hour_later")
def test_files_of_the_project_are_learned_first(project: Project) -> None:
    baselines = project.watch.baselines
    for number in range(LEARNED_AT_A_TIME):
        path = project.write(f"site-packages/m{number}.py")
        baselines.take(path, FileKind.PACKAGE)
    app = project.write("app.py")
    baselines.take(app)
    baselines.learn()
    assert baselines.project[app].digest is not None


# --- the lock ------------------------------------------------------------------------------------


class HeldLock:
    """A lock that another thread holds."""

    def __enter__(self) -> None:
        raise AssertionError("waits for ever")

    def __exit__(self, *_: object) -> None:
        pass


def test_a_fork_does_not_wait_for_a_thread_that_does_not_run_in_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    baselines = project.watch.baselines
    monkeypatch.setattr(baselines, "_lock", HeldLock())
    with pytest.raises(AssertionError, match="for ever"):
        project.load("app.py")
    baselines.renew_lock()
    path = project.load("app.py")
    baselines.adopt({})
    assert project.changed() == []
    assert baselines.is_watched(path)


def test_a_signal_handler_may_import_while_its_thread_holds_the_lock(project: Project) -> None:
    with project.watch.baselines._lock:
        path = project.load("app.py")
    assert project.watch.baselines.is_watched(path)
