"""Conditions: what packages may look at, and what must be the same after two loads."""

from __future__ import annotations

import pytest

from asyncreload.child.preload.conditions import after_load, describe_difference, patcher
from asyncreload.protocol import Preload, decode
from tests.unit.preload.child_runs import ChildRun


def test_they_are_the_same_twice(child: ChildRun) -> None:
    assert after_load() == after_load()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("os.environ['MODE'] = 'fast'", "environment variables"),
        ("sys.path.append('/elsewhere')", "import path"),
        ("sys.meta_path.insert(0, type('Finder', (), {}))", "import hooks"),
        ("sys.path_hooks.append(lambda path: None)", "import hooks"),
        ("warnings.filterwarnings('ignore', 'old')", "warning filters"),
        ("logging.getLogger().setLevel(7)", "loggers"),
    ],
)
def test_they_tell_what_differs(child: ChildRun, change: str, told: str) -> None:
    child.path(root=True)
    before = after_load()
    child.run(f"import logging, os, sys, warnings\n{change}")
    after = after_load()
    assert [told] == [name for name in before if before[name] != after[name]]


@pytest.mark.parametrize("name", ["gevent.monkey", "eventlet.patcher"])
def test_what_patches_the_interpreter_is_named(child: ChildRun, name: str) -> None:
    top, _, sub = name.partition(".")
    child.package(top)
    child.package(f"{top}/{sub}.py")
    assert patcher() == ""
    child.run(f"import {name}")
    assert patcher() == name


def test_a_factory_of_log_records_has_a_name_without_an_address(child: ChildRun) -> None:
    """It is another one in each process, and has the same name."""
    source = """
    import logging
    def factory(*arguments): pass
    logging.setLogRecordFactory(factory)
    """
    with child.app_settings():
        child.run(source)
        assert after_load()["factory of log records"] == "app.factory"


def test_they_travel(child: ChildRun) -> None:
    found = Preload(child.root, final=after_load())
    travelled = decode(found.encode())
    assert isinstance(travelled, Preload)
    assert travelled.final == after_load()


def test_a_difference_is_told_with_its_parts() -> None:
    """Of environment variables, the names: the values may be secrets."""
    then, now = {"A": "1", "B": "2", "C": "3"}, {"A": "1", "B": "4", "D": "5"}
    assert describe_difference("variables", then, now) == "variables (B, C, D)"
    assert describe_difference("locale", "C", "de_DE") == "locale"
    assert describe_difference("loggers", None, {"a": 1}) == "loggers"
