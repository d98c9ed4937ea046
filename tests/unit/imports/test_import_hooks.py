"""Whatever loads code, the file has a baseline before, and the observer is told."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import marshal
import os
import py_compile
import runpy
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import pytest

from asyncreload.child.imports import import_hooks, search_hook
from asyncreload.child.imports.import_hooks import _names_del
from asyncreload.child.imports.import_observer import Code, ImportObserver
from asyncreload.child.preload.refusal import RefusingObserver
from asyncreload.child.watch.file_kinds import FileKind
from asyncreload.child.watch.file_state import FileState, digest
from asyncreload.cpython import forget_archives
from tests.unit.watching import SECOND, Project, Watch, import_again

# --- what is imported ----------------------------------------------------------------------------


def test_what_is_imported_is_watched(importing: Project) -> None:
    importing.write("shop_of_ours/__init__.py", b"from . import part\n")
    part = importing.write("shop_of_ours/part.py", b"x = 1\n")
    import_again("shop_of_ours")
    assert importing.watched() == [
        importing.path("shop_of_ours/__init__.py"),
        part,
    ]
    assert importing.watch.baselines.project[part].digest == digest(b"x = 1\n")
    assert importing.changed() == []
    importing.write("shop_of_ours/part.py", b"x = 2\n")
    assert importing.changed() == ["shop_of_ours/part.py"]


def test_a_module_that_saves_itself_while_it_is_imported_has_changed(importing: Project) -> None:
    importing.write("restless.py", b"with open(__file__, 'a') as me: me.write('#')\n")
    import_again("restless")
    assert importing.changed() == ["restless.py"]


def test_a_module_that_fails_is_watched(importing: Project) -> None:
    importing.write("broken_one.py", b"def f(:\n")
    with pytest.raises(SyntaxError):
        import_again("broken_one")
    assert importing.watched() == [importing.path("broken_one.py")]
    importing.write("broken_one.py", b"x = 1\n")
    assert importing.changed() == ["broken_one.py"]


def test_a_module_loaded_by_location_is_watched(importing: Project) -> None:
    path = importing.write("plugin.txt", b"x = 1")
    loader = importlib.machinery.SourceFileLoader("plugin", path)
    spec = importlib.util.spec_from_file_location("plugin", path, loader=loader)
    assert spec is not None
    loader.exec_module(importlib.util.module_from_spec(spec))
    assert importing.watched() == [path]


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
    assert import_again("packed_one").x == 1
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
    assert importing.watched() == [path]


def test_what_is_compiled_and_not_loaded_is_not_watched(importing: Project) -> None:
    loader = importlib.machinery.SourceFileLoader("x", importing.path("x.py"))
    loader.source_to_code("x = 1", "<string>")
    loader.source_to_code(b"x = 1", importing.path("x.py"))
    assert importing.watched() == []


def test_a_source_reached_through_a_link_and_back_is_watched(importing: Project) -> None:
    """`link/..` is not the directory of the link: only the file system can resolve it."""
    importing.write("srv/app/x")
    importing.write("srv/lib/shared_one.py", b"x = 1\n")
    (importing.root / "site").symlink_to(importing.root / "srv" / "app")
    sys.path.insert(0, importing.path("site/../lib"))
    assert import_again("shared_one").x == 1
    importing.write("srv/lib/shared_one.py", b"x = 2\n")
    changed = importing.watch.changed()
    assert [os.path.realpath(path) for path in changed] == [
        os.path.realpath(importing.path("srv/lib/shared_one.py"))
    ]


def test_a_relative_entry_of_the_path_is_watched_where_it_was(
    importing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing.write("lib/near_one.py", b"x = 1\n")
    monkeypatch.chdir(importing.root)
    sys.path.insert(0, "lib")
    import_again("near_one")
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


# --- the observer --------------------------------------------------------------------------------


def test_a_standby_does_not_load_the_project(project: Project) -> None:
    path = project.write("app.py")
    project.observer = RefusingObserver()
    with pytest.raises(ImportError) as caught:
        project.watch.hooks.before_source(path)
    assert str(caught.value) == f"{path} belongs to the project: a standby does not load it"
    assert project.watched() == []
    project.watch.hooks.before_source(project.write("site-packages/lib.py"))
    project.watch.hooks.before_source(os.__file__)
    assert len(project.watch.baselines) == 1


def test_the_observer_is_told_of_packages_by_name_before_they_are_loaded(
    importing: Project,
) -> None:
    package = importing.write("site-packages/lib_of_ours.py")
    importing.write("app_of_ours.py", b"import lib_of_ours\n")
    sys.path.insert(0, importing.path("site-packages"))
    told: list[tuple[str, bool]] = []

    class Observer(ImportObserver):
        def before_module(self, path: str, name: str, kind: FileKind) -> None:
            if kind is FileKind.PACKAGE:
                told.append((name, importing.watch.scanner.is_package(package)))

    importing.observer = Observer()
    import_again("app_of_ours")
    assert told == [("lib_of_ours", True)]


class NotedObserver(ImportObserver):
    """Notes what it is told, by the names of files."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.codes: list[Code] = []
        self.states: list[FileState] = []
        self.watches = True

    def before_module(self, path: str, name: str, kind: FileKind) -> None:
        self.told.append(("before", os.path.basename(path), name, kind.name))

    def after_compile(self, path: str, code: Code, state: FileState) -> None:
        self.told.append(("compiled", os.path.basename(path)))
        self.codes.append(code)
        self.states.append(state)

    def before_other_code(self, path: str) -> bool:
        self.told.append(("other", os.path.basename(path)))
        return self.watches


@pytest.fixture
def noted(importing: Project) -> NotedObserver:
    importing.observer = observer = NotedObserver()
    return observer


def test_the_observer_is_told_before_a_module_is_read_and_before_it_runs(
    importing: Project, noted: NotedObserver
) -> None:
    importing.write("inner_one.py", b"x = 1\n")
    importing.write("outer_one.py", b"import inner_one\n")
    import_again("outer_one")
    assert noted.told == [
        ("before", "outer_one.py", "outer_one", "PROJECT"),
        ("compiled", "outer_one.py"),
        ("before", "inner_one.py", "inner_one", "PROJECT"),
        ("compiled", "inner_one.py"),
    ]
    # The digest comes with the code, unless the file was so new that it was read before.
    assert [state.signature for state in noted.states] == [
        importing.watch.baselines.project[importing.path(f"{name}_one.py")].signature
        for name in ("outer", "inner")
    ]


def test_the_observer_is_not_told_of_the_standard_library(noted: NotedObserver) -> None:
    import_again("colorsys")
    assert noted.told == []


def test_the_observer_is_not_told_of_a_module_that_cannot_be_compiled(
    importing: Project, noted: NotedObserver
) -> None:
    importing.write("broken_one.py", b"def f(:\n")
    with pytest.raises(SyntaxError):
        import_again("broken_one")
    assert noted.told == [("before", "broken_one.py", "broken_one", "PROJECT")]


@pytest.mark.usefixtures("an_hour_later")
def test_the_observer_is_given_the_cache_of_a_module_that_was_read_from_it(
    importing: Project, noted: NotedObserver
) -> None:
    path = importing.write("cached_one.py", b"x = 1\n")
    py_compile.compile(path)
    cache = Path(importlib.util.cache_from_source(path))
    later = os.stat(path).st_ctime_ns + 60 * SECOND
    os.utime(cache, ns=(later, later))
    import_again("cached_one")
    os.unlink(cache)
    import_again("cached_one")
    from_cache, from_source = noted.codes
    assert isinstance(from_cache, bytes)
    assert isinstance(from_source, CodeType)


def test_the_observer_is_chosen_at_each_import(importing: Project) -> None:
    for name in ("first_one", "second_one"):
        importing.write(f"{name}.py")
        importing.observer = observer = NotedObserver()
        import_again(name)
        assert ("compiled", f"{name}.py") in observer.told


def test_what_the_observer_refuses_is_not_loaded(importing: Project) -> None:
    importing.write("refused_one.py", b"raise AssertionError\n")
    importing.observer = RefusingObserver()
    with pytest.raises(ImportError, match="a standby does not load it"):
        import_again("refused_one")
    assert importing.watched() == []


@pytest.mark.parametrize("watches", [True, False])
def test_the_observer_says_whether_other_code_is_watched(
    importing: Project,
    noted: NotedObserver,
    watches: bool,  # noqa: FBT001  a row
) -> None:
    noted.watches = watches
    script = importing.write("script.py", b"x = 1\n")
    assert runpy.run_path(script)["x"] == 1
    assert ("other", "script.py") in noted.told
    assert importing.watched() == [script] * watches


def test_an_observer_objects_to_nothing() -> None:
    observer = ImportObserver()
    observer.before_module("/srv/app.py", "app", FileKind.PROJECT)
    observer.after_compile("/srv/app.py", b"", FileState(None))
    assert observer.before_other_code("/srv/library.zip")


# --- scripts -------------------------------------------------------------------------------------


def test_a_script_is_read_as_a_loader_reads_it(project: Project) -> None:
    project.observer = observer = NotedObserver()
    path = project.write("script.py", b"x = 1\n")
    source, state = project.watch.hooks.read_source(path)
    assert source == b"x = 1\n"
    assert state is not None
    assert state.signature is not None
    assert project.watch.baselines.project[path].digest == digest(source)
    project.watch.hooks.after_compile(path, b"code", state)
    assert observer.told == [
        ("before", "script.py", "", "PROJECT"),
        ("compiled", "script.py"),
    ]


def test_a_script_of_a_package_has_no_state_to_be_told(project: Project) -> None:
    path = project.write("site-packages/script.py", b"x = 1\n")
    assert project.watch.hooks.read_source(path) == (b"x = 1\n", None)


def test_a_missing_script_is_watched_for(project: Project) -> None:
    path = project.path("script.py")
    with pytest.raises(FileNotFoundError):
        project.watch.hooks.read_source(path)
    project.write("script.py")
    assert project.changed() == ["script.py"]


# --- forks ---------------------------------------------------------------------------------------


def test_a_fork_of_the_app_takes_another_lock(
    project: Project, loaders: Callable[[Watch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Callable[[], object]] = []
    monkeypatch.setattr(import_hooks, "in_forks_of_app", calls.append)
    monkeypatch.setattr(search_hook, "in_forks_of_app", calls.append)
    loaders(project.watch)
    watch = project.watch
    assert calls == [watch.baselines.renew_lock, watch.scanner.searches.renew_lock]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class A:\n    def __del__(self): ...", True),
        ("def f():\n    class A:\n        def __del__(self): ...", True),
        ("class A:\n    def __delete__(self): ...", False),
    ],
)
def test_a_method_that_is_called_at_the_end_is_seen(source: str, *, expected: bool) -> None:
    code = compile(source, "app.py", "exec")
    assert _names_del(code) is expected
    assert _names_del(marshal.dumps(code)) is expected
