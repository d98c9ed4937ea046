"""A process is a child from `become_child` on, and its forks are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from asyncreload import process_role

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def in_fork(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What would run in a fork; nothing stays registered after the test."""
    registered: list[Callable[[], None]] = []

    def register(*, after_in_child: Callable[[], None]) -> None:
        registered.append(after_in_child)

    monkeypatch.setattr(os, "register_at_fork", register)
    monkeypatch.setattr(process_role, "_role", process_role._Role())
    return registered


def serve(_app: object) -> NoReturn:
    raise AssertionError


def state() -> tuple[Any, ...]:
    return process_role.is_child(), process_role.is_loading(), process_role.server_of_child()


@pytest.mark.usefixtures("in_fork")
def test_a_process_is_no_child_at_first() -> None:
    assert state() == (False, False, None)


@pytest.mark.usefixtures("in_fork")
def test_a_child_loads_and_then_has_loaded() -> None:
    process_role.become_child(serve)
    assert state() == (True, True, serve)
    process_role.has_loaded()
    assert state() == (True, False, serve)


def test_a_fork_of_a_child_is_none(in_fork: list[Callable[[], None]]) -> None:
    process_role.become_child(serve)
    (forked,) = in_fork
    forked()
    assert state() == (False, False, None)


def test_a_framework_finds_what_a_child_does_for_it_but_not_in_a_fork(
    in_fork: list[Callable[[], None]],
) -> None:
    assert process_role.for_framework() is None
    child: Any = object()
    process_role.become_child(serve, child)
    assert process_role.for_framework() is child
    for forget in in_fork:
        forget()
    assert process_role.for_framework() is None


class Door:
    """What a child does for a framework, as far as it is asked here."""

    def __init__(self) -> None:
        self.watched: list[str] = []
        self.told: list[str] = []

    def watch(self, path: str) -> None:
        self.watched.append(path)

    def notice(self, text: str) -> None:
        self.told.append(text)


@pytest.mark.usefixtures("in_fork")
def test_only_a_child_watches_and_tells() -> None:
    process_role.watch("early")
    process_role.notice("early")
    child: Any = Door()
    process_role.become_child(serve, child)
    process_role.watch("file")
    process_role.notice("text")
    assert (child.watched, child.told) == (["file"], ["text"])
