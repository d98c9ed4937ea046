"""What packages' modules hold is told again and again, as quickly as it can be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from asyncreload.child.preload import package_data as module
from asyncreload.child.preload.package_data import PackageData

NAME = "a_package_of_these_tests"


class Mine(dict[str, int]):
    """A container of a class of the app's own, which must not be asked."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("code of the app's was run")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    package = ModuleType(NAME)
    monkeypatch.setitem(sys.modules, NAME, package)
    values: dict[str, Any] = {
        "number": 1,
        "items": [1, 2],
        "table": {"a": 1},
        "nested": {"a": [1]},
        "names": {"a", "b"},
        "pair": (1, [2]),
        "mine": Mine(a=1),
        "function": lambda: None,
        "object": object(),
        "__hidden": 1,
    }
    package.__dict__.update(values)
    return package


def found(data: PackageData) -> dict[str, int]:
    return {key.partition(":")[2]: told for key, told in data.find([NAME, "not_there"]).items()}


def test_names_that_hold_data_functions_and_containers_are_told(package: ModuleType) -> None:
    told = found(PackageData())
    assert {*told} == {
        *("number", "items", "table", "nested", "names", "pair", "mine", "function"),
    }


CHANGES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "another value": ("number", lambda package: setattr(package, "number", 2)),
    "another element": ("items", lambda package: package.items.__setitem__(0, 7)),
    "one more": ("items", lambda package: package.items.append(3)),
    "one less": ("names", lambda package: package.names.discard("a")),
    "another value of a key": ("table", lambda package: package.table.update(a=2)),
    "another key": ("table", lambda package: package.table.update(b=package.table.pop("a"))),
    "deep in a table": ("nested", lambda package: package.nested["a"].append(2)),
    "in what cannot change by itself": ("pair", lambda package: package.pair[1].append(2)),
    "of a class of its own": ("mine", lambda package: package.mine.update(a=2)),
    "another function": ("function", lambda package: setattr(package, "function", found)),
    "a new name": ("late", lambda package: setattr(package, "late", 1)),
    "a name less": ("number", lambda package: delattr(package, "number")),
    "what it was is gone": ("object", lambda package: setattr(package, "object", 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_told_as_if_it_were_looked_at_for_the_first_time(
    package: ModuleType, change: str
) -> None:
    name, make = CHANGES[change]
    data = PackageData()
    before = found(data)
    assert found(data) == before
    make(package)
    after = found(data)
    assert after == found(PackageData())
    assert {key for key in before | after if before.get(key) != after.get(key)} == {name}


def test_another_module_of_the_name_is_another(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = PackageData()
    found(data)
    other = ModuleType(NAME)
    other.number = 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, NAME, other)
    assert {*found(data)} == {"number"}


def test_what_is_as_it_was_is_not_looked_into_again(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But containers in containers: nothing tells whether they are as they were."""
    data = PackageData()
    before = found(data)
    looked: list[Any] = []
    plain = module._plain

    def note(value: Any, depth: int = 2) -> Any:
        looked.append(value)
        return plain(value, depth)

    monkeypatch.setattr(module, "_plain", note)
    assert found(data) == before
    assert [each for each in looked if each in (package.items, package.table)] == []
    assert package.nested in looked
