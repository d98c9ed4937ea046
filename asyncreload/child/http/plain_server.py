"""Serve without reloading, in the process that asks for it."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING

from asyncreload.child.http.acceptor import Acceptor, Lobby
from asyncreload.child.http.wsgi import Site, answer

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from asyncreload.settings import Settings


async def serve_plainly(app: WSGIApplication, listener: socket.socket, settings: Settings) -> None:
    """Answer requests until cancelled."""
    entrance, exit_ = socket.socketpair()
    with entrance, exit_:
        server = Acceptor(listener, Lobby(entrance, exit_), list, _nothing_changed, lambda _: None)
        host, port = listener.getsockname()[:2]
        site = Site(host, port, settings.threads, settings.access_log)
        server.open(partial(answer, app=app, site=site), settings.threads)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close(hand_over=False)


async def _nothing_changed(_suspects: list[str]) -> list[str]:
    return []
