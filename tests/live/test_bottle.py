"""Bottle's own `run`, with our server."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.commands import free_port
from tests.live.comparing import Asked, compare_pages
from tests.live.driving import Served, lay_out
from tests.live.listening_page import ListeningPage
from tests.live.processes import is_alive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.conftest import Serve, Start

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


def test_ctrl_c_that_a_child_sees_first_is_no_failed_load(serve: Serve) -> None:
    """It goes to the whole process group: the child may be interrupted before it is told to end."""
    source = APP.replace("OPTIONS", ", debug=True")
    served = serve("", files={"app.py": source}, command=(sys.executable, "app.py"))
    served.body()
    os.kill(served.loads()[-1], signal.SIGINT)
    time.sleep(0.1)
    served.signal(signal.SIGINT)
    served.wait()
    assert "Warning" not in served.output
    assert "SystemExit" not in served.output


def test_what_bottle_run_is_not_given_is_as_the_file_says(project: Path, start: Start) -> None:
    files = {"app.py": APP.replace(", port=0OPTIONS", ""), "notes.txt": "one"}
    files["pyproject.toml"] = '[tool.asyncreload]\nport = 0\nwatch = ["notes.txt"]\n'
    lay_out(project, files=files)
    served = start(sys.executable, "app.py")
    assert served.body() == "version 1"
    served.write("notes.txt", "two")
    served.until_told("notes.txt changed · fresh in")


SITE = """\
import os
from bottle import TEMPLATE_PATH, abort, default_app, error, get, post, redirect
from bottle import request, response, route, run, static_file, template

TEMPLATE_PATH.insert(0, "./views")

@route("/")
@route("/hello/<name>")
def hello(name="Stranger"):
    response.set_cookie("visited", "yes")
    return template("hello", name=name)

@route("/list")
def listed():
    return {"items": [1, 2], "root": request.script_name}

@post("/login")
def login():
    return f"<p>{request.forms.get('name')}</p>"

@get("/numbers")
def numbers():
    yield "one, "
    yield "two"

@route("/static/<path:path>")
def static(path):
    return static_file(path, root="static")

@route("/old")
def old():
    redirect("/list")

@route("/private")
def private():
    abort(401, "Access denied")

@route("/fails")
def fails():
    raise LookupError("no such thing")

@error(404)
def absent(error):
    return "Nothing here"

if __name__ == "__main__":
    run(server=os.environ["SERVER"], port=int(os.environ["AT"]), debug=True)
"""
SITE_FILES = {
    "app.py": SITE,
    "views/hello.tpl": "% name = name.title()\n<h1>Hello {{name}}!</h1>\n",
    "static/site.css": "h1 { color: red }",
}
SITE_PAGES = [
    Asked(200, "/"),
    Asked(200, "/hello/bob%20x"),
    Asked(200, "/list"),
    Asked(200, "/list", "HEAD"),
    Asked(200, "/login", "POST", "name=Ann"),
    Asked(405, "/login"),
    Asked(200, "/numbers"),
    Asked(200, "/static/site.css"),
    Asked(206, "/static/site.css", headers=(("Range", "bytes=2-5"),)),
    Asked(404, "/static/absent.css"),
    Asked(303, "/old"),
    Asked(401, "/private"),
    Asked(500, "/fails"),
    Asked(404, "/absent"),
]


def test_pages_are_those_of_bottles_own_server(
    project: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(project, files=SITE_FILES)
    port = free_port()

    def serve_by(server: str, at: int) -> Served:
        monkeypatch.setenv("SERVER", server)
        monkeypatch.setenv("AT", str(at))
        return start(sys.executable, "app.py")

    theirs = serve_by("wsgiref", port)
    ours = serve_by("asyncreload.bottle:Server", 0)
    compare_pages(ours, theirs, port, SITE_PAGES)


def test_open_pages_are_told_of_templates(
    project: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SITE.replace("debug=True", "debug=True, live=True")
    lay_out(project, files=SITE_FILES | {"app.py": source})
    monkeypatch.setenv("SERVER", "asyncreload.bottle:Server")
    monkeypatch.setenv("AT", "0")
    served = start(sys.executable, "app.py")
    with ListeningPage(served) as page:
        served.edit("views/hello.tpl", "Hello", "Welcome")
        assert page.changed() == []  # the page is to be loaded again
        assert "Welcome Stranger" in served.body()
        served.write("views/new.html", "new")
        assert page.changed() == []
    assert "changed · fresh in" not in served.output


@pytest.mark.parametrize("options", ["", ", reloader=True"])
def test_a_script_that_names_our_server_no_more_is_told_so(serve: Serve, options: str) -> None:
    """Such as that of another branch: it would serve at another port, or fail at ours."""
    files = {"app.py": APP.replace("OPTIONS", "")}
    served = serve("", files=files, command=(sys.executable, "app.py"))
    assert served.body() == "version 1"
    served.edit(
        "app.py", 'server="asyncreload.bottle:Server", port=0', f"port={free_port()}{options}"
    )
    answer = served.get()
    assert answer.status == 500
    assert "would serve, and the load never end: call asyncreload.run(app) in its" in answer.body
    served.write("app.py", files["app.py"].replace("version 1", "version 2"))
    assert served.body() == "version 2"


def test_templates_are_renewed_without_debug_mode(serve: Serve) -> None:
    """What stands below the guard is not run, and Bottle keeps its templates."""
    served = serve(files=SITE_FILES)
    assert "Hello Stranger" in served.body()
    served.edit("views/hello.tpl", "Hello", "Welcome")
    assert "Welcome Stranger" in served.body()
    served.until_told("hello.tpl changed · no reload needed")


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
