"""Templates that frameworks keep are renewed for whatever is served, and nothing is reloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.driving import COMMAND

if TYPE_CHECKING:
    from tests.live.conftest import Serve

ASKED = """
@site.get("/")
def index():
    return flask.render_template("page.html")
"""
FLASK = f"import flask\nsite = flask.Flask(__name__)\n{ASKED}"
QUART = """
import quart
app = quart.Quart(__name__)

@app.get("/")
async def index():
    return await quart.render_template("page.html")
"""
MOUNTED = """
from starlette.applications import Starlette
from starlette.middleware.wsgi import WSGIMiddleware
from starlette.routing import Mount
app = Starlette(routes=[Mount("/", WSGIMiddleware(site))])
"""
LOADER = "site.jinja_loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader('themes')])"
CASES = {
    "ProxyFix": f"{FLASK}\nfrom werkzeug.middleware import proxy_fix\n"
    "app = proxy_fix.ProxyFix(site)",
    "dispatcher": f"{FLASK}\nfrom werkzeug.middleware.dispatcher import DispatcherMiddleware\n"
    "app = DispatcherMiddleware(flask.Flask('other'), {'/shop': site})",
    "function": f"{FLASK}\ndef wrap(app): return lambda environ, start: app(environ, start)\n"
    "app = wrap(site)",
    "Starlette": f"{FLASK}\n{MOUNTED}",
    "loader": f"{FLASK}\nimport jinja2\n{LOADER}\napp = site",
    "loader of the environment": f"{FLASK}\nimport jinja2\n"
    "inner = jinja2.PrefixLoader({'page': jinja2.FileSystemLoader('themes')}, '.')\n"
    "site.jinja_env.loader = jinja2.ChoiceLoader([jinja2.DictLoader({}), inner])\n"
    "app = site",
    "package": f"{FLASK}\nimport jinja2\nsite.jinja_loader = jinja2.PackageLoader('pages', 'all')\n"
    "app = site",
    "Quart": QUART,
}
PLACES = {
    "loader": "themes/page.html",
    "loader of the environment": "themes/html",
    "package": "pages/all/page.html",
}


@pytest.mark.parametrize("case", CASES)
def test_a_template_is_shown_as_saved(serve: Serve, case: str) -> None:
    pytest.importorskip("quart" if case == "Quart" else "flask")
    if case == "Starlette":
        pytest.importorskip("starlette")
    template = PLACES.get(case, "templates/page.html")
    files = {"app.py": CASES[case], template: "one", "pages/__init__.py": ""}
    served = serve("", files=files, command=(*COMMAND, "app.py", "--live"))
    path = "/shop/" if case == "dispatcher" else "/"
    assert served.get(path).body == "one"
    for text in "two", "three", "four":
        served.write(template, text)
        assert served.get(path).body == text
    served.until_told("no reload needed")
    assert "changed · fresh in" not in served.output
