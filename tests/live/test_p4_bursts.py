"""P4: a save that is not complete yet is never shown; a burst of changes costs few loads."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import LOGGED, LONG, Answer, lay_out, until
from tests.live.failing import Bench, Benches, app_of, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILES = 200
CHECKOUTS = 10 if LONG else 2
MOST_LOADS = 3  # of a burst: at once, and at most two after its first change
PAUSE = 0.15  # between the halves of a save
GAP = 0.03  # without a file, while an editor saves


@contextmanager
def requests_all_the_time(bench: Bench) -> Iterator[list[Answer]]:
    """Ask one request after another; not one may fail, or be answered with a report."""
    answers: list[Answer] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            answers.append(bench.get())

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield answers
        finally:
            enough.set()
        asking.result()
    assert {answer.status for answer in answers} <= {200}, f"{answers[-5:]}\n{bench.told}"


# --- editors ---------------------------------------------------------------------------------


def in_two_halves(path: Path, text: str) -> None:
    """As over a slow network: the first half ends in the middle of a line."""
    half = text.index("environ, start_response")
    with path.open("w") as file:
        file.write(text[:half])
        file.flush()
        time.sleep(PAUSE)  # the save itself takes this long
        file.write(text[half:])


def with_a_half_that_is_loaded(path: Path, text: str) -> None:
    """The first half is valid, but no app yet; the second comes when that has been loaded."""
    loads = path.with_name("loads")
    before = loads.stat().st_size
    half = text.index("def app(")
    with path.open("w") as file:
        file.write(text[:half])
        file.flush()
        until(lambda: loads.stat().st_size > before, "the first half is loaded")
        time.sleep(PAUSE)
        file.write(text[half:])


def emptied_first(path: Path, text: str) -> None:
    with path.open("w") as file:
        time.sleep(PAUSE)
        file.write(text)


def unlinked_then_created(path: Path, text: str) -> None:
    path.unlink()
    time.sleep(GAP)
    path.write_text(text)


def unlinked_then_renamed(path: Path, text: str) -> None:
    other = path.with_name("app.py.new")
    other.write_text(text)
    path.unlink()
    time.sleep(GAP)
    other.rename(path)


def as_vim_does(path: Path, text: str) -> None:
    backup = path.with_name("app.py~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def as_vim_does_on_a_slow_disk(path: Path, text: str) -> None:
    backup = path.with_name("app.py~")
    path.rename(backup)
    time.sleep(GAP)
    in_two_halves(path, text)
    backup.unlink()


def touched_on_the_way(path: Path, text: str) -> None:
    """A formatter that runs on save: three writes, the first of which is broken."""
    for version in (
        text.replace("def app(", "def app((", 1),
        text.replace("VERSION =", "VERSION="),
    ):
        path.write_text(version)
        time.sleep(GAP)
    path.write_text(text)


EDITORS: list[Callable[[Path, str], None]] = [
    in_two_halves,
    with_a_half_that_is_loaded,
    emptied_first,
    unlinked_then_created,
    unlinked_then_renamed,
    as_vim_does,
    as_vim_does_on_a_slow_disk,
    touched_on_the_way,
]


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    files = {"app.py": app_of("good", top=LOGGED), "other.py": "NUMBER = 0\n"}
    options = ("--no-access-log",)
    with closing(Benches(tmp_path_factory, "app.py", *options, files=files)) as benches:
        yield benches


@pytest.mark.parametrize("save", EDITORS, ids=lambda save: save.__name__)
def test_p4_a_save_in_steps_never_shows_an_error(
    benches: Benches, save: Callable[[Path, str], None]
) -> None:
    """With requests all the time, which is the hardest: each of them looks at the files."""
    bench = benches.take("bench")
    with requests_all_the_time(bench) as answers:
        before = len(answers)
        bench.until(lambda: len(answers) > before, "there are requests")
        for number in range(3 if LONG else 1):
            bench.version = f"{save.__name__} {number}"
            save(bench.directory / "app.py", app_of(bench.version, top=LOGGED))
            bench.fresh(bench.version)
    assert "the load failed" not in bench.told
    # Before the save, in its middle, after it; or what the last of it was.
    assert {answer.body for answer in answers[-1:]} == {bench.version}


# --- git -------------------------------------------------------------------------------------


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
        timeout=60,
    )


def branch_of(name: str) -> dict[str, str]:
    """Return the files of a branch; with one of another branch among them nothing can be loaded."""
    modules = {f"parts/part{number:03}.py": f"{name} = {number}\n" for number in range(FILES)}
    imports = "\n".join(f"from parts.part{number:03} import {name}" for number in range(FILES))
    return modules | {
        "parts/__init__.py": "",
        "app.py": app_of(name, top=f"{LOGGED}{imports}"),
        f"only_{name}.py": "",
    }


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_p4_a_checkout_of_200_files_never_shows_an_error(tmp_path: Path) -> None:
    project = tmp_path / "project"
    lay_out(project, files={".gitignore": "__pycache__\nloads\n"})
    git(project, "init", "-q")
    for name in ("one", "two"):
        git(project, "checkout", "-q", "-b", name)
        lay_out(project, files=branch_of(name))
        git(project, "add", ".")
        git(project, "commit", "-q", "-m", name)
    with serving(tmp_path, "app.py", ("--no-access-log",)) as bench:
        bench.fresh("two", 10)
        with requests_all_the_time(bench):
            for number in range(CHECKOUTS):
                loads = bench.load_count
                name = ("one", "two")[number % 2]
                git(project, "checkout", "-q", name)
                bench.fresh(name)
                assert bench.load_count - loads <= MOST_LOADS, bench.told
        assert "the load failed" not in bench.told
