"""P6 for files that are no modules: what `--watch` and `--ignore` make of them, either way."""

from __future__ import annotations

import textwrap
import zipfile

import pytest

from tests.live.conftest import Serve
from tests.live.driving import LOGGED

pytestmark = pytest.mark.without_standby

WAYS = pytest.mark.parametrize("way", [(), ("--no-inotify",)], ids=["events", "polling"])
READS = f"""{LOGGED}
import pathlib
TEXTS = {{str(path): path.read_text() for path in sorted(pathlib.Path("pages").rglob("*.html"))}}
CONFIG = pathlib.Path("conf.yaml")
TEXTS["conf.yaml"] = CONFIG.read_text() if CONFIG.exists() else "none"
with open("app.log", "a") as log:
    log.write("loaded")
def app(environ, start_response):
    with open("app.log", "a") as log:
        log.write("asked")
    start_response("200 OK", [])
    return [repr(TEXTS).encode()]
"""
PATTERNS = ("--watch", "pages/**/*.html", "--watch", "conf.yaml", "--ignore", "pages/old")


@WAYS
def test_p6_every_change_of_a_watched_file_is_in_the_next_answer(
    serve: Serve, way: tuple[str, ...]
) -> None:
    served = serve("app.py", *PATTERNS, *way, files={"app.py": READS, "pages/a.html": "1"})
    assert served.body() == "{'pages/a.html': '1', 'conf.yaml': 'none'}"
    served.write("pages/a.html", "2")
    assert "'pages/a.html': '2'" in served.body()
    (served.directory / "pages" / "new" / "deep").mkdir(parents=True)
    served.write("pages/new/deep/b.html", "3")
    assert "'pages/new/deep/b.html': '3'" in served.body()
    served.write("conf.yaml", "here")
    assert "'conf.yaml': 'here'" in served.body()
    (served.directory / "conf.yaml").unlink()
    assert "'conf.yaml': 'none'" in served.body()
    (served.directory / "pages" / "new").rename(served.directory / "away")
    assert "new" not in served.body()


@WAYS
def test_p6_what_is_not_asked_for_or_has_the_same_bytes_is_no_change(
    serve: Serve, way: tuple[str, ...]
) -> None:
    served = serve("app.py", *PATTERNS, *way, files={"app.py": READS, "pages/a.html": "1"})

    def same_bytes_are_no_change() -> bool:
        """Once the bytes are known, which they are soon after a load."""
        served.body()
        loads = len(served.loads())
        served.replace("pages/a.html", "1")
        served.body()
        return len(served.loads()) == loads

    served.until(same_bytes_are_no_change, "a save of the same bytes is no change")
    loads = len(served.loads())
    (served.directory / "pages" / "old").mkdir()
    served.write("pages/old/c.html", "ignored")
    served.write("pages/.hidden.html", "hidden")
    served.write("pages/notes.txt", "of no pattern's")
    for _ in range(3):
        served.body()
    served.edit("app.py", '"none"', '"nothing"')  # so that all before this has been looked at
    assert "nothing" in served.body()
    assert len(served.loads()) == loads + 1


@WAYS
def test_p6_an_idle_app_is_reloaded_as_well(serve: Serve, way: tuple[str, ...]) -> None:
    served = serve("app.py", *PATTERNS, *way, files={"app.py": READS, "pages/a.html": "1"})
    served.until_loads(1)
    served.write("pages/a.html", "2")
    served.until_loads(2)


@WAYS
def test_p6_modules_in_archives_and_files_that_are_run(serve: Serve, way: tuple[str, ...]) -> None:
    app = """
    import runpy, sys
    sys.path.insert(0, "library.zip")
    import packed
    RUN = runpy.run_path("plain.py")
    def app(environ, start_response):
        start_response("200 OK", [])
        return [f"{packed.VALUE} {RUN['VALUE']}".encode()]
    """

    def pack(value: int) -> None:
        other = served_directory / "other.zip"
        with zipfile.ZipFile(other, "w") as archive:
            archive.writestr("packed.py", f"VALUE = {value}\n")
        other.replace(served_directory / "library.zip")

    served = serve(
        "app.py", *way, files={"app.py": "def app(e, s): ...\n", "plain.py": "VALUE = 'a'\n"}
    )
    served_directory = served.directory
    pack(1)
    served.write("app.py", textwrap.dedent(app))
    assert served.body() == "1 a"
    served.write("plain.py", "VALUE = 'b'\n")
    assert served.body() == "1 b"
    pack(2)
    served.until(lambda: served.body() == "2 b", "the new archive answers")
