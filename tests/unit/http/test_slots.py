"""Who waits for its client takes no room from others, and goes on at once."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from asyncreload.child.http import slots as module
from asyncreload.child.http.slots import Slot, Slots


class Place:
    """Turns, the clients' ends of their connections, and how often there came to be room."""

    def __init__(self, limit: int) -> None:
        self.slots = Slots(limit, self.on_room)
        self.clients: dict[Slot, socket.socket] = {}
        self.stack = ExitStack()
        self.rooms = 0

    def on_room(self) -> None:
        assert not self.slots._lock.locked()
        self.rooms += 1

    def begin(self) -> Slot:
        connection, client = map(self.stack.enter_context, socket.socketpair())
        client.setblocking(False)
        turn = self.slots.begin(connection)
        self.clients[turn] = client
        return turn

    def was_ended(self, turn: Slot) -> bool:
        try:
            return self.clients[turn].recv(1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def places() -> Iterator[type[Place]]:
    made: list[Place] = []

    class Kept(Place):
        def __init__(self, limit: int) -> None:
            super().__init__(limit)
            made.append(self)

    yield Kept
    for place in made:
        place.stack.close()


def test_each_takes_room_until_it_ends(places: type[Place]) -> None:
    place = places(2)
    first, second = place.begin(), place.begin()
    assert (place.slots.room, len(place.slots)) == (0, 2)
    place.slots.end(first)
    assert (place.slots.room, len(place.slots)) == (1, 1)
    place.slots.end(second)
    assert (place.slots.room, len(place.slots), place.rooms) == (2, 0, 0)


def test_who_waits_for_its_client_takes_none_and_is_still_answered(places: type[Place]) -> None:
    place = places(2)
    turn, _ = place.begin(), place.begin()
    with turn:
        assert (place.slots.room, len(place.slots)) == (1, 2)
    assert place.slots.room == 0


def test_it_can_end_while_another_thread_of_the_app_waits(places: type[Place]) -> None:
    place = places(2)
    turn = place.begin()
    with turn:
        place.slots.end(turn)
        assert (place.slots.room, len(place.slots)) == (2, 0)
    assert not place.slots.at_work(0)


def test_it_goes_on_at_once_though_others_have_taken_the_room(places: type[Place]) -> None:
    place = places(2)
    for turn in (place.begin(), place.begin()):
        with turn:
            place.begin()
    assert place.slots.room == -2


def test_that_there_is_room_is_told_when_there_was_none(places: type[Place]) -> None:
    place = places(2)
    first = place.begin()
    with first:  # there was
        assert place.rooms == 0
    second = place.begin()
    with first:
        assert place.rooms == 1
        with second:
            assert place.rooms == 1  # who was told has not asked since
        third = place.begin()
        with second, third:
            assert place.rooms == 2
    assert place.slots.room == -1
    with first:  # there is none yet
        assert (place.slots.room, place.rooms) == (0, 2)


def test_an_app_that_is_not_thread_safe_is_not_called_meanwhile(places: type[Place]) -> None:
    place = places(1)
    with place.begin():
        assert (place.slots.room, place.rooms) == (0, 0)


def test_a_client_is_slow_when_it_was_first_waited_for_long_ago(
    places: type[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places(4)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert not place.slots.at_work(1)
    turn = place.begin()
    assert place.slots.at_work(1)
    with turn:
        assert place.slots.at_work(1)
        now += 0.9
    with turn:
        assert place.slots.at_work(1)
        now += 0.2
        assert not place.slots.at_work(1)
    assert place.slots.at_work(1)
    with turn:  # once slow, always slow
        assert not place.slots.at_work(1)
        place.begin()
        assert place.slots.at_work(1)


def test_of_too_many_that_wait_the_one_is_given_up_that_has_waited_longest(
    places: type[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    place = places(8)
    first, second, third = (place.begin() for _ in range(3))
    with first, second:
        pass  # it moves, and waits again
    with second, first:
        assert not any(map(place.was_ended, (first, second, third)))
        with third:
            assert place.was_ended(second)
            assert place.slots.room == 7  # and has something to do again
        assert not any(map(place.was_ended, (first, third)))
    assert place.slots.room == 5


def test_a_connection_that_has_ended_already_can_be_given_up(
    places: type[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 1)
    place = places(8)
    first, second = place.begin(), place.begin()
    first.connection.close()
    with first, second:
        assert place.slots.room == 7


@pytest.mark.parametrize(
    ("limit", "most"),
    [(100, 25), (3, 1), (20_000, 256), (resource.RLIM_INFINITY, 256)],
)
def test_their_number_leaves_descriptors_for_others(
    limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert Slots(4, lambda: None)._most == most
