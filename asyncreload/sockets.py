"""What is done to sockets in more than one place."""

from __future__ import annotations

import errno
import resource
import socket
import struct
from contextlib import suppress
from typing import Any

from asyncreload import cpython

ClientAddress = tuple[Any, ...] | str
"""What `accept` tells of a client: (host, port) and more of TCP, text of a Unix socket."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""A value of SO_LINGER: on, for no second."""

ACCEPTS_AT_ONCE = 64
"""Connections; then other callbacks of the loop have their turn."""
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that say nothing of the client or the file: the process, or the machine, has no more."""
ACCEPTS_AGAIN = 0.1
"""Seconds until accepting is tried again after that."""

# Taken while `socket` is Python's own: an app may replace the class later, as gevent does.
_Socket = socket.socket


def accept(listener: socket.socket) -> tuple[socket.socket, ClientAddress]:
    """Accept a connection; return it and the client's address. Raises OSError as `accept` does."""
    descriptor, client = cpython.accept(listener)
    connection = _Socket(listener.family, listener.type, listener.proto, descriptor)
    return _without_timeout(connection), client


def from_descriptor(descriptor: int) -> socket.socket:
    """Return a socket that owns a descriptor, which programs that the app starts do not inherit.

    Raises OSError when it is not the descriptor of a socket.
    """
    connection = _Socket(fileno=descriptor)
    connection.set_inheritable(False)
    return _without_timeout(connection)


def _without_timeout(connection: socket.socket) -> socket.socket:
    if connection.gettimeout() is not None:
        connection.settimeout(None)  # the app has set a default timeout
    return connection


def receive_now(connection: socket.socket, size: int, flags: int = 0) -> bytes | None:
    """Return at most `size` bytes that have arrived; never wait.

    None means that none have arrived yet, b"" that none will any more.
    """
    try:
        return connection.recv(size, flags | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def set_low_water_mark(connection: socket.socket, size: int) -> None:
    """Make the connection readable only when `size` bytes are there, or no more can arrive."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


def share_of_descriptors(divisor: int, most: int) -> int:
    """Return this part of the descriptors that the process may have, from 1 to `most`."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if limit == resource.RLIM_INFINITY else max(1, min(most, limit // divisor))
