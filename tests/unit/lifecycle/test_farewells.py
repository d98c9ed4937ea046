"""The next process hears which one has left, without the supervisor."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from asyncreload.child.lifecycle.farewells import Farewells


@pytest.fixture
def farewells() -> Iterator[Farewells]:
    made = Farewells(*socket.socketpair(type=socket.SOCK_DGRAM))
    yield made
    made.close()
    assert made.descriptors() == (-1, -1)


def say(farewells: Farewells, pid: int) -> None:
    os.write(farewells.own()[0], b"%d" % pid)


def test_nobody_has_left_yet_and_nobody_is_kept_waiting(farewells: Farewells) -> None:
    assert not farewells.is_heard(7)


def test_a_farewell_is_heard_once(farewells: Farewells) -> None:
    descriptor, words = farewells.own()
    os.write(descriptor, words)
    assert farewells.is_heard(os.getpid())
    assert not farewells.is_heard(os.getpid())


def test_what_others_have_said_is_dropped(farewells: Farewells) -> None:
    say(farewells, 6)
    say(farewells, 71)
    assert not farewells.is_heard(7)
    say(farewells, 7)
    assert farewells.is_heard(7)
    assert not farewells.is_heard(71)


def test_nobody_hears_a_farewell_for_which_there_is_no_room(farewells: Farewells) -> None:
    """The supervisor hears it all the same."""
    with suppress(BlockingIOError):
        while True:
            say(farewells, 6)
    assert not farewells.is_heard(7)
    say(farewells, 7)
    assert farewells.is_heard(7)
