"""An app of the kind that FastAPI's template of a full stack gives is edited under load.

It has a database by SQLAlchemy's async side, settings by pydantic, a lifespan with a pool,
background tasks, a WebSocket chat, server-sent events, uploads, and streamed responses. The long
version edits it 50 times, with uploads of 200 MB. It needs packages of the extra `bench`.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.live.driving import LONG, Connection, replace, until, write
from tests.live.processes import SYSTEM, children

if TYPE_CHECKING:
    from tests.live.conftest import Serve
    from tests.live.driving import Served

for _package in ("fastapi", "sqlalchemy", "aiosqlite", "pydantic_settings", "sse_starlette"):
    pytest.importorskip(_package)
pytest.importorskip("python_multipart")
pytest.importorskip("uvicorn")
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

EDITS = 50 if LONG else 3
UPLOAD = 200 * 1024 * 1024 if LONG else 5 * 1024 * 1024
"""Bytes."""
VERSION = re.compile(r"^VERSION = \d+", re.MULTILINE)
EDITED = ("settings.py", "database.py", "chat.py", "main.py")
GRACE = 5.0
"""Seconds that a response gets in the old process."""
PATIENCE = 60.0
SERVICE_RESTART = 1012
BLOCK = random.Random(1).randbytes(64 * 1024)
CHECKSUM = 0
for _ in range(UPLOAD // len(BLOCK)):
    CHECKSUM = zlib.crc32(BLOCK, CHECKSUM)


class Load:
    """Clients that ask all the time inside of its context, and what they have found."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.port = served.port
        self.saved = 0
        self.saves: list[float] = []
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.posted: set[int] = set()
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._is_over.clear()
        once = [self.read, self.upload, self.export, self.listen]
        acts = [*once, self.add, self.add, self.chat, self.chat]
        self._threads = [threading.Thread(target=self._repeat, args=(act,)) for act in acts]
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for one in self._threads:
            one.join(PATIENCE)
            assert not one.is_alive()

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._is_over.is_set():
            try:
                act()
            except Exception as exc:  # noqa: BLE001  the others go on, and it is told
                self.wrong.append(f"{act.__name__}: {exc!r}")
                return
            self._is_over.wait(0.05)

    def save(self, name: str, way: Callable[[Path, str], None]) -> None:
        path = self.served.directory / "shop" / name
        way(path, VERSION.sub(f"VERSION = {self.saved + 1}", path.read_text()))
        self.saves.append(time.monotonic())
        self.saved += 1

    def is_fresh(self) -> None:
        """Ask what needs no database; the answer may take long on a busy machine."""
        version = json.loads(self._ask("GET", "/resources", 200))["version"]
        assert version == self.saved

    # --- clients -----------------------------------------------------------------------------

    def read(self) -> None:
        floor = self.saved
        if body := self._ask("GET", "/notes", 200):
            self._judge("read", json.loads(body)["version"], floor)

    def add(self) -> None:
        floor, head = self.saved, {"Content-Type": "application/json"}
        if body := self._ask("POST", "/notes", 201, b'{"text": "hello"}', head):
            self.posted.add(json.loads(body)["id"])
            self._judge("add", json.loads(body)["version"], floor)

    def upload(self) -> None:
        floor, edge = self.saved, b"edge"
        before = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' % edge
        after = b"\r\n--%b--\r\n" % edge

        def parts() -> Iterator[bytes]:
            yield before
            for _ in range(UPLOAD // len(BLOCK)):
                yield BLOCK
            yield after

        head = {
            "Content-Type": f"multipart/form-data; boundary={edge.decode()}",
            "Content-Length": str(len(before) + UPLOAD + len(after)),
        }
        if body := self._ask("POST", "/files", 200, parts(), head):
            told = json.loads(body)
            assert (told["size"], told["checksum"]) == (UPLOAD, CHECKSUM)
            self._judge("upload", told["version"], floor)

    def export(self) -> None:
        floor = self.saved
        if body := self._ask("GET", "/export", 200):
            lines = [line.split() for line in body.splitlines()]
            assert [int(number) for _, number in lines] == [*range(20)]
            assert len({version for version, _ in lines}) == 1
            self._judge("export", int(lines[0][0]), floor)

    def chat(self) -> None:
        floor, began = self.saved, time.monotonic()
        code = None
        with connect(f"ws://127.0.0.1:{self.port}/chat", proxy=None, open_timeout=PATIENCE) as one:
            try:
                while not self._is_over.is_set():
                    one.send("hello")
                    self._judge("chat", int(one.recv(PATIENCE, decode=True).split()[0]), floor)
                    self._is_over.wait(0.05)
            except ConnectionClosed as exc:
                code = exc.rcvd.code if exc.rcvd else None
        if not self._is_over.is_set():
            assert code == SERVICE_RESTART
            assert self._saves_since(began), "closed for no save"

    def listen(self) -> None:
        floor, began, data = self.saved, time.monotonic(), b""
        with self._open("GET", "/events") as response:
            while not self._is_over.is_set():
                try:
                    line = response.readline()
                except (OSError, HTTPException):
                    line = b""
                if not line:
                    assert self._saves_since(began), f"ended for no save: {data!r}"
                    break
                data = line
                if told := re.search(rb"version (\d+)", line):
                    self._judge("listen", int(told[1]), floor)

    # --- what they share ---------------------------------------------------------------------

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        data: bytes | Iterator[bytes] | None = None,
        head: dict[str, str] | None = None,
    ) -> Iterator[HTTPResponse]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, data, {"Connection": "close"} | (head or {}))
            with connection.getresponse() as response:
                yield response

    def _ask(
        self,
        method: str,
        path: str,
        status: int,
        data: bytes | Iterator[bytes] | None = None,
        head: dict[str, str] | None = None,
    ) -> str:
        """Return the body of the answer; "" if it was cut off, as it may be."""
        began = time.monotonic()
        try:
            with self._open(method, path, data, head) as response:
                body = response.read().decode()
        except (OSError, HTTPException) as exc:
            if isinstance(exc, ConnectionRefusedError | TimeoutError) or not self._may_end(began):
                raise
            self.counts[f"{method} {path}, cut off by the next reload or after grace"] += 1
            return ""
        assert response.status == status, f"{path}: {response.status} {body[-500:]}"
        self.counts[f"{method} {path}"] += 1
        return body

    def _may_end(self, began: float) -> bool:
        """Tell whether a response that began then may be cut off by now."""
        saves = self._saves_since(began)
        return len(saves) >= 2 or bool(saves and time.monotonic() > saves[0] + GRACE)

    def _saves_since(self, began: float) -> list[float]:
        # A request may be taken by the old process just before a save is noted here.
        return [one for one in self.saves if one > began - 0.5]

    def _judge(self, what: str, version: int, floor: int) -> None:
        assert version >= floor, f"{what}: {floor} was saved, {version} came"
        self.counts[what] += 1


def told(served: Served, path: str) -> dict[str, int]:
    answer = Connection(served.port, PATIENCE).send(path).receive()
    assert answer.status == 200, f"{answer}\n{served.output}"
    return dict(json.loads(answer.body))


def held(served: Served) -> dict[str, int]:
    """Return what the two processes hold that a request can find, when nobody else asks."""
    found = told(served, "/resources")
    del found["version"]
    child = found.pop("process")
    return found | {
        "descriptors of the app": SYSTEM.descriptors(child),
        "descriptors of the supervisor": SYSTEM.descriptors(served.pid),
        "threads of the supervisor": SYSTEM.threads(served.pid),
        "children of the supervisor": len(children(served.pid)),
    }


def test_nothing_is_lost_and_nothing_is_left_when_it_is_edited_under_load(serve: Serve) -> None:
    served = serve("shop.main:app", "--no-access-log", app="full_stack")
    dice = random.Random(7)
    load = Load(served)
    assert told(served, "/notes")["version"] == 0
    load.save("main.py", replace)  # a reload comes before what is compared, too
    assert told(served, "/notes")["version"] == 1
    with load:
        time.sleep(2)  # what is set up when it is first needed is there from now on
    time.sleep(1)  # the last connections are closed
    before = held(served)
    with load:
        for _ in range(EDITS):
            load.save(dice.choice(EDITED), dice.choice([write, replace]))
            load.is_fresh()
            time.sleep(dice.uniform(0, 1.5))  # what the clients do meanwhile
    print(load.counts)
    assert load.wrong == [], "\n".join([*load.wrong, served.output])
    assert {"read", "add", "upload", "export", "chat", "listen"} <= load.counts.keys(), load.counts

    # What ran behind a response has ended as well: in the old process, if need be.
    told_last: dict[str, int] = {}

    def is_settled() -> bool:
        told_last.update(held(served))
        return all(told_last[what] <= before[what] + SLACK.get(what, 0) for what in before)

    def differing() -> str:
        return f"{before}\n{told_last}\n{served.output}"

    until(is_settled, "they hold no more than before", 30, differing, step=0.2)
    assert told(served, "/notes")["notes"] >= len(load.posted)
    lives = served.read("lives").splitlines()
    assert lives == [f"{number} has ended" for number in range(load.saved)]
    assert "Traceback" not in served.output


SLACK = {
    # asyncio starts a thread for a look at a file whenever none is idle, up to so many.
    "threads of the supervisor": 6,
    # Every process is a new one, and has more or fewer open with how it was started; what leaks at
    # each reload shows in the long version.
    "descriptors of the app": 8,
    # A process that was forked ahead, or a checkpoint, more or less.
    "descriptors of the supervisor": 7,
    "children of the supervisor": 2,
}
