"""A Bottle app in one file."""

from bottle import Bottle  # it ships no types, hence the ignores below

VERSION = "1"

app = Bottle()


@app.get("/")  # type: ignore[untyped-decorator]
def index() -> str:
    return f"app={VERSION}"
