"""P3: what an app leaves behind in files is what it leaves at an ordinary end of Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import DEADLINE, LOGGED
from tests.live.failing import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.conftest import Serve

HOLDS = f"""{LOGGED}
import bz2, contextvars, dbm.dumb, gzip, io, logging, logging.handlers, lzma, os, shelve, sys
import tempfile, threading, zipfile
VERSION = "1"
OUT = f"out.{{os.getpid()}}"
os.mkdir(OUT)
def place(name):
    return os.path.join(OUT, name)

text = open(place("text"), "w"); text.write("text" * 9)
long = open(place("long"), "w"); long.write("long" * 99_999)
binary = open(place("binary"), "wb"); binary.write(b"binary")
more = open(place("more"), "a"); more.write("more")
both = open(place("both"), "w+b"); both.write(b"both")
wrapped = io.TextIOWrapper(io.BufferedWriter(io.FileIO(place("wrapped"), "w")))
wrapped.write("wrapped")
if sys.version_info < (3, 14):  # which writes nothing into such files at its end
    gzipped = gzip.GzipFile(place("gzipped"), "wb", mtime=0); gzipped.write(b"gzipped")
    gzipped_text = io.TextIOWrapper(gzip.GzipFile(place("gzipped text"), "wb", mtime=0))
    gzipped_text.write("gzipped")
bzipped = bz2.open(place("bzipped"), "wt"); bzipped.write("bzipped")
xzipped = lzma.open(place("xzipped"), "wb"); xzipped.write(b"xzipped")
zipped = zipfile.ZipFile(place("zipped"), "w"); zipped.writestr(zipfile.ZipInfo("a"), "zipped")
shelf = shelve.Shelf(dbm.dumb.open(place("shelf"), "n"), writeback=True); shelf["key"] = ["value"]
shelf["key"].append("later")
temporary = tempfile.NamedTemporaryFile(dir=OUT); temporary.write(b"temporary")
temporary_text = tempfile.NamedTemporaryFile("w", dir=OUT, suffix=".txt")
directory = tempfile.TemporaryDirectory(dir=OUT)
open(os.path.join(directory.name, "in it"), "w").close()
kept = tempfile.NamedTemporaryFile(prefix="kept", dir=OUT, delete=False)
os.rename(kept.name, place("kept")); kept.write(b"kept")

class Journal:
    def __init__(self, name):
        self.file = open(place(name), "w")
        self.file.write("begin ")
    def __del__(self):
        self.file.write(f"end {{VERSION and type(self).__name__}}")
journal = Journal("journal")
class Attribute:
    journal = Journal("attribute")
def closure(journal=Journal("default")):
    return journal
variable = contextvars.ContextVar("variable")
variable.set(open(place("variable"), "w")); variable.get().write("variable")
sys.where_nobody_looks = open(place("elsewhere"), "w")
sys.where_nobody_looks.write("elsewhere")

log = logging.getLogger("app")
log.addHandler(logging.handlers.MemoryHandler(99, target=logging.FileHandler(place("log"))))
log.warning("a warning")
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""


def contents(directory: Path) -> dict[str, bytes]:
    """Return the files of a directory; by its name alone, a directory in it."""
    return {
        path.name: path.read_bytes() if path.is_file() else b"a directory"
        for path in directory.iterdir()
    }


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, bytes]:
    """What an app leaves when plain Python runs it."""
    directory = tmp_path / "plain"
    directory.mkdir()
    (directory / "app.py").write_text(HOLDS)
    subprocess.run([sys.executable, "app.py"], cwd=directory, check=True)
    (out,) = directory.glob("out.*")
    found = contents(out)
    assert found["text"] == b"text" * 9
    assert found["journal"] == b"begin end Journal"
    assert not [name for name in found if name.startswith("tmp")]
    return found


@pytest.mark.both_interfaces
def test_p3_files_are_left_as_at_an_ordinary_end(
    serve: Serve, project: Path, plain: dict[str, bytes]
) -> None:
    """At a reload, before the next child loads, and when all ends."""
    served = serve(files={"app.py": HOLDS})
    assert served.body() == "1"
    served.edit("app.py", 'VERSION = "1"', 'VERSION = "2"')
    assert served.body() == "2"
    first, second = served.loads()
    assert contents(project / f"out.{first}") == plain
    served.signal_group(signal.SIGINT)
    served.wait()
    assert contents(project / f"out.{second}") == plain


def test_p3_a_script_leaves_its_files_as_at_an_ordinary_end(
    serve: Serve, project: Path, plain: dict[str, bytes]
) -> None:
    """Before it becomes the supervisor, and in its children."""
    script = HOLDS + "import asyncreload\nasyncreload.run(app, port=0)\n"
    served = serve(files={"app.py": script}, command=(sys.executable,))
    assert served.body() == "1"
    assert contents(project / f"out.{served.pid}") == plain
    served.stop()
    assert contents(project / f"out.{served.loads()[1]}") == plain


STREAMS = f"""{LOGGED}
import tempfile
VERSION = "1"
file = open(f"file.{{os.getpid()}}", "w")
temporary = tempfile.NamedTemporaryFile(dir=".", prefix="temporary.")
def stream():
    yield b"begun "
    with open("gate"):  # until the test lets it pass
        pass
    file.write("later")
    yield b"ended"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] != "/stream":
        return [VERSION.encode()]
    file.write("streaming ")
    return stream()
"""


@pytest.mark.both_interfaces
def test_p3_files_are_flushed_before_the_next_load_and_closed_after_the_last_response(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, options=("--grace", "30"), files={"app.py": STREAMS}) as bench:
        assert bench.body() == "1"
        first = bench.loads()[0]
        (temporary,) = bench.directory.glob("temporary.*")
        os.mkfifo(bench.directory / "gate")
        stream = bench.stream("/stream").until("begun ")
        # The next child tells what is in the file when it loads.
        told = f"print(repr(open('file.{first}').read()), flush=True)\n"
        bench.replace("app.py", told + STREAMS.replace('"1"', '"2"'))
        bench.fresh("2", DEADLINE)
        assert "'streaming '" in bench.output
        assert temporary.exists()
        bench.open_gate("gate")
        assert stream.receive().body == "begun ended"
        bench.until(lambda: not temporary.exists(), "it is removed", DEADLINE)
        assert bench.read(f"file.{first}") == "streaming later"


SLOW = f"""{STREAMS}
import time
class Slow:
    def __del__(self):
        time.sleep(0.8)
        open("ended", "x").close()
slow = Slow()
"""


@pytest.mark.both_interfaces
def test_p3_what_takes_its_time_after_the_last_response_is_waited_for(tmp_path: Path) -> None:
    """Everything does on a busy machine. Nobody waits for it: the new code answers."""
    with serving(tmp_path, options=("--grace", "30"), files={"app.py": SLOW}) as bench:
        assert bench.body() == "1"
        os.mkfifo(bench.directory / "gate")
        stream = bench.stream("/stream").until("begun ")
        bench.replace("app.py", STREAMS.replace('"1"', '"2"'))
        bench.fresh("2", DEADLINE)
        bench.open_gate("gate")
        assert stream.receive().body == "begun ended"
        bench.until((bench.directory / "ended").exists, "it has ended", DEADLINE)


MARKED = f"""{LOGGED}
class Marked:
    def __init__(self):
        open("mark", "x").close()
    def __del__(self):
        os.unlink("mark")
marked = Marked()
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""


@pytest.mark.both_interfaces
def test_p3_objects_are_deleted_in_a_process_without_open_files(
    serve: Serve, project: Path
) -> None:
    """Also where the code came out of a cache: the second process runs it from there."""
    served = serve("main.py", files={"main.py": "from app import app\n", "app.py": MARKED})
    assert served.body() == "1"
    for number in range(2):
        served.write("main.py", f"from app import app\nNUMBER = {number}\n")
        assert served.body() == "1"
    served.stop()
    assert len(served.loads()) == 3
    assert not (project / "mark").exists()


BLOCKS = """\
import os
VERSION = "1"
if not os.path.exists("pipe"):
    os.mkfifo("pipe")
reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
pipe = open("pipe", "w", buffering=1 << 20)
pipe.write("x" * 100_000)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""


def test_p3_a_file_that_cannot_be_written_holds_up_no_longer_than_atexit(tmp_path: Path) -> None:
    """A pipe takes 64 KB, and nobody reads them."""
    with serving(tmp_path, files={"app.py": BLOCKS}) as bench:
        assert bench.body() == "1"
        bench.replace("app.py", BLOCKS.replace('"1"', '"2"'))
        bench.fresh("2", DEADLINE)


def test_p3_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    full = BLOCKS.replace('open("pipe", "w", buffering=1 << 20)', 'open("/dev/full", "w")')
    app = full.replace("100_000", "100")
    with serving(tmp_path, files={"app.py": app}) as bench:
        assert bench.body() == "1"
        bench.replace("app.py", app.replace('"1"', '"2"'))
        bench.fresh("2", DEADLINE)
        assert "Exception ignored at the end of: <_io.TextIOWrapper name='/dev/full'" in (
            bench.output
        )
        assert "No space left on device" in bench.output
