"""What the keys do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from asyncreload import browser
from asyncreload.errors import AsyncreloadError
from asyncreload.keys import HINT, Key, Keys

pytestmark = pytest.mark.asyncio


class Server:
    """Stands for a supervisor."""

    url = "http://127.0.0.1:8000/"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.has_ended = False
        self.answers = asyncio.Event()

    async def reload(self) -> None:
        self.asked.append("reload")
        await self.ready()

    async def ready(self) -> None:
        await self.answers.wait()
        if self.has_ended:
            raise AsyncreloadError("the app came to its end before it was ready")


class Scene:
    def __init__(self) -> None:
        self.server = Server()
        self.done: list[str] = []
        self.has_browser = True
        self.keys = Keys(
            self.server,
            clear=lambda: self.done.append("clear"),
            leave=lambda: self.done.append("leave"),
            open_page=self._open,
        )

    async def _open(self, url: str) -> bool:
        self.done.append(url)
        return self.has_browser

    async def type(self, *lines: str) -> None:
        async def typed() -> AsyncIterator[str]:
            for line in lines:
                yield line

        await self.keys.obey(typed())
        for _ in range(3):
            await asyncio.sleep(0)


async def test_what_each_key_does() -> None:
    scene = Scene()
    await scene.type("c", "o", "r", "q")
    assert scene.done == ["clear", "leave", Server.url]
    assert scene.server.asked == ["reload"]


async def test_a_reload_that_does_not_end_holds_up_no_key() -> None:
    scene = Scene()
    await scene.type("r", "r", "c")
    assert scene.server.asked == ["reload"] * 2
    assert scene.done == ["clear"]
    scene.server.has_ended = True
    scene.server.answers.set()
    await scene.type()
    assert not scene.keys._tasks


@pytest.mark.parametrize("line", ["C", " c ", "c\t"])
async def test_a_letter_may_be_typed_as_it_comes(line: str) -> None:
    scene = Scene()
    await scene.type(line)
    assert scene.done == ["clear"]


async def test_an_empty_line_is_for_the_eye(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await Scene().type("", "  ")
    assert caplog.messages == []


async def test_what_is_no_key_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await Scene().type("x\x1b[2J", "long " * 100)
    first, second = caplog.messages
    assert first == "nothing waits for 'x\\x1b[2J'; h, then Enter, shows the keys"
    assert len(second) < 100


async def test_the_help_names_every_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await Scene().type("h")
    (text,) = caplog.messages
    assert [line[2] for line in text.splitlines()[1:-1]] == [key.value for key in Key]
    assert max(map(len, text.splitlines())) <= 80


async def test_the_hint_fits_a_narrow_terminal() -> None:
    assert HINT == "r restart · o open · c clear · q quit · h help, then Enter"
    assert len(HINT) <= 60


async def test_without_a_browser_the_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.has_browser = False
    await scene.type("o")
    assert caplog.messages == [f"no browser could be opened here: open {Server.url} yourself"]


async def test_the_browser_is_opened_once_the_app_answers() -> None:
    scene = Scene()
    task = asyncio.create_task(scene.keys.open_when_ready())
    await scene.type()
    assert scene.done == []
    scene.server.answers.set()
    await task
    assert scene.done == [Server.url]


async def test_it_is_not_opened_when_all_ends_before() -> None:
    scene = Scene()
    scene.server.has_ended = True
    scene.server.answers.set()
    await scene.keys.open_when_ready()
    assert scene.done == []


async def test_where_no_process_can_be_started_no_browser_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_words: str, **_options: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    assert not await browser.open_browser(Server.url)
