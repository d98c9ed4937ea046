"""P6: every real change is seen, at whatever instant it is saved; and nothing else is."""

from __future__ import annotations

import os
import py_compile
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import LOGGED, LONG, replace, standby, write
from tests.live.processes import state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.conftest import Serve
    from tests.live.driving import Served

APP = (
    LOGGED
    + """\
import helper
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/lazy":
        import lazy
        return [lazy.VERSION.encode()]
    return [f"app={VERSION} helper={helper.VERSION}".encode()]
"""
)
ONE = 'VERSION = "1"\n'
TWO = 'VERSION = "2"\n'
APP_TWO = APP.replace(ONE, TWO)
FILES = {"app.py": APP, "helper.py": ONE, "lazy.py": ONE}


# --- what is no change -----------------------------------------------------------------------


def touch(path: Path) -> None:
    os.utime(path)


def age(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


def rewrite(path: Path) -> None:
    write(path, path.read_text())


def exchange(path: Path) -> None:
    replace(path, path.read_text())


def change_mode(path: Path) -> None:
    path.chmod(0o600)


def switch_branches(path: Path) -> None:
    write(path, TWO)
    path.unlink()
    write(path, ONE)


@pytest.mark.parametrize("do", [touch, age, rewrite, exchange, change_mode, switch_branches])
def test_p6_same_bytes_no_reload(serve: Serve, do: Callable[[Path], None]) -> None:
    """Not at a request, not at a look in between, and the file is watched as before."""
    served = serve(files=FILES)
    helper = served.directory / "helper.py"

    def do_it() -> None:
        """In one instant, as the child sees it: what is between would be a change."""
        child = served.loads()[-1]
        os.kill(child, signal.SIGSTOP)
        served.until(lambda: state_of(child) == "T", "the child is stopped")
        do(helper)
        os.kill(child, signal.SIGCONT)

    assert served.body() == "app=1 helper=1"
    do_it()
    assert served.body() == "app=1 helper=1"
    assert len(served.loads()) == 1, served.output

    do_it()
    served.write("app.py", APP_TWO)
    # Nothing is requested: it is a look in between that sees this change, and it alone.
    served.until_told("app.py changed · fresh")
    assert len(served.loads()) == 2, served.output
    assert "helper.py" not in served.output

    served.write("helper.py", TWO)
    assert served.body() == "app=2 helper=2"
    assert len(served.loads()) == 3, served.output


HOARDING = APP.replace(
    '    if environ["PATH_INFO"] == "/lazy":',
    """\
    if environ["PATH_INFO"] == "/hoard":
        import resource, threading, time
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        hoard = []
        try:
            while True:
                hoard.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        def give_back():
            while not os.path.exists("enough"):
                time.sleep(0.01)
            time.sleep(0.3)  # looks are made meanwhile
            for descriptor in hoard:
                os.close(descriptor)
        threading.Thread(target=give_back, daemon=True).start()
    if environ["PATH_INFO"] == "/lazy":""",
)
"""It leaves as many descriptors as its own request has taken: one."""


ALL_OF_THEM = HOARDING.replace(
    "            while not os.path.exists",
    """\
            while not os.path.exists("enough"):
                try:
                    hoard.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    time.sleep(0.001)
            while not os.path.exists""",
)
"""It takes what its own request gives back, too."""


@pytest.mark.both_interfaces
def test_p6_a_touch_is_no_change_to_a_process_that_was_out_of_descriptors(serve: Serve) -> None:
    served = serve(files=FILES | {"app.py": HOARDING})
    assert served.body("/hoard") == "app=1 helper=1"
    touch(served.directory / "helper.py")
    served.write("enough", "")
    assert served.body() == "app=1 helper=1"
    assert len(served.loads()) == 1, served.output


@pytest.mark.both_interfaces
def test_p1_a_process_that_is_out_of_descriptors_answers_with_no_old_code(serve: Serve) -> None:
    served = serve(files=FILES | {"app.py": ALL_OF_THEM})
    assert served.body("/hoard") == "app=1 helper=1"
    served.write("helper.py", TWO)
    assert served.body() == "app=1 helper=2"
    served.until_told("out of file descriptors or memory: files that cannot be read count as")


CRASHING = APP.replace(
    '    if environ["PATH_INFO"] == "/lazy":',
    """\
    if environ["PATH_INFO"] == "/crash":
        import os
        os._exit(7)
    if environ["PATH_INFO"] == "/lazy":""",
)


@pytest.mark.parametrize("moment", ["before the crash", "after the crash"])
def test_p6_a_touch_is_no_change_to_the_report_of_a_crash(serve: Serve, moment: str) -> None:
    """What the dead child knew of the bytes is handed on to the one that reports."""
    served = serve(files=FILES | {"app.py": CRASHING})
    assert served.body() == "app=1 helper=1"
    if moment == "before the crash":
        touch(served.directory / "app.py")
        assert served.body() == "app=1 helper=1"
    with pytest.raises(AssertionError):
        served.get("/crash")
    assert served.get().status == 503
    if moment == "after the crash":
        touch(served.directory / "app.py")

    # The next look in between that sees a change sees this one, and it alone.
    assert served.get().status == 503
    served.write("helper.py", TWO)
    served.until_told("helper.py changed · fresh")
    assert "app.py" not in served.output.split("died")[1], served.output
    assert len(served.loads()) == 2, served.output


# --- what is one -----------------------------------------------------------------------------


def save_older(path: Path, text: str) -> None:
    before = path.stat()
    write(path, text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))


def save_with_the_same_times(path: Path, text: str) -> None:
    before = path.stat()
    write(path, text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange_with_the_same_times(path: Path, text: str) -> None:
    other = path.with_name("elsewhere")
    other.write_text(text)
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


SAVES = [write, replace, save_older, save_with_the_same_times, exchange_with_the_same_times]


@pytest.mark.both_interfaces
def test_p6_change_is_seen_though_nothing_is_requested(serve: Serve) -> None:
    served = serve(files=FILES)
    assert served.body() == "app=1 helper=1"
    for number, save in enumerate(SAVES, 2):
        save(served.directory / "helper.py", f'VERSION = "{number}"\n')
        served.until_told("helper.py changed · fresh", number - 1)
        assert served.body() == f"app=1 helper={number}", save
        assert len(served.loads()) == number, save


@pytest.mark.parametrize("name", ["app.py", "helper.py"])
def test_p6_deleted_and_restored(serve: Serve, name: str) -> None:
    served = serve(files=FILES)
    assert served.body() == "app=1 helper=1"
    text = served.read(name)
    (served.directory / name).unlink()
    answer = served.get()
    assert answer.status == 500
    assert name.removesuffix(".py") in answer.body
    served.write(name, text.replace(ONE, TWO))
    assert served.body() == FILES_AFTER[name]


FILES_AFTER = {"app.py": "app=2 helper=1", "helper.py": "app=1 helper=2"}


@pytest.mark.both_interfaces
def test_p6_module_that_a_request_imported(serve: Serve) -> None:
    served = serve(files=FILES)
    assert served.body("/lazy") == "1"
    served.write("lazy.py", TWO)
    served.until_told("lazy.py changed · fresh")
    assert served.body("/lazy") == "2"


@pytest.mark.both_interfaces
def test_p6_new_file_mends_an_import_error(serve: Serve) -> None:
    served = serve(files={"app.py": APP})
    answer = served.get()
    assert answer.status == 500
    assert "No module named 'helper'" in answer.body
    served.write("helper.py", ONE)
    assert served.body() == "app=1 helper=1"


# --- at any instant --------------------------------------------------------------------------

GATED = (
    "import helper\n"
    + LOGGED
    + """\
open("gate").read()
import late
VERSION = "1"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"app={VERSION} helper={helper.VERSION} late={late.VERSION}".encode()]
"""
)


class Gate:
    """A named pipe at which a load waits until the test lets it pass."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.passed = 0

    def wait_for_load(self) -> None:
        """Wait until one more load has come to the gate."""
        self.passed += 1
        self.served.until_loads(self.passed)

    def open(self) -> None:
        """Let the load that waits pass."""
        self.served.open_gate("gate")


@pytest.fixture
def gated(serve: Serve, project: Path) -> Served:
    """An app that waits in the middle of its load: `helper` is imported, `late` is not yet."""
    os.mkfifo(project / "gate")
    return serve(files={"app.py": GATED, "helper.py": ONE, "late.py": ONE})


@pytest.mark.parametrize(
    ("name", "expected"),
    [("app.py", "app=2 helper=1 late=1"), ("helper.py", "app=1 helper=2 late=1")],
)
def test_p6_save_of_what_the_load_has_read(gated: Served, name: str, expected: str) -> None:
    """The load is of no use any more: it is given up, and another begins."""
    gate = Gate(gated)
    gate.wait_for_load()
    waiting = gated.connect().send()
    gated.edit(name, ONE, TWO)
    gate.wait_for_load()
    gate.open()
    assert waiting.receive().body == expected
    assert len(gated.loads()) == 2


def test_p6_save_of_what_the_load_will_read(gated: Served) -> None:
    """It reads the new code itself."""
    gate = Gate(gated)
    gate.wait_for_load()
    waiting = gated.connect().send()
    gated.write("late.py", TWO)
    gate.open()
    assert waiting.receive().body == "app=1 helper=1 late=2"
    assert len(gated.loads()) == 1


@pytest.mark.both_interfaces
def test_p6_save_in_the_last_instant_of_a_load(gated: Served) -> None:
    """Seen by the look before the first request at the latest."""
    gate = Gate(gated)
    gate.wait_for_load()
    gate.open()
    gated.write("helper.py", TWO)
    waiting = gated.connect().send()
    gate.wait_for_load()
    gate.open()
    assert waiting.receive().body == "app=1 helper=2 late=1"


def test_p6_touch_during_the_load(gated: Served) -> None:
    gate = Gate(gated)
    gate.wait_for_load()
    os.utime(gated.directory / "helper.py")
    os.utime(gated.directory / "app.py")
    gate.open()
    assert gated.body() == "app=1 helper=1 late=1"
    assert len(gated.loads()) == 1


WINDOWED = """\
import os
def wait(gate):
    if os.path.exists(gate):
        open(gate).read()
wait("before")
import early
wait("between")
import late
wait("after")
VALUE = %d
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VALUE} {early.VALUE} {late.VALUE}".encode()]
"""
WINDOWS = ("before", "between", "after")
VALUE = "VALUE = %d\n"


def create(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def keep_times(path: Path, text: str) -> None:
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_link(path: Path, text: str) -> None:
    other = path.with_name(f"{path.name}.{time.monotonic_ns()}")
    other.write_text(text)
    link = path.with_name(f"{path.name}.link")
    link.symlink_to(other)
    link.replace(path)


SAVES_IN_WINDOWS: list[Callable[[Path, str], None]] = [
    write,
    replace,
    create,
    keep_times,
    swap_link,
]


@pytest.mark.parametrize("options", [(), ("--no-inotify",)], ids=["events", "polled"])
def test_p6_no_save_in_a_window_of_a_slowed_load_is_lost(
    serve: Serve, options: tuple[str, ...]
) -> None:
    """Each load is stopped before, between and after its imports, and each of its files saved."""
    texts = {"app.py": WINDOWED, "early.py": VALUE, "late.py": VALUE}
    values = dict.fromkeys(texts, 10)  # of two digits: the size stays
    served = serve("app.py", *options, files={name: texts[name] % 10 for name in texts})
    # The short version saves one file in each window: another one for each way to save.
    cases = [
        (save, window, name)
        for shift, save in enumerate(SAVES_IN_WINDOWS)
        for at, window in enumerate(WINDOWS)
        for which, name in enumerate(texts)
        if LONG or (at + which + shift) % 3 == 0
    ]
    for save, window, name in cases:
        served.body()
        gate = served.directory / window
        os.mkfifo(gate)
        values["app.py"] += 1
        replace(served.directory / "app.py", WINDOWED % values["app.py"])
        waiting = served.connect().send()
        held = served.hold_gate(window)
        gate.unlink()  # what is loaded next passes
        values[name] += 1
        save(served.directory / name, texts[name] % values[name])
        asked = served.connect().send()
        os.close(held)
        fresh = " ".join(map(str, values.values()))
        assert asked.receive().body == fresh, (save, window, name, served.output)
        # It was sent before the save, but no code was there to answer it.
        assert waiting.receive().body == fresh, (save, window, name, served.output)


@pytest.mark.parametrize("options", [(), ("--no-inotify",)], ids=["events", "polled"])
def test_p6_touch_of_what_a_load_takes_from_its_cache(
    serve: Serve, options: tuple[str, ...]
) -> None:
    """It has not read the sources, but the process before has."""
    texts = {"app.py": LOGGED + WINDOWED, "early.py": VALUE, "late.py": VALUE}
    served = serve("app.py", *options, files={name: texts[name] % 1 for name in texts})
    assert served.body() == "1 1 1"
    standby(served, served.loads()[0])
    modules = [served.directory / name for name in ("early.py", "late.py")]
    for module in modules:
        cache = py_compile.compile(str(module), doraise=True)
        later = module.stat().st_mtime + 10  # else the cache might be an older source's
        os.utime(str(cache), (later, later))
    newest = max(module.stat().st_ctime for module in modules)
    served.until(lambda: time.time() > newest + 1.1, "no cache is refused for its source's age")
    os.mkfifo(served.directory / "after")
    served.replace("app.py", texts["app.py"] % 2)
    held = served.hold_gate("after")
    for module in modules:
        touch(module)
    waiting = served.connect().send()
    os.close(held)
    assert waiting.receive().body == "2 1 1"
    assert served.body() == "2 1 1"
    assert len(served.loads()) == 2


# --- many at once ----------------------------------------------------------------------------

MODULES = 200
MANY = (
    LOGGED
    + f"""\
from importlib import import_module
total = sum(import_module(f"package.part{{number}}").VALUE for number in range({MODULES}))
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(total).encode()]
"""
)


@pytest.mark.parametrize("pause", [0, 0.4 / MODULES], ids=["at once", "in 0.4 s"])
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "unasked"])
def test_p6_burst_costs_three_loads(serve: Serve, pause: float, *, asked: bool) -> None:
    """One at the first file, and at most two more."""
    parts = [f"package/part{number}.py" for number in range(MODULES)]
    files = {"app.py": MANY, "package/__init__.py": ""} | dict.fromkeys(parts, "VALUE = 1\n")
    served = serve("app.py", "--interval", "0.01", files=files)
    assert served.body() == f"{MODULES}"
    waiting = []
    for number, part in enumerate(parts):
        served.write(part, "VALUE = 2\n")
        if asked and number % 5 == 0:
            waiting.append(served.connect().send())
        time.sleep(pause)  # the pace of the burst, no wait
    assert served.body() == f"{2 * MODULES}"
    assert len(served.loads()) <= 1 + 3, served.output
    for one in waiting:
        assert one.receive().status == 200


@pytest.mark.parametrize("options", [(), ("--no-standby",)])
def test_p6_the_current_directory_may_go_and_come_back(
    serve: Serve, options: tuple[str, ...]
) -> None:
    """As with another branch, or a stash; there is nowhere to work meanwhile, so requests wait."""
    served = serve("app.py", *options, files=FILES)
    assert served.body() == "app=1 helper=1"
    away = served.directory.with_name("away")
    shutil.copytree(served.directory, away)
    replace(away / "helper.py", TWO)
    shutil.rmtree(served.directory)
    waiting = served.connect().send()
    served.until_told("No such file or directory")
    away.rename(served.directory)
    assert waiting.receive().body == "app=1 helper=2"
    served.write("helper.py", ONE)
    assert served.body() == "app=1 helper=1"
