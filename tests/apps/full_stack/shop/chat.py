from fastapi import APIRouter, WebSocket, WebSocketDisconnect

VERSION = 0
router = APIRouter()
guests: set[WebSocket] = set()


@router.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    guests.add(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            for guest in list(guests):
                await guest.send_text(f"{websocket.app.version} {text}")
    except WebSocketDisconnect:
        pass
    finally:
        guests.discard(websocket)
