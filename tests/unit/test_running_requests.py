"""What a crashed child was answering is found in the memory that it has left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from asyncreload.running_requests import SLOTS, RunningRequests

PID = 7
"""The process that answers."""


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: PID)


@pytest.fixture
def requests() -> Iterator[RunningRequests]:
    with closing(RunningRequests.create()) as created:
        yield created


@pytest.fixture
def of_parent(requests: RunningRequests) -> RunningRequests:
    """The same memory, as another process maps it."""
    return RunningRequests(requests.descriptor)


def test_what_has_not_ended_is_found_once(
    requests: RunningRequests, of_parent: RunningRequests
) -> None:
    with requests.noted("GET /over"):
        pass
    with requests.noted("GET /caf\xe9"), requests.noted("POST /b"):
        assert of_parent.left_by(PID + 1) == ()
        assert sorted(of_parent.left_by(PID)) == ["GET /caf\xe9", "POST /b"]
        assert of_parent.left_by(PID) == ()
    assert of_parent.left_by(PID) == ()


def test_a_request_that_raises_has_ended(requests: RunningRequests) -> None:
    with pytest.raises(ZeroDivisionError), requests.noted("GET /"):
        raise ZeroDivisionError
    assert requests.left_by(PID) == ()


def test_a_long_one_is_cut(requests: RunningRequests) -> None:
    with requests.noted("GET /" + "\xe9" * 999):
        (told,) = requests.left_by(PID)
    assert "GET /" + "\xe9" * 100 <= told <= "GET /" + "\xe9" * 999


def test_of_too_many_some_go_without(requests: RunningRequests) -> None:
    for _ in range(2):  # and all is free again
        with ExitStack() as running:
            for number in range(SLOTS + 3):
                running.enter_context(requests.noted(str(number)))
            assert {*requests.left_by(PID)} == {*map(str, range(SLOTS))}


def test_an_old_process_takes_nothing_from_the_next_one(
    requests: RunningRequests, of_parent: RunningRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as old:
        old.enter_context(requests.noted("GET /old"))
        monkeypatch.setattr(os, "getpid", lambda: PID + 1)
        with of_parent.noted("GET /new"):
            old.close()
            assert of_parent.left_by(PID + 1) == ("GET /new",)


def test_a_slot_of_a_process_that_still_answers_is_left_to_it(
    requests: RunningRequests, of_parent: RunningRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on with its last response while the next process answers others."""
    with requests.noted("GET /last"):
        monkeypatch.setattr(os, "getpid", lambda: PID + 1)
        with of_parent.noted("GET /next"):  # by a process that takes its slots in the same order
            assert of_parent.left_by(PID) == ("GET /last",)
            assert of_parent.left_by(PID + 1) == ("GET /next",)
