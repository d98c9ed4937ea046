"""`asyncreload development.ini`, and `pserve` with our server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.commands import free_port
from tests.live.comparing import Asked, compare_pages
from tests.live.driving import COMMAND, Served, lay_out
from tests.live.listening_page import ListeningPage

if TYPE_CHECKING:
    from tests.live.conftest import Serve, Start

pytest.importorskip("plaster_pastedeploy")

WEB = """\
import logging, os
with open("loads", "a") as log:
    log.write(f"{os.getpid()}\\n")

def make(global_conf, title, **settings):
    def app(environ, start_response):
        logging.getLogger("web").info("asked for a page")
        start_response("200 OK", [])
        return [f"{title} 1".encode()]
    return app

def admin(global_conf, **settings):
    return lambda environ, start_response: start_response("200 OK", []) and [] or [b"admin"]
"""
INI = """\
[app:main]
use = config:base.ini

[app:admin]
paste.app_factory = web:admin

[pserve]
watch_files = notes/*.txt

[server:main]
use = egg:asyncreload
port = 0

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = short
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = short
[formatter_short]
format = logged as told: %(message)s
"""
FILES = {
    "web.py": WEB,
    "base.ini": "[app:main]\npaste.app_factory = web:make\ntitle = base\n",
    "development.ini": INI,
    "notes/a.txt": "",
}


def check(served: Served) -> None:
    assert served.body() == "base 1"
    served.until_told("logged as told: asked for a page")
    served.edit("web.py", "{title} 1", "{title} 2")
    assert served.body() == "base 2"
    served.edit("base.ini", "title = base", "title = other")
    assert served.body() == "other 2"
    # What fails is told as what it is, and a save of the file mends it.
    served.edit("base.ini", "web:make", "web:mike")
    assert served.get().status == 500
    served.edit("base.ini", "web:mike", "web:make")
    assert served.body() == "other 2"
    assert served.stop() == 143
    assert "Exiting" not in served.output


def test_an_ini_file(serve: Serve) -> None:
    served = serve("development.ini", files=FILES)
    assert served.body() == "base 1"
    loads = len(served.loads())
    served.write("notes/a.txt", "a change")
    assert served.body() == "base 1"
    assert len(served.loads()) == loads + 1
    check(served)


def test_another_address_in_the_file_is_told(serve: Serve) -> None:
    served = serve("development.ini", files=FILES)
    served.edit("development.ini", "port = 0", "port = 1")
    served.until_told("options in development.ini changed; they are read at the start")


def test_another_app_of_the_file(serve: Serve) -> None:
    assert serve("development.ini#admin", files=FILES).body() == "admin"


STARTER = """\
from pyramid.config import Configurator

def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.include(".routes")
        config.scan()
    return config.make_wsgi_app()
"""
STARTER_FILES = {
    "starter/__init__.py": STARTER,
    "starter/routes.py": """\
def includeme(config):
    config.add_static_view("static", "static", cache_max_age=3600)
    config.add_route("home", "/")
    config.add_route("said", "/said")
    config.add_route("old", "/old")
    config.add_route("fails", "/fails")
""",
    "starter/views.py": """\
from pyramid.httpexceptions import HTTPForbidden, HTTPFound
from pyramid.response import Response
from pyramid.view import notfound_view_config, view_config

@view_config(route_name="home")
def home(request):
    style = request.static_url("starter:static/a.css")
    return Response(f"<p>{request.route_url('said')} {style}</p>")

@view_config(route_name="said", renderer="json", request_method="POST")
def said(request):
    return dict(request.params)

@view_config(route_name="old")
def old(request):
    raise HTTPFound(request.route_url("home"))

@view_config(route_name="fails")
def fails(request):
    raise HTTPForbidden("not you")

@notfound_view_config()
def absent(request):
    request.response.status = 404
    return Response("nothing here", status=404)
""",
    "starter/static/a.css": "p { color: red }",
    # As `pip install -e .` would leave it.
    "starter.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: starter\nVersion: 0\n",
    "starter.egg-info/entry_points.txt": "[paste.app_factory]\nmain = starter:main\n",
    "development.ini": """\
[app:main]
use = egg:starter
pyramid.reload_templates = true
pyramid.debug_notfound = true

[server:main]
use = egg:waitress#main
listen = localhost:6543
""",
}
STARTER_PAGES = [
    Asked(200, "/"),
    Asked(200, "/", "HEAD"),
    Asked(200, "/said", "POST", "word=yes"),
    Asked(404, "/said"),
    Asked(302, "/old"),
    Asked(403, "/fails"),
    Asked(404, "/absent"),
    Asked(200, "/static/a.css"),
    Asked(206, "/static/a.css", headers=(("Range", "bytes=2-5"),)),
    Asked(404, "/static/b.css"),
]


@pytest.mark.parametrize("way", ["asyncreload", "pserve"])
def test_pages_are_those_of_pserve(
    project: Path, start: Start, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    pytest.importorskip("pyramid")
    pytest.importorskip("waitress")
    monkeypatch.setenv("PYTHONPATH", str(project))  # in the place of an installation
    lay_out(project, files=STARTER_FILES)
    pserve = str(Path(sys.executable).with_name("pserve"))
    port = free_port()
    text = STARTER_FILES["development.ini"].replace("localhost:6543", f"127.0.0.1:{port}")
    lay_out(project, files={"theirs.ini": text})
    theirs = start(pserve, "theirs.ini")
    if way == "asyncreload":
        ours = start(*COMMAND, "development.ini", "--port", "0")
    else:
        text = text.replace("egg:waitress#main", "egg:asyncreload").replace(f":{port}", ":0")
        lay_out(project, files={"development.ini": text})
        ours = start(pserve, "development.ini")
    compare_pages(ours, theirs, port, STARTER_PAGES)


PLAIN_TEMPLATES = """\

class PlainTemplate:
    def __init__(self, info):
        self.asset = AssetResolver(info.package).resolve(info.name)

    def __call__(self, value, system):
        return self.asset.stream().read().decode()
"""


@pytest.mark.parametrize("way", ["asyncreload", "pserve"])
def test_open_pages_are_told_of_templates_and_static_files(
    project: Path, start: Start, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    pytest.importorskip("pyramid")
    monkeypatch.setenv("PYTHONPATH", str(project))  # in the place of an installation
    app = STARTER.replace("import Configurator\n", f"import Configurator\n{PLAIN_TEMPLATES}")
    app = "from pyramid.path import AssetResolver\n" + app.replace(
        "        config.include",
        '        config.add_renderer(".txt", PlainTemplate)\n        config.include',
    )
    views = (
        STARTER_FILES["starter/views.py"]
        .replace(
            '@view_config(route_name="old")',
            '@view_config(route_name="old", renderer="pages/old.txt")',
        )
        .replace('raise HTTPFound(request.route_url("home"))', "return {}")
    )
    ini = STARTER_FILES["development.ini"].replace(
        "egg:waitress#main", "egg:asyncreload\nlive = true"
    )
    ini = ini.replace("listen = localhost:6543", "port = 0")
    files = {"starter/__init__.py": app, "starter/views.py": views, "development.ini": ini}
    lay_out(project, files=STARTER_FILES | files | {"starter/pages/old.txt": "one"})
    pserve = str(Path(sys.executable).with_name("pserve"))
    command = (pserve,) if way == "pserve" else (*COMMAND, "--live", "--port", "0")
    served = start(*command, "development.ini")
    assert served.body("/old") == "one"
    with ListeningPage(served) as page:
        served.write("starter/static/a.css", "p { color: blue }")
        assert page.changed() == ["a.css"]
        served.write("starter/pages/old.txt", "two")
        assert page.changed() == []  # the page is to be loaded again
        assert served.body("/old") == "two"
    assert "changed · fresh in" not in served.output


def test_pserve(tmp_path: Path, project: Path, temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyramid")
    monkeypatch.setenv("PYTHONPATH", str(project))  # in the place of an installation
    lay_out(project, "", FILES)
    port = free_port()
    config = project / "development.ini"
    config.write_text(INI.replace("port = 0", f"port = {port}"))
    pserve = str(Path(sys.executable).with_name("pserve"))
    served = Served(project, temp, (pserve, config.name), tmp_path / "out")
    try:
        check(served)
    finally:
        served.kill()
        print(served.output)
