"""What plain `asyncreload` serves, and in which order it looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncreload import discovery, flask_environment
from asyncreload.cli import _asked
from asyncreload.discovery import Found, discover, has_app
from asyncreload.errors import SettingsError

APP = "def app(environ, start_response): ...\n"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("FLASK_APP", "FLASK_SKIP_DOTENV", "PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def lay_out(*names: str, source: str = APP) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(source)


def taken(directory: str = "") -> str:
    found = discover(directory)
    return found.target if found else ""


# Each is left away in turn: what comes next is taken.
IN_ORDER = [
    ".flaskenv",
    "manage.py",
    "app.py",
    "app/__init__.py",
    "app/main.py",
    "wsgi.py",
    "asgi.py",
    "main.py",
    "api.py",
    "src/app.py",
    "src/wsgi/__init__.py",
    "src/api.py",
]


def test_the_order() -> None:
    lay_out(*IN_ORDER)
    Path(".flaskenv").write_text("FLASK_APP=shop\n")
    seen = []
    for name in IN_ORDER:
        seen.append(taken())
        # A package stays one, for what is in it.
        Path(name).write_text("") if name.endswith("__init__.py") else Path(name).unlink()
    spelled = {
        ".flaskenv": "shop",
        "app/__init__.py": "./app",
        "src/wsgi/__init__.py": "./src/wsgi",
    }
    assert seen == [spelled.get(name, name) for name in IN_ORDER]
    assert taken() == ""


def test_what_fastapi_dev_would_serve() -> None:
    """https://fastapi.tiangolo.com/fastapi-cli/: here, but not in a directory that is named."""
    lay_out("app.py", "other/app.py")
    for path in ("pyproject.toml", "other/pyproject.toml"):
        Path(path).write_text('[tool.fastapi]\nentrypoint = "shop.main:api"\n')
    assert discover() == Found("shop.main:api", "named in [tool.fastapi] of pyproject.toml")
    assert taken("other") == "other/app.py"


@pytest.mark.parametrize("text", ["[tool", "[tool.fastapi]", "[tool.fastapi]\nentrypoint = 1", ""])
def test_what_names_nothing_for_fastapi_is_passed_over(text: str) -> None:
    lay_out("app.py")
    Path("pyproject.toml").write_text(text)
    assert taken() == "app.py"


def test_flask_app_is_served_by_flask_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_APP", "shop:create('x')")
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    found = Found("shop:create('x')", "named by FLASK_APP", ("-m", "flask", "dev", "--found"))
    assert discover() == found


def test_flask_app_means_nothing_elsewhere_or_without_flask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLASK_APP", "shop")
    lay_out("sub/app.py", "app.py")
    assert taken("sub") == "sub/app.py"
    monkeypatch.setattr(discovery, "find_spec", lambda name: None)
    assert taken() == "app.py"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("app = Flask(__name__)", True),
        ("application: Any = make()", True),
        ("a = app = make()", True),
        ("app, db = make()", True),
        ("from .site import app", True),
        ("from .site import site as app", True),
        ("def create_app(): ...", True),
        ("async def app(scope, receive, send): ...", True),
        ("if True:\n    app = 1", True),
        ("try:\n    app = 1\nexcept E: ...", True),
        ("a mistake", True),
        ("", False),
        ("from .site import app as other", False),
        ("def f():\n    app = 1", False),
        ("apps = {}", False),
    ],
)
def test_a_source_is_read_for_an_app(source: str, *, expected: bool) -> None:
    lay_out("x.py", source=source)
    assert has_app("x.py") is expected


def go_below(directory: Path, environment: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go into a directory below that of a .flaskenv; return it."""
    (directory / ".flaskenv").write_text(environment)
    sub = directory / "sub"
    sub.mkdir()
    monkeypatch.chdir(sub)
    return sub


def test_a_flask_app_that_is_not_read_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_below(directory, "A=1\nexport FLASK_APP = shop\n", monkeypatch)
    monkeypatch.setattr(flask_environment, "find_spec", lambda _name: None)
    told = "FLASK_APP in .flaskenv is not read, as python-dotenv is not installed"
    with pytest.raises(SettingsError, match=told):
        _asked([])
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    with pytest.raises(SettingsError, match="or in src/: name what to serve"):
        _asked([])


def test_what_has_an_app_comes_before_what_has_none() -> None:
    lay_out("app.py", "app/__init__.py", source="")
    assert taken() == "app.py"
    lay_out("src/main.py")
    assert taken() == "src/main.py"
    lay_out("app/asgi.py")
    assert taken() == "app/asgi.py"


def test_the_command_says_what_it_took() -> None:
    lay_out("src/api.py")
    assert _asked([]) == {
        "access_log": True,
        "target": "src/api.py",
        "note": "took src/api.py, found in src",
    }
    assert _asked(["src"])["note"] == "took src/api.py, found in src"
    assert _asked(["."])["note"] == "took src/api.py, found in src"


def test_a_target_is_taken_as_it_is() -> None:
    lay_out("app.py", "shop/app.py", "shop.py", "pkg/__init__.py")
    for target in ("app.py", "shop", "pkg", "nowhere"):
        assert _asked([target])["target"] == target


def test_environment_files_are_watched_those_to_come_as_well(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sub = go_below(directory, "FLASK_APP=shop\n", monkeypatch)
    asked = _asked(["--watch", "x"])
    assert asked["target"] == "shop"
    assert asked["script"] == ("-m", "flask", "dev", "--found")
    files = (sub / ".flaskenv", sub / ".env", directory / ".flaskenv")
    assert asked["watch"] == (*map(str, files), "x")
    (directory / ".env").write_text("FLASK_APP=other\n")
    assert _asked([])["target"] == "other"
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    (sub / "app.py").write_text(APP)
    assert _asked([])["target"] == "app.py"


def test_the_port_of_the_environment_counts_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")
    assert _asked(["app.py"])["port"] == 9001
    assert _asked(["app.py", "--port", "1"])["port"] == 1
    Path("pyproject.toml").write_text("[tool.asyncreload]\nport = 2\n")
    assert _asked(["app.py"])["port"] == 2
    Path("pyproject.toml").unlink()
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(SettingsError, match="PORT in the environment must be a whole number"):
        _asked(["app.py"])
