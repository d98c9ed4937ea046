"""Modules that no import hook has seen."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from asyncreload.child.watch import module_scan
from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.file_kinds import source_file as plain_source_file
from asyncreload.child.watch.file_state import read_state
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.module_scan import ModuleScan
from tests.unit.watching import HOUR, Project


def test_modules_that_no_hook_has_seen_are_found(project: Project) -> None:
    watch = project.new_watch()
    loaded = project.load("app.py")
    extension = project.write("fast.so")
    project.register("app", loaded)
    project.register("fast", extension)
    project.register("lib", project.write("site-packages/lib.py"))
    project.register("namespace", None)
    project.modules |= {"os": os, "none": None, "builtin": sys}
    watch.catch_up()
    assert sorted(watch.baselines.to_json()) == [loaded, extension]
    assert len(watch.baselines) == 3
    project.write("fast.so", b"built again")
    assert project.changed() == ["fast.so"]


def test_what_was_imported_before_is_not_the_apps(project: Project) -> None:
    project.register("ours", project.write("ours.py"))
    watch = project.new_watch()
    project.register("late", project.write("late.py"))
    watch.modules.scan()
    assert sorted(watch.baselines.to_json()) == [project.path("late.py")]


def test_a_module_that_is_being_imported_is_left_for_later(project: Project) -> None:
    """Perhaps nothing of it was read yet."""
    watch = project.new_watch()
    path = project.write("coming.py")
    project.register("coming", path)
    spec = ModuleSpec("coming", None, origin=path)
    module = project.modules["coming"]
    assert module is not None
    module.__spec__ = spec
    spec._initializing = True  # type: ignore[attr-defined]  # as the import system has it
    watch.modules.scan(is_loading=True)
    assert not watch.baselines.to_json()
    assert watch.modules.is_behind()
    project.register("next", project.write("next.py"))
    watch.modules.scan()
    assert project.path("next.py") in watch.baselines.to_json()


def test_a_module_that_is_being_imported_is_taken_in_when_no_load_is_under_way(
    project: Project,
) -> None:
    """An app may be run by the import of its module, so that this never ends."""
    watch = project.new_watch()
    path = project.write("running.py")
    project.register("running", path)
    spec = ModuleSpec("running", None, origin=path)
    module = project.modules["running"]
    assert module is not None
    module.__spec__ = spec
    spec._initializing = True  # type: ignore[attr-defined]  # as the import system has it
    watch.modules.scan(is_loading=True)
    watch.modules.scan()
    assert [*watch.baselines.to_json()] == [path]


def test_a_scan_leaves_a_baseline_as_it_is(project: Project) -> None:
    project.new_watch()
    path = project.load("app.py")
    project.write("app.py", b"x = 2\n")
    project.register("app", path)
    project.watch.modules.scan()
    assert project.changed() == ["app.py"]


def test_a_scan_leaves_out_what_is_ignored(project: Project) -> None:
    """Also one that the load has just written: it would be a change."""
    watch = project.new_watch()
    watch.baselines.begin_load(time.time_ns(), {})
    path = project.write("made.py")
    watch.scanner.watch_patterns(Patterns.of([], ["made.py"], os.path.dirname(path)))
    project.register("made", path)
    watch.modules.scan()
    assert not watch.baselines.to_json()


@pytest.mark.parametrize(("led_to_this_load", "changed"), [(False, ["fast.so"]), (True, [])])
def test_a_module_that_no_hook_has_seen_and_that_changed_during_the_load_is_a_change(
    project: Project,
    led_to_this_load: bool,  # noqa: FBT001  a row
    changed: list[str],
) -> None:
    """But not once more, when that was what has led to this load."""
    project.new_watch()
    since = time.time_ns()
    path = project.write("fast.so")
    led_here = {path: [None, "", False]} if led_to_this_load else {}
    project.watch.baselines.begin_load(since, led_here)
    project.register("fast", path)
    project.watch.modules.scan()
    assert project.changed() == changed


def test_to_catch_up_is_to_scan(project: Project) -> None:
    watch = project.new_watch()
    project.register("app", project.write("app.py"))
    watch.catch_up()
    assert sorted(watch.baselines.to_json()) == [project.path("app.py")]


def test_a_module_that_takes_the_place_of_another_is_found(project: Project) -> None:
    watch = project.new_watch()
    project.register("a", project.write("a.so"))
    watch.modules.scan()
    del project.modules["a"]
    project.register("b", project.write("b.so"))
    watch.modules.scan()
    assert sorted(watch.baselines.to_json()) == [project.path("a.so"), project.path("b.so")]


def test_a_module_that_takes_the_place_of_another_of_its_name_is_found(project: Project) -> None:
    watch = project.new_watch()
    project.register("plugin", project.write("one.py"))
    watch.modules.scan()
    old = project.modules.pop("plugin")  # it lives on: else the other may have its address
    project.register("plugin", project.write("two.py"))
    watch.modules.scan()
    assert old is not None
    assert project.watched() == [project.path("one.py"), project.path("two.py")]


def test_a_file_that_only_the_spec_names_is_watched(project: Project) -> None:
    watch = project.new_watch()
    path = project.write("plugin.txt")
    made = ModuleType("plugin")
    made.__spec__ = ModuleSpec("plugin", None, origin=path)
    project.modules["plugin"] = made
    watch.modules.scan()
    assert project.watched() == [path]


# --- before us ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saved", "led_here", "changed"),
    [
        ("before", False, []),
        ("after", False, ["lib.py"]),
        ("after", True, []),
        ("twice", True, ["lib.py"]),
    ],
)
def test_what_python_has_imported_when_it_started_is_watched(
    project: Project,
    saved: str,
    led_here: bool,  # noqa: FBT001  a row
    changed: list[str],
) -> None:
    """A save since the process began is a change, if it is not the one that has led to it."""
    path = project.write("lib.py")
    began = time.time_ns() + (HOUR if saved == "before" else -HOUR)
    found = {path: read_state(path).to_json()} if led_here else {}
    if saved == "twice":
        project.write("lib.py", b"x = 2\n")
    project.register("lib", path)
    project.register("package", project.write("site-packages/package.py"))
    project.register("asyncreload", project.path("asyncreload/__init__.py"))
    project.register("aiofiles", project.write("libs/aiofiles.py"))  # we have imported it
    watch = project.new_watch()
    assert watch.modules.ran_at_start == (path,)
    watch.baselines.begin_load(time.time_ns(), found)
    assert watch.modules.take_start(lambda: began) == []
    assert project.watched() == [path]
    assert project.changed() == changed
    project.write("lib.py", b"x = 3\n")
    assert project.changed() == ["lib.py"]


def test_what_has_changed_while_the_process_stood_by_is_told(project: Project) -> None:
    """Although it is what has led to the load: another process has to run it."""
    path = project.write("lib.py")
    project.register("lib", path)
    watch = project.new_watch()
    began = time.time_ns()
    assert watch.modules.take_start(lambda: began) == []
    project.write("lib.py", b"x = 2\n")
    watch.baselines.begin_load(time.time_ns(), {path: read_state(path).to_json()})
    assert watch.modules.take_start(lambda: began) == [path]


# --- by itself, over modules that are given ------------------------------------------------------


def module(path: str) -> ModuleType:
    made = ModuleType("made")
    made.__file__ = path
    return made


def test_it_is_behind_when_modules_have_come_or_gone() -> None:
    modules: dict[str, ModuleType | None] = {"ours": module("/srv/ours.py")}
    scan = ModuleScan(Baselines(search_path=()), modules)
    assert not scan.is_behind()
    modules["app"] = module("/srv/app.py")
    assert scan.is_behind()
    scan.scan()
    assert not scan.is_behind()
    del modules["app"]
    assert scan.is_behind()


def test_each_file_is_watched_as_what_it_is() -> None:
    modules: dict[str, ModuleType | None] = {}
    baselines = Baselines(search_path=())
    scan = ModuleScan(baselines, modules)
    modules |= {
        "app": module("/srv/app.py"),
        "lib": module("/srv/venv/site-packages/lib.py"),
        "json": json,
    }
    scan.scan()
    assert [*baselines.project] == ["/srv/app.py"]
    assert scan.is_behind()  # what may take its time is left to the helper thread
    scan.take_packages()
    assert not scan.is_behind()
    assert [*baselines.packages] == ["/srv/venv/site-packages/lib.py"]


def test_of_a_module_in_an_archive_the_archive_is_watched(tmp_path: Path) -> None:
    archive = tmp_path / "library.zip"
    archive.touch()
    modules: dict[str, ModuleType | None] = {}
    baselines = Baselines(search_path=())
    scan = ModuleScan(baselines, modules)
    for name in ("one", "two"):
        modules[name] = module(str(archive / f"{name}.py"))
    scan.scan()
    assert [*baselines.project] == [str(archive)]


def test_the_first_scan_asks_no_module_that_was_there_at_boot(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.register("ours", project.write("ours.py"))
    watch = project.new_watch()
    project.register("late", project.write("late.py"))
    asked: list[object] = []

    def source_file(module: object) -> str | None:
        asked.append(module)
        return plain_source_file(module)

    monkeypatch.setattr(module_scan, "source_file", source_file)
    watch.modules.scan()
    assert project.modules["late"] in asked
    assert project.modules["ours"] not in asked


def test_what_is_imported_ahead_is_scanned_before_there_is_a_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules: dict[str, ModuleType | None] = {}
    baselines = Baselines(search_path=())
    scan = ModuleScan(baselines, modules)
    modules["lib"] = module("/srv/venv/site-packages/lib.py")
    modules["app"] = module("/srv/app.py")
    scan.scan_ahead()
    assert not baselines.project, "it is not known yet when the load of the project begins"

    asked: list[object] = []

    def source_file(module: object) -> str | None:
        asked.append(module)
        return plain_source_file(module)

    monkeypatch.setattr(module_scan, "source_file", source_file)
    scan.scan()
    assert modules["app"] in asked
    assert modules["lib"] not in asked
    assert [*baselines.project] == ["/srv/app.py"]
    scan.take_packages()
    assert [*baselines.packages] == ["/srv/venv/site-packages/lib.py"]


def test_a_module_is_scanned_once(project: Project) -> None:
    project.register("app", project.write("app.py"))
    modules = project.modules.copy()
    scan = ModuleScan(project.watch.baselines, modules)
    scan.scan()
    assert project.watched() == []  # it was there before
    modules["again"] = modules["app"]
    scan.scan()
    assert project.watched() == [project.path("app.py")]
    project.write("app.py", b"x = 2\n")
    scan.scan()
    assert project.changed() == ["app.py"]


def test_what_went_or_was_replaced_in_its_place_is_no_obstacle_to_a_scan(project: Project) -> None:
    watch = project.new_watch()
    project.modules |= {"a": ModuleType("a"), "odd": cast("ModuleType", object()), "none": None}
    watch.modules.scan()
    del project.modules["a"]
    watch.modules.scan()
    for name in ("b", "odd", "none"):  # the last two stay where the other was
        project.register(name, project.write(f"{name}.so"))
        project.register(f"behind_{name}", None)
        watch.modules.scan()
        assert watch.baselines.is_watched(project.path(f"{name}.so"))
