"""The keys of the command: a letter and Enter, while it serves."""

from __future__ import annotations

import asyncio
import logging
import reprlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from asyncreload.browser import open_browser
from asyncreload.errors import AsyncreloadError
from asyncreload.style import plain

log: logging.Logger = logging.getLogger("asyncreload")


class Key(Enum):
    """What may be typed, in the order in which it is shown."""

    RESTART = "r"
    OPEN = "o"
    CLEAR = "c"
    QUIT = "q"
    HELP = "h"


HINT = f"{' · '.join(f'{key.value} {key.name.lower()}' for key in Key)}, then Enter"
"""The line at the start: it fits a narrow terminal."""

_MEANINGS = {
    Key.RESTART: "start the app from nothing: no checkpoint, nothing imported ahead",
    Key.OPEN: "open it in the browser",
    Key.CLEAR: "clear the screen",
    Key.QUIT: "quit, with exit code 0",
    Key.HELP: "show this",
}
HELP = "\n".join(
    [
        "a letter, then Enter:",
        *(f"  {key.value}  {meaning}" for key, meaning in _MEANINGS.items()),
        "While the app or a debugger waits for a line, it gets what you type.",
    ]
)


class Served(Protocol):
    """What the keys ask of a supervisor."""

    @property
    def url(self) -> str: ...
    async def reload(self) -> None: ...
    async def ready(self) -> None: ...


class Keys:
    """Does what is typed, and never waits for it.

    clear: clears the screen.
    leave: ends the command.
    open_page: opens an address in a browser; tells whether it did.
    """

    def __init__(
        self,
        server: Served,
        clear: Callable[[], object],
        leave: Callable[[], object],
        open_page: Callable[[str], Awaitable[bool]] = open_browser,
    ) -> None:
        self._server = server
        self._open_page = open_page
        self._tasks: set[asyncio.Task[None]] = set()
        self._actions: dict[Key, Callable[[], object]] = {
            Key.RESTART: lambda: self._start(self._restart()),
            Key.OPEN: lambda: self._start(self._open()),
            Key.CLEAR: clear,
            Key.QUIT: leave,
            Key.HELP: lambda: log.info("%s", HELP),
        }

    async def obey(self, lines: AsyncIterator[str]) -> None:
        """Do what is typed, line by line."""
        async for line in lines:
            self.on_line(line)

    def on_line(self, line: str) -> None:
        """Do what a line asks for; an empty one only makes room on the screen."""
        letter = line.strip().lower()
        if not letter:
            return
        try:
            key = Key(letter)
        except ValueError:
            shown = plain(reprlib.repr(line.strip()))
            log.info("nothing waits for %s; h, then Enter, shows the keys", shown)
            return
        self._actions[key]()

    async def open_when_ready(self) -> None:
        """Open the browser once the app answers; never, if it ends before that."""
        with suppress(AsyncreloadError):
            await self._server.ready()
            await self._open()

    async def _restart(self) -> None:
        with suppress(AsyncreloadError):  # it is ending
            await self._server.reload()

    async def _open(self) -> None:
        url = self._server.url
        if not await self._open_page(url):
            log.warning("no browser could be opened here: open %s yourself", url)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
