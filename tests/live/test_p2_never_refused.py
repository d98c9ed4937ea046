"""P2: no connection is refused or reset because of a reload, a crash or a broken save."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import COMMAND, DEADLINE, EAGER, LONG, Answer, request

if TYPE_CHECKING:
    from tests.live.conftest import Serve
    from tests.live.driving import Served

RATE = 200
SECONDS = 20 if LONG else 3
EDITS = 50 if LONG else 6

APP = """\
NUMBER = %d
def app(environ, start_response):
    body = b"number=%%d" %% NUMBER
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


async def ask(port: int) -> Answer:
    """Send a request on a new connection, and read the whole response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request("/"))
        return Answer.parse(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


class Traffic:
    """Requests at a steady rate, whether or not the ones before have been answered."""

    def __init__(self, served: Served) -> None:
        self.port = served.port
        self.saved = 0
        self.sent = 0
        self.wrong: list[str] = []
        self.newest = 0
        self.waits: list[float] = []

    async def run(self, enough: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            while not enough.is_set() or self.sent < RATE * SECONDS:
                group.create_task(self._one())
                self.sent += 1
                await asyncio.sleep(began + self.sent / RATE - loop.time())

    async def _one(self) -> None:
        began = asyncio.get_running_loop().time()
        at_least = self.saved
        try:
            # It waits once more for each save that overtakes it.
            async with asyncio.timeout((EDITS + 1) * DEADLINE):
                answer = await ask(self.port)
        except (OSError, TimeoutError) as exc:
            self.wrong.append(f"request {self.sent}, number {at_least} saved: {exc!r}")
            return
        self.waits.append(asyncio.get_running_loop().time() - began)
        found = re.fullmatch(r"number=(\d+)", answer.body)
        if answer.status != 200 or not found or not at_least <= int(found[1]) <= self.saved:
            self.wrong.append(f"request {self.sent}, number {at_least} saved: {answer}")
        else:
            self.newest = max(self.newest, int(found[1]))


async def edit(served: Served, traffic: Traffic, enough: asyncio.Event) -> None:
    """Save again and again, each time when the save before is answered."""
    for number in range(1, EDITS + 1):
        # Replaced, so that no moment sees a half-written file.
        served.replace("app.py", APP % number)
        traffic.saved = number  # in the same step of the loop as the save
        async with asyncio.timeout(DEADLINE):
            while traffic.newest < number:
                await asyncio.sleep(0.01)
    enough.set()


@pytest.mark.asyncio
async def test_p2_no_request_is_lost_through_edits(serve: Serve) -> None:
    served = serve("app.py", "--no-access-log", files={"app.py": APP % 0})
    traffic = Traffic(served)
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.run(enough))
        group.create_task(edit(served, traffic, enough))
    print(f"{traffic.sent} requests, the longest took {max(traffic.waits):.3f} s")
    assert traffic.newest == EDITS
    assert traffic.sent >= RATE * SECONDS
    assert not traffic.wrong, "\n".join([*traffic.wrong, served.output])


@pytest.mark.both_interfaces
@pytest.mark.parametrize("command", [COMMAND, EAGER], ids=["deferred", "eager"])
def test_p2_connections_opened_early_wait_through_two_reloads(
    serve: Serve, command: tuple[str, ...]
) -> None:
    """More of them than go into one message of the lobby."""
    served = serve("app.py", files={"app.py": APP % 0}, command=command)
    assert served.body() == "number=0"
    early = [served.connect() for _ in range(300)]
    for number in (1, 2):
        served.replace("app.py", APP % number)
        assert served.body() == f"number={number}"
    assert {one.send().receive().body for one in early} == {"number=2"}, served.output


@pytest.mark.both_interfaces
def test_p2_a_request_sent_in_two_parts_across_a_reload(serve: Serve) -> None:
    """Its first byte came before the save, so either version may answer; but one does."""
    served = serve("app.py", files={"app.py": APP % 0})
    assert served.body() == "number=0"
    slow = [served.connect().send(part=slice(10)) for _ in range(5)]
    served.replace("app.py", APP % 1)
    assert served.body() == "number=1"
    for one in slow:
        assert one.send(part=slice(10, None)).receive().body in {"number=0", "number=1"}


@pytest.mark.both_interfaces
def test_p2_answers_in_the_making_survive_a_reload(serve: Serve) -> None:
    """One that has sent nothing yet, and one in the middle of its body."""
    app = """\
import os
NUMBER = %d
def answer(path):
    with open(f"entered{path[1:]}", "w"):
        pass
    if path == "/stream":
        yield b"first "
    with open(f"gate{path[1:]}") as gate:
        gate.read()
    yield b"number=%%d" %% NUMBER
def app(environ, start_response):
    start_response("200 OK", [])
    path = environ["PATH_INFO"]
    return [b"number=%%d" %% NUMBER] if path == "/" else answer(path)
"""
    served = serve("app.py", files={"app.py": app % 0})
    names = ("slow", "stream")
    for name in names:
        os.mkfifo(served.directory / f"gate{name}")
    asked = [served.connect().send(f"/{name}") for name in names]
    for name in names:
        served.until((served.directory / f"entered{name}").exists, f"{name} is being answered")
    served.replace("app.py", app % 1)
    assert served.body() == "number=1"
    for name in names:
        served.open_gate(f"gate{name}")
    assert [one.receive().body for one in asked] == ["number=0", "first number=0"], served.output


@pytest.mark.both_interfaces
def test_p2_requests_wait_through_broken_saves(serve: Serve) -> None:
    """A broken save gets a page that tells why; never a refusal."""
    served = serve("app.py", files={"app.py": APP % 0})
    for number in range(1, 4):
        served.replace("app.py", "def app(:\n")
        answer = served.get()
        assert answer.status == 500
        assert "SyntaxError" in answer.body
        served.replace("app.py", APP % number)
        assert served.body() == f"number={number}"
