"""Apps are found behind whatever wraps them, and no code of theirs is run for that."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from asyncreload.child.imports.wrapped_apps import MOST, apps_behind


class App:
    def __init__(self, *held: object) -> None:
        self.held = held

    def __call__(self) -> App:
        return self


class Proxy:
    """As `flask.request` is: whatever is asked of it fails outside of a request."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def in_closure(app: App) -> object:
    return lambda: app


APP = App()


def with_empty_cell() -> object:
    """A function that refers to what is not there yet, and to an app."""
    exec(
        "def wrap(app):\n def call(): return late, app\n return call\n late = 1",
        names := dict[str, Any](),
    )
    return names["wrap"](APP)


@pytest.mark.parametrize(
    "served",
    [
        APP,
        SimpleNamespace(app=APP),
        SimpleNamespace(app=SimpleNamespace(wrapped=APP)),
        SimpleNamespace(mounts={"/": APP}),
        SimpleNamespace(routes=[1, ("a", APP)]),
        in_closure(APP),
        partial(print, APP),
        partial(print, app=APP),
        APP.__call__,
        with_empty_cell(),
        SimpleNamespace(proxy=Proxy(), app=APP),
    ],
)
def test_it_is_found(served: object) -> None:
    assert list(apps_behind(served, (App,))) == [APP]


def test_all_are_found_and_each_once() -> None:
    other = App()
    served = SimpleNamespace(first=APP, mounts=[other, APP, other])
    assert sorted(map(id, apps_behind(served, (App,)))) == sorted(map(id, [APP, other]))


def test_what_an_app_holds_is_its_own() -> None:
    outer = App(App())
    assert list(apps_behind(outer, (App,))) == [outer]


def test_those_that_hold_each_other_come_to_an_end() -> None:
    one = SimpleNamespace()
    one.other = SimpleNamespace(one=one)
    assert list(apps_behind(one, (App,))) == []


def test_of_very_many_not_all_are_looked_at() -> None:
    each: list[list[list[object]]] = [[[] for _ in range(50)] for _ in range(MOST // 50)]
    assert list(apps_behind([each, [[[[APP]]]]], (App,))) == []
    files = {str(number): object() for number in range(MOST)}
    served = SimpleNamespace(files=files, app=SimpleNamespace(files=files, app=APP))
    assert list(apps_behind(served, (App,))) == [APP]
