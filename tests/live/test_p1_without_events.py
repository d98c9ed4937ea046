"""P1 for saves of which the kernel tells nothing in the directory of the file."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen

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


WRITER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
file = os.open(sys.argv[1], os.O_RDWR)
at = libc.mmap(None, ctypes.c_size_t(os.fstat(file).st_size), 3, 1, file, ctypes.c_long(0))
os.close(file)
if os.fork():
    os._exit(0)
print("mapped", flush=True)
for line in sys.stdin:
    libc.msync(ctypes.c_void_p(at), ctypes.c_size_t(1), 4)
    ctypes.memmove(at, line.strip().encode(), len(line.strip()))
    print("written", flush=True)
"""
"""Maps a file and closes it; a fork keeps the mapping, and writes what it is told to."""


@contextmanager
def mapped(path: Path) -> Iterator[Callable[[str], None]]:
    """Have a file mapped by a process that has not opened it; give what writes to the mapping."""
    with Popen([sys.executable, "-c", WRITER, path], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "mapped\n"

        def write(text: str) -> None:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "written\n"

        yield write


def test_p1_saves_through_a_mapping_that_a_fork_holds(serve: Serve) -> None:
    files = {"app.py": APP, "mod.py": "VALUE = 'one'"}
    served = serve("app.py", files=files)
    path = served.directory / "mod.py"
    assert served.body() == "one"
    until_heard_of(served, path)
    with mapped(path) as write:
        for value in ("two", "six"):
            write(f"VALUE = '{value}'")
            assert served.body() == value
            # The next process begins to watch while the mapping is there already.
            until_heard_of(served, path)
    assert served.body() == "six"


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
