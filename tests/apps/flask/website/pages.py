"""The pages, apart from the app that shows them."""

from flask import Blueprint, current_app

VERSION = "1"

pages = Blueprint("pages", __name__)


@pages.get("/")
def index() -> str:
    return f"app={current_app.config['VERSION']} pages={VERSION}"
