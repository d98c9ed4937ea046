"""What children inherit is open until it is closed, also when not all of it can be opened."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import pytest

from asyncreload.liveness import LivenessCounter
from asyncreload.parent.inheritance import Inheritance


def is_open(descriptor: int) -> bool:
    with suppress(OSError):
        os.fstat(descriptor)
        return True
    return False


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_it_is_open_until_it_is_closed() -> None:
    listening = listener()
    address = listening.getsockname()
    inheritance = Inheritance(listening)
    assert inheritance.address == address
    assert inheritance.descriptors[0] == listening.fileno()
    assert len(set(inheritance.descriptors)) == 9
    assert all(map(is_open, inheritance.descriptors))
    assert not any(map(os.get_inheritable, inheritance.descriptors))
    descriptors = list(inheritance.descriptors)
    inheritance.close()
    inheritance.close()
    assert not any(map(is_open, descriptors))


def test_when_memory_is_short_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def create() -> LivenessCounter:
        raise OSError("no memory")

    monkeypatch.setattr(LivenessCounter, "create", create)
    listening = listener()
    with pytest.raises(OSError, match="no memory"):
        Inheritance(listening)
    assert listening.fileno() == -1
