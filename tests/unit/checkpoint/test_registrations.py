"""What the project registers for its end and its forks; nothing of it is ever called here."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncreload.child.checkpoint import registrations as module
from asyncreload.child.checkpoint.registrations import Registrations

Exec = Callable[[str], dict[str, Any]]


@pytest.fixture
def registrations(monkeypatch: pytest.MonkeyPatch) -> Registrations:
    """Handlers that are registered are noted, and go nowhere."""
    monkeypatch.setattr(atexit, "register", lambda func, *_args, **_kwargs: func)
    monkeypatch.setattr(atexit, "unregister", lambda func: None)
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    registrations = Registrations()
    registrations.install()
    return registrations


@pytest.fixture
def project(tmp_path: Path) -> Exec:
    """Runs code as if it stood in a file of the project."""
    return lambda source: _run(source, str(tmp_path / "app.py"))


@pytest.fixture
def package(tmp_path: Path) -> Exec:
    """Runs code as if it stood in an installed package."""
    return lambda source: _run(source, str(tmp_path / "site-packages" / "lib.py"))


def _run(source: str, path: str) -> dict[str, Any]:
    names = {"__name__": Path(path).stem, "atexit": atexit, "os": os, "functools": functools}
    exec(compile(source, path, "exec"), names)
    return names


BYE = "def bye(*args):\n    pass\n"


def test_nothing_is_in_the_way_at_first(registrations: Registrations) -> None:
    assert registrations.obstacle() == ""


@pytest.mark.parametrize(
    "register",
    [
        "atexit.register(bye)",
        "atexit.register(bye, 1, name=2)",
        "atexit.register(functools.partial(bye, 1))",
        "atexit.register(functools.partial(functools.partial(bye, 1), 2))",
        "atexit.register(print, 'bye')",  # it is the project that registers it
        "class Bye:\n    def bye(self): pass\natexit.register(Bye().bye)",
        "class Bye:\n    def __call__(self): pass\natexit.register(Bye())",
        "@atexit.register\ndef end(): pass",
    ],
)
def test_a_handler_of_the_project_is_in_the_way(
    registrations: Registrations, project: Exec, register: str
) -> None:
    project(BYE + register)
    assert registrations.obstacle().startswith("the project has an atexit handler (")


def test_its_name_is_told(registrations: Registrations, project: Exec) -> None:
    project(BYE + "atexit.register(bye)")
    assert registrations.obstacle() == "the project has an atexit handler (app.bye)"


def test_a_handler_that_is_taken_back_is_not(registrations: Registrations, project: Exec) -> None:
    project(BYE + "atexit.register(bye)\natexit.unregister(bye)")
    assert registrations.obstacle() == ""


def test_a_handler_of_a_package_is_not(registrations: Registrations, package: Exec) -> None:
    package(BYE + "atexit.register(bye)")
    assert registrations.obstacle() == ""


def test_a_package_may_register_a_function_of_the_projects(
    registrations: Registrations, project: Exec, package: Exec
) -> None:
    bye = project(BYE)["bye"]
    package("def on_exit(func): atexit.register(func)")["on_exit"](bye)
    assert registrations.obstacle() == "the project has an atexit handler (app.bye)"


def test_it_returns_what_pythons_own_does(registrations: Registrations, project: Exec) -> None:
    names = project(BYE + "same = atexit.register(bye)")
    assert names["same"] is names["bye"]


@pytest.mark.parametrize("when", ["before", "after_in_child", "after_in_parent"])
def test_a_handler_of_forks_is_in_the_way(
    registrations: Registrations, project: Exec, when: str
) -> None:
    project(BYE + f"os.register_at_fork({when}=bye)")
    assert registrations.obstacle() == "the project has a handler of forks (app.bye)"


def test_one_of_a_package_is_not(registrations: Registrations, package: Exec) -> None:
    package(BYE + "os.register_at_fork(before=bye)")
    assert registrations.obstacle() == ""


# --- finalizers --------------------------------------------------------------------------------


class Anything:
    """Can be referred to weakly."""


def test_a_temporary_directory_is_in_the_way_until_it_is_removed(
    registrations: Registrations, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path):
        assert registrations.obstacle().startswith("something is to be removed at the end (by ")
    assert registrations.obstacle() == ""


@pytest.mark.parametrize("function", [shutil.rmtree, os.unlink, Path.unlink])
def test_so_is_a_finalizer_that_removes(
    registrations: Registrations, function: Callable[..., object]
) -> None:
    held = Anything()
    finalizer = weakref.finalize(held, function, "/nowhere")
    assert registrations.obstacle().startswith("something is to be removed at the end (by ")
    finalizer.detach()
    assert registrations.obstacle() == ""


def test_and_one_of_the_projects(registrations: Registrations, project: Exec) -> None:
    held = Anything()
    finalizer = weakref.finalize(held, project(BYE)["bye"])
    assert registrations.obstacle() == "something is to be removed at the end (by app.bye)"
    finalizer.detach()


def test_one_that_is_not_called_at_the_end_is_not(
    registrations: Registrations, project: Exec
) -> None:
    held = Anything()
    finalizer = weakref.finalize(held, project(BYE)["bye"])
    finalizer.atexit = False
    assert registrations.obstacle() == ""
    finalizer.detach()


def test_nor_is_one_of_a_package(registrations: Registrations, package: Exec) -> None:
    held = Anything()
    finalizer = weakref.finalize(held, package(BYE)["bye"])
    assert registrations.obstacle() == ""
    finalizer.detach()


def test_nor_one_that_was_there_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for owner, name in ((atexit, "register"), (atexit, "unregister"), (os, "register_at_fork")):
        monkeypatch.setattr(owner, name, lambda *_args, **_named: None)
    with tempfile.TemporaryDirectory(dir=tmp_path):
        registrations = module.Registrations()
        registrations.install()
        assert registrations.obstacle() == ""
