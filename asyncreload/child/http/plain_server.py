"""Serves without reloading, in the process that asks for it."""

from __future__ import annotations

import asyncio
import socket
from importlib import import_module
from typing import TYPE_CHECKING

from asyncreload.child.http.front_end import FrontEnd
from asyncreload.child.http.gate import OpenGate
from asyncreload.child.http.request_threads import RequestThreads
from asyncreload.lobby import Lobby

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from asyncreload.child.imports.interface import AsgiApp
    from asyncreload.settings import Settings


async def serve_plainly(app: WSGIApplication, listener: socket.socket, settings: Settings) -> None:
    """Answer requests until cancelled."""
    entrance, exit_ = socket.socketpair()
    with entrance, exit_:
        # The main thread runs this very loop: it has no time to answer.
        front_end = FrontEnd(listener, Lobby(entrance, exit_), OpenGate(), RequestThreads())
        host, port = listener.getsockname()[:2]
        front_end.serve(app, settings, (host, port))
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            front_end.close(hand_over=False)


def serve_asgi_plainly(app: AsgiApp, listener: socket.socket, settings: Settings) -> None:
    """Answer requests until Ctrl-C, with uvicorn as it is."""
    uvicorn = import_module("uvicorn")
    config = uvicorn.Config(app.call, log_level="warning", access_log=settings.access_log)
    uvicorn.Server(config).run(sockets=[listener])
