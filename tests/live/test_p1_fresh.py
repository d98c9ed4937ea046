"""P1: a request that was sent after a save is never answered by older code."""

from __future__ import annotations

import os
import py_compile
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import (
    COMMAND,
    EAGER,
    LOGGED,
    LONG,
    Connection,
    Served,
    lay_out,
    replace,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.conftest import Serve

SAVES = 500 if LONG else 8  # for each of two kinds of listening socket
SEED = int(os.environ.get("ASYNCRELOAD_SEED", "1"))

APP = (
    LOGGED
    + """\
import time
import helper
time.sleep(0.05)
NUMBER = "%04d"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{NUMBER} {helper.NUMBER}".encode()]
"""
)
HELPER = 'NUMBER = "%04d"\n'


class Editor:
    """Saves the next number in one of two files, each time in another way; the size stays."""

    def __init__(self, served: Served, dice: random.Random) -> None:
        self.served = served
        self.dice = dice
        self.numbers = {"app.py": 0, "helper.py": 0}
        self.saves = 0
        self.ways: list[str] = []

    @property
    def saved(self) -> str:
        """What a fresh response says."""
        return f"{self.numbers['app.py']:04d} {self.numbers['helper.py']:04d}"

    def save(self) -> str:
        """Save, and return what a fresh response says from now on."""
        self.saves += 1
        name = self.dice.choice(["app.py", "helper.py"])
        text = (APP if name == "app.py" else HELPER) % self.saves
        path = self.served.directory / name
        before = path.stat()
        save = self.dice.choice([write, replace])
        times = self.dice.choice(["now", "now", "past", "kept"])
        save(path, text)
        if times == "past":
            long_ago = time.time() - self.dice.uniform(0.01, 1e6)
            os.utime(path, (long_ago, long_ago))
        elif times == "kept":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.numbers[name] = self.saves
        self.ways.append(f"{self.saves}: {save.__name__} {name}, times {times}")
        return self.saved

    def save_in_load(self) -> tuple[Connection, set[str]]:
        """Save, wait until that is being loaded, save again; the request between waits."""
        loads = len(self.served.loads())
        first = self.save()
        waiting = self.served.connect().send()
        self.served.until_loads(loads + 1)
        time.sleep(self.dice.uniform(0, 0.08))  # no wait: any instant of the load will do
        self.ways.append("during the load")
        return waiting, {first, self.save()}


@pytest.mark.both_interfaces
@pytest.mark.parametrize("command", [COMMAND, EAGER], ids=["deferred", "eager"])
def test_p1_no_answer_is_older_than_the_last_save(serve: Serve, command: tuple[str, ...]) -> None:
    """Saves of every kind, before and during loads, met by connections old and new."""
    files = {"app.py": APP % 0, "helper.py": HELPER % 0}
    served = serve("app.py", "--no-access-log", files=files, command=command)
    editor = Editor(served, random.Random(SEED))
    assert served.body() == editor.saved
    early = [served.connect() for _ in range(SAVES)]
    while editor.saves < SAVES:
        if editor.dice.random() < 0.4:
            waiting, either = editor.save_in_load()
        else:
            waiting, either = served.connect().send(), {editor.saved, editor.save()}
        asked = [served.connect().send()]
        if early and editor.dice.random() < 0.7:
            asked.append(early.pop(editor.dice.randrange(len(early))).send())
        history = "\n".join([*editor.ways[-5:], served.output])
        assert [one.receive().body for one in asked] == [editor.saved] * len(asked), history
        assert waiting.receive().body in either, history
    assert {one.send().receive().body for one in early} <= {editor.saved}, served.output


@pytest.mark.parametrize(
    ("app", "target", "file", "old", "new"),
    [
        ("plain", "app.py", "helper.py", "app=1 helper=1", "app=1 helper=2"),
        ("bottle", "app.py", "app.py", "app=1", "app=2"),
        ("flask", "app.py:create_app()", "app.py", "app=1 pages=1", "app=2 pages=1"),
        ("flask", "app:create_app()", "website/pages.py", "app=1 pages=1", "app=1 pages=2"),
        ("django", "project.wsgi", "project/urls.py", "app=1", "app=2"),
    ],
    ids=["plain", "bottle", "flask", "flask package", "django"],
)
def test_p1_frameworks(serve: Serve, app: str, target: str, file: str, old: str, new: str) -> None:
    served = serve(target, app=app)
    assert served.body() == old
    served.edit(file, 'VERSION = "1"', 'VERSION = "2"')
    assert served.body() == new


@pytest.mark.both_interfaces
def test_p1_a_module_that_a_request_imports_first(serve: Serve) -> None:
    served = serve(app="plain")
    assert served.body("/lazy") == "lazy=1"
    served.write("lazy.py", 'VERSION = "2"\n')
    assert served.body("/lazy") == "lazy=2"
    # Not imported by this child yet, so nobody watches it: it must be read afresh all the same.
    served.edit("app.py", 'VERSION = "1"', 'VERSION = "2"')
    assert served.body() == "app=2 helper=1"
    served.write("lazy.py", 'VERSION = "3"\n')
    assert served.body("/lazy") == "lazy=3"


def save_in_the_same_second(path: Path, text: str) -> None:
    """Save so that only the change time tells: same size, same whole second."""
    before = path.stat()
    write(path, text)
    second = before.st_mtime_ns // 10**9 * 10**9
    os.utime(path, ns=(before.st_atime_ns, second + (before.st_mtime_ns + 1) % 10**9))
    assert path.stat().st_size == before.st_size


def test_p1_saves_of_one_size_in_one_second(serve: Serve) -> None:
    """Python takes the cache of the first for the cache of the second."""
    served = serve(app="plain", files={"helper.py": 'VERSION = "0"\n'})
    helper = served.directory / "helper.py"
    assert served.body() == "app=1 helper=0"
    for number in "123":
        save_in_the_same_second(helper, f'VERSION = "{number}"\n')
        assert served.body() == f"app=1 helper={number}"


def test_p1_stale_cache_at_the_very_first_start(serve: Serve, project: Path) -> None:
    """A cache that was there before us."""
    lay_out(project, "plain", {"helper.py": 'VERSION = "0"\n'})
    helper = project / "helper.py"
    py_compile.compile(str(helper), doraise=True)
    save_in_the_same_second(helper, 'VERSION = "1"\n')
    assert serve().body() == "app=1 helper=1"
