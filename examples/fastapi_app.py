"""A FastAPI app. Run it: asyncreload examples/fastapi_app.py --port 8000.

It needs: pip install fastapi '.[asgi]'. Then change the greeting, save, reload the page.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

GREETING = "Hello from FastAPI"


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    print("connected")  # a pool of database connections, for example
    yield
    print("disconnected: in a reload, before the new code is imported")


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=HTMLResponse)
async def index() -> str:
    return f"<h1>{GREETING}</h1>\n<p>Try <a href='/hello/you'>/hello/you</a>.</p>\n"


@app.get("/hello/{name}", response_class=HTMLResponse)
async def hello(name: str) -> str:
    return f"<h1>{GREETING}, {escape(name)}</h1>\n"
