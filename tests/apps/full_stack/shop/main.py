"""What FastAPI's own template of a full stack has: a bit of everything."""

import asyncio
import os
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sse_starlette import EventSourceResponse

from . import chat, database, settings
from .database import Note, Session

VERSION = 0
NEWEST = max(VERSION, chat.VERSION, database.VERSION, settings.VERSION)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, object]]:
    engine = await database.connect()
    worker = asyncio.create_task(work())
    yield {"engine": engine}
    worker.cancel()
    await asyncio.wait([worker])
    await engine.dispose()
    with open("lives", "a") as file:
        file.write(f"{NEWEST} has ended\n")


async def work() -> None:
    while True:
        await asyncio.sleep(0.1)


app = FastAPI(title=settings.settings.title, version=str(NEWEST), lifespan=lifespan)
app.include_router(chat.router)


class NewNote(BaseModel):
    text: str


@app.get("/notes")
async def notes(session: Session) -> dict[str, int]:
    count = select(func.count()).select_from(Note)
    audited = count.where(Note.was_audited)
    return {
        "version": NEWEST,
        "notes": await session.scalar(count) or 0,
        "audited": await session.scalar(audited) or 0,
    }


@app.post("/notes", status_code=201)
async def add(new: NewNote, session: Session, tasks: BackgroundTasks) -> dict[str, int]:
    note = Note(text=new.text)
    session.add(note)
    await session.commit()
    assert isinstance(session.bind, AsyncEngine)
    tasks.add_task(audit, session.bind, note.id)
    return {"version": NEWEST, "id": note.id}


async def audit(engine: AsyncEngine, number: int) -> None:
    await asyncio.sleep(0.05)
    async with AsyncSession(engine) as session:
        await session.execute(update(Note).where(Note.id == number).values(was_audited=True))
        await session.commit()


@app.post("/files")
async def upload(file: UploadFile) -> dict[str, int]:
    size = checksum = 0
    while data := await file.read(1024 * 1024):
        size += len(data)
        checksum = zlib.crc32(data, checksum)
    return {"version": NEWEST, "size": size, "checksum": checksum}


@app.get("/export")
async def export() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(20):
            yield f"{NEWEST} {number}\n"
            await asyncio.sleep(0.02)

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/events")
async def events() -> EventSourceResponse:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield f"version {NEWEST}"
            await asyncio.sleep(0.05)

    return EventSourceResponse(ticks())


@app.get("/resources")
async def resources() -> dict[str, int]:
    """Tell what this process holds."""
    return {
        "version": NEWEST,
        "process": os.getpid(),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "guests": len(chat.guests),
    }
