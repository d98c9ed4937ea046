"""A load that begins to serve by itself is ended, with the cure in the message."""

from __future__ import annotations

import _thread
import gc
import importlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreload.child.imports.unguarded_servers import SERVERS, refuse_unguarded_servers
from asyncreload.errors import TargetError

# The servers do not close what they have opened when they fail so early.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

LOADING: list[bool] = []
refuse_unguarded_servers(lambda: bool(LOADING))  # it stays: Python takes no hook back


@pytest.fixture(autouse=True)
def loading() -> Iterator[None]:
    LOADING[:] = [True]
    yield
    LOADING.clear()
    gc.collect()  # what they have left open is closed here, and not in another test


def run_script(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "web.py"
    path.write_text(source)
    exec(compile(source, str(path), "exec"), {"__name__": "web"})
    return path


BOTTLE = "import bottle\napp = bottle.Bottle()\nbottle.run(app, port=0, quiet=True{})\n"
FLASK = "from flask import Flask\napp = Flask('x')\napp.run(port=0{})\n"
WAITRESS = "import waitress\nwaitress.serve(lambda e, s: [], port=0)\n"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (BOTTLE.format(""), 3),
        (BOTTLE.format(", reloader=True"), 3),
        (FLASK.format(""), 3),
        (FLASK.format(", debug=True"), 3),
        (WAITRESS, 2),
    ],
)
def test_it_is_refused_at_once(tmp_path: Path, source: str, line: int) -> None:
    pytest.importorskip(source.split()[1])
    with pytest.raises(TargetError) as caught:
        run_script(tmp_path, source)
    call = source.splitlines()[line - 1]
    assert str(caught.value) == (
        f'"{call}" at {tmp_path / "web.py"}:{line} would serve, and the load never end: '
        'put it under `if __name__ == "__main__":`.'
    )


def test_a_socket_alone_is_nobodys_mistake(tmp_path: Path) -> None:
    """Such as urllib3's, which finds out in this way whether there is IPv6."""
    run_script(tmp_path, "import socket\nwith socket.socket() as s:\n    s.bind(('', 0))\n")


def test_another_thread_may_serve(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            run_script(tmp_path, BOTTLE.format(", server='cgi'") + "import socket\n")
            namespace = {"__name__": "bottle", "socket": socket}
            exec("def run():\n    with socket.socket() as s:\n        s.bind(('', 0))\n", namespace)
            namespace["run"]()  # type: ignore[operator]
        except BaseException as exc:  # noqa: BLE001  to be compared
            failed.append(exc)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert failed == []


def test_once_it_is_loaded_an_app_may_serve_what_it_likes() -> None:
    LOADING.clear()
    namespace = {"__name__": "bottle", "socket": socket}
    exec("def run():\n    with socket.socket() as s:\n        s.bind(('', 0))\n", namespace)
    namespace["run"]()  # type: ignore[operator]


@pytest.mark.parametrize(("module", "name"), sorted(SERVERS))
def test_what_serves_is_named_as_it_is(module: str, name: str) -> None:
    pytest.importorskip(module)
    found = getattr(importlib.import_module(module), name)
    assert (found.__module__, found.__code__.co_name) == (module, name)


def test_bottle_may_do_anything_with_our_server(tmp_path: Path) -> None:
    """It opens sockets of its own, as a plugin of the app's does; so does a checkpoint."""
    pytest.importorskip("bottle")
    source = (
        "import bottle, socket\n"
        "class Mine:\n"
        "    name, api = 'mine', 2\n"
        "    def setup(self, app): socket.socket().close()\n"
        "    def apply(self, callback, route): return callback\n"
        "class Ours(bottle.ServerAdapter):\n"
        "    __module__ = 'asyncreload.bottle'\n"
        "    def run(self, handler): pass\n"
        "bottle.run(bottle.Bottle(), server={}, quiet=True, plugins=[Mine()])\n"
    )
    run_script(tmp_path, source.format("Ours"))
    with pytest.raises(TargetError, match=r"would serve"):
        run_script(tmp_path, source.format("'wsgiref'"))


def test_a_thread_that_makes_a_socket_does_not_become_known_by_that() -> None:
    """The app would see our own among its threads."""
    known = {*threading.enumerate()}
    done = threading.Lock()
    done.acquire()

    def make() -> None:
        socket.socket().close()
        done.release()

    _thread.start_new_thread(make, ())
    assert done.acquire(timeout=10)
    assert {*threading.enumerate()} == known
