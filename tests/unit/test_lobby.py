"""What one child puts into the lobby, the next one takes out."""

from __future__ import annotations

import socket

import pytest

from asyncreload.lobby import Lobby
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


def test_what_is_delegated_is_closed_by_the_next_when_there_is_time() -> None:
    waiting = lobby()
    pairs = [socket.socketpair() for _ in range(2)]
    with waiting.entrance, waiting.exit:
        waiting.delegate_close(theirs.fileno() for _, theirs in pairs)
        for ours, theirs in pairs:
            theirs.close()
            ours.setblocking(False)
        assert waiting.take() == []
        for ours, _ in pairs:
            with pytest.raises(BlockingIOError):  # it is open still
                ours.recv(1)
        waiting.close_delegated()
        for ours, _ in pairs:
            assert ours.recv(1) == b""
            ours.close()


def test_what_there_was_no_time_to_close_is_delegated_to_the_next() -> None:
    waiting = lobby()
    ours, theirs = socket.socketpair()
    with ours, waiting.entrance, waiting.exit:
        waiting.delegate_close([theirs.fileno()])
        theirs.close()
        assert waiting.take() == []
        waiting.delegate_close([])  # by the process that has taken it, at its end
        following = Lobby(waiting.entrance, waiting.exit)
        assert following.take() == []
        following.close_delegated()
        waiting.close_delegated()
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
        waiting.delegate_close([theirs.fileno()])
