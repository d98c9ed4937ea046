"""`flask dev` as it is typed: what becomes of its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

pytest.importorskip("flask")

from click.testing import CliRunner
from flask.cli import FlaskGroup

from asyncreload import flask as door
from asyncreload import flask_environment
from asyncreload.run_app import Door


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("FLASK_APP", "FLASK_DEBUG", "FLASK_RUN_FROM_CLI", "FLASK_RUN_PORT", "PORT"):
        monkeypatch.setenv(name, "")  # to be put back, whatever is set meanwhile
        monkeypatch.delenv(name)
    return tmp_path


class BecameError(Exception):
    """Stands in for the supervisor."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def become(options: dict[str, Any], door: Door) -> NoReturn:
        asked.extend((options, door))
        raise BecameError

    monkeypatch.setattr(door, "become_supervisor", become)
    return asked


def flask(monkeypatch: pytest.MonkeyPatch, *arguments: str, code: int = 1) -> str:
    monkeypatch.setattr("sys.argv", ["flask", *arguments])
    group = FlaskGroup(name="flask")
    result = CliRunner().invoke(group, list(arguments))
    assert result.exit_code == code
    return result.output


def test_who_types_it_becomes_the_supervisor(
    became: list[Any], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "more").write_text("X=1\n")
    (directory / ".flaskenv").write_text("FLASK_RUN_PORT=7000\n")
    ours = ("--live", "--editor", "vscode", "--trust", "10.0.0.1", "--trust", "docker")
    given = ("--extra-files", "a:b", "--without-threads", *ours)
    flask(monkeypatch, "-A", "shop", "-e", "more", "dev", *given)
    options, asked = became
    assert asked.title == "shop"
    assert asked.script == ()  # it is not Flask's own command that runs: it is run again as it is
    assert asked.usual == {"port": 5000}
    assert asked.watch == tuple(str(directory / name) for name in (".flaskenv", ".env", "more"))
    assert options == {
        "port": 7000,
        "live": True,
        "editor": "vscode",
        "trust": ("10.0.0.1", "docker"),
        "threads": 1,
        "watch": (str(directory / "a"), str(directory / "b")),
    }


def test_variables_switch_off_the_reload_and_debug_mode(
    became: list[Any], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(door, "serve_here", lambda *given: served.append(given))
    (directory / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    monkeypatch.syspath_prepend(directory)
    monkeypatch.setenv("FLASK_RUN_RELOAD", "0")
    monkeypatch.setenv("FLASK_RUN_DEBUG", "0")
    flask(monkeypatch, "dev", code=0)
    assert became == []
    assert os.environ["FLASK_DEBUG"] == "0"
    assert len(served) == 1


def test_what_is_not_given_is_left_to_others(
    became: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    flask(monkeypatch, "-A", "shop", "dev")
    assert became[0] == {}
    became.clear()
    flask(monkeypatch, "-A", "shop", "dev", "-p", "5000", "-h", "::1", "--live", "--with-threads")
    assert became[0] == {"host": "::1", "port": 5000, "live": True, "threads": 64}
    became.clear()
    flask(monkeypatch, "-A", "shop", "dev", "--no-live", "--exclude-patterns", "a:b")
    assert became[0] == {"live": False, "ignore": ("a", "b")}


def test_tls_is_refused_with_what_to_do(became: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    told = flask(monkeypatch, "dev", "--cert", "adhoc", "--port", "5001", code=2)
    assert "asyncreload serves no TLS" in told
    assert '"caddy reverse-proxy --from localhost:8443 --to 127.0.0.1:5001"' in told
    assert became == []


def test_tls_that_the_environment_asks_for_is_refused_as_well(
    became: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the app would be served, and without it."""
    monkeypatch.setenv("FLASK_RUN_CERT", "adhoc")
    assert "asyncreload serves no TLS" in flask(monkeypatch, "dev", code=2)
    assert became == []


def test_the_variables_of_flask_run_count(
    became: list[Any], monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    for name, value in (("WITH_THREADS", "0"), ("EXTRA_FILES", "a"), ("EXCLUDE_PATTERNS", "b")):
        monkeypatch.setenv(f"FLASK_RUN_{name}", value)
    flask(monkeypatch, "-A", "shop", "dev")
    assert became[0] == {"threads": 1, "watch": (str(directory / "a"),), "ignore": ("b",)}


@pytest.mark.parametrize(("option", "value"), [("--debug", "1"), ("--no-debug", "0")])
def test_debug_mode_may_be_said_behind_the_command(
    became: list[Any], monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    """As `flask run --debug` has it; the child is run with the same arguments."""
    monkeypatch.setenv("FLASK_DEBUG", "0" if value == "1" else "1")
    flask(monkeypatch, "-A", "shop", "dev", option)
    assert os.environ["FLASK_DEBUG"] == value
    assert became[0] == {}


def test_what_the_user_can_mend_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told = flask(monkeypatch, "dev", "--port", "99999", code=2)
    assert told == "Error: port must be a whole number from 0 to 65535, not 99999\n"


def test_what_was_read_from_environment_files_is_forgotten(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child reads them afresh, and they may have changed by then."""
    pytest.importorskip("dotenv")
    (directory / ".flaskenv").write_text("READ=one\nSET=by the file\n")
    (directory / "named").write_text("NAMED=two\n")
    for name, value in (("READ", "one"), ("SET", "before"), ("NAMED", "two")):
        monkeypatch.setenv(name, value)
    flask_environment.forget(str(directory), "named")
    assert {"READ", "NAMED"}.isdisjoint(os.environ)
    assert os.environ["SET"] == "before"
