"""Bottle's own `run`, with our server."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import is_alive

if TYPE_CHECKING:
    from tests.live.conftest import Serve

pytest.importorskip("bottle")

APP = """\
import os, sys
import bottle
with open("loads", "a") as log:
    log.write(f"{os.getpid()}\\n")
app = bottle.Bottle()

@app.route("/")
def index():
    return "version 1"

if __name__ == "__main__":
    bottle.run(app, server="asyncreload.bottle:Server", port=0OPTIONS)
    print("never")
"""


WITH_RELOADER = pytest.param(
    ", reloader=True",
    marks=pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it outlives Bottle"),
)


@pytest.mark.parametrize("options", ["", WITH_RELOADER])
def test_bottle_run(serve: Serve, options: str) -> None:
    files = {"app.py": APP.replace("OPTIONS", options)}
    served = serve("", files=files, command=(sys.executable, "app.py"))
    assert served.body() == "version 1"
    before = served.loads()
    served.edit("app.py", "version 1", "version 2")
    assert served.body() == "version 2"
    served.edit("app.py", "version 2", "version 3")
    assert served.body() == "version 3"
    assert len(served.loads()) == len(before) + 2
    assert served.output.count("leave it out") == len(options and "x")
    supervisor = served.pid if not options else served.children()[0]
    served.signal(signal.SIGKILL if options else signal.SIGTERM)
    served.wait()
    served.until(lambda: not is_alive(supervisor), "the supervisor ends")
    assert "never" not in served.output


def test_unguarded_run(serve: Serve) -> None:
    unguarded = APP.replace("OPTIONS", "").replace('if __name__ == "__main__"', "if True")
    unguarded = unguarded.replace('server="asyncreload.bottle:Server", ', "")
    served = serve(files={"app.py": unguarded})
    answer = served.get()
    assert answer.status == 500
    told = "would serve, and the load never end: put it under `if __name__ == "
    served.until_told(told)
    served.edit("app.py", "if True", 'if __name__ == "__main__"')
    assert served.body() == "version 1"
