# mypy: ignore-errors
"""Flask, and SQLAlchemy without models: little of the load is the project's own."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

VERSION = "1"

app = Flask(__name__)
engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


@app.route("/")
def index() -> str:
    with engine.begin() as connection:
        title = connection.scalar(text("SELECT 'Emma'"))
    return f"version={VERSION} {title}"
