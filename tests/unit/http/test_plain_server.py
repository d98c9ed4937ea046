"""Serving without reloading."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncreload.child.http.plain_server import serve_plainly
from asyncreload.settings import Settings
from tests.unit.http.network import iterate, network

pytestmark = pytest.mark.asyncio


def hello(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


@pytest.mark.parametrize("live", [True, False])
async def test_the_app_answers_until_serving_is_cancelled(
    capsys: pytest.CaptureFixture[str], *, live: bool
) -> None:
    async with network() as net:
        settings = Settings(target="", access_log=False, live=live)
        serving = asyncio.create_task(serve_plainly(hello, net.listener, settings))
        for path in ("/", "/.asyncreload/events", "/.asyncreload/live.js"):
            text = await net.answer(net.connect(f"GET {path} HTTP/1.0\r\nHost: localhost"))
            assert text.startswith("HTTP/1.0 200 OK\r\n")
            assert text.endswith("\r\n\r\nhello")
        pending = net.connect()
        await iterate()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await net.answer(pending) == ""
    assert capsys.readouterr().err == ""
