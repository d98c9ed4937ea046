"""What comes out of the command and of the library: for tools, for nobody, by pyproject.toml."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.commands import free_port
from tests.live.driving import (
    COMMAND,
    DEADLINE,
    SPEAKS_ASGI,
    Connection,
    connect_when_open,
    lay_out,
    replace,
)
from tests.live.test_ways_in import HELLO, PYTHON

if TYPE_CHECKING:
    from tests.live.conftest import Serve

PRINTS = f"print('the app prints', flush=True)\n{HELLO}"


@contextmanager
def told_to_tools(project: Path) -> Iterator[subprocess.Popen[str]]:
    """Serve with `--json`, whose lines are in `stdout`; the rest is in a file."""
    with (project / "errors").open("w") as errors:
        process = subprocess.Popen(
            [*COMMAND, "app.py", "--port", "0", "--json"],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        with process:
            yield process
    finally:
        process.kill()


def next_event(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def test_tools_get_events_and_nothing_else_on_standard_output(project: Path) -> None:
    lay_out(project, files={"app.py": PRINTS})
    with told_to_tools(project) as process:
        starting = next_event(process)
        port = int(starting["url"].rstrip("/").rpartition(":")[2])
        assert (starting["event"], starting["target"]) == ("starting", "app.py")
        assert next_event(process)["event"] == "ready"
        assert Connection(port).send().receive().status == 200
        replace(project / "app.py", f"{PRINTS}x = y\n")
        changed, failed = next_event(process), next_event(process)
        assert (changed["event"], changed["paths"]) == ("changed", [f"{project}/app.py"])
        assert failed["event"] == "failed", failed
        assert failed["error"] == "NameError: name 'y' is not defined"
        assert failed["place"].startswith(f"{project}/app.py:")
        process.send_signal(signal.SIGTERM)
        assert next_event(process)["event"] == "stopped"
        assert process.wait(10) == 143
    errors = (project / "errors").read_text()
    assert errors.count("the app prints\n") == 2
    assert " GET / 200 " in errors


def test_when_nobody_reads_any_more_it_ends(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    with told_to_tools(project) as process:
        assert next_event(process)["event"] == "starting"
        assert next_event(process)["event"] == "ready"
        assert process.stdout
        process.stdout.close()
        replace(project / "app.py", HELLO.replace('"1"', '"2"'))
        assert process.wait(10) == 128 + signal.SIGPIPE
    assert (project / "errors").read_text() == ""


def test_the_library_prints_nothing(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO, "broken.py": "x = y\n"})
    port = free_port()
    program = f"""\
import asyncio, urllib.error, urllib.request
from asyncreload import Supervisor
def ask(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{{port}}/").status
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.status
async def main():
    async with Supervisor("app.py", port={port}):
        assert await asyncio.to_thread(ask, {port}) == 200
    async with Supervisor("broken.py", port={port}):
        assert await asyncio.to_thread(ask, {port}) == 500
asyncio.run(main())
"""
    done = subprocess.run(
        [*PYTHON, "-c", program],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_plain_asyncreload_serves_what_pyproject_says(serve: Serve, project: Path) -> None:
    lay_out(project, files={"shop/web.py": HELLO, ".env": "A=1\n", "sub/x": ""})
    text = '[tool.asyncreload]\ntarget = "shop/web.py"\nport = 0\nenv-file = ".env"\n'
    (project / "pyproject.toml").write_text(text)
    command = ("sh", "-c", f"cd sub && exec {' '.join(COMMAND)} --port 0", "sh")
    served = serve(command=command)
    assert served.body() == "app=1"
    assert "serving shop/web.py at " in served.output
    replace(project / "shop" / "web.py", HELLO.replace('"1"', '"2"'))
    assert served.body() == "app=2"
    served.until_told("web.py changed · fresh in ")
    (project / "pyproject.toml").write_text(f"{text}live = true\n")
    served.until_told("options in pyproject.toml changed")


SLOW = """\
import time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open("begun", "a").close()
        time.sleep(60)
    start_response("200 OK", [])
    return [b"{}"]
"""


def test_a_response_that_is_given_up_is_told(serve: Serve, project: Path) -> None:
    """At a reload after `grace`, and at the end; the client has nothing else to find it by."""
    served = serve("app.py", "--grace", "0.5", files={"app.py": SLOW.format("old")})
    slow = Connection(served.port).send("/slow")
    served.until((project / "begun").exists, "it is being answered")
    served.write("app.py", SLOW.format("new"))
    assert served.body() == "new"
    served.until_told("GET /slow 503 · cut off after 0.5 s (--grace)")
    assert slow.receive().status == 503
    (project / "begun").unlink()
    again = Connection(served.port).send("/slow")
    served.until((project / "begun").exists, "it is being answered")
    served.signal(signal.SIGINT)
    served.wait()
    assert "Please ask again" in again.receive().body
    assert served.output.count("GET /slow 503 · cut off") == 2
    assert served.output.rindex("cut off") < served.output.index(" stopped\n")


STREAMED = """\
import time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/export":
        start_response("200 OK", [("Content-Type", "text/csv")])
        return (time.sleep(0.2) or b"a line\\n" for _ in range(100))
    start_response("200 OK", [])
    return [b"{}"]
"""


@pytest.mark.skipif(SPEAKS_ASGI, reason="its chunks tell")
def test_a_client_notices_that_a_response_is_cut_off(serve: Serve) -> None:
    """Whose end nothing tells but that of the connection."""
    served = serve("app.py", "--grace", "0.5", files={"app.py": STREAMED.format("old")})
    for ending in ("reload", "end"):
        export = Connection(served.port).send("/export")
        assert export.receive_some()
        if ending == "reload":
            served.write("app.py", STREAMED.format("new"))
            assert served.body() == "new"
        else:
            served.signal(signal.SIGINT)
        with pytest.raises(ConnectionResetError):
            export.receive()


def test_p5_what_tools_are_told_at_the_end_is_the_exit_code(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    with told_to_tools(project) as process:
        while next_event(process)["event"] != "ready":
            pass
        process.send_signal(signal.SIGINT)
        last = next_event(process)
        assert (last["event"], last["code"]) == ("stopped", 130)
        assert process.wait(20) == 130


def test_p5_who_is_read_by_a_tool_ends_with_it(project: Path) -> None:
    """Also when there is nothing to be told: no line has to be written for that."""
    lay_out(project, files={"app.py": HELLO})
    with told_to_tools(project) as process:
        while next_event(process)["event"] != "ready":
            pass
        assert process.stdout
        process.stdout.close()
        assert process.wait(20) == 128 + signal.SIGPIPE


def test_bad_options_in_pyproject_are_one_line(project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text("[tool.asyncreload]\nprot = 1\n")
    done = subprocess.run(COMMAND, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"asyncreload: error: {path}: in [tool.asyncreload], "
        'there is no option "prot": did you mean "port"?\n'
    )


def test_p2_a_terminal_that_is_held_holds_nobody_up(project: Path) -> None:
    """As by Ctrl-S: nothing can be written to it then."""
    lay_out(project, files={"app.py": HELLO})
    terminal, ours = pty.openpty()
    port = free_port()
    command = [*COMMAND, "app.py", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=project, stdin=ours, stdout=ours, stderr=ours, start_new_session=True
    )
    os.close(ours)
    try:
        assert connect_when_open(port).send().receive().body == "app=1"
        os.write(terminal, b"\x13")
        reload_and_end(process, project, port, range(2, 20))
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_p2_a_tool_that_reads_no_more_holds_nobody_up(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    port = free_port()
    reads, writes = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "app.py", "--port", str(port), "--json", "--verbose"],
        cwd=project,
        stdout=writes,
        stderr=subprocess.DEVNULL,
    )
    os.close(writes)
    try:
        assert connect_when_open(port).send().receive().body == "app=1"
        fill(reads)
        reload_and_end(process, project, port, range(2, 10))
    finally:
        process.kill()
        process.wait()
        os.close(reads)


def reload_and_end(
    process: subprocess.Popen[bytes], project: Path, port: int, versions: range
) -> None:
    """Save each version, which is answered at once, then end the server."""
    for number in versions:
        replace(project / "app.py", HELLO.replace('"1"', f'"{number}"'))
        assert Connection(port).send().receive().body == f"app={number}"
    process.terminate()
    process.wait(DEADLINE)


def fill(pipe: int) -> None:
    """Write to a pipe, by its end for reading, until it takes no more."""
    descriptor = os.open(f"/dev/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"\n")
    os.close(descriptor)
