"""Our own forks beside those of the app; here nothing is forked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import pytest

from asyncreload import forks


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What is called in a fork, as it begins."""
    found: list[Callable[[], None]] = []

    def register(*, after_in_child: Callable[[], None]) -> None:
        found.append(after_in_child)

    monkeypatch.setattr(os, "register_at_fork", register)
    return found


@pytest.fixture
def fork(monkeypatch: pytest.MonkeyPatch, hooks: list[Callable[[], None]]) -> Callable[[], int]:
    """What happens in the new process, in this one: Python may warn, and calls the hooks."""

    def fork() -> int:
        warnings.warn("this process is multi-threaded", DeprecationWarning, stacklevel=2)
        for hook in hooks:
            hook()
        return 0

    monkeypatch.setattr(forks, "_fork", fork)
    return fork


def test_in_forks_of_the_app_what_is_ours_is_let_go_and_in_our_own_it_is_not(
    hooks: list[Callable[[], None]], fork: Callable[[], int]
) -> None:
    let_go: list[str] = []
    forks.in_forks_of_app(lambda: let_go.append("ours"))
    assert forks.own_fork() == 0
    assert let_go == []
    hooks[0]()
    assert let_go == ["ours"]


@pytest.mark.parametrize("action", ["error", "always", "default"])
def test_the_warning_of_forks_beside_threads_is_not_seen(
    fork: Callable[[], int], action: str
) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(action)  # type: ignore[arg-type]
        before = list(warnings.filters)
        forks.own_fork()
        assert list(warnings.filters) == before
    assert seen == []


def test_a_filter_of_the_apps_that_is_alike_stays(fork: Callable[[], int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        before = list(warnings.filters)
        forks.own_fork()
        assert list(warnings.filters) == before


def test_a_fork_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, hooks: list[Callable[[], None]]
) -> None:
    def fail() -> int:
        raise BlockingIOError

    let_go: list[str] = []
    forks.in_forks_of_app(lambda: let_go.append("ours"))
    monkeypatch.setattr(forks, "_fork", fail)
    before = list(warnings.filters)
    with pytest.raises(BlockingIOError):
        forks.own_fork()
    assert list(warnings.filters) == before
    hooks[0]()
    assert let_go == ["ours"]
