"""The servers that people use to reload WSGI apps, and a project that is served by one of them.

Each is started as its documentation says; where the default is slow, a second time with a quicker
standard setting. Linux only, for what is read in /proc.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.live.driving import Answer, lay_out, port_is_free, replace, request
from tests.live.processes import processes_of

BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Below those that clients are given: a client that calls a closed port of these may get itself."""
ANSWERED_IN = 15.0  # seconds: a request that takes longer has failed
FRESH_IN = 10.0  # seconds: a save that takes longer was missed
PAUSE, SHARE = 0.002, 0.03
"""Between two requests: these seconds, and this share of the time since the save. For a server that
takes long is not to be hurried by requests without end."""
SETTLED = 4.0  # seconds from the first answer: hupper learns late which files there are, then polls

HEAVY = "import numpy, pandas, sqlalchemy.orm\n"
APP = """\
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"version {VERSION}\\n".encode()]
application = app
"""
FILES = {
    "run_bottle.py": """\
import sys
import bottle
from app import app
bottle.run(app=app, port=int(sys.argv[1]), reloader=True, interval=float(sys.argv[2]), quiet=True)
""",
    "run_flask.py": """\
from flask import Flask
import app as served
app = Flask(__name__)
app.wsgi_app = served.app
""",
    "manage.py": """\
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
""",
    "settings.py": """\
DEBUG = True
SECRET_KEY = "a benchmark's"
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "app.app"
""",
    "urls.py": "urlpatterns = []\n",
    "run_wsgiref.py": """\
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server
from app import app
class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass
make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
""",
}


@dataclass(frozen=True)
class Peer:
    """A server that reloads, and how it is started: {port} and {python} are filled in."""

    package: str
    command: str
    without: tuple[str, ...] = ()
    """Packages that must seem not to be installed: what the default is without its extra."""
    app: str = APP
    """The source of what it serves."""
    polls: bool = False
    """It looks at the files again and again, so that it costs something while nothing happens."""


ASYNCRELOAD = "asyncreload app.py --port {port}"
BOTTLE = "python run_bottle.py {port}"
FLASK = "flask --app run_flask run --debug --port {port}"
UVICORN = "uvicorn --interface wsgi --reload --port {port} app:app"
GUNICORN = "gunicorn --reload -b 127.0.0.1:{port} app:app"
GRANIAN = "granian --interface wsgi --reload --port {port}"
HUPPER = "hupper -m waitress --listen=127.0.0.1:{port} app:app"
WSGIREF = "{python} run_wsgiref.py {port}"
PEERS = {
    "asyncreload": Peer("asyncreload", ASYNCRELOAD, ("asyncinotify",), polls=True),
    "asyncreload, inotify": Peer("asyncreload", ASYNCRELOAD),
    "asyncreload, inotify, no checkpoints": Peer("asyncreload", f"{ASYNCRELOAD} --no-checkpoints"),
    "Bottle": Peer("bottle", f"{BOTTLE} 1", polls=True),
    "Bottle, interval 0.1": Peer("bottle", f"{BOTTLE} 0.1", polls=True),
    "Flask": Peer("flask", FLASK, ("watchdog",), polls=True),
    "Flask, watchdog": Peer("flask", FLASK),
    "Django runserver": Peer("django", "python manage.py runserver {port}", polls=True),
    "uvicorn": Peer("uvicorn", UVICORN, ("watchfiles",), polls=True),
    "uvicorn, watchfiles": Peer("uvicorn", UVICORN),
    "uvicorn, watchfiles, delay 0": Peer("uvicorn", f"{UVICORN} --reload-delay 0"),
    "gunicorn": Peer("gunicorn", GUNICORN, ("inotify",), polls=True),
    "gunicorn, inotify": Peer("gunicorn", GUNICORN),
    "Hypercorn": Peer(
        "hypercorn", "hypercorn --reload -b 127.0.0.1:{port} wsgi:app:app", polls=True
    ),
    "Granian": Peer("granian", f"{GRANIAN} app:app"),
    "Granian, failures ignored": Peer(
        "granian", f"{GRANIAN} --reload-ignore-worker-failure app:app"
    ),
    "hupper, waitress": Peer("hupper", HUPPER, ("watchdog",), polls=True),
    "hupper, waitress, watchdog": Peer("hupper", HUPPER),
    "watchfiles": Peer("watchfiles", f"watchfiles|{WSGIREF}|."),
    "watchmedo": Peer(
        "watchdog", f"watchmedo auto-restart --patterns=*.py --recursive -- {WSGIREF}"
    ),
    "nodemon": Peer("", f"nodemon --ext py --exec|{WSGIREF}"),
    "nodemon, delay 10 ms": Peer("", f"nodemon --delay 10ms --ext py --exec|{WSGIREF}"),
}


@dataclass
class Wait:
    """What came between a save and its first fresh answer, which may never have come."""

    seconds: float | None = None
    failed: int = 0
    stale: int = 0


class Server:
    """A peer that serves a project, and the project's one file that is edited."""

    def __init__(self, peer: Peer, place: Path, *, heavy: bool = False, modules: int = 0) -> None:
        self.place = place
        self.project = place / "project"
        names = [f"part{number}" for number in range(modules)]
        imports = (HEAVY if heavy else "") + "".join(f"import {name}\n" for name in names)
        self.text = imports + peer.app
        parts = {f"{name}.py": f"NUMBER = {name[4:]}\n" for name in names}
        lay_out(self.project, files={"app.py": self.text, **FILES, **parts})
        self.number = 1
        self.port = free_port()
        self.output = place / "output.txt"
        with self.output.open("wb") as sink:
            self.process = subprocess.Popen(
                command_of(peer, self.port),
                cwd=self.project,
                env=environment(peer, place),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def save(self, *, broken: bool = False) -> None:
        """Save the next version, as most editors do: another file takes the name."""
        self.number += 1
        text = self.text.replace('VERSION = "1"', f'VERSION = "{self.number}"')
        replace(self.project / "app.py", text + "def broken(:\n" * broken)

    def ask(self, patience: float = ANSWERED_IN) -> Answer:
        """Ask on a new connection. Raises OSError."""
        with socket.create_connection((HOST, self.port), patience) as connection:
            connection.sendall(request("/"))
            data = b""
            while more := connection.recv(65536):
                data += more
        if not data:
            raise ConnectionError("closed without an answer")
        return Answer.parse(data)

    def until_fresh(self, within: float = FRESH_IN) -> Wait:
        """Ask until the answer is what was saved last; count what comes before."""
        wait = Wait()
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < within and self.is_running():
            time.sleep((PAUSE + SHARE * passed) * bool(wait.failed + wait.stale))
            try:
                answer = self.ask()
            except OSError:
                wait.failed += 1
                continue
            if answer.status != 200:
                wait.failed += 1
            elif version_in(answer) < self.number:
                wait.stale += 1
            else:
                wait.seconds = time.perf_counter() - began
                break
        return wait

    def is_running(self) -> bool:
        """Tell whether what was started has not ended by itself."""
        return self.process.poll() is None

    def processes(self) -> dict[int, str]:
        return processes_of(self.place)

    def end(self) -> None:
        """End it politely, then whatever is left."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        self.process.kill()
        self.process.wait()
        while pids := self.processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def version_in(answer: Answer) -> int:
    """Return the version that an answer tells, which may be chunked."""
    found = re.search(r"version (\d+)\n", answer.body)
    return int(found[1]) if found else 0


def free_port() -> int:
    return next(port for port in random.sample(PORTS, 100) if port_is_free(port))


def command_of(peer: Peer, port: int) -> list[str]:
    """Return the command; what stands between bars is one argument each."""
    first, *rest = peer.command.split("|")
    words = [*first.split(), *rest]
    filled = [word.format(port=port, python=sys.executable) for word in words]
    program = BIN / filled[0]
    return [str(program) if program.exists() else filled[0], *filled[1:]]


def environment(peer: Peer, place: Path) -> dict[str, str]:
    """Return the environment; it marks all processes of the place."""
    temp, hidden = place / "tmp", place / "hidden"
    temp.mkdir(exist_ok=True)
    for name in peer.without:
        (hidden / name).mkdir(parents=True, exist_ok=True)
        (hidden / name / "__init__.py").write_text("raise ImportError('not installed, say')\n")
    found = os.environ | {"TMPDIR": f"{temp}/", "PATH": f"{BIN}:{os.environ['PATH']}"}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found | {"PYTHONPATH": str(hidden)} if peer.without else found


@contextmanager
def serving(peer: Peer, *, heavy: bool = False, modules: int = 0) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(
        prefix="asyncreload-peers-", ignore_cleanup_errors=True
    ) as name:
        server = Server(peer, Path(name), heavy=heavy, modules=modules)
        try:
            if server.until_fresh(30.0).seconds is None:
                raise RuntimeError(f"it does not serve:\n{server.output.read_text()[-2000:]}")
            time.sleep(SETTLED)
            yield server
        finally:
            server.end()
