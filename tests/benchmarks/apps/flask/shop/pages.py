# mypy: ignore-errors
"""The one page."""

from __future__ import annotations

from flask import Blueprint, render_template_string
from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.models import Book, engine

VERSION = "1"
TEMPLATE = "version={{ version }}{% for title in titles %} {{ title }}{% endfor %}"

pages = Blueprint("pages", __name__)


@pages.route("/")
def index() -> str:
    with Session(engine) as session:
        titles = session.scalars(select(Book.title).order_by(Book.title)).all()
    return render_template_string(TEMPLATE, version=VERSION, titles=titles)
