"""Whatever is typed: a key does what it is for, and anything else is told in one line."""

from __future__ import annotations

import asyncio
import logging

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncreload.keys import Key, Keys

LINES = st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: raw.decode(errors="replace"))


class Server:
    """Stands for a supervisor; notes what is asked of it."""

    url = "http://127.0.0.1:8000/"

    def __init__(self, done: list[str]) -> None:
        self._done = done

    async def reload(self) -> None:
        self._done.append("r")

    async def ready(self) -> None: ...


class Told(logging.Handler):
    """Keeps the lines that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@given(LINES)
@settings(max_examples=100, deadline=None)
@example("\x1b[2J\x1b]0;title\x07")
@example("R\x85")
@example("x" * 5000)
def test_any_line_is_a_key_or_told_in_one_line(line: str) -> None:
    told, done = Told(), list[str]()

    async def play() -> None:
        async def open_page(url: str) -> bool:
            done.append("o")
            return True

        keys = Keys(Server(done), lambda: done.append("c"), lambda: done.append("q"), open_page)
        keys.on_line(line)
        await asyncio.sleep(0)

    log = logging.getLogger("asyncreload")
    level = log.level
    log.addHandler(told)
    log.setLevel(logging.INFO)
    try:
        asyncio.run(play())
    finally:
        log.removeHandler(told)
        log.setLevel(level)
    word = line.strip().lower()
    if word in {key.value for key in Key} - {"h"}:
        assert (done, told.lines) == ([word], [])
    elif word and word != "h":
        (text,) = told.lines
        assert text.isprintable()
        assert len(text) < 150
        assert not done
