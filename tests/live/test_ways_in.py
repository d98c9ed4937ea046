"""The ways in: a command, a coroutine, a script; and what they say when they cannot serve."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload import Supervisor, supervise
from tests.live.commands import free_port
from tests.live.driving import LOGGED, Connection, lay_out, until
from tests.live.processes import processes_of

if TYPE_CHECKING:
    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.usefixtures("forks_nothing")

HELLO = """\
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"app={VERSION}".encode()]
"""
# What a child finds of its interpreter and its command.
PROBE = """\
import asyncreload, os, sys
ABOUT = {
    "argv": sys.argv,
    "name": __name__,
    "main": __name__ in sys.modules and sys.modules[__name__].__dict__ is globals(),
    "spec": getattr(__spec__, "name", None),
    "package": __package__,
    "dev": sys.flags.dev_mode,
    "optimize": sys.flags.optimize,
    "safe_path": sys.flags.safe_path,
    "warnings": sys.warnoptions,
    "assertions": __debug__,
    "child": asyncreload.is_child(),
    "markers": [name for name in os.environ if name.startswith("ASYNCRELOAD_C")],
}
def app(environ, start_response):
    start_response("200 OK", [])
    return [repr(ABOUT).encode()]
"""
RUN = 'if __name__ == "__main__":\n    asyncreload.run(app, port=0)\n'

PYTHON = (sys.executable,)
# The same, but what follows `--port` is the only argument.
PYTHON_WITH_PORT = (
    *PYTHON,
    "-c",
    "import os, sys; os.execv(sys.executable, [sys.executable, sys.argv[1], sys.argv[3]])",
)


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    try:
        Connection(port).close()
    except ConnectionRefusedError:
        return False
    return True


def about(served: Served, name: str = "app.py") -> dict[str, object]:
    """Return what a child found; after an edit the next one finds the same."""
    found = eval(served.body())
    assert isinstance(found, dict)
    served.edit(name, '"argv"', '"again"')
    again = eval(served.body())
    assert again.pop("again") == found["argv"]
    assert again == {key: value for key, value in found.items() if key != "argv"}
    return found


# --- four ways -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [(str(Path(sys.executable).with_name("asyncreload")),), (*PYTHON, "-m", "asyncreload")],
    ids=["asyncreload", "python -m asyncreload"],
)
def test_command(serve: Serve, command: tuple[str, ...]) -> None:
    served = serve(files={"app.py": HELLO}, command=command)
    assert served.body() == "app=1"
    served.edit("app.py", '"1"', '"2"')
    assert served.body() == "app=2"


@pytest.mark.asyncio
async def test_coroutine(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It shares the loop: the requests come from the same one."""
    lay_out(project, files={"app.py": HELLO})
    port = free_port()
    task = asyncio.create_task(supervise(str(project / "app.py"), port=port, access_log=False))

    async def body() -> str:
        return (await asyncio.to_thread(lambda: Connection(port).send().receive())).body

    await asyncio.to_thread(until, lambda: answers(port), "it listens")
    assert await body() == "app=1"
    (project / "app.py").write_text(HELLO.replace('"1"', '"2"'))
    assert await body() == "app=2"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    out, err = capfd.readouterr()
    assert out + err == ""


def test_coroutine_in_a_program(serve: Serve) -> None:
    """`asyncio.run(supervise(...))`: Ctrl-C is the program's, and leaves nothing."""
    program = (
        "import asyncio, logging, sys; from asyncreload import supervise; "
        "logging.basicConfig(level='INFO'); "
        "asyncio.run(supervise(sys.argv[1], port=int(sys.argv[3])))"
    )
    served = serve(files={"app.py": HELLO}, command=(*PYTHON, "-c", program))
    assert served.body() == "app=1"
    served.signal_group(signal.SIGINT)
    assert served.wait() != 0


@pytest.mark.asyncio
async def test_supervisor_as_a_context(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    async with Supervisor(str(project / "app.py"), port=0) as supervisor:
        await supervisor.ready()
        first = supervisor.pid
        await supervisor.reload()
        assert supervisor.pid != first
        port = int(supervisor.url.rstrip("/").rpartition(":")[2])
        got = await asyncio.to_thread(lambda: Connection(port).send().receive())
        assert got.body == "app=1"


def test_two_supervisors_in_one_loop(serve: Serve) -> None:
    program = (
        "import asyncio, logging, sys\n"
        "from asyncreload import supervise\n"
        "logging.basicConfig(level='INFO')\n"
        "async def main():\n"
        "    await asyncio.gather(supervise('app.py', port=0), supervise('two.py', port=0))\n"
        "asyncio.run(main())\n"
    )
    files = {"app.py": HELLO, "two.py": HELLO.replace('"1"', '"two"')}
    served = serve(files=files, command=(*PYTHON, "-c", program))
    served.until_told("serving", 2)
    ports = dict(re.findall(r"serving (\w+)\.py at http://127\.0\.0\.1:(\d+)/", served.output))
    answers = {name: Connection(int(port)).send().receive().body for name, port in ports.items()}
    assert answers == {"app": "app=1", "two": "app=two"}


# --- a script that serves itself -------------------------------------------------------------


def test_script(serve: Serve) -> None:
    """The test app takes its port as its argument."""
    served = serve(app="script", command=PYTHON_WITH_PORT)
    assert served.body() == "app=1"
    served.edit("app.py", 'VERSION = "1"', 'VERSION = "2"')
    assert served.body() == "app=2"
    served.signal_group(signal.SIGINT)
    assert served.wait() == 130
    assert "Traceback" not in served.output


@pytest.mark.parametrize(
    "flags",
    [(), ("-X", "dev", "-O", "-W", "error", "-P"), ("-Xdev", "-OO", "-Werror")],
    ids=["none", "apart", "attached"],
)
def test_script_and_command_keep_the_flags(
    serve: Serve, project: Path, flags: tuple[str, ...]
) -> None:
    lay_out(project, files={"app.py": PROBE + RUN})
    plain = subprocess.run(
        [*PYTHON, *flags, "-c", "import sys; print(repr((sys.flags, sys.warnoptions)))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for command in ((*PYTHON, *flags), (*PYTHON, *flags, "-m", "asyncreload")):
        found = about(serve(command=command))
        assert f"dev_mode={found['dev']}" in plain
        assert f"optimize={found['optimize']}" in plain
        assert f"safe_path={found['safe_path']}" in plain
        assert repr(found["warnings"]) in plain
        assert found["child"] is True
        assert found["markers"] == []
        lay_out(project, files={"app.py": PROBE + RUN})


def test_script_keeps_its_arguments(serve: Serve) -> None:
    command = (*PYTHON, "app.py", "--name", "a b", "", "-m")
    served = serve("*", files={"app.py": PROBE + RUN}, command=command)
    found = about(served)
    assert found["argv"] == ["app.py", "--name", "a b", "", "-m", "*", "--port", "0"]
    assert (found["name"], found["main"], found["spec"]) == ("__main__", True, None)
    assert found["child"] is True


def test_script_in_a_package(serve: Serve) -> None:
    """`python -m pkg.main`: relative imports and the spec are what they were."""
    files = {
        "pkg/__init__.py": "",
        "pkg/near.py": "",
        "pkg/main.py": f"from . import near\n{PROBE}{RUN}",
    }
    served = serve("one", files=files, command=(*PYTHON, "-m", "pkg.main"))
    found = about(served, "pkg/main.py")
    assert found["argv"] == [str(served.directory / "pkg/main.py"), "one", "--port", "0"]
    assert (found["name"], found["main"]) == ("__main__", True)
    assert (found["spec"], found["package"]) == ("pkg.main", "pkg")


def test_package_as_a_script(serve: Serve) -> None:
    """`python -m pkg` runs `pkg/__main__.py`."""
    files = {"pkg/__init__.py": "", "pkg/__main__.py": PROBE + RUN}
    served = serve("one", files=files, command=(*PYTHON, "-m", "pkg"))
    found = about(served, "pkg/__main__.py")
    assert (found["spec"], found["package"]) == ("pkg.__main__", "pkg")


def test_script_runs_its_atexit_handlers_before_it_becomes_the_supervisor(serve: Serve) -> None:
    """One at a time (P3): the code that was loaded already is gone before a child loads it."""
    app = (
        "import atexit, os\n"
        "def note(text):\n"
        "    with open('log', 'a') as log:\n"
        "        log.write(f'{text} {os.getpid()}\\n')\n"
        "note('load')\n"
        "atexit.register(note, 'leave')\n"
        + HELLO
        + "import asyncreload\nasyncreload.run(app, port=0)\nnote('never')\n"
    )
    served = serve(files={"app.py": app}, command=PYTHON)
    assert served.body() == "app=1"
    child = int(served.read("log").split()[-1])
    first = f"load {served.pid}\nleave {served.pid}\n"
    assert served.read("log") == f"{first}load {child}\n"
    served.stop()
    assert served.read("log") == f"{first}load {child}\nleave {child}\n"


def test_what_a_script_has_started_before_is_ended_when_it_becomes_the_supervisor(
    serve: Serve,
) -> None:
    """The child runs the script anew, and so starts it again."""
    sleep = "'-c', 'import time; time.sleep(600)'"
    helper = f"import subprocess, sys\nsubprocess.Popen([sys.executable, {sleep}])\n"
    served = serve(files={"app.py": f"{helper}import asyncreload\n{HELLO}{RUN}"}, command=PYTHON)
    served.body()

    def helpers() -> list[str]:
        running = processes_of(served.directory.parent).values()
        return [command for command in running if "sleep(600)" in command]

    assert len(helpers()) == 1
    served.signal(signal.SIGTERM)
    served.wait()
    served.until(lambda: not helpers(), "none is left")


def test_run_without_reload(serve: Serve) -> None:
    """It serves in this very process, and comes back after Ctrl-C."""
    port = free_port()
    app = (
        f"{HELLO}import asyncreload\n"
        "print('child:', asyncreload.is_child())\n"
        f"asyncreload.run(app, port={port}, reload=False)\n"
        "print('back')\n"
    )
    served = serve(files={"app.py": app}, command=PYTHON)
    served.until_told("child: False")
    served.until_told(f"serving without reload at http://127.0.0.1:{port}/, Ctrl-C to stop")
    served.until(lambda: answers(port), "it listens")
    assert served.body() == "app=1"
    served.edit("app.py", '"1"', '"2"')
    assert served.body() == "app=1"
    assert served.children() == []
    served.signal_group(signal.SIGINT)
    assert served.wait() == 0
    assert "back" in served.output
    assert "Traceback" not in served.output


# --- what cannot be served -------------------------------------------------------------------


def fails(project: Path, *arguments: str) -> tuple[int, str]:
    """Run the command, which is to end by itself; return its exit code and what it said."""
    done = subprocess.run(
        [*PYTHON, "-m", "asyncreload", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_busy_port(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, told = fails(project, "app.py", "--port", str(port))
    assert code == 2
    assert told == (
        f"asyncreload: error: port {port} on 127.0.0.1 is in use: stop what listens there, "
        "choose another port, or 0 for a free one\n"
    )


def test_missing_file(project: Path) -> None:
    lay_out(project, files={"app.py": HELLO})
    assert fails(project, "apq.py", "--port", "0") == (
        2,
        'asyncreload: error: There is no file "apq.py": did you mean "app.py"?\n',
    )


def test_missing_module(project: Path) -> None:
    """The child finds that out: it alone knows where modules are looked for."""
    lay_out(project, files={"shop.py": HELLO})
    code, told = fails(project, "shp:app", "--port", "0")
    assert code == 2
    assert told.endswith('asyncreload: error: There is no module "shp": did you mean "shop"?\n')


@pytest.mark.parametrize("call", ["run(app, prot=1)", "run(app, prot=1, reload=False)"])
def test_a_mistake_in_the_call_of_run_is_told_as_by_the_command(project: Path, call: str) -> None:
    """A program that catches it gets it as any other exception."""
    caught = f"try:\n    asyncreload.{call}\nexcept asyncreload.SettingsError as exc: print(exc)\n"
    ends = "import atexit; atexit.register(print, 'ends')\n"
    app = f"import asyncreload\n{HELLO}{caught}{ends}asyncreload.{call}\n"
    lay_out(project, files={"app.py": app})
    done = subprocess.run(
        [*PYTHON, "app.py"], cwd=project, capture_output=True, text=True, timeout=10, check=False
    )
    mistake = 'there is no option "prot": did you mean "port"?\n'
    assert done.stdout == f"{mistake}ends\n"
    assert (done.returncode, done.stderr) == (2, f"asyncreload: error: {mistake}")


@pytest.mark.parametrize("name", ["re", "enum", "typing"])
def test_a_file_with_a_name_of_pythons_own_is_not_taken_for_it(project: Path, name: str) -> None:
    """`python -m` has the current directory first, when it imports the package."""
    lay_out(project, files={"app.py": HELLO, f"{name}.py": "raise AssertionError('loaded')"})
    assert fails(project, "app.py", "--port", "99999") == (
        2,
        "asyncreload: error: port must be a whole number from 0 to 65535, not 99999\n",
    )


INTERRUPTS = """\
import os, signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "asyncreload.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize("command", [("-m", "asyncreload", "app.py"), ("app.py",)])
def test_ctrl_c_while_the_command_loads_ends_it_in_silence(
    project: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"import asyncreload\n{HELLO}{RUN}"
    lay_out(project, files={"app.py": script, "start/sitecustomize.py": INTERRUPTS})
    monkeypatch.setenv("PYTHONPATH", str(project / "start"))
    done = subprocess.run(
        [*PYTHON, *command], cwd=project, capture_output=True, timeout=10, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


# --- who is the child ------------------------------------------------------------------------


def test_is_child_in_the_app_and_not_in_what_it_starts(serve: Serve) -> None:
    app = """\
import asyncreload, os, subprocess, sys
ASK = "import asyncreload; print(asyncreload.is_child())"
def forked():
    out, into = os.pipe()
    if os.fork() == 0:
        os.write(into, str(asyncreload.is_child()).encode())
        os._exit(0)
    os.close(into)
    with open(out) as result:
        return result.read()
LOADING = asyncreload.is_child(), forked()
def app(environ, start_response):
    start_response("200 OK", [])
    started = subprocess.check_output([sys.executable, "-c", ASK], text=True).strip()
    return [f"{LOADING} {asyncreload.is_child()} {forked()} {started}".encode()]
"""
    assert serve(files={"app.py": app}).body() == "(True, 'False') True False False"


def test_app_may_supervise_another_in_a_subprocess(serve: Serve) -> None:
    app = """\
import atexit, subprocess, sys
command = [sys.executable, "-m", "asyncreload", "inner.py", "--port", "0"]
inner = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
atexit.register(inner.terminate)
LINE = inner.stderr.readline()
def app(environ, start_response):
    start_response("200 OK", [])
    return [LINE.encode()]
"""
    served = serve(files={"app.py": app, "inner.py": HELLO})
    found = re.search(r"serving inner\.py at http://127\.0\.0\.1:(\d+)/", served.body())
    assert found
    assert Connection(int(found[1])).send().receive().body == "app=1"


# --- loads that fail in their own way --------------------------------------------------------


def test_supervise_while_loading(serve: Serve) -> None:
    """In the very process that is being supervised it cannot work."""
    app = f"import asyncio, asyncreload\nasyncio.run(asyncreload.supervise('app.py'))\n{HELLO}"
    served = serve(files={"app.py": app})
    answer = served.get()
    assert answer.status == 500
    assert (
        "NestedError: an app starts a Supervisor while it is being loaded by another: do that in a "
        "program of its own, or in a subprocess"
    ) in answer.body
    served.write("app.py", HELLO)
    assert served.body() == "app=1"


@pytest.mark.parametrize("code", [0, 3])
def test_exit_while_loading_is_a_failed_load(serve: Serve, code: int) -> None:
    """Neither the end of the supervisor, nor one more load, whatever the exit codes mean to us."""
    served = serve(files={"app.py": f"{LOGGED}import sys\nsys.exit({code})\n"})
    answer = served.get()
    assert answer.status == 500
    assert f"the app called sys.exit({code}) while it was being loaded" in answer.body
    assert served.get().status == 500
    assert len(served.loads()) == 1
    served.write("app.py", HELLO)
    assert served.body() == "app=1"


def test_slow_load_is_told_with_its_line(serve: Serve) -> None:
    app = f"import time\ntime.sleep(1)\nopen('gate').read()\n{HELLO}"
    served = serve(files={"app.py": "import helper\nfrom helper import app\n"})
    os.mkfifo(served.directory / "gate")
    served.write("helper.py", app)
    served.until_told("still loading after 3 s, at ")
    assert f"at {served.directory}/helper.py:3: open('gate').read()" in served.output
    served.open_gate("gate")
    assert served.body() == "app=1"
    assert served.output.count("still loading") == 1
