"""A WebSocket and an event stream. Run it: asyncreload examples/starlette_ws.py --port 8000.

It needs: pip install starlette '.[asgi]'. Then change the greeting, save, and watch the
page: both connections are back at once, with the new greeting.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

GREETING = "Hello from Starlette"

PAGE = """<h1>{greeting}</h1>
<p id="socket">...</p>
<p id="stream">...</p>
<script>
const show = (id, text) => document.getElementById(id).textContent = text;
const open = () => {{
  const socket = new WebSocket(`ws://${{location.host}}/ws`);
  socket.onmessage = (event) => show("socket", event.data);
  socket.onclose = (event) => {{
    show("socket", `closed: ${{event.code}}`);
    setTimeout(open, 100);
  }};
}};
open();
new EventSource("/events").onmessage = (event) => show("stream", event.data);
</script>
"""


async def index(_request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE.format(greeting=GREETING))


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(f"{GREETING}, by WebSocket")
    async for text in websocket.iter_text():
        await websocket.send_text(f"{GREETING}: {text}")


async def events(_request: Request) -> StreamingResponse:
    async def tell() -> AsyncIterator[str]:
        for number in range(1_000_000):
            yield f"data: {GREETING}, event {number}\n\n"
            await asyncio.sleep(1)

    return StreamingResponse(tell(), media_type="text/event-stream")


app = Starlette(routes=[Route("/", index), WebSocketRoute("/ws", socket), Route("/events", events)])
