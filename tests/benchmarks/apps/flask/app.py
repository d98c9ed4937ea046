# mypy: ignore-errors
"""A Flask factory over a package with SQLAlchemy models; the target is app.py:create_app()."""

from __future__ import annotations

from flask import Flask
from shop.models import fill
from shop.pages import pages


def create_app() -> Flask:
    app = Flask(__name__)
    fill()
    app.register_blueprint(pages)
    return app
