"""P8: a request's thread is, to the app and its tools, what it is under threaded wsgiref."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.commands import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.without_standby

THREADED = """\
import sys
sys.path[0] = ""
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from app import app
class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
server = make_server("127.0.0.1", 0, app, Server)
print(f"serving app.py at http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
"""

FACTS = """\
import contextvars, json, sys, threading
traced, profiled = set(), set()
def trace(frame, event, arg):
    traced.add(frame.f_code.co_name)
def profile(frame, event, arg):
    profiled.add(frame.f_code.co_name)
threading.settrace(trace)
threading.setprofile(profile)
variable = contextvars.ContextVar("variable", default="unset")
variable.set("import")
local = threading.local()
local.value = "import"
class Ending:
    count = 0
    def __del__(self):
        Ending.count += 1
def facts(thread):
    seen = {
        "kind": type(thread).__name__,
        "name": thread.name,
        "daemon": thread.daemon,
        "itself": thread.ident == threading.get_ident(),
        "native": thread.native_id == threading.get_native_id(),
        "known": sorted(type(one).__name__ + one.name for one in threading.enumerate()),
        "variable": variable.get(),
        "local": getattr(local, "value", "unset"),
        "traced": "app" in traced, "profiled": "app" in profiled,
    }
    variable.set("request")
    local.value = "request"
    local.ending = Ending()
    return seen
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/ended":
        return [str(Ending.count).encode()]
    return [json.dumps(facts(threading.current_thread())).encode()]
"""


def facts(served: Served) -> list[Any]:
    """Return what two requests have seen, one after the other; and that their threads ended."""
    seen = []

    def alone() -> Any:
        text = served.body("/facts")
        found = json.loads(re.sub(r"Thread-\d+", "Thread-N", text))
        # A client has its answer a moment before the thread of its request has ended.
        return found if len(found["known"]) <= 2 else None

    for number in (1, 2):
        seen.append(served.until(alone, "no thread of an earlier request is left"))
        ended = f"what request {number} had kept in its thread is gone"
        served.until(lambda number=number: int(served.body("/ended")) >= number, ended)  # type: ignore[misc]
    return seen


def test_p8_a_requests_thread_is_that_of_threaded_wsgiref(serve: Serve) -> None:
    """Down to its name; and `threading` knows no other one, which gevent depends on."""
    ours = serve("app.py", files={"app.py": FACTS, "threaded.py": THREADED})
    threaded = serve(command=(sys.executable, "threaded.py"))
    expected = facts(threaded)
    assert facts(ours) == expected
    assert expected[0]["known"] == ["Thread" + expected[0]["name"], "_MainThreadMainThread"]
    assert expected[0]["traced"]
    assert expected[0]["profiled"]


STARVED = """\
import signal, threading
VERSION = "old"
SIZES = {signal.SIGUSR1: 1 << 46, signal.SIGUSR2: 0}
def set_size(number, frame):
    threading.stack_size(SIZES[number])
    print(f"stack size {SIZES[number]}", flush=True)
for number in SIZES:
    signal.signal(number, set_size)
def app(environ, start_response):
    start_response("200 OK", [])
    pid = environ["PATH_INFO"] == "/pid"
    return [(str(__import__("os").getpid()) if pid else VERSION).encode()]
"""
"""Can be put in want of threads, by a stack size that is beyond all memory, and again out of it."""


@pytest.mark.parametrize("relief", ["a thread", "the next child"])
def test_p2_a_request_waits_until_a_thread_can_be_had(serve: Serve, relief: str) -> None:
    served = serve("app.py", files={"app.py": STARVED})
    pid = int(served.body("/pid"))
    os.kill(pid, signal.SIGUSR1)
    served.until_told(f"stack size {1 << 46}")
    waiting = [served.connect().send() for _ in range(3)]
    if relief == "a thread":
        os.kill(pid, signal.SIGUSR2)
        assert [one.receive().body for one in waiting] == ["old"] * 3
        assert int(served.body("/pid")) == pid
    else:
        served.edit("app.py", '"old"', '"new"')
        assert [one.receive().body for one in waiting] == ["new"] * 3
    assert "Traceback" not in served.output


# --- coverage.py -----------------------------------------------------------------------------

EXAMPLES = {
    "hello.py": ["/"],
    "bottle_app.py": ["/", "/hello/you"],
    "flask_app.py": ["/", "/hello/you"],
    "django_app.py": ["/", "/hello/you"],
}
"""What to ask for, so that each function of the example is run."""


def handler_lines(source: str) -> set[int]:
    """Return the lines in the bodies of an example's functions; all of these are handlers."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {
        statement.lineno
        for function in functions
        for statement in function.body
        if isinstance(statement, ast.stmt)
    }


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("threads", ["64", "1"])
def test_p8_coverage_sees_all_of_the_handlers(
    serve: Serve,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    example: str,
    threads: str,
) -> None:
    coverage = pytest.importorskip("coverage")
    (tmp_path / "site").mkdir()
    # As its documentation has it for processes that a program starts.
    (tmp_path / "site/sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    config = tmp_path / "coveragerc"
    config.write_text(f"[run]\nparallel = true\ndata_file = {tmp_path}/data\nsource = {project}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("COVERAGE_PROCESS_START", str(config))
    monkeypatch.setenv("COVERAGE_CORE", "ctrace")  # that of Python 3.14 needs no help of ours
    source = (ROOT / "examples" / example).read_text()
    served = serve(example, "--threads", threads, files={example: source})
    for path in EXAMPLES[example]:
        served.body(path)
    served.stop()
    found = coverage.Coverage(config_file=str(config))
    found.combine()
    executed = found.get_data().lines(str(project / example))
    assert handler_lines(source) - set(executed or []) == set()
