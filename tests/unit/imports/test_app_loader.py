"""Modules found where the target says, applications found in them, and what is said otherwise."""

from __future__ import annotations

import queue
import re
import sys
from importlib.abc import MetaPathFinder
from textwrap import dedent
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncreload.child.imports import app_loader
from asyncreload.child.imports.app_loader import load, prepare
from asyncreload.child.imports.interface import AsgiApp
from asyncreload.errors import MissingExtraError, TargetError
from asyncreload.settings import ASGI, AUTO, WSGI
from asyncreload.target import Target

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from pathlib import Path

APP = "def app(environ, start_response): return [__name__.encode()]\n"


@pytest.fixture(autouse=True)
def clean_imports(imports: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test imports as if it were the first, and leaves nothing imported."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))  # Bottle adds to it
    for name in ("app", "web", "other", "pkg", "module", "models", "bottle"):
        sys.modules.pop(name, None)


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, source: str = "") -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source))

    def load(self, text: str, source: str | None = None, interface: str = AUTO) -> Any:
        if source is not None:
            self.write(text.partition(":")[0], source)
        target = Target.parse(text, str(self.root))
        prepare(target)
        return load(target, interface)

    def served(self, text: str, source: str | None = None) -> str:
        """What the application that is loaded answers."""
        return b"".join(self.load(text, source)({}, None)).decode()

    def complaint(self, text: str, source: str | None = None, interface: str = AUTO) -> str:
        with pytest.raises(TargetError) as caught:
            self.load(text, source, interface)
        message = str(caught.value)
        assert "\n" not in message
        return message


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


# Preparing


def test_paths_and_arguments_are_those_of_a_run(project: Project) -> None:
    project.write("pkg/__init__.py")
    project.write("pkg/app.py")
    target = Target.parse("pkg/app.py:app", str(project.root))

    prepare(target)
    prepare(target)

    assert sys.path[0] == str(project.root)
    assert sys.path.count(str(project.root)) == 1
    assert sys.argv == [str(project.root / "pkg/app.py")]


def test_the_argument_of_a_module_is_its_name(project: Project) -> None:
    prepare(Target.parse("pkg.app:create()", str(project.root)))

    assert sys.argv == ["pkg.app"]


def test_a_safe_path_stays_safe(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -P or PYTHONSAFEPATH the user wants no directory of the project in front."""
    flags = {name: getattr(sys.flags, name) for name in sys.flags.__match_args__}
    monkeypatch.setattr(sys, "flags", SimpleNamespace(**flags | {"safe_path": True}))
    before = list(sys.path)

    assert project.served("app.py", APP) == "app"
    assert sys.path == before


# Importing


def test_a_file(project: Project) -> None:
    assert project.served("app.py", APP) == "app"
    assert sys.modules["app"].__file__ == str(project.root / "app.py")


@pytest.mark.parametrize("text", ["pkg/sub/app.py", "pkg.sub.app", "pkg.sub.app:app"])
def test_a_module_in_packages(project: Project, text: str) -> None:
    project.write("pkg/__init__.py")
    project.write("pkg/sub/__init__.py", "name = 'relative'")
    project.write("pkg/sub/app.py", f"from . import name\n{APP}".replace("__name__", "name"))

    assert project.served(text) == "relative"
    assert sys.modules["pkg.sub.app"] is sys.modules["pkg.sub"].app


@pytest.mark.parametrize("text", ["pkg", "./pkg", "pkg/__init__.py"])
def test_a_package(project: Project, text: str) -> None:
    project.write("pkg/__init__.py", f"from .near import x\n{APP}")
    project.write("pkg/near.py", "x = 1")

    assert project.served(text) == "pkg"


def test_a_name_of_the_standard_library(project: Project) -> None:
    """Neither is the user's file confused with the library's, nor replaced there for others."""
    source = f"from queue import Queue\n{APP}"

    assert project.served("queue.py", source) == "queue_"
    assert sys.modules["queue"] is queue
    assert sys.modules["queue_"].__file__ == str(project.root / "queue.py")


def test_a_package_with_a_name_of_the_standard_library(project: Project) -> None:
    project.write("queue/__init__.py")
    project.write("queue/near.py", "name = 'near'")

    source = f"from .near import name\n{APP}".replace("__name__", "name")

    assert project.served("queue/app.py", source) == "near"


def test_a_module_that_was_not_imported_yet_keeps_its_name(project: Project) -> None:
    sys.modules.pop("this", None)

    assert project.served("this.py", APP) == "this"


@pytest.mark.parametrize("name", ["serve", "site.wsgi", "my-app.py", "a.b.py", "pkg/my.app.py"])
def test_a_file_that_cannot_be_imported_by_name(project: Project, name: str) -> None:
    project.write("pkg/__init__.py")

    assert project.served(f"./{name}", APP)


def test_a_file_is_loaded_once(project: Project) -> None:
    """A circular import of the app must find it, not run it again."""
    project.write("models.py", "import app\nassert not hasattr(app, 'done')")

    project.load("app.py", f"import models\nassert models.app.__name__ == __name__\n{APP}")
    first = sys.modules["app"]
    project.load("app.py")

    assert sys.modules["app"] is first


def test_a_finder_in_front_sees_the_file(project: Project) -> None:
    """The watch takes a file's baseline there, before the loader reads it."""
    seen = []

    class Hook(MetaPathFinder):
        def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
            later = sys.meta_path[sys.meta_path.index(self) + 1 :]
            specs = (finder.find_spec(fullname, path, target) for finder in later)
            spec = next(filter(None, specs), None)
            seen.append(spec and spec.origin)
            return spec

    sys.meta_path.insert(0, Hook())
    project.write("pkg/__init__.py")

    project.load("pkg/app.py", APP)

    assert seen == [str(project.root / "pkg/__init__.py"), str(project.root / "pkg/app.py")]


def test_a_failed_import_leaves_nothing(project: Project) -> None:
    finders = list(sys.meta_path)

    with pytest.raises(ZeroDivisionError):
        project.load("app.py", "1 / 0")

    assert "app" not in sys.modules
    assert sys.meta_path == finders
    assert project.served("app.py", APP) == "app"


@pytest.mark.parametrize("text", ["app.py", "app", "app:create()"])
@pytest.mark.parametrize(
    ("source", "raised"),
    [
        ("import missing_module", ModuleNotFoundError),
        ("import app.missing", ModuleNotFoundError),
        ("from queue import missing", ImportError),
        ("raise ImportError('mine')", ImportError),
        ("x = ", SyntaxError),
        ("x = '\xff'", SyntaxError),
        ("raise SystemExit(3)", SystemExit),
    ],
)
def test_what_the_module_raises_is_passed_on(
    project: Project, text: str, source: str, raised: type[BaseException]
) -> None:
    (project.root / "app.py").write_bytes(source.encode("latin-1"))

    with pytest.raises(raised) as caught:
        project.load(text)

    assert caught.type is raised
    assert caught.value.__cause__ is None


def test_a_file_deleted_since_it_was_parsed(project: Project) -> None:
    target = Target.parse("app.py:app", str(project.root), must_exist=False)

    with pytest.raises(TargetError) as caught:
        load(target)

    file = project.root / "app.py"
    assert str(caught.value) == f'There is no file "app.py" any more ({file}): restore it.'


@pytest.mark.parametrize(
    ("text", "missing"), [("nope", "nope"), ("nope.sub:app", "nope"), ("pkg.nope", "pkg.nope")]
)
def test_no_such_module(project: Project, text: str, missing: str) -> None:
    project.write("pkg/__init__.py")

    assert project.complaint(text) == (
        f'There is no module "{missing}", neither in {project.root} nor installed: '
        "check the name and where you are."
    )


def test_the_word_that_starts_a_frameworks_server(project: Project) -> None:
    assert project.complaint("runserver") == (
        'There is no module "runserver", and no command: '
        'write "asyncreload" alone, or name the app.'
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [("shop.main:app", "src/shop/main.py:app"), ("shop", "src/shop/__init__.py")],
)
def test_a_module_that_is_in_src(project: Project, text: str, meant: str) -> None:
    project.write("src/shop/__init__.py")
    project.write("src/shop/main.py", APP)
    assert project.complaint(text) == (
        'There is no module "shop": it is in src, where Python does not look by itself: '
        f'write "{meant}".'
    )


def test_a_module_where_python_is_told_not_to_look(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("pkg/__init__.py")
    monkeypatch.setattr(app_loader, "_is_left_out", lambda _root: True)
    target = Target.parse("pkg.web", str(project.root))
    assert "as PYTHONSAFEPATH or -P says" in app_loader._where_not_looked("pkg", target)
    assert app_loader._where_not_looked("other", target) == ""


@pytest.mark.parametrize(
    ("text", "missing", "meant"),
    [
        ("modul", "modul", "module"),
        ("pkg.modul", "pkg.modul", "pkg.module"),
        ("module.app", "module.app", "module:app"),
    ],
)
def test_no_such_module_but_a_likely_one(
    project: Project, text: str, missing: str, meant: str
) -> None:
    project.write("module.py", APP)
    project.write("pkg/__init__.py")
    project.write("pkg/module.py")

    assert project.complaint(text) == f'There is no module "{missing}": did you mean "{meant}"?'


def test_a_directory_that_is_no_package(project: Project) -> None:
    project.write("src/app.py", APP)

    assert project.complaint("src:app") == (
        '"src" is a directory without __init__.py: name a module in it, as in "src.app".'
    )


# Finding


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class A:\n    app = staticmethod(app)\n", "app.py:A.app"),
        ("site = app\n", "app.py:site"),
        ("def create(debug=False): return app\n", "app.py:create()"),
        ("class Site:\n    @classmethod\n    def make(cls): return app\n", "app.py:Site.make()"),
    ],
)
def test_an_attribute(project: Project, source: str, expected: str) -> None:
    project.write("app.py", APP + source)

    assert project.served(expected) == "app"


def test_application_goes_before_app(project: Project) -> None:
    application = "def application(environ, start_response): return [b'application']\n"

    assert project.served("app.py", APP + application) == "application"


def test_an_app_that_is_none_is_passed_over(project: Project) -> None:
    """A package's `app` is often its submodule."""
    project.write("pkg/__init__.py", "from pkg import app\nfrom pkg.app import app as served\n")
    project.write(
        "pkg/app.py",
        f"class Site:\n    def __call__(self, environ, start_response): {''}"
        "return [b'site']\napp = Site()\n",
    )

    assert project.served("pkg") == "site"


@pytest.mark.parametrize(
    "source",
    [
        "import flask; from flask import request, current_app, g; site = flask.Flask(__name__)",
        "import bottle; from bottle import *; site = bottle.Bottle()",
        "from django.core.handlers.wsgi import WSGIHandler as H; site = object.__new__(H)",
        "def site(environ, start_response): ...",
        "def wsgi(env, start): ...\nsite = wsgi",
        "class A:\n    def __call__(self, env, start, more=None): ...\nsite = also = A()",
        "from django.conf import settings\ndef site(environ, start_response): ...",
        "from wsgiref.simple_server import demo_app\ndef site(environ, start_response): ...",
    ],
)
def test_the_only_callable(project: Project, source: str) -> None:
    assert project.load("web.py", source) is sys.modules["web"].site


@pytest.mark.parametrize(
    "source",
    [
        "",
        "def add(a, b): ...",
        "async def serve(environ, start_response): ...",
        "class App:\n    def __call__(self, environ, start_response): ...",
        "class Command:\n    def __call__(self, *args): ...\nmain = Command()",
        "_hidden = lambda environ, start_response: None",
        "from wsgiref.simple_server import demo_app",
        "import bottle",
    ],
)
def test_no_callable(project: Project, source: str) -> None:
    file = project.root / "web.py"

    assert project.complaint("web.py", source) == (
        f'"web.py" has no application in {file}: call yours "app", or name it, as in "web.py:name".'
    )


@pytest.mark.parametrize("name", ["create_app", "make_app"])
def test_no_callable_but_a_factory(project: Project, name: str) -> None:
    source = f"import bottle\nmade = []\ndef {name}(x=None):\n    made.append(bottle.Bottle())\n"
    found = project.load("web.py", f"{source}    return made[0]\n")

    assert [found] == sys.modules["web"].made


def test_a_factory_that_makes_no_app(project: Project) -> None:
    assert project.complaint("web.py", "def create_app(): ...") == (
        '"web.py:create_app()" is no application but NoneType None: '
        "name a callable that takes (environ, start_response) or (scope, receive, send)."
    )


def test_a_factory_that_cannot_be_called_is_none(project: Project) -> None:
    message = project.complaint("web.py", "def create_app(config): ...")

    assert message.endswith('call yours "app", or name it, as in "web.py:name".')


def test_a_package_whose_module_has_the_app(project: Project) -> None:
    project.write("shop/__init__.py", "")
    project.write("shop/asgi.py", "")
    project.write("shop/main.py", APP)
    file = project.root / "shop" / "__init__.py"

    for target, written in (("shop", "shop.main"), ("./shop", "./shop/main.py")):
        message = project.complaint(target)
        assert message == f'"{target}" has no application in {file}: write "{written}".'


def test_several_callables(project: Project) -> None:
    source = "from bottle import Bottle\nsite, api = Bottle(), Bottle()\nalias = api"

    assert project.complaint("web.py", source) == (
        '"web.py" has several applications (api, site): name one, as in "web.py:api".'
    )


def test_the_default_app_of_bottle(project: Project) -> None:
    source = "from bottle import *\n@route('/')\ndef index(): return 'hello'\n"

    found = project.load("web.py", source)

    assert found is cast("Any", sys.modules["bottle"]).default_app()


# Judging


def test_no_such_attribute(project: Project) -> None:
    project.write("web.py", f"{APP}class Site: wsgi = app\n")

    assert project.complaint("web.py:ap") == (
        '"web.py:ap": module "web" has no attribute "ap": did you mean "app"?'
    )
    assert project.complaint("web.py:Site.wsgy") == (
        '"web.py:Site.wsgy": type <class \'web.Site\'> has no attribute "wsgy": '
        'did you mean "wsgi"?'
    )
    assert project.complaint("web.py:other()") == (
        '"web.py:other()": module "web" has no attribute "other": define it there, or name another.'
    )


@pytest.mark.parametrize(
    ("source", "described", "remedy"),
    [
        (
            "class Maker:\n __repr__ = wsgifunc = lambda self: 'web.py'\nx = Maker()",
            "Maker web.py",
            'write "web.py:x.wsgifunc()"',
        ),
        (
            "x = 42",
            "int 42",
            "name a callable that takes (environ, start_response) or (scope, receive, send)",
        ),
        (
            "class x:\n    def __init__(self, name): ...\n    def __call__(self, e, s): ...",
            "type <class 'web.x'>",
            'make an instance, as in "app = x(...)"',
        ),
        (
            "def x(a): ...",
            "function <function x>",
            "name a callable that takes (environ, start_response) or (scope, receive, send)",
        ),
        ("def x(): ...", "function <function x>", 'write "web.py:x()"'),
        ("def x(config=None, debug=0): ...", "function <function x>", 'write "web.py:x()"'),
        (
            "class x:\n    def __call__(self, e, s): ...",
            "type <class 'web.x'>",
            'write "web.py:x()"',
        ),
        (
            "class x:\n    async def __call__(self, scope, receive, send): ...",
            "type <class 'web.x'>",
            'write "web.py:x()"',
        ),
        (
            "async def x(environ, start_response): ...",
            "function <function x>",
            "name a callable that takes (environ, start_response) or (scope, receive, send)",
        ),
    ],
)
def test_no_application(project: Project, source: str, described: str, remedy: str) -> None:
    message = project.complaint("web.py:x", source)

    message = re.sub(r"( object)? at 0x\w+", "", message)
    assert message == f'"web.py:x" is no application but {described}: {remedy}.'


def test_a_usual_name_explains_why_there_is_no_callable(project: Project) -> None:
    message = project.complaint("web.py", "app = 42")

    assert message == (
        '"web.py:app" is no application but int 42: '
        "name a callable that takes (environ, start_response) or (scope, receive, send)."
    )


def test_a_long_repr_is_shortened(project: Project) -> None:
    message = project.complaint("web.py:x", "x = list(range(10_000))")

    assert "list [0, 1, 2, 3, 4, 5, ...]:" in message


@pytest.mark.parametrize(
    "source",
    [
        "def app(*args, **kwargs): ...",
        "class app:\n    def __init__(self, environ, start): ...",
        "from functools import partial\ndef f(a, e, s): ...\napp = partial(f, 1)",
        "from werkzeug import Request\n@Request.application\ndef app(request): ...",
        "app = getattr",  # compiled, and without a signature
    ],
)
def test_an_unusual_callable_that_is_named(project: Project, source: str) -> None:
    assert project.load("web.py:app", source) is sys.modules["web"].app


def test_a_factory_that_returns_something_else(project: Project) -> None:
    assert project.complaint("web.py:create()", "def create(): ...") == (
        '"web.py:create()" is no application but NoneType None: '
        "name a callable that takes (environ, start_response) or (scope, receive, send)."
    )
    project.write("other.py", "def create(): return create")
    assert project.complaint("other.py:create()").endswith(": return the application itself.")


def test_a_factory_that_needs_arguments(project: Project) -> None:
    message = project.complaint("web.py:create()", "class create:\n    def __init__(self, a): ...")

    assert message == (
        "\"web.py:create()\": type <class 'web.create'> needs arguments, "
        "and a factory is called without any: give them defaults."
    )


def test_an_application_called_as_a_factory(project: Project) -> None:
    message = project.complaint("web.py:app()", APP)

    assert message.startswith('"web.py:app()": function <function app at 0x')
    assert message.endswith(
        ' needs arguments, and a factory is called without any: write "web.py:app".'
    )


def test_a_factory_that_is_none(project: Project) -> None:
    assert project.complaint("web.py:x()", "x = 42") == (
        '"web.py:x()": int 42 cannot be called: name a function there.'
    )


def test_what_the_factory_raises_is_passed_on(project: Project) -> None:
    source = "def create(): raise TypeError('mine')"

    with pytest.raises(TypeError, match=r"^mine$"):
        project.load("web.py:create()", source)


# ASGI


ASYNC_APP = "async def app(scope, receive, send): ...\n"
ASYNC_SITE = "class Site:\n    async def __call__(self, scope, receive, send): ...\nsite = Site()\n"
ASYNC_X = "async def f(option, scope, receive, send): ...\nx = partial(f, 1)\n"
AWAITED_CLASS = """
class x:
    def __init__(self, scope, receive, send): ...
    def __await__(self): ...
"""
NOT_ASYNC = "class Site:\n    def __call__(self, scope, receive, send): ...\nsite = Site()\n"


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("web.py", ASYNC_APP, "app"),
        ("web.py:app", ASYNC_APP, "app"),
        ("web.py", "async def app(scope=None, receive=None, send=None): ...", "app"),
        ("web.py:site", ASYNC_SITE, "site"),
        ("web.py", ASYNC_SITE, "site"),
        ("web.py", NOT_ASYNC, "site"),
        ("web.py", "async def site(scope, receive, send): ...", "site"),
        ("web.py", "def site(scope, receive, send): ...", "site"),
        ("web.py", "from fastapi import FastAPI, Request\nsite = FastAPI()", "site"),
        ("web.py", "from starlette.applications import Starlette as S\nsite = S()", "site"),
        ("web.py:x", "from functools import partial\n" + ASYNC_X, "x"),
        ("web.py:x", AWAITED_CLASS, "x"),
    ],
)
def test_an_asgi_app(project: Project, text: str, source: str, name: str) -> None:
    found = project.load(text, source)

    assert found == AsgiApp(getattr(sys.modules["web"], name))
    assert isinstance(found, AsgiApp)


def test_a_factory_of_an_asgi_app(project: Project) -> None:
    found = project.load("web.py:create()", f"{ASYNC_APP}def create(debug=False): return app")

    assert found == AsgiApp(sys.modules["web"].app)


def test_a_factory_of_an_asgi_app_that_is_not_called(project: Project) -> None:
    message = project.complaint("web.py:create", f"{ASYNC_APP}def create(debug=False): return app")

    assert message.endswith(': write "web.py:create()".')


def test_an_asgi_app_called_as_a_factory(project: Project) -> None:
    message = project.complaint("web.py:app()", ASYNC_APP)

    assert message.endswith(
        ' needs arguments, and a factory is called without any: write "web.py:app".'
    )


def test_a_wsgi_and_an_asgi_app_in_a_module(project: Project) -> None:
    """Neither goes before the other but by its name."""
    wsgi = "def site(environ, start_response): ...\n"
    message = project.complaint("web.py", ASYNC_APP.replace("app", "other") + wsgi)
    assert "several applications (other, site)" in message

    project.write("other.py", ASYNC_APP + wsgi)
    assert project.load("other.py") == AsgiApp(sys.modules["other"].app)


@pytest.mark.parametrize(
    "source",
    [
        "async def serve(scope, receive): ...",
        "async def serve(websocket, path): ...",
        "async def handler(a, b, c): ...",
        "class Site:\n    async def __call__(self, scope): ...\nsite = Site()",
        "class Site:\n    async def __call__(self, scope, receive, send): ...",  # not an instance
        "class Job:\n    async def __call__(self, *args): ...\njob = Job()",
        "class Job:\n    def __call__(self, a, b, c, d): ...\njob = Job()",
        "class Job:\n    def __call__(self, a, b, c=1, d=2): ...\n_job = Job()",
        "from asgiref.wsgi import WsgiToAsgi",
    ],
)
def test_no_asgi_app(project: Project, source: str) -> None:
    assert "has no application in" in project.complaint("web.py", source)


def test_a_factory_that_is_a_coroutine_function(project: Project) -> None:
    """Python's warning of what is never awaited would be an error here."""
    project.write("web.py", "async def make(): ...\n")
    told = '"web.py:make()" makes a coroutine, which nobody awaits: write "def", without "async".'
    assert project.complaint("web.py:make()", "async def make(): ...\n") == told


@pytest.mark.parametrize(
    "source",
    [
        "async def x(): ...",  # no factory either: what it returns is a coroutine
        "async def x(scope): ...",
        "async def x(scope, receive): ...",
        "async def x(scope, receive, send, more): ...",
        "class X:\n    async def __call__(self, scope): ...\nx = X()",
    ],
)
def test_a_coroutine_with_other_parameters(project: Project, source: str) -> None:
    message = project.complaint("web.py:x", source)

    assert message.endswith(
        ": name a callable that takes (environ, start_response) or (scope, receive, send)."
    )


def test_an_asgi_app_where_the_user_wants_wsgi(project: Project) -> None:
    message = project.complaint("web.py:app", ASYNC_APP, WSGI)

    assert message.endswith(': it is asynchronous (ASGI), which interface = "wsgi" excludes.')


def test_the_interface_that_the_user_says(project: Project) -> None:
    source = "def app(*args): ..."

    assert project.load("web.py:app", source) is sys.modules["web"].app
    assert project.load("web.py:app", interface=ASGI) == AsgiApp(sys.modules["web"].app)
    assert project.load("web.py:app", interface=WSGI) is sys.modules["web"].app


def test_a_wsgi_app_where_the_user_wants_asgi(project: Project) -> None:
    message = project.complaint("web.py:app", APP, ASGI)

    assert message.endswith(
        ': it takes (environ, start_response) (WSGI), which interface = "asgi" excludes.'
    )


@pytest.mark.parametrize("text", ["web.py", "web.py:app", "web.py:create()"])
def test_an_asgi_app_without_what_serves_it(
    project: Project, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_loader, "is_installed", lambda: False)

    with pytest.raises(MissingExtraError) as caught:
        project.load(text, f"{ASYNC_APP}def create(): return app")

    assert str(caught.value) == (
        "this is an ASGI app: install what serves it, with pip install uvicorn websockets, "
        "which is what the extra asgi brings"
    )
    project.write("other.py", APP)
    assert project.served("other.py") == "other"


def test_what_serves_asgi_is_asked_for_by_its_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    with pytest.raises(MissingExtraError):
        project.load("web.py", ASYNC_APP)
