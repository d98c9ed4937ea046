"""A request that blocks on its client takes no slot from others, and goes on at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from asyncreload.child.http.slots import Slot, Slots


class Place:
    """Slots, the clients' ends of their connections, and how often a slot was told to be free."""

    def __init__(self, limit: int, **options: Any) -> None:
        self.slots = Slots(limit, self.on_free, **options)
        self.clients: dict[Slot, socket.socket] = {}
        self.stack = ExitStack()
        self.wakes = 0

    def on_free(self) -> None:
        assert not self.slots._lock.locked()
        self.wakes += 1

    def start(self) -> Slot:
        connection, client = map(self.stack.enter_context, socket.socketpair())
        client.setblocking(False)
        slot = self.slots.start(connection)
        self.clients[slot] = client
        return slot

    def was_ended(self, slot: Slot) -> bool:
        try:
            return self.clients[slot].recv(1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def places() -> Iterator[type[Place]]:
    made: list[Place] = []

    class Kept(Place):
        def __init__(self, limit: int, **options: Any) -> None:
            super().__init__(limit, **options)
            made.append(self)

    yield Kept
    for place in made:
        place.stack.close()


def test_each_request_takes_a_slot_until_it_is_finished(places: type[Place]) -> None:
    place = places(2)
    first, second = place.start(), place.start()
    assert (place.slots.free, len(place.slots), place.wakes) == (0, 2, 0)
    place.slots.finish(first)
    assert (place.slots.free, len(place.slots), place.wakes) == (1, 1, 1)
    place.slots.finish(second)
    # Told once: nobody waits for a slot while one is free.
    assert (place.slots.free, len(place.slots), place.wakes) == (2, 0, 1)


def test_one_that_blocks_takes_no_slot_and_is_still_answered(places: type[Place]) -> None:
    place = places(2)
    slot, _ = place.start(), place.start()
    with slot:
        assert (place.slots.free, len(place.slots)) == (1, 2)
    assert place.slots.free == 0


def test_it_can_finish_while_another_thread_of_the_app_blocks(places: type[Place]) -> None:
    place = places(2)
    slot = place.start()
    with slot:
        place.slots.finish(slot)
        assert (place.slots.free, len(place.slots)) == (2, 0)
    assert not place.slots.has_active(0)


def test_one_that_blocks_after_it_has_finished_gives_no_second_slot_back(
    places: type[Place],
) -> None:
    place = places(2)
    slot, _ = place.start(), place.start()
    place.slots.finish(slot)
    with slot:
        assert (place.slots.free, place.wakes) == (1, 1)
        assert place.slots.has_active(0)


def test_it_goes_on_at_once_though_others_have_taken_the_slot(places: type[Place]) -> None:
    place = places(2)
    for slot in (place.start(), place.start()):
        with slot:
            place.start()
    assert place.slots.free == -2


def test_a_free_slot_is_told_when_there_was_none(places: type[Place]) -> None:
    place = places(2)
    first = place.start()
    with first:  # there was
        assert place.wakes == 0
    second = place.start()
    with first:
        assert place.wakes == 1
        with second:
            assert place.wakes == 1  # who was told has not asked since
        third = place.start()
        with second, third:
            assert place.wakes == 2
    assert place.slots.free == -1
    with first:  # there is none yet
        assert (place.slots.free, place.wakes) == (0, 2)


def test_with_one_slot_the_app_is_not_called_meanwhile(places: type[Place]) -> None:
    place = places(1)
    with place.start():
        assert (place.slots.free, place.wakes) == (0, 0)


def test_a_client_is_slow_when_its_request_first_blocked_long_ago(places: type[Place]) -> None:
    now = 100.0
    place = places(4, clock=lambda: now)
    assert not place.slots.has_active(1)
    slot = place.start()
    assert place.slots.has_active(1)
    with slot:
        assert place.slots.has_active(1)
        now += 0.9
    with slot:
        assert place.slots.has_active(1)
        now += 0.2
        assert not place.slots.has_active(1)
    assert place.slots.has_active(1)
    with slot:  # once slow, always slow
        assert not place.slots.has_active(1)
        place.start()
        assert place.slots.has_active(1)


def test_of_too_many_the_one_is_given_up_that_has_blocked_longest(
    places: type[Place],
) -> None:
    place = places(8, max_blocked=2)
    first, second, third = (place.start() for _ in range(3))
    with first, second:
        pass  # it moves, and waits again
    with second, first:
        assert not any(map(place.was_ended, (first, second, third)))
        with third:
            assert place.was_ended(second)
            assert place.slots.free == 7  # and has something to do again
        assert not any(map(place.was_ended, (first, third)))
    assert place.slots.free == 5


def test_a_connection_that_has_ended_already_can_be_given_up(places: type[Place]) -> None:
    place = places(8, max_blocked=1)
    first, second = place.start(), place.start()
    first.connection.close()
    with first, second:
        assert place.slots.free == 7


def test_streams_are_not_waited_for(places: type[Place]) -> None:
    """Their app may sleep between two events."""
    place = places(4)
    stream = place.start()
    assert place.slots.has_active(0)
    stream.begin_stream()
    assert not place.slots.has_active(0)
    assert len(place.slots) == 1
    with stream:
        assert not place.slots.has_active(0)
        place.start()
        assert place.slots.has_active(0)


def test_streams_are_ended_when_that_is_asked_for_and_from_then_on(places: type[Place]) -> None:
    place = places(4)
    stream, late, plain = place.start(), place.start(), place.start()
    stream.begin_stream()
    assert not place.was_ended(stream)
    place.slots.end_streams()
    assert place.was_ended(stream)
    assert not place.was_ended(late)  # its head may not have been sent yet
    late.begin_stream()
    assert place.was_ended(late)
    assert not place.was_ended(plain)
    late.connection.close()
    late.begin_stream()  # its client has gone
    assert len(place.slots) == 3
