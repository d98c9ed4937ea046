"""A reload is held back while somebody debugs, told once, and taken back with its change."""

from __future__ import annotations

import pytest

from asyncreload.child.watch.held_reload import HeldReload


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def held(told: list[str]) -> HeldReload:
    return HeldReload(told.append)


def test_at_first_there_is_none(held: HeldReload) -> None:
    assert not held
    assert not held.take_back()


def test_it_is_told_once(held: HeldReload, told: list[str]) -> None:
    held.hold(["/srv/app.py", "/srv/b.py", "/srv/c.py", "/srv/d.py"])
    held.hold(["/srv/e.py"])
    assert told == ["app.py, b.py, c.py, 1 more changed; reloading when you leave the debugger"]


def test_one_for_changes_is_taken_back(held: HeldReload) -> None:
    held.hold(["/srv/app.py"])
    assert held
    assert not held.was_asked_for
    assert held.take_back()
    assert not held


def test_one_for_an_installed_package_is_not(held: HeldReload, told: list[str]) -> None:
    held.hold(["/site/optional.py"], for_good=True)
    assert told == ["optional.py changed; reloading when you leave the debugger"]
    assert not held.take_back()
    assert held


@pytest.mark.parametrize("changes", [[], [["/srv/app.py"]]], ids=["alone", "after a change"])
def test_one_that_was_asked_for_is_not(held: HeldReload, changes: list[list[str]]) -> None:
    for paths in [*changes, [], ["/srv/app.py"]]:
        held.hold(paths)
    assert held.was_asked_for
    assert not held.take_back()
    assert held
