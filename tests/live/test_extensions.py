"""What developers add to Django and Flask does what it does, also after reloads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.comparing import Asked, page
from tests.live.django_projects import MANAGE, install

if TYPE_CHECKING:
    from tests.live.conftest import Serve, Start
    from tests.live.driving import Served

# --- Django ---------------------------------------------------------------------------------------


@pytest.fixture
def extended(site: Path) -> Path:
    """A project of Django's, with three extensions as the documentation of each says."""
    for package in ("debug_toolbar", "django_extensions", "whitenoise"):
        pytest.importorskip(package)
    for app in ("django_extensions", "debug_toolbar", "whitenoise.runserver_nostatic"):
        install(site, app)
    install(site, "asyncreload.django")
    settings, urls = site / "mysite/settings.py", site / "mysite/urls.py"
    line = "MIDDLEWARE = [\n"
    added = (
        "    'debug_toolbar.middleware.DebugToolbarMiddleware',\n"
        "    'whitenoise.middleware.WhiteNoiseMiddleware',\n"
    )
    text = settings.read_text().replace(line, line + added)
    settings.write_text(f'{text}\nINTERNAL_IPS = ["127.0.0.1"]\n')
    text = urls.read_text()
    import_ = "from debug_toolbar.toolbar import debug_toolbar_urls\n"
    urls.write_text(f"{import_}{text}urlpatterns += debug_toolbar_urls()\n")
    template = site / "shop/templates/shop/home.html"
    template.write_text(f"<html><body>{template.read_text()}</body></html>")
    return site


def panel_of_headers(served: Served, html: str) -> str:
    """Return what the toolbar of a page shows of its request's headers."""
    asked = re.search(r'data-(request|store)-id="(\w+)"', html)
    assert asked, html
    query = f"{asked[1]}_id={asked[2]}&panel_id=HeadersPanel"
    content = json.loads(served.body(f"/__debug__/render_panel/?{query}"))["content"]
    assert isinstance(content, str)
    return content


def test_debug_toolbar_whitenoise_and_django_extensions(extended: Path, start: Start) -> None:
    served = start(*MANAGE, "runserver", "0")
    assert "SERVER_SOFTWARE" in panel_of_headers(served, served.body("/"))
    assert served.get("/static/debug_toolbar/js/toolbar.js").status == 200

    served.edit("shop/views.py", '"pid": os.getpid()', '"pid": "edited"')
    edited = served.body("/")
    assert "<p>edited</p>" in edited
    assert "SERVER_SOFTWARE" in panel_of_headers(served, edited)

    loads = served.output.count("fresh in")
    style = page(served.port, Asked(200, "/static/shop/site.css"))
    assert style is not None
    assert style.headers["Cache-Control"] == "max-age=0, public"  # whitenoise's; Django sends none
    served.edit("shop/static/shop/site.css", "red", "blue")
    assert "blue" in served.body("/static/shop/site.css")
    assert served.output.count("fresh in") == loads

    listed = subprocess.run(
        [*MANAGE, "show_urls"], cwd=extended, check=True, capture_output=True, text=True
    )
    assert "shop.views.home" in listed.stdout


# --- Flask ----------------------------------------------------------------------------------------

APP = """\
from flask import Flask, render_template_string, request
from flask_debugtoolbar import DebugToolbarExtension
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()

class Item(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String)

def create_app():
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "for the toolbar"
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    db.init_app(app)
    DebugToolbarExtension(app)
    with app.app_context():
        db.create_all()

    @app.get("/")
    def items():
        names = [item.name for item in db.session.scalars(db.select(Item))]
        return render_template_string("<html><body>1: {{ names }}</body></html>", names=names)

    @app.get("/add")
    def add():
        db.session.add(Item(name=request.args["name"]))
        db.session.commit()
        return "added"

    return app
"""


def test_flask_debugtoolbar_and_flask_sqlalchemy(serve: Serve) -> None:
    for package in ("flask_debugtoolbar", "flask_sqlalchemy"):
        pytest.importorskip(package)
    command = (str(Path(sys.executable).with_name("flask")), "--app", "shop", "dev")
    served = serve("", files={"shop.py": APP}, command=command)
    empty = served.body("/")
    assert "1: []" in empty
    scripts = re.findall(r'src="(/_debug_toolbar/[^"]+)"', empty)
    assert scripts, empty
    assert {served.get(script).status for script in scripts} == {200}
    assert "flDebugSQLAlchemyPanel" in empty  # one extension knows of the other

    assert served.body("/add?name=tea") == "added"
    served.edit("shop.py", "1:", "2:")
    filled = served.body("/")
    assert "2: [&#39;tea&#39;]" in filled
    assert "flDebugSQLAlchemyPanel" in filled
    assert served.output.count("changed · fresh in") == 1  # the database is no code
