"""What one child puts into the lobby, the next one takes out."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from asyncreload.child.http import lobby as module
from asyncreload.child.http.lobby import Lobby
from tests.unit.http.network import take_all


def lobby() -> Lobby:
    return Lobby(*socket.socketpair())


def test_what_is_put_into_the_lobby_is_taken_in_order_and_lives() -> None:
    waiting = lobby()
    pairs = [socket.socketpair() for _ in range(3)]
    waiting.put([theirs for _, theirs in pairs])
    for _, theirs in pairs:
        theirs.close()
    taken = waiting.take()
    assert len(taken) == 3
    for number, ((ours, _), connection) in enumerate(zip(pairs, taken, strict=True)):
        assert connection.get_inheritable() is False
        ours.sendall(b"%d" % number)
        assert connection.recv(1) == b"%d" % number
        ours.close()
        connection.close()
    assert waiting.take() == []
    waiting.entrance.close()
    waiting.exit.close()


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 600])
def test_any_number_fits_into_the_lobby(count: int) -> None:
    waiting = lobby()
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting.entrance, waiting.exit:
        waiting.put([theirs] * count)
        taken = take_all(waiting)
        assert len(taken) == count
        for connection in taken:
            connection.close()


def test_an_empty_lobby_blocks_nobody() -> None:
    waiting = lobby()
    with waiting.entrance, waiting.exit:
        assert waiting.take() == []
        assert not waiting.entrance.getblocking()
        assert not waiting.exit.getblocking()


def test_what_is_left_in_the_lobby_is_closed_by_the_next_and_never_waited_for() -> None:
    waiting = lobby()
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting.entrance, waiting.exit:
        waiting.delegate_close(theirs.fileno())
        theirs.close()
        ours.settimeout(10)
        ours.send(b"still open")
        assert waiting.take() == []
        with suppress(ConnectionResetError):  # unread bytes were in it
            assert ours.recv(1) == b""


def test_a_lobby_whose_other_end_is_gone_is_empty_and_takes_nothing() -> None:
    waiting = lobby()
    waiting.entrance.close()
    assert waiting.take() == []
    waiting.exit.close()
    waiting = lobby()
    waiting.exit.close()
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting.entrance:
        waiting.put([theirs])
        waiting.delegate_close(theirs.fileno())


def test_what_is_left_to_be_closed_is_closed_at_once_when_no_thread_can_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start_new_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "start_new_thread", start_new_thread)
    waiting = lobby()
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting.entrance, waiting.exit:
        waiting.delegate_close(theirs.fileno())
        theirs.close()
        assert waiting.take() == []
        assert ours.recv(1) == b""
