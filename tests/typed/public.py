"""What a type checker must make of the public API. It is checked, never run."""

# pyright: strict
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import assert_never, assert_type
from wsgiref.types import WSGIApplication

from asyncreload import (
    AsyncreloadError,
    BindError,
    Changed,
    Crashed,
    Event,
    Failed,
    Ready,
    Refreshed,
    Settings,
    Starting,
    Stopped,
    Supervisor,
    is_child,
    run,
    supervise,
)
from asyncreload.testing import Answer, App, Layout


async def serve() -> None:
    assert_type(await supervise("app.py", port=0), int)
    async with Supervisor("app.py", port=0, grace=1.5, trust=["10.0.0.0/8"]) as server:
        assert_type(server, Supervisor)
        assert_type(server.url, str)
        assert_type(server.pid, int | None)
        assert_type(server.settings, Settings)
        assert_type(server.events(), AsyncIterator[Event])
        await server.ready()
        await server.reload()
        assert_type(await server.wait(), int)


def mistyped(app: WSGIApplication) -> None:
    """An option that there is not, and one of another type."""
    Supervisor("app.py", prot=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    run(app, port=0, live=True, reloader=True)
    run(app, prot=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Supervisor("app.py", port="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def react(server: Supervisor) -> None:
    async for event in server.events():
        print(tell(event))


def tell(event: Event) -> str:
    """Every kind of event is known: nothing is left for the last line."""
    match event:
        case Starting(target, url, network_url):
            assert_type(network_url, str)
            return assert_type(target, str) + assert_type(url, str)
        case Ready(pid, seconds, paths, files):
            assert_type(paths, tuple[str, ...])
            return f"{assert_type(pid, int)} {assert_type(seconds, float)} {files}"
        case Changed(paths) | Refreshed(paths):
            return " ".join(paths)
        case Failed(error, traceback):
            return error + traceback
        case Crashed(code, how, again):
            return f"{assert_type(code, int)} {how}{assert_type(again, bool)}"
        case Stopped(code):
            return str(code)
    assert_never(event)


def errors() -> None:
    try:
        assert_type(is_child(), bool)
    except BindError as exc:
        assert_type(exc.errno, int | None)
    except AsyncreloadError as exc:
        print(exc)


async def test_fixture(supervised: Layout) -> None:
    context = supervised("app.py", files={"more.py": ""}, patience=5, threads=1)
    assert_type(context, AbstractAsyncContextManager[App])
    async with context as app:
        answer = await app.get("/", headers={"Accept": "text/html"})
        assert_type(answer, Answer)
        assert_type(answer.status, int)
        assert_type(answer.text, str)
        assert_type(await app.write("app.py", ""), Path)
        assert_type(await app.fresh(), Ready)
        assert_type(app.events, list[Event])
        assert_type(app.output, str)
