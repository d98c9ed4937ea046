"""Projects of the size that people have: applications from PyPI, made the user's own source.

An application is installed into an environment of its own, and its package is then moved out of
`site-packages` into a project: what it depends on stays installed, what it is made of is the
project's. Settings are minimal; the database is SQLite. Built once, then used again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.live.driving import lay_out

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = ("aiofiles>=23.2", "asyncinotify>=4")  # what asyncreload needs: it runs from the repository
DONE = "built"
MARK = '\nEDITED = "1"\n'
MARKED = '''\
"""Tells with each answer from which version of the edited files it comes."""
import sys

NAMES = {names!r}


def marked(app):
    def answer(environ, start_response):
        def start(status, headers, *rest):
            found = [str(getattr(sys.modules.get(name), "EDITED", 0)) for name in NAMES]
            return start_response(status, [*headers, ("Edited", ",".join(found))], *rest)

        return app(environ, start)

    return answer
'''
FLASK_APP = """\
from flask import Flask
from marked import marked
from shop import pages

app = Flask(__name__)
pages.register(app)
app.wsgi_app = marked(app.wsgi_app)
"""
FLASK_MODELS = """\
from dataclasses import dataclass

@dataclass
class Item:
    number: int
    name: str
    price: float = 1.0
"""
FLASK_PAGE = """\
from dataclasses import dataclass, field
from flask import Blueprint, jsonify, request
from shop.models import Item

page = Blueprint("page{number}", __name__, url_prefix="/page{number}")

@dataclass
class Page{number}:
    items: list[Item] = field(default_factory=list)

    def add(self, name: str) -> Item:
        self.items.append(Item(len(self.items), name))
        return self.items[-1]

PAGE = Page{number}()

@page.get("/")
def listed():
    return jsonify([item.name for item in PAGE.items])

@page.post("/")
def added():
    return jsonify(PAGE.add(request.form["name"]).number)
"""
FLASK_PAGES = 300


@dataclass(frozen=True)
class Project:
    """A project, the places where it is edited, and how its framework serves it.

    edits: paths of modules, by what they are: one that few others need, one in the middle, and the
        first of the project's own that is loaded, or close to that.
    """

    requirements: tuple[str, ...]
    target: str
    edits: dict[str, str]
    path: str = "/"
    package: str = ""
    """What is made the project's own; "" if all of it is under `apps`, or generated."""
    after: tuple[str, ...] = ()
    """Arguments of Python that set it up."""
    peer: tuple[str, ...] = ()
    """The reloader of its framework: arguments of Python; {port} is filled in."""
    generate: Callable[[Path], object] | None = None


def generate_flask(project: Path) -> None:
    """Write an app of many modules that are all alike."""
    numbers = range(FLASK_PAGES)
    register = "def register(app):\n" + "".join(
        f"    app.register_blueprint(page{number}.page)\n" for number in numbers
    )
    imports = "".join(f"from shop import page{number}\n" for number in numbers)
    index = f'    app.add_url_rule("/", view_func=lambda: "{FLASK_PAGES} pages")\n'
    pages = {
        f"shop/page{number}.py": FLASK_PAGE.replace("{number}", str(number)) for number in numbers
    }
    files = {
        "app.py": FLASK_APP,
        "shop/__init__.py": "",
        "shop/models.py": FLASK_MODELS,
        "shop/pages.py": imports + register + index,
    }
    lay_out(project, files=files | pages)


DJANGO = ("manage.py", "runserver", "127.0.0.1:{port}")
MIGRATE = ("manage.py", "migrate", "--verbosity", "0")
FLASK = ("-m", "flask", "--app", "app", "run", "--debug", "--port", "{port}")
PROJECTS = {
    "wagtail": Project(
        ("wagtail",),
        "project.wsgi",
        {
            "leaf": "wagtail/admin/views/home.py",
            "middle": "wagtail/images/models.py",
            "root": "project/settings.py",
        },
        path="/admin/login/",
        package="wagtail",
        after=MIGRATE,
        peer=DJANGO,
    ),
    "kinto": Project(
        ("kinto",),
        "app.py:make()",
        {
            "leaf": "kinto/views/records.py",
            "middle": "kinto/core/resource/model.py",
            "root": "app.py",
        },
        path="/v1/",
        package="kinto",
        peer=("-m", "pyramid.scripts.pserve", "--reload", "pserve.ini", "port={port}"),
    ),
    "mapproxy": Project(
        ("mapproxy", "pyproj"),
        "app.py",
        {
            "leaf": "mapproxy/service/wmts.py",
            "middle": "mapproxy/cache/tile.py",
            "root": "app.py",
        },
        path="/demo/",
        package="mapproxy",
    ),
    "pandas": Project(
        ("numpy", "pandas", "flask"),
        "app.py",
        {"leaf": "sales/report.py", "middle": "sales/data.py", "root": "app.py"},
        peer=FLASK,
    ),
    "oscar": Project(
        ("django-oscar",),
        "project.wsgi",
        {
            "leaf": "oscar/apps/catalogue/views.py",
            "middle": "oscar/apps/catalogue/models.py",
            "root": "project/settings.py",
        },
        path="/catalogue/",
        package="oscar",
        after=MIGRATE,
        peer=DJANGO,
    ),
    "flask": Project(
        ("flask",),
        "app.py",
        {"leaf": "shop/page280.py", "middle": "shop/models.py", "root": "app.py"},
        peer=FLASK,
        generate=generate_flask,
    ),
}


@dataclass(frozen=True)
class Built:
    """A project as it lies on the disk."""

    project: Path
    python: Path


def build(name: str, work: Path) -> Built:
    """Return a project; build it if that was not done before, by this Python."""
    recipe = PROJECTS[name]
    place = work / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    built = Built(place / "project", place / "venv/bin/python")
    if not (place / DONE).exists():
        shutil.rmtree(place, ignore_errors=True)
        _install(recipe, built)
        _lay_out(name, recipe, built)
        (place / DONE).touch()
    (_packages(built) / "asyncreload.pth").write_text(f"{REPOSITORY}\n")
    return built


def _install(recipe: Project, built: Built) -> None:
    environment = built.python.parents[1]
    _run(sys.executable, "-m", "venv", str(environment), cwd=REPOSITORY)
    pip = (str(built.python), "-m", "pip", "install", "-q")
    _run(*pip, *recipe.requirements, *OURS, cwd=REPOSITORY)


def _lay_out(name: str, recipe: Project, built: Built) -> None:
    built.project.mkdir()
    if recipe.package:
        shutil.move(_packages(built) / recipe.package, built.project / recipe.package)
    if recipe.generate is None:
        lay_out(built.project, f"../benchmarks/apps/{name}")
    else:
        recipe.generate(built.project)
    for path in recipe.edits.values():
        with (built.project / path).open("a") as file:
            file.write(MARK)
    names = [path.removesuffix(".py").replace("/", ".") for path in recipe.edits.values()]
    (built.project / "marked.py").write_text(MARKED.format(names=names))
    if recipe.after:
        _run(str(built.python), *recipe.after, cwd=built.project)


def _packages(built: Built) -> Path:
    return next(built.python.parents[1].glob("lib/python3.*/site-packages"))


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
