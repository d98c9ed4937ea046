"""A Flask app. Run it: asyncreload examples/flask_app.py --port 8000 (needs: pip install flask).

Then change the greeting, save, and reload the page.
"""

from flask import Flask, render_template_string

GREETING = "Hello from Flask"

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return f"<h1>{GREETING}</h1>\n<p>Try <a href='/hello/you'>/hello/you</a>.</p>\n"


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return render_template_string(
        "<h1>{{ greeting }}, {{ name }}</h1>\n", greeting=GREETING, name=name
    )
