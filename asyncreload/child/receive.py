"""Read from a connection what is there, without waiting for more."""

from __future__ import annotations

import socket


def receive_now(connection: socket.socket, size: int, flags: int = 0) -> bytes | None:
    """Return what has come, None if that is nothing yet, and b"" if nothing will come any more."""
    try:
        return connection.recv(size, flags | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""
