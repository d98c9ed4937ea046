"""`asyncreload development.ini`, and `pserve` with our server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.commands import free_port
from tests.live.driving import Served, lay_out

if TYPE_CHECKING:
    from tests.live.conftest import Serve

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


def test_another_app_of_the_file(serve: Serve) -> None:
    assert serve("development.ini#admin", files=FILES).body() == "admin"


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
