# mypy: ignore-errors
from flask import Flask
from marked import marked
from sales.report import pages

app = Flask(__name__)
app.register_blueprint(pages)
app.wsgi_app = marked(app.wsgi_app)
