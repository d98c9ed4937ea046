"""A Django project is known by its `manage.py`, and run by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncreload.django.manage_script import find_manage_py, script_in_child, script_of

DJANGOS = "from django.core.management import execute_from_command_line\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory that holds a project, and other things."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manage.py").write_text(DJANGOS)
    (tmp_path / "site" / "app.py").write_text(DJANGOS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manage.py").write_text("from flask_script import Manager\n")
    (tmp_path / "odd" / "manage.py").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("target", ["site/manage.py", "site", "site/", "./site", "other/../site"])
def test_a_project_is_named_by_its_script_or_its_directory(home: Path, target: str) -> None:
    assert find_manage_py(target, str(home)) == "site/manage.py"


def test_a_project_may_be_here_or_anywhere(home: Path) -> None:
    assert find_manage_py(".", str(home / "site")) == "manage.py"
    assert find_manage_py("manage.py", str(home / "site")) == "manage.py"
    assert find_manage_py(str(home / "site"), "/") == str(home / "site" / "manage.py")


OTHERS = "other other/manage.py odd odd/manage.py . gone site/app.py site.wsgi site/manage.py:app"


@pytest.mark.parametrize("target", [*OTHERS.split(), "", "no\0path"])
def test_other_targets_are_none(home: Path, target: str) -> None:
    assert find_manage_py(target, str(home)) is None


def test_a_child_has_errors_raised_and_starts_no_reloader() -> None:
    assert script_of("manage.py") == ("manage.py", "runserver", "--noreload", "--traceback")
    typed = ["manage.py", "runserver", "8001", "--nostatic"]
    assert script_in_child(typed) == [*typed, "--noreload", "--traceback"]
    assert script_in_child([*typed, "--traceback"]) == [*typed, "--traceback", "--noreload"]


def test_a_command_that_calls_runserver_itself_keeps_its_arguments() -> None:
    assert script_in_child(["manage.py", "develop"]) == ["manage.py", "develop"]
