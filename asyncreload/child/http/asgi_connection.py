"""A connection in the loop of an ASGI app: the transport of uvicorn's protocols.

uvicorn's HTTP and WebSocket protocols are used without uvicorn's server:
`protocol(config, server_state, app_state)` has been their constructor since 0.21, and `shutdown()`
ends a WebSocket with 1012. What the server would know of a connection is known here.

Not a transport of the loop's own: that reads whatever arrives. This one reads no byte more than the
request that it was told of. The next request stays in the kernel until the files have been looked
at, and another process can take it from there.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Protocol

from asyncreload.sockets import RESET_ON_CLOSE, ClientAddress, receive_now

_CHUNK = 65536
"""Bytes that are read at a time."""
_HIGH_WATER = 65536
"""Bytes that wait to be sent, from which on the protocol is told to pause."""


class Use(Enum):
    """What a connection is used for."""

    RESPONSE = auto()
    STREAM = auto()
    """A response that has no end of its own, such as an event stream."""
    WEBSOCKET = auto()
    """An open one; until it is accepted, its handshake is a response."""


class _State(Enum):
    """How far a connection has come."""

    ANSWERING = auto()
    """A request is being answered."""
    ANSWERED = auto()
    """The response is complete, and its last bytes are being sent."""
    IDLE = auto()
    """It waits for the next request."""
    CLOSING = auto()
    """Its last bytes are being sent; nothing follows them."""
    CLOSED = auto()
    """Nothing is read or sent any more."""


class Owner(Protocol):
    """Who has requests answered, as a connection sees it. Called in the app's loop."""

    def make_protocol(self, connection: AsgiConnection) -> asyncio.Protocol:
        """Return uvicorn's protocol for a connection."""

    def keeps(self) -> bool:
        """Tell whether a connection may be kept when its response is complete."""

    def on_idle(self, connection: AsgiConnection) -> None:
        """A response was delivered; another request may follow."""

    def on_next(self, connection: AsgiConnection) -> None:
        """An idle connection has something to read, or has ended."""

    def gives_up(self, connection: AsgiConnection) -> bool:
        """Tell whether an idle connection may be closed that was idle for too long."""

    def on_lost(self, connection: AsgiConnection) -> None:
        """A connection has ended: its socket is to be closed."""


class AsgiConnection(asyncio.Transport):
    """A client's connection. Used in the app's loop.

    connection: belongs to this object.
    client: the client's address.
    """

    def __init__(
        self,
        connection: socket.socket,
        client: ClientAddress,
        loop: asyncio.AbstractEventLoop,
        owner: Owner,
    ) -> None:
        super().__init__()
        self.socket: socket.socket = connection
        self.client: ClientAddress = client
        self.use: Use = Use.RESPONSE
        self.request: str = ""
        """What is answered, as in "GET /cart", once that is known."""
        self.lost: asyncio.Event = asyncio.Event()
        """Set when it is closed."""
        self.was_reset: bool = False
        self._loop = loop
        self._number = connection.fileno()
        self._owner = owner
        self._state = _State.ANSWERING
        self._ends_early = False
        self._has_answered = False
        self._unread = 0.0  # bytes of the request; infinite if nobody knows
        self._is_paused = self._is_watched = self._has_reader = False
        self._unsent = bytearray()
        self._high_water = _HIGH_WATER
        self._is_corked = self._has_writer = self._is_full = False
        with suppress(OSError):  # it is no TCP connection
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol: Any = owner.make_protocol(self)
        self._protocol.connection_made(self)

    # --- its requests --------------------------------------------------------------------------

    def receive(self, size: float) -> None:
        """Give the protocol the next request, which has so many bytes: infinite if unknown."""
        self._state = _State.ANSWERING
        self.use = Use.RESPONSE
        self.request = ""
        self._has_answered = False
        self._unread = size
        self._read()
        self._listen_again()

    @property
    def has_more_to_read(self) -> bool:
        """Whether its client may still send, or has sent, what nobody reads."""
        if self.was_reset:
            return False
        return bool(self._unread or receive_now(self.socket, 1, socket.MSG_PEEK))

    @property
    def may_be_kept(self) -> bool:
        """Whether another request may follow the present one, of which all was read."""
        return not self._unread and self._owner.keeps()

    def watch(self) -> None:
        """Tell the protocol when the client is gone: the app waits for that."""
        self._is_watched = True
        self._listen_again()

    def end_response(self) -> None:
        """Note that the response is complete; wait for the next request, if it is kept."""
        if self._state is _State.ANSWERING:
            self._state = _State.ANSWERED
            if not self._unsent:
                self._begin_to_wait()

    def begin(self, use: Use) -> None:
        """Note what the connection is used for from now on."""
        self.use = use
        if self._ends_early:
            self._end()

    def end_early(self) -> None:
        """End what would not end by itself, now or as soon as it begins."""
        self._ends_early = True
        self._end()

    def reset(self) -> None:
        """Close the connection by a reset: its client sees that the response is not complete.

        For a response whose end is that of the connection: a plain close would complete it.
        """
        self.was_reset = True
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.abort()

    def cut_off(self, instead: bytes) -> bool:
        """Send another response if the app has sent nothing; return whether that was so.

        Called as the process is about to end, also in another thread when the loop does not run.
        """
        is_asked = bool(self.request) and self._state is _State.ANSWERING
        if not is_asked or self._has_answered or self.use is not Use.RESPONSE:
            return False
        self._state = _State.CLOSED
        with suppress(OSError):
            self.socket.send(instead, socket.MSG_DONTWAIT)
            self.socket.shutdown(socket.SHUT_WR)
        return True

    def mute(self) -> None:
        """In a fork of the app's, do nothing more: the process that was forked from answers.

        Nor is the loop told: what it waits by is the same for both.
        """
        self._state = _State.CLOSED
        self._unsent.clear()
        self._has_reader = self._has_writer = False

    def release(self) -> socket.socket:
        """Let go of the socket of an idle connection: somebody else takes the next request."""
        self._state = _State.CLOSED
        self._stop_listening()
        self._tell_lost(None)
        self.socket.setblocking(True)
        return self.socket

    def _end(self) -> None:
        if self.use is Use.STREAM:
            self.close()
        elif self.use is Use.WEBSOCKET and not self.is_closing():
            if self._has_answered:
                self._protocol.shutdown()  # with 1012
            else:  # an old uvicorn needs some steps more until it answers the handshake
                self._loop.call_soon(self._end)

    def _begin_to_wait(self) -> None:
        self._state = _State.IDLE
        self._is_paused = self._is_watched = False
        self._owner.on_idle(self)
        if self._state is _State.IDLE:
            self._listen()

    # --- reading -------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._listen_again()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def _on_readable(self) -> None:
        if self._state is _State.IDLE:
            self._owner.on_next(self)
        elif self._state is not _State.ANSWERING or self._is_paused:
            self._stop_listening()
        elif self._unread:
            self._read()
        elif next_byte := receive_now(self.socket, 1, socket.MSG_PEEK):
            self._stop_listening()  # the next request waits for the end of this one
        elif next_byte is not None:
            self._on_end()

    def _read(self) -> None:
        data = receive_now(self.socket, int(min(self._unread, _CHUNK)))
        if data:
            self._unread -= len(data)
            try:
                self._protocol.data_received(data)
            except Exception:
                self.abort()
                raise
        elif data is not None:
            self._on_end()

    def _on_end(self) -> None:
        self._unread = 0
        self._protocol.eof_received()  # uvicorn's protocols all want the connection closed then
        self.close()

    def _listen(self) -> None:
        if not self._has_reader:
            self._has_reader = True
            self._loop.add_reader(self._number, self._on_readable)

    def _listen_again(self) -> None:
        """Listen as far as the request goes, and for the client's end if that is awaited."""
        is_awaited = self._unread or self._is_watched
        if self._state is _State.ANSWERING and is_awaited and not self._is_paused:
            self._listen()

    def _stop_listening(self) -> None:
        if self._has_reader:
            self._has_reader = False
            self._loop.remove_reader(self._number)

    # --- writing -------------------------------------------------------------------------------

    def cork(self) -> None:
        """Hold back what is written until `uncork`, and send it in one piece."""
        self._is_corked = True

    def uncork(self) -> None:
        """Send what was held back."""
        self._is_corked = False
        if self._unsent and not self._has_writer:
            self._flush()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closing():
            self._has_answered = True
            self._unsent += data
            if self._has_writer:
                self._press_back()
            elif not self._is_corked:
                self._flush()

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del low
        self._high_water = _HIGH_WATER if high is None else high

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        state = self._state  # not looked for in a set: an enum's hash is computed by Python code
        return state is _State.CLOSED or state is _State.CLOSING

    def close(self) -> None:
        """Close the connection once all is sent that was written."""
        if self.is_closing():
            return
        # uvicorn's protocols close it when it has been idle for some seconds.
        if self._state is _State.IDLE and not self._owner.gives_up(self):
            return
        self._state = _State.CLOSING
        self._stop_listening()
        if not self._unsent:
            self._finish()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._state is not _State.CLOSED:
            self._finish()

    def _flush(self) -> None:
        """Send what the kernel takes, now and whenever it takes more."""
        try:
            sent = self.socket.send(self._unsent, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as exc:
            self._finish(exc)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._on_sent()
            return
        if not self._has_writer:
            self._has_writer = True
            self._loop.add_writer(self._number, self._flush)
        self._press_back()

    def _press_back(self) -> None:
        """Have the app wait if too much is unsent, as its client is slow."""
        if not self._is_full and len(self._unsent) > self._high_water:
            self._is_full = True
            self._protocol.pause_writing()

    def _on_sent(self) -> None:
        self._stop_sending()
        if self._is_full:
            self._is_full = False
            self._protocol.resume_writing()
        if self._state is _State.CLOSING:
            self._finish()
        elif self._state is _State.ANSWERED:
            self._begin_to_wait()

    def _stop_sending(self) -> None:
        if self._has_writer:
            self._has_writer = False
            self._loop.remove_writer(self._number)

    def _finish(self, error: Exception | None = None) -> None:
        self._state = _State.CLOSED
        self._unsent.clear()
        self._stop_listening()
        self._stop_sending()
        if not self.was_reset:
            with suppress(OSError):
                # Not a close alone: a process that the app forked may hold the connection open.
                self.socket.shutdown(socket.SHUT_WR)
        # Not at once: the protocol may be in the midst of something.
        self._loop.call_soon(self._on_finished, error)

    def _on_finished(self, error: Exception | None) -> None:
        try:
            self._tell_lost(error)
        finally:
            self._owner.on_lost(self)

    def _tell_lost(self, error: Exception | None) -> None:
        self.lost.set()
        # They refer to each other: this leaves the garbage collector nothing to do.
        protocol, self._protocol = self._protocol, None
        protocol.connection_lost(error)
