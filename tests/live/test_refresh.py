"""`--refresh`: files whose change restarts nothing."""

from __future__ import annotations

import pytest

from tests.live.conftest import Serve
from tests.live.driving import LOGGED

WAYS = pytest.mark.parametrize("way", [(), ("--no-inotify",)], ids=["events", "polling"])
APP = f"""{LOGGED}
import sys
sys.path.append("pages")
import texts
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{{texts.GREETING}} {{open('pages/a.html').read()}}".encode()]
"""
FILES = {"app.py": APP, "pages/texts.py": "GREETING = 'one'\n", "pages/a.html": "one"}


@WAYS
def test_a_file_that_is_read_afresh_needs_no_reload(serve: Serve, way: tuple[str, ...]) -> None:
    served = serve("app.py", "--refresh", "pages", *way, files=FILES)
    assert served.body() == "one one"
    served.write("pages/a.html", "two")
    assert served.body() == "one two"
    served.until_told("a.html changed · no reload needed")
    served.write("pages/b.html", "new")
    served.until_told("b.html changed · no reload needed")
    assert len(served.loads()) == 1
    # A module is code, wherever it is.
    served.write("pages/texts.py", "GREETING = 'three'\n")
    assert served.body() == "three two"
    assert len(served.loads()) == 2


def test_a_file_that_is_to_be_watched_needs_a_reload(serve: Serve) -> None:
    patterns = ("--refresh", "pages", "--watch", "pages/a.html", "--ignore", "c.html")
    served = serve("app.py", *patterns, files=FILES)
    served.write("pages/c.html", "ignored")
    served.write("pages/b.html", "new")
    served.until_told("b.html changed · no reload needed")
    served.write("pages/a.html", "two")
    served.until_loads(2)
    assert served.body() == "one two"
    assert "c.html" not in served.output


def test_a_load_that_fails_may_be_mended_by_such_a_file(serve: Serve) -> None:
    broken = FILES | {"app.py": APP + "assert open('pages/a.html').read() == 'good'\n"}
    served = serve("app.py", "--refresh", "pages", files=broken)
    assert served.get().status == 500
    served.write("pages/a.html", "good")
    assert served.body() == "one good"
