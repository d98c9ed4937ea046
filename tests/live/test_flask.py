"""`flask dev`: the app is found as by `flask run`, and served afresh at each load."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.browsing import in_chromium, until_streams
from tests.live.commands import free_port
from tests.live.comparing import Asked, compare_pages
from tests.live.driving import COMMAND, Connection, Served, lay_out
from tests.live.listening_page import ListeningPage

if TYPE_CHECKING:
    from tests.live.browsing import Tab
    from tests.live.conftest import Serve, Start

pytest.importorskip("flask")

SHOP = """\
import os
from flask import Flask, jsonify, render_template

def create_app(title="plain"):
    app = Flask(__name__)
    from . import pages
    app.register_blueprint(pages.pages)

    @app.route("/about")
    def about():
        names = ("MODE", "FLASK_DEBUG", "WERKZEUG_RUN_MAIN")
        return jsonify([title, app.debug, *map(os.environ.get, names)])

    return app

with open("loads", "a") as log:
    log.write(f"{os.getpid()}\\n")
Flask(__name__).run(port=1)
"""
PAGES = """\
from flask import Blueprint, render_template

pages = Blueprint("pages", __name__)

@pages.route("/")
def index():
    return render_template("index.html", version=1)

@pages.route("/boom")
def boom():
    raise LookupError("no such thing")
"""
FILES = {
    "shop/__init__.py": SHOP,
    "shop/pages.py": PAGES,
    "shop/templates/index.html": "<p>{{ version }}</p>",
    "shop/static/site.css": "p { color: red }",
    "pyproject.toml": "[tool.asyncreload]\nstandby = false\n",
    ".flaskenv": "FLASK_APP=shop:create_app('given')\nMODE=one\n",
}
FLASK = str(Path(sys.executable).with_name("flask"))


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("FLASK_", "WERKZEUG_")):
            monkeypatch.delenv(name)


def about(served: Served) -> Any:
    return json.loads(served.body("/about"))


def test_flask_dev(serve: Serve) -> None:
    served = serve("", files=FILES, command=(FLASK, "dev"))
    assert about(served) == ["given", True, "one", "1", "true"]
    served.until_told("a call of app.run() is ignored")
    assert served.pid not in served.loads()  # who types it loads nothing of the project

    # A template needs no load, a module does.
    served.write("shop/templates/index.html", "<b>{{ version }}</b>")
    assert served.body() == "<b>1</b>"
    assert len(served.loads()) == 1
    served.edit("shop/pages.py", "version=1", "version=2")
    assert served.body() == "<b>2</b>"

    # An environment file is read afresh, also one that comes.
    served.edit(".flaskenv", "MODE=one", "MODE=two")
    assert about(served)[2] == "two"
    served.write(".env", "MODE=three\nFLASK_DEBUG=0\n")
    assert about(served)[1:4] == [False, "three", "0"]
    (served.directory / ".env").unlink()
    assert about(served)[1:4] == [True, "two", "1"]

    # What fails is told as what it is: in the project's code, and where there is no app.
    served.edit("shop/pages.py", "import Blueprint", "import Bluprint")
    body = served.get().body
    assert body.startswith("ImportError: cannot import name 'Bluprint'")
    served.edit("shop/pages.py", "import Bluprint", "import Blueprint")
    served.edit(".flaskenv", "create_app(", "make(")
    assert "Failed to find attribute 'make' in 'shop'" in served.get().body
    served.edit(".flaskenv", "make(", "create_app(")
    assert served.body() == "<b>2</b>"
    assert served.output.count("a call of app.run() is ignored") == 1
    assert "Aborted" not in served.output
    assert served.stop() == 143


PAGES_COMPARED = [
    Asked(200, "/"),
    Asked(200, "/about"),
    Asked(302, "/moved"),
    Asked(403, "/forbidden"),
    Asked(404, "/absent"),
    Asked(405, "/", "POST", "a=b"),
    Asked(200, "/", "HEAD"),
    Asked(200, "/", "OPTIONS"),
    Asked(200, "/stream"),
    Asked(200, "/said", "POST", "word=yes"),
    Asked(308, "/deep"),
    Asked(200, "/static/site.css"),
    Asked(206, "/static/site.css", headers=(("Range", "bytes=2-5"),)),
    Asked(404, "/static/absent.css"),
]
MORE_PAGES = """
from flask import abort, flash, redirect, request, session, url_for

@pages.route("/moved")
def moved():
    return redirect(url_for("pages.index", _external=True))

@pages.route("/forbidden")
def forbidden():
    abort(403)

@pages.route("/stream")
def stream():
    return (str(number) for number in range(3))

@pages.route("/said", methods=["POST"])
def said():
    return {"word": request.form["word"], "agent": request.user_agent.string}

@pages.route("/deep/")
def deep():
    return "deep"
"""


def test_pages_are_those_of_flask_run(serve: Serve, start: Start) -> None:
    files = FILES | {"shop/pages.py": PAGES + MORE_PAGES}
    ours = serve("", files=files, command=(FLASK, "dev"))
    ours.body()
    port = free_port()
    theirs = start(FLASK, "run", "--debug", "--port", str(port))
    compare_pages(ours, theirs, port, PAGES_COMPARED)


def test_plain_asyncreload_serves_the_same(serve: Serve) -> None:
    served = serve("", files=FILES)
    assert about(served) == ["given", True, "one", "1", "true"]
    served.until_told("took shop:create_app('given'), named by FLASK_APP")


def test_what_is_not_typed_is_as_the_file_says(serve: Serve) -> None:
    text = '[tool.asyncreload]\nport = 1\nwatch = ["notes.txt"]\naccess_log = false\n'
    files = FILES | {"notes.txt": "one", "pyproject.toml": text}
    served = serve("", files=files, command=(FLASK, "dev"))  # which has --port
    assert served.body() == "<p>1</p>"
    served.write("notes.txt", "two")
    served.until_loads(2)
    served.edit(".flaskenv", "MODE=one", "MODE=two")  # watched as well
    assert about(served)[2] == "two"
    assert "GET /" not in served.output


def test_open_pages_are_told_of_templates_and_style_sheets(serve: Serve) -> None:
    blueprint = PAGES.replace("__name__)", '__name__, template_folder="more")')
    files = FILES | {"shop/pages.py": blueprint, "shop/more/other.html": "one"}
    served = serve("", "--live", files=files, command=(FLASK, "dev"))
    assert served.body() == "<p>1</p>"
    with ListeningPage(served) as page:
        served.edit("shop/static/site.css", "red", "blue")
        assert page.changed() == ["site.css"]
        served.write("shop/templates/index.html", "<b>{{ version }}</b>")
        assert page.changed() == []  # the page is to be loaded again
        served.write("shop/more/other.html", "two")
        assert page.changed() == []
    assert served.body() == "<b>1</b>"
    assert len(served.loads()) == 1


@pytest.mark.parametrize("command", [(*COMMAND, "shop:create_app()"), (FLASK, "--no-debug", "dev")])
def test_templates_are_renewed_without_debug_mode(serve: Serve, command: tuple[str, ...]) -> None:
    """Flask itself keeps them then."""
    files = FILES | {"shop/__init__.py": SHOP.replace("Flask(__name__).run(port=1)\n", "")}
    served = serve("", "--live", files=files, command=command)
    assert served.body() == "<p>1</p>"
    with ListeningPage(served) as page:
        served.write("shop/templates/index.html", "<b>{{ version }}</b>")
        assert served.body() == "<b>1</b>"
        assert page.changed() == []  # the page is to be loaded again
        served.edit("shop/static/site.css", "red", "blue")
        assert page.changed() == ["site.css"]
    assert len(served.loads()) == 1


def test_the_page_of_an_error_in_a_template_comes_back(serve: Serve) -> None:
    served = serve("", files=FILES, command=(FLASK, "dev"))  # no live pages
    served.write("shop/templates/index.html", "<b>{{ version.no.such }}</b>")
    answer = served.get()
    assert answer.status == 500
    assert "{{ version.no.such }}</b>\n    ^" not in answer.body  # by the code that was made of it
    with ListeningPage(served) as page:
        served.write("shop/templates/index.html", "<b>{{ version }}</b>")
        assert page.changed() == []
        served.write("shop/templates/other.html", "new")
        assert page.changed() == []
    assert served.body() == "<b>1</b>"
    assert len(served.loads()) == 1


@in_chromium
def test_an_open_page_shows_templates_and_style_sheets_as_saved(serve: Serve, tab: Tab) -> None:
    page = """<!doctype html><link rel="icon" href="data:,">
    <link rel="stylesheet" href="{{ url_for('static', filename='site.css') }}">
    <p>{{ version }}</p><input><div style="height: 5000px">tall</div>"""
    files = FILES | {"shop/templates/index.html": page}
    served = serve("", "--live", files=files, command=(FLASK, "dev"))
    tab.open(served.port).until_shown("1")
    until_streams(served, 1)
    tab.type_and_scroll("half a name", 900)
    served.edit("shop/static/site.css", "red", "blue")
    blue = "return getComputedStyle(document.querySelector('p')).color === 'rgb(0, 0, 255)'"
    tab.until(blue, "it is blue")
    assert tab.typed_and_scrolled() == ["half a name", 900]
    served.edit("shop/templates/index.html", "tall", "taller")
    tab.until_shown("taller")
    assert len(served.loads()) == 1


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (["--app", "shpo"], "Could not import 'shpo'."),
        ([], "Could not locate a Flask application."),
    ],
)
def test_what_is_not_there_ends_the_command_at_its_start(
    project: Path, start: Start, app: list[str], reason: str
) -> None:
    lay_out(project, files={"shop.py": SHOP})
    served = start(FLASK, *app, "dev", "--port", "0")
    assert served.wait() == 2
    assert f"flask dev: error: {reason}" in served.output or f"error: {reason}" in served.output
    assert "waiting for a change" not in served.output


def test_a_module_without_an_app_is_waited_for(project: Path, start: Start) -> None:
    lay_out(project, files={"shop.py": "import os\n", "pyproject.toml": FILES["pyproject.toml"]})
    served = start(FLASK, "--app", "shop", "dev", "--port", "0")
    served.until_told("waiting for a change")
    served.write("shop.py", "from flask import Flask\napp = Flask(__name__)\n")
    served.until_told("fresh in")
    os.unlink(served.directory / "shop.py")  # it was there at the start
    assert served.get().status == 500
    served.until_told("Could not import 'shop'")
    served.write("shop.py", "from flask import Flask\napp = Flask('again')\n")
    assert served.get().status == 404


def test_options_of_a_file_that_change_are_told(serve: Serve) -> None:
    files = FILES | {".flaskenv": f"{FILES['.flaskenv']}FLASK_RUN_WITH_THREADS=1\n"}
    served = serve("", files=files, command=(FLASK, "dev"))
    assert served.body() == "<p>1</p>"
    served.edit(".flaskenv", "FLASK_RUN_WITH_THREADS=1", "FLASK_RUN_WITH_THREADS=0")
    assert served.body() == "<p>1</p>"
    served.until_told("options are read at the start: for threads=1, stop the server")


def test_the_debugger_is_asked_for(serve: Serve) -> None:
    command = (FLASK, "--app", "shop", "dev", "--debugger")
    served = serve("", files=FILES, command=command)
    answer = served.get("/boom")
    assert answer.status == 500
    assert "The debugger caught an exception in your WSGI application" in answer.body
    served.until_told("Debugger PIN: ")


def test_without_reload(serve: Serve) -> None:
    port = free_port()
    options = ("--no-reload", "--port", str(port))
    served = serve("", *options, files=FILES, command=(FLASK, "dev"))

    def body() -> str:
        try:
            return Connection(port).send().receive().body
        except ConnectionRefusedError:
            return ""

    assert served.until(body, "it answers") == "<p>1</p>"
    assert served.loads() == [served.pid]
