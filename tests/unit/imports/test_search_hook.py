"""What an import would find now and did not, or has found and would not: P6."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import pkgutil
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from asyncreload.child.watch.file_state import read_state
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.import_searches import NOTHING, Winner
from tests.unit.watching import HOUR, Project, Watch

EXTENSION = EXTENSION_SUFFIXES[0]


@pytest.fixture(params=["polling", "inotify"])
def seen(request: pytest.FixtureRequest, importing: Project) -> Iterator[Project]:
    """A project whose imports are noted, and which is watched in each way."""
    importing.clock.advance(HOUR)
    scanner = importing.watch.scanner
    if request.param == "inotify":
        pytest.importorskip("asyncinotify")  # of the extra `inotify`, which is Linux's
        scanner.use_events(str(importing.root))
    yield importing
    scanner.use_polling()


def settle(project: Project) -> None:
    """Have what has been imported taken in, and watched as cheaply as possible."""
    assert project.changed() == []
    for _ in range(3):
        project.watch.scanner.make_cheaper()
    assert project.suspects() == []


def try_to_import(name: str) -> None:
    with suppress(ImportError):
        importlib.import_module(name)


def test_a_module_that_was_not_found_and_appears(seen: Project) -> None:
    try_to_import("optional_settings")
    settle(seen)
    seen.write("other_settings.py")
    seen.write("notes.txt")
    assert seen.changed() == []
    seen.write("optional_settings.py")
    assert seen.changed() == ["optional_settings.py"]
    (seen.root / "optional_settings.py").unlink()
    assert seen.changed() == []


def test_a_module_of_a_package_that_was_not_found_and_appears(seen: Project) -> None:
    """As Django looks for `admin` in each app."""
    seen.write("shop/__init__.py", b"")
    try_to_import("shop.admin")
    settle(seen)
    seen.write("shop/admin.py")
    assert seen.changed() == [os.path.join("shop", "admin.py")]


def test_a_module_that_appears_where_all_are_imported(seen: Project) -> None:
    """As in a package of plugins; what is no module may come and go there."""
    seen.write("plugins/__init__.py", b"")
    seen.write("plugins/one.py")
    plugins = importlib.import_module("plugins")
    assert [each.name for each in pkgutil.iter_modules(plugins.__path__)] == ["one"]
    settle(seen)
    seen.write("plugins/notes.txt")
    (seen.root / "plugins" / "data").mkdir()
    assert seen.changed() == []
    seen.write("plugins/two.py")
    assert seen.changed() == [os.path.join("plugins", "two.py")]
    (seen.root / "plugins" / "two.py").unlink()
    assert seen.changed() == []
    seen.write("plugins/data/__init__.py")
    assert seen.changed() == [os.path.join("plugins", "data", "__init__.py")]


def test_a_package_beside_a_module_of_its_name(seen: Project) -> None:
    seen.write("tool.py")
    importlib.import_module("tool")
    settle(seen)
    (seen.root / "tool").mkdir()
    assert seen.changed() == []  # the module still goes before a directory without `__init__`
    seen.write("tool/__init__.py", b"")
    assert seen.changed() == [os.path.join("tool", "__init__.py")]


def test_a_directory_beside_a_module_that_becomes_a_package_before_the_first_look(
    seen: Project,
) -> None:
    """A checkpoint is taken before anybody has looked, and the directory above is as it was."""
    met = Winner(seen.write("shop.py"))
    seen.write("shop/notes.txt")
    seen.watch.scanner.searches.note(str(seen.root), "shop", met, seen.clock.time_ns())
    seen.write("shop/__init__.py")
    assert seen.changed() == [os.path.join("shop", "__init__.py")]


def test_an_init_in_a_namespace_package(seen: Project) -> None:
    seen.write("space/inner.py")
    importlib.import_module("space.inner")
    settle(seen)
    seen.write("space/more.py")
    assert seen.changed() == []
    seen.write("space/__init__.py", b"")
    assert seen.changed() == [os.path.join("space", "__init__.py")]


def test_a_package_in_which_nothing_has_been_looked_for(seen: Project) -> None:
    (seen.root / "space").mkdir()
    seen.write("pack/__init__.py", b"")
    importlib.import_module("space")
    importlib.import_module("pack")
    settle(seen)
    seen.write(f"pack/__init__{EXTENSION}")
    seen.write("space/__init__.py", b"")
    assert seen.changed() == [
        os.path.join("pack", f"__init__{EXTENSION}"),
        os.path.join("space", "__init__.py"),
    ]


def test_an_extension_that_wins_over_a_source(seen: Project) -> None:
    seen.write("fast.py")
    importlib.import_module("fast")
    settle(seen)
    seen.write(f"fast{EXTENSION}")
    assert seen.changed() == [f"fast{EXTENSION}"]


def test_a_module_that_hides_one_that_is_found_later_on_the_path(seen: Project) -> None:
    """One of the standard library, or an installed one."""
    for name in ("cmd", "aiofiles"):
        sys.modules.pop(name, None)
        seen.modules[name] = importlib.import_module(name)
    settle(seen)
    (seen.root / "cmd").mkdir()  # hides nothing
    assert seen.changed() == []
    seen.write("cmd.py")
    seen.write("aiofiles/__init__.py")
    assert seen.changed() == [os.path.join("aiofiles", "__init__.py"), "cmd.py"]


def test_a_module_that_hides_what_was_imported_before_all_else(
    project: Project, imports: None, loaders: Callable[[Watch], None]
) -> None:
    """Nothing has searched the project for it, as it was there already."""
    root = str(project.root)
    project.modules |= {"queue": sys.modules["queue"], "os": os, "sys": sys}
    searches = project.watch.scanner.searches
    searches.begin([])
    loaders(project.watch)
    sys.path.insert(0, root)
    try_to_import("anything")
    assert project.changed() == []
    project.write("os.py")
    project.write("sys.py")
    assert project.changed() == []  # one is frozen, the other built in: nothing hides them
    project.write("queue.py")
    assert project.changed() == ["queue.py"]
    late = project.root / "late"
    late.mkdir()
    sys.path.append(str(late))
    try_to_import("nothing")
    project.write("late/queue.py")
    assert project.changed() == ["queue.py"]  # what comes last on the path hides nothing


def test_a_sitecustomize_that_appears_where_python_has_looked(project: Project) -> None:
    searches = project.watch.scanner.searches
    searches.begin([str(project.root), "", "/no/such/directory"])
    assert project.changed() == []
    project.write("sitecustomize.py")
    assert searches.scan_all() == [project.path("sitecustomize.py")]
    assert project.changed() == ["sitecustomize.py"]


def test_a_portion_that_can_be_imported_at_last(seen: Project) -> None:
    """A directory alone is a package, too, when nothing else has its name."""
    try_to_import("plugins")
    settle(seen)
    (seen.root / "plugins").mkdir()
    assert seen.changed() == ["plugins"]
    (seen.root / "plugins").rmdir()
    assert seen.changed() == []


def test_a_link_that_leads_somewhere_at_last(seen: Project, tmp_path: Path) -> None:
    target = tmp_path.with_name("elsewhere.py")
    (seen.root / "linked.py").symlink_to(target)
    try_to_import("linked")
    settle(seen)
    target.write_bytes(b"x = 1\n")
    assert seen.changed() == ["linked.py"]
    target.unlink()


def test_only_the_very_name_counts(seen: Project) -> None:
    """Where the file system knows no case, Python does."""
    seen.write("Case.py")
    try_to_import("case")
    settle(seen)
    (seen.root / "Case.py").rename(seen.root / "case.py")
    assert seen.changed() == ["case.py"]


def test_a_burst_and_a_rename(seen: Project) -> None:
    """What stands there in the end counts, and what is ignored does not."""
    for name in ("one", "two", "three"):
        try_to_import(name)
    patterns = Patterns.of([], ["three.py"], str(seen.root))
    seen.watch.scanner.watch_patterns(patterns)
    settle(seen)
    for number in range(100):
        seen.write(f"x{number}.py")
    seen.write("one.py")
    (seen.root / "one.py").rename(seen.root / "two.py")
    seen.write("three.py")
    assert seen.changed() == ["two.py"]


def test_another_directory_in_the_place_of_the_searched_one(seen: Project) -> None:
    seen.write("shop/__init__.py", b"")
    try_to_import("shop.admin")
    settle(seen)
    shutil.copytree(seen.root / "shop", seen.root / "new")
    seen.write("new/admin.py")
    (seen.root / "shop").rename(seen.root / "old")
    (seen.root / "new").rename(seen.root / "shop")
    assert os.path.join("shop", "admin.py") in seen.changed()


def test_what_was_looked_for_twice_and_found_once(importing: Project) -> None:
    """Whoever looked first goes on without it; unless it is what has led to this load."""
    try_to_import("made")
    path = importing.write("made.py")
    importlib.invalidate_caches()
    importlib.import_module("made")
    assert importing.changed() == ["made.py"]
    watch = importing.watch
    watch.baselines.begin_load(0, {path: read_state(path).to_json()})
    importlib.invalidate_caches()
    del sys.modules["made"]
    importlib.import_module("made")
    assert asyncio.run(watch.scanner.compare(watch.scanner.searches.scan_all())) == []


def test_a_file_that_pythons_own_list_of_the_directory_lacks(seen: Project) -> None:
    """Within a tick of the clock, Python takes an outdated list for current."""
    try_to_import("first")
    settle(seen)
    times = seen.root.stat()
    seen.write("second.py")
    os.utime(seen.root, ns=(times.st_atime_ns, times.st_mtime_ns))
    settle(seen)  # nobody has looked for it yet
    with pytest.raises(ImportError):
        importlib.import_module("second")
    assert seen.changed() == ["second.py"]


def test_directories_are_listed_only_when_they_have_changed(
    importing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing.clock.advance(HOUR)
    importing.write("shop/__init__.py", b"")
    importing.write("tool.py")
    for name in ("shop.admin", "tool", "nowhere"):
        try_to_import(name)
    settle(importing)
    listed: list[str] = []
    plain = os.scandir

    def scandir(path: str) -> Any:
        listed.append(path)
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    importing.write("tool.py", b"x = 2\n")  # in place
    assert importing.changed() == ["tool.py"]
    assert listed == []
    importing.write("shop/new.py")
    assert importing.changed() == ["tool.py"]
    assert set(listed) == {importing.path("shop"), str(importing.root)}


def test_a_search_without_an_import_counts_as_well(importing: Project) -> None:
    assert importlib.util.find_spec("optional") is None
    importing.write("optional.py")
    assert importing.changed() == ["optional.py"]


def test_directories_of_packages_are_not_noted(importing: Project) -> None:
    place = importing.root / "site-packages"
    place.mkdir()
    sys.path.insert(0, str(place))
    try_to_import("optional")
    importing.write("site-packages/optional.py")
    assert importing.changed() == []


def test_a_package_that_was_found_nowhere_is_found_when_it_is_installed(importing: Project) -> None:
    place = importing.root / "site-packages"
    place.mkdir()
    sys.path.insert(0, str(place))
    for name in ("optional_one", "optional_two"):
        try_to_import(name)
    scanner = importing.watch.scanner
    assert {"optional_one", "optional_two"} <= {*scanner.searches.found_nowhere()}
    scanner.searches.note(str(importing.root), "wave", NOTHING, importing.clock.time_ns())
    scanner.note_absent()  # of `wave`, Python itself has one
    assert scanner.installed() == []
    (place / "optional_one.py").touch()
    importlib.invalidate_caches()  # the clock tells too coarsely of directories for a test
    assert scanner.installed() == [str(place / "optional_one.py")]
