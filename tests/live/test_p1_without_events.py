"""P1 for saves of which the kernel tells nothing in the directory of the file."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.live.conftest import Serve
from tests.live.driving import LOGGED, Served

pytest.importorskip("asyncinotify")  # of the extra `inotify`, which is Linux's

APP = f"""{LOGGED}
from mod import VALUE
def app(environ, start_response):
    start_response("200 OK", [])
    return [VALUE.encode()]
"""


def until_heard_of(served: Served, path: Path) -> None:
    """Wait until the child has the kernel tell of changes of a file."""
    watched = f"ino:{path.stat().st_ino:x} "

    def is_heard_of() -> bool:
        with suppress(OSError):  # a descriptor was closed meanwhile
            infos = Path(f"/proc/{served.loads()[-1]}/fdinfo")
            return any(watched in info.read_text() for info in infos.iterdir())
        return False

    served.until(is_heard_of, f"{path.name} is watched")


def test_p1_saves_through_mappings_descriptors_and_other_names(serve: Serve) -> None:
    served = serve("app.py", files={"app.py": APP, "mod.py": "VALUE = 'one'"})
    path = served.directory / "mod.py"
    assert served.body() == "one"
    until_heard_of(served, path)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[:] = b"VALUE = 'two'"
    assert served.body() == "two"

    until_heard_of(served, path)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[:] = b"VALUE = 'six'"
        assert served.body() == "six"  # while the mapping is open

    until_heard_of(served, path)
    other = served.directory.parent / "other.py"
    other.hardlink_to(path)
    other.write_text("VALUE = 'by another name'")
    assert served.body() == "by another name"

    editor = os.open(path, os.O_RDWR)
    try:
        for value in ("a", "b"):
            until_heard_of(served, path)
            os.truncate(editor, os.pwrite(editor, f"VALUE = '{value}'".encode(), 0))
            assert served.body() == value
    finally:
        os.close(editor)
