"""Clients of an ASGI app that would stay for ever: an open WebSocket, and an event stream."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.live.driving import DEADLINE

if TYPE_CHECKING:
    from tests.live.failing import Bench, Stream

SERVICE_RESTART = 1012
ENDLESS = """\
async def endless(scope, receive, send):
    told = f"{VERSION} {helper.VERSION}"
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": told})
        return
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told.encode(), "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
"""
"""Goes with the source of an app: what `driving.spoken` has made of it calls this."""


class EndlessClients:
    """Both are open, or neither is. They are answered by one version."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._opened = ExitStack()
        self._websocket: ClientConnection | None = None
        self._stream: Stream
        self._version = ""

    def open(self, version: str) -> None:
        """Open both, and expect to be answered by a version."""
        plain = socket.create_connection(("127.0.0.1", self._bench.port), DEADLINE)
        websocket = connect("ws://127.0.0.1/ws", sock=plain, close_timeout=1)
        self._websocket = self._opened.enter_context(websocket)
        self._stream = self._bench.stream("/events")
        self._opened.callback(self._stream.close)
        self._stream.until(version)
        self._version = version
        assert self._asked() == version

    def check(self, version: str) -> None:
        """Expect both to go on, or to have ended as they do at a reload.

        version: what answers now, or what is wrong. If it is another one, they have ended.
        """
        if self._websocket is None:
            return
        try:
            answer = self._asked()
        except ConnectionClosed as exc:
            code = exc.rcvd.code if exc.rcvd else None
        else:
            assert answer == self._version == version
            return
        assert code == SERVICE_RESTART
        while self._stream.some():  # until its end, which is no reset
            pass
        self.close()

    def close(self) -> None:
        """Let go of both."""
        self._opened.close()
        self._websocket = None

    @property
    def are_open(self) -> bool:
        """Whether they have not ended yet, as far as is known."""
        return self._websocket is not None

    def _asked(self) -> str | bytes:
        assert self._websocket is not None
        self._websocket.send("which?")
        try:
            return self._websocket.recv(timeout=DEADLINE)
        except TimeoutError:
            pytest.fail("the WebSocket is open, and does not answer")
