"""P1: what a load has read before a checkpoint makes it unfit when it is not as it was."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.failing import serving
from tests.live.test_p7_standby import Packages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")

PAUSE = "import time; time.sleep(0.02)\n"
"""So that a checkpoint is worth taking behind it."""
APP = (
    PAUSE
    + """\
import first, last
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{first.VALUE} {last.VALUE}".encode()]
"""
)
FILES = {"app.py": APP, "last.py": "VALUE = 1\n", "package/__init__.py": "", "ignored.py": "V = 1"}
DATA = {
    "data": "one",
    "package/text": "one",
    "package/text.py": "one",
    "helper.py": f"{PAUSE}VALUE=1",
}
READ_BY_THREAD = """\
import threading
found = []
thread = threading.Thread(target=lambda: found.append(open("data").read()))
thread.start(); thread.join()
VALUE = found[0]
"""
READ_BY_POOL = """\
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool:
    VALUE = pool.submit(open, "data").result().read()
"""
OFF_PATH = """\
import sys, os
sys.path.insert(0, os.path.abspath("later"))
from helper import VALUE
"""
MISSING = """\
try:
    VALUE = open("maybe").read()
except FileNotFoundError:
    VALUE = "none"
"""
APPENDED = """\
with open("log", "a") as log:
    log.write("x")
VALUE = open("log").read()[:1]
"""
KEPT = """\
import os
if not os.path.exists("kept"):
    with open("kept", "w") as file:
        file.write("one")
VALUE = open("kept").read()
"""
TRIED = """\
try:
    from other.module import VALUE
except ImportError:
    VALUE = "none"
"""
CASES: dict[str, tuple[str, dict[str, str], str]] = {
    "opened": ("VALUE = open('data').read()", {"data": "two"}, "two"),
    "opened by its number": (
        "import os; VALUE = os.read(os.open('data', os.O_RDONLY), 9).decode()",
        {"data": "two"},
        "two",
    ),
    "not there": (MISSING, {"maybe": "there"}, "there"),
    "listed": ("import os; VALUE = len(os.listdir('package'))", {"package/new": ""}, "{} + 1"),
    "resource": (
        "import pkgutil; VALUE = pkgutil.get_data('package', 'text').decode()",
        {"package/text": "two"},
        "two",
    ),
    "resource that is a source": (
        "import pkgutil; VALUE = pkgutil.get_data('package', 'text.py').decode()",
        {"package/text.py": "two"},
        "two",
    ),
    "read by a thread": (READ_BY_THREAD, {"data": "two"}, "two"),
    "read by a pool": (READ_BY_POOL, {"data": "two"}, "two"),
    "entry of the path that comes": (OFF_PATH, {"later/helper.py": "VALUE = 'two'"}, "two"),
    "made by the load, then edited": (KEPT, {"kept": "two"}, "two"),
    "appended to by the load, then edited": (APPENDED, {"log": "two"}, "t"),
    "ignored": ("from ignored import V as VALUE", {"ignored.py": "V = 22"}, "22"),
    "ignored, and not there": (TRIED, {"other/module.py": "VALUE = 'two'"}, "two"),
}


def loads(served: Served) -> list[tuple[str, int]]:
    """Return where each load came from that followed a change, and how many modules were new."""
    events = [json.loads(line) for line in served.output.splitlines() if line.startswith('{"')]
    ready = [event for event in events if event["event"] == "ready" and event["paths"]]
    return [(event["origin"], event["anew"]) for event in ready]


def edit_until_only_that_is_new(served: Served) -> str:
    """Edit `last.py` until it alone is loaded anew: a checkpoint lies just before it.

    Return what the app tells then.
    """

    def edit() -> str | None:
        count = len(loads(served))
        served.write("last.py", served.read("last.py") + "\n")
        body = served.body()
        served.until(lambda: len(loads(served)) > count, "the load is told")
        return body if loads(served)[-1] == ("checkpoint", 1) else None

    served.body()  # else the edit may be part of the first load
    return served.until(edit, "a checkpoint lies before last.py")


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One supervisor for all cases: each begins with the same files."""
    options = ("--json", "--ignore", "ignored.py", "--ignore", "other")
    files = FILES | DATA | {"first.py": PAUSE}
    with serving(tmp_path_factory.mktemp("reading"), "app.py", options, files) as bench:
        yield bench


def begin_with(served: Served, files: dict[str, str]) -> None:
    """Have these files, and no others."""
    for path in served.directory.rglob("*"):
        name = str(path.relative_to(served.directory))
        if path.is_file() and "__pycache__" not in name and name not in files:
            path.unlink()
    for name in ("later", "other"):
        shutil.rmtree(served.directory / name, ignore_errors=True)
    for name, text in files.items():
        served.write(name, text)


@pytest.mark.parametrize("case", CASES)
def test_what_was_read_before_it_counts(reading: Served, case: str) -> None:
    source, change, expected = CASES[case]
    served = reading
    begin_with(served, FILES | DATA | {"first.py": PAUSE + source})
    before = edit_until_only_that_is_new(served)
    for name, text in change.items():
        (served.directory / name).parent.mkdir(exist_ok=True)
        served.write(name, text)
    served.write("last.py", "VALUE = 3\n")
    expected = expected if case != "listed" else str(int(before.split()[0]) + 1)
    assert served.body() == f"{expected} 3"
    assert edit_until_only_that_is_new(served) == f"{expected} 3"


def test_a_seed_that_was_chosen_is_kept(serve: Serve) -> None:
    files = FILES | {
        "first.py": f"{PAUSE}import random; random.seed(3); VALUE = 0",
        "last.py": "import random; VALUE = random.random()  # 1\n",
    }
    served = serve("app.py", "--json", "--verbose", files=files)
    before = served.body()
    assert edit_until_only_that_is_new(served) == before
    assert edit_until_only_that_is_new(served) == before


def test_other_random_numbers_are_drawn_anew(serve: Serve) -> None:
    files = FILES | {
        "first.py": f"{PAUSE}import random; random.seed(3); random.seed(); VALUE = 0",
        "last.py": "import random; VALUE = random.random()  # 1\n",
    }
    served = serve("app.py", "--json", "--verbose", files=files)
    found = {edit_until_only_that_is_new(served) for _ in range(3)}
    assert len(found) == 3


def test_a_project_that_another_takes_the_place_of(serve: Serve, project: Path) -> None:
    """The directory in which a checkpoint works is another one then, of the same name."""
    files = FILES | {"first.py": f"{PAUSE}VALUE = 0", "last.py": "VALUE = open('data').read()\n"}
    served = serve("app.py", "--json", "--verbose", files=files | {"data": "one"})
    assert edit_until_only_that_is_new(served) == "0 one"
    aside, new = project.with_name("aside"), project.with_name("new")
    for number in ("two", "three"):
        new.mkdir()
        for name, text in (files | {"data": number}).items():
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(f"{text}# {number}" if name == "last.py" else text)
        project.rename(aside / number if aside.exists() else aside)
        new.rename(project)
        assert served.body() == f"0 {number}"


# --- packages --------------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """A directory of packages, with one in it."""
    found = Packages(tmp_path / "site-packages")
    found.write("third", "VALUE = 'package'\n")
    monkeypatch.setenv("PYTHONPATH", str(found.directory))
    return found


def test_a_package_that_was_not_there(serve: Serve, packages: Packages) -> None:
    served = serve("app.py", "--json", "--verbose", files=FILES | {"first.py": PAUSE + TRIED})
    assert edit_until_only_that_is_new(served) == "none 1"
    packages.write("other/module.py", "VALUE = 'there'\n")
    served.write("last.py", "VALUE = 3\n")
    assert served.body() == "there 3"


def test_a_module_that_has_the_name_of_a_package_which_was_imported_ahead(
    serve: Serve, packages: Packages
) -> None:
    first = PAUSE + "from third import VALUE\n"
    app = APP + "    \n"
    served = serve(
        "app.py", "--json", "--verbose", files=FILES | {"first.py": first, "app.py": app}
    )
    assert served.body() == "package 1"
    served.until_told("has imported 1 modules")
    served.write("app.py", APP)
    assert served.body() == "package 1"
    served.until(lambda: loads(served) == [("standby", 3)], "the standby was used")
    assert edit_until_only_that_is_new(served) == "package 1"
    served.write("third.py", "VALUE = 'project'\n")
    served.write("last.py", "VALUE = 3\n")
    assert served.body() == "project 3"


# --- what Python keeps -----------------------------------------------------------------------


def test_a_module_whose_directory_does_not_tell_of_it(serve: Serve) -> None:
    """Python lists a directory again only when its time of modification is another one."""
    served = serve("app.py", "--json", "--verbose", files=FILES | {"first.py": f"{PAUSE}VALUE = 0"})
    assert edit_until_only_that_is_new(served) == "0 1"
    times = served.directory.stat()
    served.write("new.py", "VALUE = 3\n")
    os.utime(served.directory, ns=(times.st_atime_ns, times.st_mtime_ns))
    served.write("last.py", "from new import VALUE\n")
    assert served.body() == "0 3"
