"""P6, P1, P3: what a start from nothing would import is what answers, however it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.driving import LOGGED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.conftest import Serve

WAYS = pytest.mark.parametrize("options", [(), ("--no-inotify",)], ids=["events", "polled"])
SEARCHING = (
    LOGGED
    + """\
try:
    import local_settings
except ImportError:
    local_settings = None
import colorsys, space.inner, tool
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    found = (local_settings, tool, space, colorsys)
    return [" ".join(getattr(one, "VERSION", "-") for one in found).encode()]
"""
)
ONE = 'VERSION = "1"\n'
TWO = 'VERSION = "2"\n'


@WAYS
def test_p6_a_file_that_an_import_would_find_first(serve: Serve, options: tuple[str, ...]) -> None:
    files = {"app.py": SEARCHING, "tool.py": "", "space/inner.py": ""}
    served = serve("app.py", *options, files=files)
    assert served.body() == "- - - -"
    served.write("never_looked_for.py", ONE)
    assert served.body() == "- - - -"
    assert len(served.loads()) == 1
    served.write("local_settings.py", ONE)
    assert served.body() == "1 - - -"
    package = served.directory / "tool"
    package.mkdir()
    served.write("tool/__init__.py", ONE)
    assert served.body() == "1 1 - -"
    served.write("space/__init__.py", ONE)
    assert served.body() == "1 1 1 -"
    served.write("colorsys.py", ONE)
    assert served.body() == "1 1 1 1"
    (served.directory / "local_settings.py").unlink()
    (package / "__init__.py").unlink()
    assert served.body() == "- - 1 1"


AT_START = """\
import atexit, os
VERSION = "1"
if "ASYNCRELOAD_CHILD" in os.environ:  # the supervisor is a Python, too
    def log(what):
        with open("runs", "a") as runs:
            runs.write(f"{what} {os.getpid()}\\n")
    log("begins")
    atexit.register(log, "ends")
"""
KNOWS_EARLY = """\
import early
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [early.VERSION.encode()]
"""


def test_p3_code_that_python_itself_runs_when_it_starts(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each save of it shows, and no process that stands by has run it."""
    monkeypatch.setenv("PYTHONPATH", str(project / "start"))
    served = serve(
        files={
            "app.py": KNOWS_EARLY,
            "start/sitecustomize.py": "import early\n",
            "start/early.py": AT_START,
        }
    )
    assert served.body() == "1"
    assert served.output.count("no process stands by") == 1
    served.edit("start/early.py", ONE, TWO)
    assert served.body() == "2"
    served.write("start/sitecustomize.py", "import early\nearly.VERSION = '3'\n")
    assert served.body() == "3"
    runs = [line.split() for line in served.read("runs").splitlines()]
    assert [what for what, _ in runs] == ["begins", "ends"] * 2 + ["begins"]
    assert [pid for _, pid in runs[::2]][:2] == [pid for _, pid in runs[1::2]]


LOADS_BY_ITSELF = """\
import sys, types
def plugin():
    if "plugin" not in sys.modules:
        module = types.ModuleType("plugin")
        module.__file__ = "plugin.py"
        exec(open("plugin.py").read(), vars(module))
        sys.modules["plugin"] = module
    return sys.modules["plugin"]
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [plugin().VERSION.encode()]
"""


def test_p1_a_module_that_a_request_has_loaded_in_its_own_way(serve: Serve) -> None:
    """Saved at once, long before the next look in the background."""
    files = {"app.py": LOADS_BY_ITSELF, "plugin.py": ONE}
    served = serve("app.py", "--interval", "5", files=files)
    assert served.body() == "1"
    served.write("plugin.py", TWO)
    assert served.body() == "2"
