"""The public face: these names and no others."""

from __future__ import annotations

import ast
import importlib
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import get_args

import pytest

import asyncreload
from asyncreload import errors, events

NAMES = [
    "AbsentTargetError",
    "AsyncreloadError",
    "BindError",
    "Changed",
    "Crashed",
    "EnvironmentFileError",
    "Event",
    "Failed",
    "InterfaceError",
    "LifespanError",
    "LockfileError",
    "MissingExtraError",
    "NestedError",
    "PlatformError",
    "Ready",
    "Refreshed",
    "Settings",
    "SettingsError",
    "Starting",
    "Stopped",
    "Supervisor",
    "TargetError",
    "is_child",
    "run",
    "supervise",
]


def test_nothing_but_the_package_is_installed() -> None:
    """Neither tests nor examples come with the wheel."""
    package = Path(asyncreload.__file__).parent
    assert (package / "py.typed").is_file()
    if package.parent.name != "site-packages":
        pytest.skip("these tests run from a checkout")
    tops = {Path(file).parts[0] for file in distribution("asyncreload").files or []}
    ours = re.compile(r"asyncreload|asyncreload-.*\.dist-info|\.\.")
    assert [top for top in tops if not ours.fullmatch(top)] == []


def test_all_is_exactly_this() -> None:
    assert asyncreload.__all__ == NAMES


def test_the_version_is_that_of_the_distribution() -> None:
    assert asyncreload.__version__ == distribution("asyncreload").version


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves_to_what_it_names(name: str) -> None:
    found = getattr(asyncreload, name)
    if name == "Event":  # a union has neither name nor home
        assert found is events.Event
        return
    assert found.__name__ == name
    assert found.__doc__
    assert found is getattr(importlib.import_module(found.__module__), name)


def test_every_exception_is_public_and_has_the_one_base() -> None:
    defined = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert set(defined) == {name for name in NAMES if name.endswith("Error")}
    assert all(issubclass(value, asyncreload.AsyncreloadError) for value in defined.values())


def test_what_the_type_checker_sees_is_what_there_is() -> None:
    assert asyncreload.__file__ is not None
    tree = ast.parse(Path(asyncreload.__file__).read_text())
    block, getter = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(getter.test) == "not TYPE_CHECKING"  # else any name would be there
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(seen) == NAMES
    for name, home in seen.items():
        assert getattr(asyncreload, name) is getattr(importlib.import_module(str(home)), name)


def test_every_event_is_public() -> None:
    assert {kind.__name__ for kind in get_args(events.Event)} < set(NAMES)


def test_an_unknown_attribute_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError) as caught:
        asyncreload.nothing  # type: ignore[attr-defined]  # noqa: B018
    assert str(caught.value) == "module 'asyncreload' has no attribute 'nothing'"
    assert not hasattr(asyncreload, "BOOT")
