"""P6: what a start from nothing would import is what answers, however it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.driving import LOGGED

if TYPE_CHECKING:
    from tests.live.conftest import Serve

WAYS = pytest.mark.parametrize("options", [(), ("--no-inotify",)], ids=["events", "polled"])
SEARCHING = (
    LOGGED
    + """\
try:
    import local_settings
except ImportError:
    local_settings = None
import colorsys, space.inner, tool
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    found = (local_settings, tool, space, colorsys)
    return [" ".join(getattr(one, "VERSION", "-") for one in found).encode()]
"""
)
ONE = 'VERSION = "1"\n'


@WAYS
def test_p6_a_file_that_an_import_would_find_first(serve: Serve, options: tuple[str, ...]) -> None:
    files = {"app.py": SEARCHING, "tool.py": "", "space/inner.py": ""}
    served = serve("app.py", *options, files=files)
    assert served.body() == "- - - -"
    served.write("never_looked_for.py", ONE)
    assert served.body() == "- - - -"
    assert len(served.loads()) == 1
    served.write("local_settings.py", ONE)
    assert served.body() == "1 - - -"
    package = served.directory / "tool"
    package.mkdir()
    served.write("tool/__init__.py", ONE)
    assert served.body() == "1 1 - -"
    served.write("space/__init__.py", ONE)
    assert served.body() == "1 1 1 -"
    served.write("colorsys.py", ONE)
    assert served.body() == "1 1 1 1"
    (served.directory / "local_settings.py").unlink()
    (package / "__init__.py").unlink()
    assert served.body() == "- - 1 1"
