"""P9: a supervisor whose loop is held up by its host, while its processes go on.

The next process begins when it hears the farewell of the old one, and may have come far when the
supervisor hears of either.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload import Changed, Crashed
from tests.live.driving import until

if TYPE_CHECKING:
    from asyncreload.testing import App, Layout

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux"),
]

DEADLINE = 60.0
# Else no checkpoint would be worth its cost.
APP = "import time\ntime.sleep(0.02)\nfrom page import app\n"
PAGE = """\
import atexit, pathlib, time

def wait():  # but not for longer than a handler may take in a reload
    until = time.monotonic() + 0.45
    while pathlib.Path("waits").exists() and time.monotonic() < until:
        time.sleep(0.001)

atexit.register(wait)

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"page"]
"""
NOTES = """\
import atexit, os, pathlib
log = pathlib.Path("log").open("a", buffering=1)
atexit.register(log.write, "ends\\n")
log.write(f"{os.getpid()} begins\\n")
"""


async def until_told(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while text not in caplog.text:
            await asyncio.sleep(0.001)


async def begin_unheard(app: App, caplog: pytest.LogCaptureFixture, source: str) -> int:
    """Save the page, and hold up the loop until it is loaded; return the number of the process.

    It is one that goes on from a checkpoint.
    """
    await app.supervisor.ready()
    await app.write("page.py", f"{PAGE}# edited\n")  # it is likely to be edited again
    await app.supervisor.ready()
    caplog.clear()
    await until_told(caplog, "stands by, from process")
    await app.write("waits", "")
    await app.write("page.py", source)
    await until_told(caplog, "is to load next")
    (app.directory / "waits").unlink()
    log = app.directory / "log"
    until(lambda: log.exists() and log.read_text(), "the load has begun", DEADLINE)
    return int(log.read_text().split()[0])


@pytest.fixture(autouse=True)
def all_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncreload")


async def test_p4_the_crash_of_a_process_that_has_begun_unheard_is_told(
    supervised: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """And the app is not loaded once more, as if that process had been killed while it stood by."""
    async with supervised(files={"app.py": APP, "page.py": PAGE}, patience=DEADLINE) as app:
        crashed = await begin_unheard(app, caplog, f"{NOTES}os._exit(7)\n")
        until(lambda: not Path(f"/proc/{crashed}").exists(), "it has crashed", DEADLINE)
        time.sleep(0.1)  # the checkpoint tells it: by then it is known before the farewell is
        async with asyncio.timeout(DEADLINE):
            while not isinstance(app.events[-1], Crashed):
                await asyncio.sleep(0.001)
        assert [type(event) for event in app.events[-2:]] == [Changed, Crashed]
        assert (app.directory / "log").read_text() == f"{crashed} begins\n"


async def test_p5_a_process_that_has_begun_unheard_ends_as_any_other(
    supervised: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(files={"app.py": APP, "page.py": PAGE}, patience=DEADLINE) as app:
        begun = await begin_unheard(app, caplog, f"{NOTES}{PAGE}")
        log: Path = app.directory / "log"
    assert log.read_text() == f"{begun} begins\nends\n"
