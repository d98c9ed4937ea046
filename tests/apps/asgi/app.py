"""Plain ASGI with what a test wants to see: versions, slow answers, streams, WebSockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import helper  # type: ignore[import-not-found]  # beside this file once it is served

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

VERSION = "1"


def index() -> bytes:
    return f"app={VERSION} helper={helper.VERSION}".encode()


async def lifespan(receive: Receive, send: Send, state: dict[str, Any]) -> None:
    await receive()
    state["background"] = asyncio.create_task(asyncio.Event().wait())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def websocket(receive: Receive, send: Send) -> None:
    """Answer each message with the version."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": index()})


async def begin(send: Send, status: int = 200, kind: bytes = b"text/plain") -> None:
    head = {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]}
    await send(head)


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    await begin(send, status)
    await send({"type": "http.response.body", "body": body})


async def events(receive: Receive, send: Send) -> None:
    """Send the version again and again, until the client is gone."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(disconnected())
    await begin(send, kind=b"text/event-stream")
    while not gone.done():
        event = b"data: %b\n\n" % index()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.wait([gone], timeout=0.05)


async def stream(send: Send, options: dict[str, str]) -> None:
    await begin(send)
    for number in range(int(options.get("blocks", "10"))):
        block = f"block={number} app={VERSION}\n".encode()
        await send({"type": "http.response.body", "body": block, "more_body": True})
        await asyncio.sleep(float(options.get("delay", "0.1")))
    await send({"type": "http.response.body"})


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return await lifespan(receive, send, scope["state"])
    if scope["type"] == "websocket":
        return await websocket(receive, send)
    options = dict(parse_qsl(scope["query_string"].decode()))
    match scope["path"]:
        case "/":
            await answer(send, index())
        case "/slow":
            await asyncio.sleep(float(options.get("seconds", "1")))
            await answer(send, index())
        case "/block":
            time.sleep(float(options.get("seconds", "1")))
            await answer(send, index())
        case "/stream":
            await stream(send, options)
        case "/events":
            await events(receive, send)
        case _:
            await answer(send, b"no such path", 404)
    return None
