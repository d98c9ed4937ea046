"""Modules that no import hook has seen."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.module_scan import ModuleScan
from tests.unit.watching import Project


def test_modules_that_no_hook_has_seen_are_found(project: Project) -> None:
    watch = project.new_watch()
    loaded = project.load("app.py")
    extension = project.write("fast.so")
    project.register("app", loaded)
    project.register("fast", extension)
    project.register("lib", project.write("site-packages/lib.py"))
    project.register("namespace", None)
    project.modules |= {"os": os, "none": None, "builtin": sys}
    watch.modules.scan()
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
