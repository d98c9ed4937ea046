"""Drive a supervised app from a test. Every wait has a deadline, and a failure tells all.

    async with supervised(directory) as app:
        assert (await app.get("/")).text == "Hello"
        await app.write("app.py", source)
        await app.fresh()

Under pytest the fixture `supervised` (pytest_plugin.py) lays the directory out as well.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self, Unpack
from urllib.parse import quote, urlsplit

import aiofiles.os

from asyncreload.errors import TargetError
from asyncreload.events import Crashed, Event, Failed, Ready
from asyncreload.fair_time import fair_timeout
from asyncreload.parent.process import Surroundings
from asyncreload.parent.supervisor import Supervisor
from asyncreload.process_state import ProcessState
from asyncreload.settings import Options

__all__ = ["Answer", "App", "Layout", "supervised"]

PATIENCE = 10.0
"""Seconds that a wait may take, if the test says nothing else: seconds that the app could use."""
MOST = 6
"""By the clock, a wait takes at most so many times as long, however little the app can do."""
_NOT_COPIED = {"__pycache__", ".git", "node_modules"}
_AS_IT_IS = "/?&=%:@+,;!$'()*~[]"


class Headers(Mapping[str, str]):
    """Headers, found by their names in any case; of one that was sent twice, the last."""

    def __init__(self, sent: Iterable[tuple[str, str]]) -> None:
        self._values = {name.lower(): value for name, value in sent}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    """By their names, in any case."""
    body: bytes
    header_list: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """All of them as they were sent: some, such as Set-Cookie, may come several times."""

    @property
    def text(self) -> str:
        """The body, in the character set of its content type; if that names none, UTF-8."""
        content_type = Message()
        content_type["content-type"] = self.headers.get("content-type", "")
        return self.body.decode(content_type.get_content_charset("utf-8"))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read what came until the end of the connection. Raises ConnectionError if cut off."""
        head, blank, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        sent = tuple((name, value.strip()) for name, _, value in pairs)
        headers = Headers(sent)
        length = headers.get("content-length", "")
        whole: bytes | None = body
        if headers.get("transfer-encoding", "").lower() == "chunked" and body:
            whole = _unchunked(body)
        if not blank or whole is None or (length.isdecimal() and body and int(length) != len(body)):
            raise ConnectionError(f"cut off after {len(data)} bytes: {data[-200:]!r}")
        return cls(int(first.split()[1]), headers, whole, sent)


class App:
    """An app that is served for a test, and its files.

    What fails raises AssertionError; the output of the app and the events so far are added to any
    exception that leaves the context.
    """

    def __init__(
        self, supervisor: _Captured, directory: Path, output: IO[bytes], patience: float
    ) -> None:
        self.supervisor: Supervisor = supervisor
        self.directory = directory
        self._captured = supervisor
        self._output = output
        self._patience = patience

    @property
    def url(self) -> str:
        """Where it is served."""
        return self.supervisor.url

    @property
    def events(self) -> list[Event]:
        """What was told so far; of more than 256 events, the last."""
        return self._captured.told()

    @property
    def output(self) -> str:
        """All that the app's processes have printed so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    async def get(self, path: str = "/", *, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask on a new connection, and return the answer, whatever its status is."""
        return await self.request("GET", path, headers=headers)

    async def request(
        self,
        method: str,
        path: str = "/",
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request on a new connection, and return the answer, whatever its status is."""
        address = urlsplit(self.url)
        fields = {"Host": address.netloc, "Connection": "close", **(headers or {})}
        if body:
            fields["Content-Length"] = str(len(body))
        lines = [
            f"{method} {quote(path, safe=_AS_IT_IS)} HTTP/1.1",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        sent = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1") + body
        async with self._within(f"an answer to {method} {path}"):
            try:
                return Answer.parse(await _exchange(address.hostname, address.port, sent))
            except OSError as exc:
                raise AssertionError(f"{method} {path}: {exc!r}") from exc

    @asynccontextmanager
    async def websocket(
        self, path: str = "/", *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Any]:
        """Open a WebSocket, and close it at the end of the context.

        What it gives is a connection of the package `websockets`: `send(text)` and `recv()`. Raises
        ImportError where that is not installed: it comes with the extra `asgi`.
        """
        connect = import_module("websockets").connect
        address = urlsplit(self.url)
        url = f"ws://{address.netloc}{quote(path, safe=_AS_IT_IS)}"
        more = {"additional_headers": headers} if headers else {}
        async with self._within(f"a WebSocket to {path}"):
            connection = await connect(url, open_timeout=None, **more)
        try:
            yield connection
        finally:
            await connection.close()

    async def write(self, name: str, text: str) -> Path:
        """Save a file of the app; its directory is made if need be. Return its path.

        A request that is sent from now on is answered by what was saved.
        """
        path = self.directory / name
        await _save(path, text)
        return path

    async def fresh(self) -> Ready:
        """Wait until the app answers with its files as they are now; return how that was told.

        Fails when they cannot be loaded.
        """
        async with self._within("the app is fresh"):
            outcome = await self._captured.outcome()
        if not isinstance(outcome, Ready):
            raise AssertionError(f"the app is not loaded: {outcome}")  # noqa: TRY004  a test's
        return outcome

    def report(self) -> str:
        """Tell what has happened, and what the app has printed."""
        told = "\n".join(f"  {event!r}" for event in self.events)
        return f"events of the app:\n{told}\noutput of the app:\n{self.output or '(none)'}"

    @asynccontextmanager
    async def _within(self, what: str) -> AsyncIterator[None]:
        try:
            read = self._captured.read_state
            async with fair_timeout(read, self._patience, MOST * self._patience):
                yield
        except TimeoutError as exc:
            raise AssertionError(f"not within {self._patience:g} s: {what}") from exc


@asynccontextmanager
async def supervised(
    directory: str | os.PathLike[str],
    target: str = "app.py",
    *,
    patience: float = PATIENCE,
    **options: Unpack[Options],
) -> AsyncIterator[App]:
    """Serve a target from a directory while the context is open, on a free port.

    patience: the most seconds that any wait for it may take; on a machine that is so busy that the
        app does not get to run, up to six times as many.
    The options are the fields of `Settings`; what is raised on entry is as for `Supervisor`.
    """
    place = Path(os.path.abspath(directory))  # noqa: ASYNC240  text only
    with TemporaryFile() as output:
        supervisor = _Captured(place, output, target, {"port": 0, **options})
        app = App(supervisor, place, output, patience)
        try:
            async with supervisor:
                yield app
        except BaseException as exc:
            exc.add_note(app.report())
            raise


class Layout:
    """What the fixture `supervised` gives: call it to lay an app out and serve it.

    directory: where the apps of a test go, each into a directory of its own.
    home: where their sources are looked for.
    """

    def __init__(self, directory: Path, home: Path) -> None:
        self._directory = directory
        self._home = home
        self._number = 0

    def __call__(
        self,
        source: str | os.PathLike[str] | None = None,
        target: str | None = None,
        *,
        files: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
        **options: Unpack[Options],
    ) -> AbstractAsyncContextManager[App]:
        """Copy a file or directory, write files, and serve what that makes.

        source: relative to the test's own file. Of a directory, caches, virtual environments, what
            belongs to git or npm, and what is no file are left out.
        target: the file that was copied, or `app.py`, if it is not given.
        files: text by name; written after the source was copied.
        The rest is as for `testing.supervised`. Raises `TargetError` for a missing source.
        """
        self._number += 1
        place = self._directory / f"app{self._number}"
        place.mkdir()
        if source is not None:
            origin = self._home / source
            if not origin.exists():
                raise TargetError(f'There is no "{source}" in {self._home}: check the name.')
            if origin.is_dir():
                shutil.copytree(origin, place, dirs_exist_ok=True, ignore=_left_out)
            else:
                target = target or origin.name
                shutil.copy(origin, place)
        for name, text in (files or {}).items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return supervised(place, target or "app.py", patience=patience, **options)


class _Captured(Supervisor):
    """A supervisor whose children work in a directory, and print to a file."""

    def __init__(self, directory: Path, output: IO[bytes], target: str, options: Options) -> None:
        super().__init__(target, **options)
        self._surroundings = Surroundings(str(directory), output.fileno())

    async def outcome(self) -> Ready | Failed | Crashed:
        """Return how the load of the files ended as they are now."""
        return await self._outcome()

    async def read_state(self) -> ProcessState | None:
        """Return what the app's processes do."""
        return await self._run_loop.read_state() if self._run_loop is not None else None

    def told(self) -> list[Event]:
        """Return the last events."""
        return self._event_log.recent


def _unchunked(data: bytes) -> bytes | None:
    """Return what the chunks of a body hold; None if the last one, which is empty, is not there."""
    parts: list[bytes] = []
    while True:
        size, line_end, data = data.partition(b"\r\n")
        count = int(size.partition(b";")[0] or b"0", 16)
        if not line_end or len(data) < count:
            return None
        if count == 0:
            return b"".join(parts)
        parts.append(data[:count])
        data = data[count + 2 :]


def _left_out(directory: str, names: list[str]) -> set[str]:
    paths = {name: os.path.join(directory, name) for name in names}
    venvs = {name for name, path in paths.items() if os.path.exists(f"{path}/pyvenv.cfg")}
    # Such as sockets, and the links by which an editor locks a file.
    kept = {name for name, path in paths.items() if os.path.isfile(path) or os.path.isdir(path)}
    return venvs | {*names} & _NOT_COPIED | {*names} - kept


async def _exchange(host: str | None, port: int | None, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(sent)
        return await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@aiofiles.os.wrap
def _save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
