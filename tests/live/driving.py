"""Drive the real thing: a command in a process of its own, files that are saved, requests.

Every wait is for a condition and has a deadline; what fails tells all that the command printed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from tests.live import command_forks
from tests.live.command_forks import CommandForks, Forked
from tests.live.processes import children, cpu, is_alive, state_of, wants_to_run

T = TypeVar("T")

APPS = Path(__file__).resolve().parents[1] / "apps"
LONG = os.environ.get("ASYNCRELOAD_LONG") == "1"
COMMAND = command_forks.COMMAND
DEADLINE = 10.0
STEP = 0.005
NO_CACHES = "PYTHONDONTWRITEBYTECODE"

# On Linux the kernel keeps early-opened connections to itself for seconds, so that they seldom
# come to a process of ours; on macOS all of them do. This is the command as macOS has it.
EAGER = (
    sys.executable,
    "-c",
    "import socket\nvars(socket).pop('TCP_DEFER_ACCEPT', None)\n"  # noqa: ISC004  one program
    "from asyncreload.cli import main\nmain()",
)
# The first lines of an app that tells of its loads.
LOGGED = """\
import os, signal
signal.setitimer(signal.ITIMER_PROF, 1e6)
with open("loads", "a") as log:
    log.write(f"{os.getpid()}\\n")
"""
"""Notes the process of each load. A timer, though it never ends, has every load begin here: no
checkpoint is taken beside one."""


SPEAKS_ASGI = os.environ.get("ASYNCRELOAD_INTERFACE") == "asgi"
"""Whether all apps are served as ASGI apps: the tests are the same for both interfaces."""


class Speech:
    """Which interface the apps of the present test speak; see the mark `both_interfaces`."""

    asgi = SPEAKS_ASGI


_WSGI_APP = re.compile(r"^def (app|application)\(environ, start_response\)", re.MULTILINE)
_ADAPTED = """

class _Asgi:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        import asyncio, io, sys
        if "endless" in globals() and scope.get("path") in {"/ws", "/events"}:
            return await endless(scope, receive, send)
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        environ = {
            "REQUEST_METHOD": scope["method"], "PATH_INFO": scope["path"], "SCRIPT_NAME": "",
            "QUERY_STRING": scope["query_string"].decode(), "REMOTE_ADDR": scope["client"][0],
            "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
        }
        head = []
        def start_response(status, headers, exc_info=None):
            head[:] = [int(status[:3]), [(n.encode(), v.encode()) for n, v in headers]]
        if "in_loop" in globals():
            chunks = self.app(environ, start_response)
        else:
            chunks = await asyncio.to_thread(self.app, environ, start_response)
        parts = iter(chunks)
        part = await asyncio.to_thread(next, parts, None)
        await send({"type": "http.response.start", "status": head[0], "headers": head[1]})
        while part is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            part = await asyncio.to_thread(next, parts, None)
        await send({"type": "http.response.body", "body": b""})
        if hasattr(chunks, "close"):
            chunks.close()

{name} = _Asgi({name})
"""


def spoken(text: str) -> str:
    """Return the source of an app so that it speaks the interface that is tested."""
    found = _WSGI_APP.search(text)
    if not Speech.asgi or found is None or "class _Asgi" in text:
        return text
    return text + _ADAPTED.replace("{name}", found[1])


def until(
    condition: Callable[[], T | None],
    what: str,
    within: float = DEADLINE,
    report: Callable[[], str] = str,
    step: float = STEP,
) -> T:
    """Wait until the condition is true, and return what it gave; fail at the deadline.

    step: seconds between two looks; a look that takes many reads of /proc wants more.
    """
    end = time.monotonic() + within
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what}\n{report()}")
        time.sleep(step)
    return result


# --- files -----------------------------------------------------------------------------------


def write(path: Path, text: str) -> None:
    """Save in place: the file is emptied, then written."""
    path.write_text(spoken(text))


def replace(path: Path, text: str) -> None:
    """Save as most editors do: another file, which then takes the name."""
    other = path.with_name(f".{path.name}.tmp")
    other.write_text(spoken(text))
    other.replace(path)


def lay_out(directory: Path, app: str = "", files: Mapping[str, str] | None = None) -> None:
    """Copy one of the test apps, and write files."""
    if app:
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(APPS / app, directory, dirs_exist_ok=True, ignore=caches)
        for path in directory.rglob("*.py"):
            path.write_text(spoken(path.read_text()))
    for name, text in (files or {}).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(spoken(text))


# --- requests --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    body: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read what came until the end of the connection. Raises ConnectionError if cut off."""
        head, blank, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not blank or (length and int(length[1]) != len(body)):
            raise ConnectionError(f"cut off after {len(data)} bytes: {data[-200:]!r}")
        if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
            body = _unchunked(body)
        return cls(int(head.split()[1]), body.decode())


def _unchunked(data: bytes) -> bytes:
    """Return what chunks hold. Raises ConnectionError if the last is not there."""
    body = b""
    while (size := int(data.partition(b"\r\n")[0] or b"-1", 16)) > 0:
        start = data.index(b"\r\n") + 2
        body += data[start : start + size]
        data = data[start + size + 2 :]
    if size:
        raise ConnectionError(f"cut off after {body[-200:]!r}")
    return body


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()


class Connection:
    """A connection for one request; opened now, used later."""

    def __init__(self, port: int, patience: float = DEADLINE) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), patience)

    def send(self, path: str = "/", part: slice = slice(None)) -> Self:
        """Send the request, or a part of it."""
        self._socket.sendall(request(path)[part])
        return self

    def begin_upload(self, path: str) -> Self:
        """Send the head of a request whose body never comes."""
        self._socket.sendall(b"POST %b HTTP/1.1\r\nContent-Length: 9\r\n\r\n" % path.encode())
        return self

    def receive(self) -> Answer:
        """Read the whole response, and close."""
        with self._socket:
            data = bytearray()
            while more := self._socket.recv(65536):
                data += more
        return Answer.parse(bytes(data))

    def receive_some(self) -> bytes:
        """Wait for the first bytes of the response; return them."""
        return self._socket.recv(65536)

    def close(self) -> None:
        self._socket.close()


def connect_when_open(port: int) -> Connection:
    """Connect as soon as somebody listens."""

    def connected() -> Connection | None:
        with suppress(ConnectionRefusedError):
            return Connection(port)
        return None

    return until(connected, f"port {port} is open")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# --- processes -------------------------------------------------------------------------------


def locks(directory: Path) -> list[Path]:
    return list(directory.glob("asyncreload.*.lock"))


def stop_all(started: Iterable[Served]) -> None:
    """Stop commands that serve, and show what each has printed.

    Raises AssertionError when one does not end.
    """
    for served in started:
        served.hang_up()
        try:
            served.stop()
        except AssertionError:
            served.kill()
            raise
        finally:
            print(served.output)


def environment_of(temp: Path) -> dict[str, str]:
    """Return the environment of commands: a stale cache is one of the dangers, so all write one."""
    caching = {name: os.environ[name] for name in os.environ if name != NO_CACHES}
    return caching | {"TMPDIR": str(temp), "PYTHONUNBUFFERED": "1"}


class Served:
    """A command that serves a project, in a session of its own, and the project's files."""

    forks: CommandForks | None = None
    """Starts what need not be a process of its own."""
    stands_by = True
    """Whether a standby is made, unless an option says so; see the mark `without_standby`."""

    def __init__(self, directory: Path, temp: Path, command: Sequence[str], output: Path) -> None:
        self.directory = directory
        self.temp = temp
        self._output = output
        self._connections: list[Connection] = []
        with output.open("wb") as sink:
            self.process = self._start(command, sink)
        self.pid = self.process.pid

    def _start(self, command: Sequence[str], sink: IO[bytes]) -> Forked | subprocess.Popen[bytes]:
        environment = environment_of(self.temp)
        if not self.stands_by and tuple(command[: len(COMMAND)]) == COMMAND:
            command = [*COMMAND, "--no-standby", *command[len(COMMAND) :]]
        if self.forks and self.forks.can_start(command, environment):
            return self.forks.start(command, self.directory, environment, sink)
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """All that was printed so far, by supervisor and app."""
        return self._output.read_text(errors="replace")

    def output_from(self, offset: int) -> bytes:
        """Return what was printed after so many bytes."""
        with self._output.open("rb") as file:
            file.seek(offset)
            return file.read()

    @cached_property
    def port(self) -> int:
        """The port, as soon as it is told."""

        def told() -> re.Match[str] | None:
            found = re.search(r'(?:serving .* at |"url": ")http://127\.0\.0\.1:(\d+)/', self.output)
            if found is None and (code := self.process.poll()) is not None:
                raise AssertionError(f"it ended with {code}\n{self.output}")
            return found

        return int(self.until(told, "it tells its address")[1])

    def until(self, condition: Callable[[], T | None], what: str, within: float = DEADLINE) -> T:
        """Wait for a condition; what was printed is in the failure."""
        return until(condition, what, within, lambda: self.output)

    def until_told(self, text: str, times: int = 1) -> None:
        """Wait until a text was printed."""
        self.until(lambda: self.output.count(text) >= times, f"{text!r} is printed {times} times")

    # --- requests --------------------------------------------------------------------------

    def connect(self) -> Connection:
        """Open a connection; it is closed with the others if it is not before."""
        self._connections.append(Connection(self.port))
        return self._connections[-1]

    def hang_up(self) -> None:
        """Close all connections that are still open."""
        for one in self._connections:
            one.close()

    def get(self, path: str = "/") -> Answer:
        """Ask on a new connection."""
        try:
            return self.connect().send(path).receive()
        except OSError as exc:
            raise AssertionError(f"GET {path}: {exc!r}\n{self.output}") from exc

    def body(self, path: str = "/") -> str:
        """Ask, and expect success."""
        answer = self.get(path)
        assert answer.status == 200, f"{answer}\n{self.output}"
        return answer.body

    # --- files -----------------------------------------------------------------------------

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()

    def write(self, name: str, text: str) -> None:
        write(self.directory / name, text)

    def replace(self, name: str, text: str) -> None:
        replace(self.directory / name, text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a part of a file's text, and save it in place."""
        text = self.read(name)
        assert old in text
        self.write(name, text.replace(old, new))

    def open_gate(self, name: str) -> None:
        """Let code pass that waits for the end of a named pipe."""
        os.close(self.hold_gate(name))

    def hold_gate(self, name: str) -> int:
        """Wait until code waits there; return a descriptor that holds it until it is closed."""

        def entered() -> int | None:
            try:
                return os.open(self.directory / name, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody waits there yet
                return None

        return self.until(entered, f"{name} is entered")

    # --- processes -------------------------------------------------------------------------

    def loads(self) -> list[int]:
        """Return the process of each load so far, of an app that begins with `LOGGED`."""
        log = self.directory / "loads"
        return list(map(int, log.read_text().split())) if log.exists() else []

    def until_loads(self, number: int) -> int:
        """Wait until there were so many loads; return the process of the last."""
        self.until(lambda: len(self.loads()) >= number, f"{number} loads")
        return self.loads()[-1]

    def children(self) -> list[int]:
        return children(self.pid)

    def pids(self) -> list[int]:
        """Return the supervisor and its children, as far as they live."""
        return [pid for pid in (self.pid, *self.children()) if is_alive(pid)]

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor alone."""
        os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to all of its process group, as a terminal does."""
        os.killpg(self.pid, number)

    def wait(self, within: float = DEADLINE) -> int:
        """Wait for the supervisor's end; return its exit code, -N for signal N."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within:g} s\n{self.output}") from None

    def stop(self) -> int:
        """End it as politely as a service manager does."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it and all that belongs to it, whatever state it is in."""
        with suppress(ProcessLookupError):
            self.signal_group(signal.SIGKILL)
        self.process.wait()


# --- standby ---------------------------------------------------------------------------------

# All the time the same process, without a tick (10 ms) of CPU: then a standby has settled. What
# requests imported is told at the next look, 0.1 s later at most, and makes a new one.
_SETTLED = 0.2


def standby(served: Served, child: int = 0) -> int:
    """Wait until a standby has settled; return it."""
    child = child or int(served.body("/pid"))
    last: tuple[Any, ...] = ()
    since = 0.0

    def settled() -> int | None:
        nonlocal last, since
        others = [pid for pid in served.children() if pid != child]
        with suppress(OSError):
            now = (others, [cpu(pid) for pid in others], [state_of(pid) for pid in others])
            # They may be about to have it replaced, and wait for a processor in any thread.
            is_busy = any(wants_to_run(pid) for pid in (served.pid, child, *others))
            if is_busy or now != last or now[2] != ["S"]:
                last, since = now, time.monotonic()
            if time.monotonic() - since > _SETTLED:
                return others[0]
        return None

    def report() -> str:
        return f"{last}\n{served.output}"

    return until(settled, "a standby has settled", report=report, step=_SETTLED / 10)
