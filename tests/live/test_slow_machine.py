"""No deadline of ours turns a slow machine, or a slow package, into a broken server."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import lay_out, standby
from tests.live.processes import is_alive, state_of
from tests.live.test_p7_standby import Packages, bump, page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.conftest import Serve

# Python takes so long to start; only that of children, as else the command would as well.
SLOW_START = """\
import sys, time
if "asyncreload.child.__main__" in sys.orig_argv:
    time.sleep(5.5)
"""
# A package that takes longer in a process that imports it ahead, which has no app yet.
SLOW_PACKAGE = """\
import os, sys, time
time.sleep({load} if "app" in sys.modules else {replay})
with open(__file__ + ".done", "a") as done:
    done.write(f"{{os.getpid()}}\\n")
VALUE = 1
"""
APP = page("import third", "third.VALUE")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    found = Packages(tmp_path / "site-packages")
    monkeypatch.setenv("PYTHONPATH", str(found.directory))
    return found


@pytest.mark.parametrize("options", [[], ["--no-standby"]], ids=str)
def test_a_python_that_takes_long_to_start_is_waited_for(
    serve: Serve, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    lay_out(tmp_path / "slow", files={"sitecustomize.py": SLOW_START})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "slow"))
    served = serve("app.py", *options, files={"app.py": page("", "1")})
    assert served.body() == '["1", 1]'
    assert served.output.count("still starting the next process after 3 s: Python itself") == 1


def test_a_reload_waits_for_what_is_left_of_the_imports(serve: Serve, packages: Packages) -> None:
    """A start from nothing would take no less."""
    packages.write("third", SLOW_PACKAGE.format(load=3.5, replay=5.5))
    served = serve(files={"app.py": APP})
    first = served.body("/pid")
    served.until(lambda: len(packages.imports("third")) == 2, "packages are imported ahead")
    bump(served, 1, 2)
    assert served.body() == '["2", 1]'
    second = served.body("/pid")
    assert packages.imports("third")[:2] == [(int(first), "loaded"), (int(second), "replayed")]
    assert served.output.count("the next process is still importing packages after 3 s") == 1


def test_imports_that_are_late_hold_nobody_up_and_are_used_later(
    serve: Serve, packages: Packages
) -> None:
    """However often: a start from nothing is sooner, and to be late is not to be wrong."""
    path = packages.write("third", SLOW_PACKAGE.format(load=0.1, replay=7))
    served = serve(files={"app.py": APP})
    served.body()
    served.until(lambda: len(packages.imports("third")) == 2, "packages are imported ahead")
    late, how = packages.imports("third")[1]
    assert how == "replayed"
    for number in (1, 2, 3):
        bump(served, number, number + 1)
        assert served.body() == f'["{number + 1}", 1]'
    done = path.with_name(f"{path.name}.done")
    served.until(lambda: str(late) in done.read_text().split(), "the late one is done")
    assert standby(served) == late
    bump(served, 4, 5)
    assert served.body() == '["5", 1]'
    assert served.body("/pid") == str(late)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can tell")
def test_a_standby_that_somebody_has_stopped_is_replaced(serve: Serve, packages: Packages) -> None:
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": APP})
    stopped = standby(served)
    os.kill(stopped, signal.SIGSTOP)
    served.until(lambda: state_of(stopped) == "T", "it is stopped")
    bump(served, 1, 2)
    assert served.body() == '["2", 1]'
    assert served.body("/pid") != str(stopped)
    served.until(lambda: not is_alive(stopped), "the stopped one is gone")
