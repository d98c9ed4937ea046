"""A connection in the loop of an ASGI app, between its transport and uvicorn's protocol.

uvicorn's HTTP and WebSocket protocols are used without uvicorn's server:
`protocol(config, server_state, app_state)` has been their constructor since 0.21, and `shutdown()`
ends a WebSocket with 1012. What the server would know of a connection is known here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any, cast

from asyncreload.child.sockets import RESET_ON_CLOSE, receive_now

_WHOLE = 65536
"""Bytes: more than a request has of which it is known that it is there as a whole."""


class Use(Enum):
    """What a connection is used for."""

    RESPONSE = auto()
    STREAM = auto()
    """A response that has no end of its own, such as an event stream."""
    WEBSOCKET = auto()
    """An open one; until it is accepted, its handshake is a response."""


class AsgiConnection(asyncio.Protocol):
    """Passes on what the transport tells to the protocol that has the connection by now.

    connection: the socket of which the transport has a copy. It stays open until the transport has
        closed that: so the rest of a request can be read first, and the answer is not lost.
    is_all: whether the request has arrived as a whole, and nothing follows it. Then the transport
        has the socket itself.
    make_protocol: returns uvicorn's protocol for this connection.
    on_lost: called when the transport has closed its copy.
    """

    def __init__(
        self,
        connection: socket.socket,
        make_protocol: Callable[[AsgiConnection], asyncio.Protocol],
        on_lost: Callable[[AsgiConnection], None],
        *,
        is_all: bool = False,
    ) -> None:
        self.is_all: bool = is_all
        self.socket: socket.socket = connection
        self.use: Use = Use.RESPONSE
        self.lost: asyncio.Event = asyncio.Event()
        """Set when it is closed."""
        self.transport: asyncio.Transport | None = None
        self.was_reset: bool = False
        self._ends_early = False
        self._on_lost = on_lost
        self._make_protocol = make_protocol
        self._protocol: Any = None

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self.lost.is_set() or self.transport is None or self.transport.is_closing()

    def begin(self, use: Use) -> None:
        """Note what the connection is used for from now on."""
        self.use = use
        if self._ends_early:
            self._end()

    def end_early(self) -> None:
        """End what would not end by itself, now or as soon as it begins."""
        self._ends_early = True
        self._end()

    def close(self) -> None:
        """Close the connection once all is sent that was written."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close the connection by a reset: its client sees that the response is not complete.

        For a response whose end is that of the connection: a plain close would complete it.
        """
        self.was_reset = True
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if self.transport is not None:
            self.transport.abort()

    def _end(self) -> None:
        if self.use is Use.WEBSOCKET and not self.is_closing:
            self._protocol.shutdown()  # with 1012
        elif self.use is Use.STREAM:
            self.close()

    def pass_to(self, protocol: asyncio.Protocol) -> None:
        """Pass on what follows to another protocol of uvicorn's: that of a WebSocket."""
        self._protocol = protocol

    # --- what the transport tells ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._protocol = self._make_protocol(self)
        self._protocol.connection_made(_Transport(self.transport, self))
        if self.is_all and (data := receive_now(self.socket, _WHOLE)):
            # Now, and not when the transport is told: that takes one more round of the loop.
            self._protocol.data_received(data)

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        kept: bool | None = self._protocol.eof_received()
        return kept

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._on_lost(self)


class _Transport:
    """The transport, as uvicorn's protocols see it: another protocol is set in our connection."""

    def __init__(self, transport: asyncio.Transport, connection: AsgiConnection) -> None:
        self._transport = transport
        self._connection = connection
        self.write = transport.write

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self._connection.pass_to(protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
