"""A Flask factory over a package; its target is app.py:create_app()."""

from flask import Flask
from website.pages import pages  # type: ignore[import-not-found]  # beside this file when served

VERSION = "1"


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["VERSION"] = VERSION
    app.register_blueprint(pages)
    return app
