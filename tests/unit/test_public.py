"""The public face: these names and no others."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import asyncreload
from asyncreload import errors

NAMES = [
    "AsyncreloadError",
    "BindError",
    "EnvironmentFileError",
    "LockfileError",
    "NestedError",
    "PlatformError",
    "Settings",
    "SettingsError",
    "Supervisor",
    "TargetError",
    "is_child",
    "run",
    "supervise",
]


def test_all_is_exactly_this() -> None:
    assert asyncreload.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves_to_what_it_names(name: str) -> None:
    found = getattr(asyncreload, name)
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
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(seen) == NAMES
    assert {name: getattr(asyncreload, name).__module__ for name in NAMES} == seen


def test_an_unknown_attribute_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError) as caught:
        asyncreload.nothing  # noqa: B018
    assert str(caught.value) == "module 'asyncreload' has no attribute 'nothing'"
    assert not hasattr(asyncreload, "BOOT")
