"""A Bottle app. Run it: asyncreload examples/bottle_app.py --port 8000 (needs: pip install bottle).

Then change the greeting, save, and reload the page.
"""

from bottle import Bottle, template  # it ships no types, hence the ignores below

GREETING = "Hello from Bottle"

app = Bottle()


@app.get("/")  # type: ignore[untyped-decorator]
def index() -> str:
    return f"<h1>{GREETING}</h1>\n<p>Try <a href='/hello/you'>/hello/you</a>.</p>\n"


@app.get("/hello/<name>")  # type: ignore[untyped-decorator]
def hello(name: str) -> str:
    return str(template("<h1>{{greeting}}, {{name}}</h1>\n", greeting=GREETING, name=name))
