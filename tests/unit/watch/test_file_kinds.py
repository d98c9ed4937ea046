"""Whose a file is: the project's, an installed package's, or nobody's that matters."""

from __future__ import annotations

import json
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import asyncreload
from asyncreload import python_files as walk
from asyncreload.child.watch.file_kinds import FileKind, container, kind_of, source_file
from asyncreload.python_files import python_files


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def walked(root: Path) -> set[str]:
    return {str(Path(entry.path).relative_to(root)) for entry in python_files(str(root))}


# Whose a file is


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/shop/app.py", FileKind.PROJECT),
        ("/srv/shop/deep/er/models.py", FileKind.PROJECT),
        ("/home/me/src/library/library/__init__.py", FileKind.PROJECT),  # installed as editable
        ("/srv/shop/my-site-packages/x.py", FileKind.PROJECT),
        ("/srv/shop/site-packages.py", FileKind.PROJECT),
        ("/srv/shop/.venv/lib/python3.11/site-packages/flask/app.py", FileKind.PACKAGE),
        ("/srv/shop/.venv/lib/python3.11/site-packages/six.py", FileKind.PACKAGE),
        ("/usr/lib/python3/dist-packages/yaml/__init__.py", FileKind.PACKAGE),
        ("/app.py", FileKind.PROJECT),
        ("app.py", FileKind.PROJECT),
    ],
)
def test_the_path_tells_whose_a_file_is(path: str, expected: FileKind) -> None:
    assert kind_of(path) is expected


def test_what_is_no_package_is_the_projects(tmp_path: Path) -> None:
    assert kind_of(str(tmp_path / "app.py")) is FileKind.PROJECT
    assert kind_of(__file__) is FileKind.PROJECT


@pytest.mark.parametrize("name", ["purelib", "platlib"])
def test_packages_are_known_by_where_they_are_installed(name: str) -> None:
    assert kind_of(os.path.join(sysconfig.get_paths()[name], "six.py")) is FileKind.PACKAGE
    assert kind_of(str(pytest.__file__)) is FileKind.PACKAGE


def test_packages_of_the_user_are_packages_too() -> None:
    assert kind_of(os.path.join(site.getusersitepackages(), "x", "y.py")) is FileKind.PACKAGE


def test_the_standard_library_is_ignored_by_either_path() -> None:
    assert kind_of(str(os.__file__)) is FileKind.IGNORED
    assert kind_of(str(json.__file__)) is FileKind.IGNORED
    assert kind_of(os.path.realpath(os.__file__)) is FileKind.IGNORED


def test_we_are_ignored_but_not_our_neighbours() -> None:
    assert asyncreload.__file__ is not None
    ours = Path(asyncreload.__file__)
    assert kind_of(str(ours)) is FileKind.IGNORED
    assert kind_of(str(ours.parent / "child" / "watch.py")) is FileKind.IGNORED
    if ours.parent.parent.name != "site-packages":
        assert kind_of(str(ours.parent.parent / "app.py")) is FileKind.PROJECT
        assert kind_of(str(ours.parent.parent / "asyncreload_app" / "app.py")) is FileKind.PROJECT


# A module's file


def module(file: Any) -> ModuleType:
    made = ModuleType("made")
    made.__file__ = file
    return made


def test_a_module_has_its_source(tmp_path: Path) -> None:
    assert source_file(module(str(tmp_path / "app.py"))) == str(tmp_path / "app.py")
    assert source_file(sys.modules[__name__]) == __file__


def test_a_relative_path_starts_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_file(module("app.py")) == os.path.join(os.getcwd(), "app.py")


def test_an_extension_is_its_own_source(tmp_path: Path) -> None:
    assert source_file(module(str(tmp_path / "fast.so"))) == str(tmp_path / "fast.so")


def test_a_cached_file_has_the_source_beside_it(tmp_path: Path) -> None:
    make(tmp_path, "app.py")
    assert source_file(module(str(tmp_path / "app.pyc"))) == str(tmp_path / "app.py")


def test_a_cached_file_in_its_directory_has_a_source(tmp_path: Path) -> None:
    make(tmp_path, "app.py")
    cached = tmp_path / "__pycache__" / f"app.{sys.implementation.cache_tag}.pyc"
    assert source_file(module(str(cached))) == str(tmp_path / "app.py")


@pytest.mark.parametrize("name", ["app.pyc", "__pycache__/app.cpython-311.pyc"])
def test_a_cached_file_without_a_source_is_watched_itself(tmp_path: Path, name: str) -> None:
    assert source_file(module(str(tmp_path / name))) == str(tmp_path / name)


@pytest.mark.parametrize("file", [None, "", 5, b"app.py"])
def test_a_module_without_a_file_has_none(file: Any) -> None:
    assert source_file(module(file)) is None


@pytest.mark.parametrize("made", [None, 5, object(), ModuleType("made"), SimpleNamespace(), sys])
def test_what_is_no_module_has_none(made: object) -> None:
    assert source_file(made) is None


def test_a_class_and_an_instance_can_stand_for_a_module() -> None:
    class Config:
        __file__ = "/srv/config.py"

    assert source_file(Config) == "/srv/config.py"
    assert source_file(SimpleNamespace(__file__="/srv/x.py")) == "/srv/x.py"


def test_a_lazy_module_is_not_woken() -> None:
    asked: list[str] = []

    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> str:
            asked.append(name)
            return "/srv/woken.py"

        def __getattribute__(self, name: str) -> Any:
            asked.append(name)
            return super().__getattribute__(name)

    lazy = Lazy("lazy")
    asked.clear()
    assert source_file(lazy) is None
    assert asked == []


def test_a_module_level_getattr_is_not_called() -> None:
    made = ModuleType("made")

    def wake(name: str) -> str:
        raise AssertionError(name)

    vars(made)["__getattr__"] = wake
    assert source_file(made) is None


# The walk


def test_python_files_at_any_depth(tmp_path: Path) -> None:
    make(
        tmp_path, "app.py", "shop/__init__.py", "shop/deep/er/models.py", "shop/page.html", "x.pyc"
    )
    assert walked(tmp_path) == {"app.py", "shop/__init__.py", "shop/deep/er/models.py"}


def test_what_is_not_the_projects_is_not_walked(tmp_path: Path) -> None:
    make(
        tmp_path,
        "app.py",
        "lib/ok.py",
        ".git/hook.py",
        ".tox/py/x.py",
        "lib/.hidden/x.py",
        "lib/__pycache__/x.py",
        "node_modules/gyp/x.py",
        "vendor/site-packages/x.py",
        "vendor/dist-packages/x.py",
        "env/pyvenv.cfg",
        "env/x.py",
        "env/lib/python3.11/x.py",
    )
    assert walked(tmp_path) == {"app.py", "lib/ok.py"}


def test_a_directory_that_is_an_environment_itself_has_nothing(tmp_path: Path) -> None:
    make(tmp_path, "pyvenv.cfg", "x.py", "lib/y.py")
    assert walked(tmp_path) == set()


def test_links_to_directories_are_not_followed_and_links_to_files_are(tmp_path: Path) -> None:
    make(tmp_path, "project/app.py", "elsewhere/x.py")
    root = tmp_path / "project"
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "self").symlink_to(root)
    (root / "linked.py").symlink_to(tmp_path / "elsewhere" / "x.py")
    assert walked(root) == {"app.py", "linked.py"}


def test_paths_are_those_under_the_root_as_it_was_given(tmp_path: Path) -> None:
    make(tmp_path, "a/app.py")
    assert [entry.path for entry in python_files(str(tmp_path / "a"))] == [f"{tmp_path}/a/app.py"]


def test_a_root_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert walked(tmp_path / "missing") == set()


def test_a_directory_that_cannot_be_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "app.py", "secret/x.py")
    scandir = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert walked(tmp_path) == {"app.py"}


def test_a_walk_does_not_read_the_whole_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_MOST_FILES", 5)
    make(tmp_path, *(f"d{n}/x{m}.py" for n in range(10) for m in range(3)))
    assert 5 < len(walked(tmp_path)) < 10


def test_hidden_files_are_no_modules(tmp_path: Path) -> None:
    make(tmp_path, "app.py", ".hidden.py")
    (tmp_path / ".#app.py").symlink_to("me@host.123:456")  # Emacs, while the buffer is edited
    assert walked(tmp_path) == {"app.py"}


def test_a_directory_is_no_file_whatever_its_name(tmp_path: Path) -> None:
    make(tmp_path, "app.py", "shop.py/inner.py")
    assert walked(tmp_path) <= {"app.py", "shop.py/inner.py"}


def test_what_is_in_an_archive_leads_to_the_archive(tmp_path: Path) -> None:
    archive = tmp_path / "library.zip"
    archive.touch()
    assert container(str(archive / "packed" / "module.py")) == str(archive)
    assert container(str(archive)) == str(archive)
    missing = str(tmp_path / "gone" / "module.py")
    assert container(missing) == missing


def test_a_link_from_the_packages_to_a_project_is_the_projects(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    place = tmp_path / "venv" / "site-packages"
    (place / "plain").mkdir(parents=True)
    (place / "linked").symlink_to(tmp_path / "project")
    assert kind_of(str(place / "linked" / "module.py")) is FileKind.PROJECT
    assert kind_of(str(place / "plain" / "module.py")) is FileKind.PACKAGE
