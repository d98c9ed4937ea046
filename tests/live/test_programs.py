"""Every way in which Python starts a program: its child finds of itself what the program found.

The first process of each is plain Python; it becomes the supervisor, and the child is the second.
"""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
import zipapp
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiofiles
import pytest

import asyncreload
from tests.live.driving import lay_out

if TYPE_CHECKING:
    from tests.live.conftest import Serve

PROGRAM = '''\
"""Tells what it finds of itself, then leaves its directory and changes its environment."""
import json, os, sys
started = os.getcwd()
main = sys.modules["__main__"]
told = {
    "argv": sys.argv,
    "orig_argv": "".join(word for word in sys.orig_argv if word != "--"),
    "path": sys.path,
    "flags": repr(sys.flags),
    "options": [sys.warnoptions, repr(sys._xoptions)],
    "is main": vars(main) is globals(),
    "name": __name__,
    "file": __file__,
    "code": (lambda: None).__code__.co_filename,
    "spec": __spec__ and [__spec__.name, __spec__.origin, __spec__.parent],
    "package": __package__,
    "loader": type(__loader__).__name__,
    "cached": __cached__ and os.path.basename(__cached__),
    "doc": __doc__,
    "builtins": type(__builtins__).__name__,
    "names": sorted(globals()),
    "directory": started,
    "environment": {
        name: value for name, value in os.environ.items() if not name.startswith("ASYNCRELOAD_")
    },
}
with open(os.environ["TOLD"], "a") as file:
    file.write(json.dumps(told) + chr(10))
if sys.platform == "linux":  # elsewhere nobody tells with which environment it was started
    del os.environ["TOLD"]
    os.environ["ADDED"] = "by the program"
os.makedirs("elsewhere", exist_ok=True)
os.chdir("elsewhere")
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
import asyncreload
asyncreload.run(app, port=0)
'''
FILES = {
    "pyproject.toml": "[tool.asyncreload]\nstandby = false\n",
    "main.py": PROGRAM,
    "__main__.py": PROGRAM,
    "src/main.py": PROGRAM,
    "src/__main__.py": PROGRAM,
    "src/noext": PROGRAM,
    "pkg/__init__.py": "",
    "pkg/main.py": PROGRAM,
    "pkg/__main__.py": PROGRAM,
}
UNTOLD = ["{project}/src/main.py", "{project}/app.pyz", "-P -m pkg.main"]
WAYS = [
    *UNTOLD,
    "main.py",
    "./main.py",
    "src/../main.py",
    "src/main.py",
    "src/noext",
    "src/main.pyc",
    "link.py",
    "-- src/main.py",
    "src",
    "./src",
    ".",
    "app.pyz",
    "-m pkg.main",
    "-m pkg",
    "-mpkg",
    "-I src/main.py",
    "-P src",
    "-S src/main.py",
    "-X dev -O -W ignore::UserWarning src/main.py",
    "-Bsu -Xutf8 src/main.py",
]


def told(path: Path) -> list[dict[str, Any]]:
    """Return what the processes told, in their order."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("way", WAYS)
def test_child_is_the_same_program_from_the_same_place(
    serve: Serve, project: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where nothing else tells where it was started, it has to import us before it goes elsewhere.
    program = f"import asyncreload\n{PROGRAM}" if way in UNTOLD else PROGRAM
    lay_out(project, files={name: text.replace(PROGRAM, program) for name, text in FILES.items()})
    make_others(project, program)
    # A relative entry; without `site`, and where `-m` looks nowhere else, we are found by others.
    ours = [str(Path(str(module.__file__)).parents[1]) for module in (asyncreload, aiofiles)]
    places = ["lib", *ours, str(project)] if way[:2] in {"-S", "-P"} else ["lib"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    monkeypatch.setenv("TOLD", str(project / "told"))
    words = way.format(project=project).split()
    served = serve("argument", "a b", command=(sys.executable, *words))
    assert served.body() == "served"
    plain, child = told(project / "told")
    assert child == plain


def make_others(project: Path, program: str) -> None:
    """Make what is no plain source: a link, compiled code, and an archive."""
    (project / "link.py").symlink_to("src/main.py")
    main = str(project / "src/main.py")
    py_compile.compile(main, f"{main}c", doraise=True)
    (project / "zipped").mkdir()
    (project / "zipped/__main__.py").write_text(program)
    zipapp.create_archive(project / "zipped", project / "app.pyz")


def test_a_console_script_is_found_on_the_path(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(project, files={"bin/tool": f"#!{sys.executable}\n{PROGRAM}"})
    (project / "bin/tool").chmod(0o755)
    monkeypatch.setenv("PATH", f"{project}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TOLD", str(project / "told"))
    served = serve("argument", command=("/usr/bin/env", "tool"))
    assert served.body() == "served"
    plain, child = told(project / "told")
    # Its directory when it was started is known only if it has imported us before it left it.
    directory = child.pop("directory")
    assert plain.pop("directory") in {directory, os.path.dirname(directory)}
    assert child == plain


@pytest.mark.parametrize("way", ["-c", "-", "", "a pipe", "-i"])
def test_what_cannot_be_run_again_says_so_and_leaves_nothing(project: Path, way: str) -> None:
    """And its `atexit` handlers run once, at its own end."""
    program = (
        "import asyncreload, atexit\n"
        "_ = atexit.register(print, 'the end')\n"
        "asyncreload.run(print, port=0, reload=True)\n"
    )
    arguments = {"-c": ["-c", program], "a pipe": ["/dev/stdin"], "-i": ["-q", "-i", "-"]}
    done = subprocess.run(
        [sys.executable, *arguments.get(way, [way] if way else [])],
        input=program,
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    who = "SettingsError" if way == "-i" else "asyncreload: error"  # a session lives on
    assert f"{who}: run(reload=True) needs a script that can be run again" in done.stderr
    assert ("Traceback" in done.stderr) == (way == "-i")
    assert done.returncode == (0 if way == "-i" else 2)
    assert done.stdout == "the end\n"
    assert list(project.iterdir()) == []
