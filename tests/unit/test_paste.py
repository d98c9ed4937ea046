"""The door for `pserve`: what becomes of `[server:main]`, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from asyncreload import paste, process_role
from asyncreload.errors import TargetError
from asyncreload.settings import Settings

APP: Any = object()


class BecameError(Exception):
    """Stands in for the supervisor."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def become(*arguments: Any) -> NoReturn:
        asked.extend(arguments)
        raise BecameError

    monkeypatch.setattr(paste, "become_supervisor", become)
    return asked


def serve(file: Path, **section: str) -> None:
    paste.serve(APP, {"__file__": str(file)}, **section)


def test_options_of_the_section(became: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "a[1].ini"
    file.write_text("[app:main]\nuse = config:base.ini\n")
    with pytest.raises(BecameError):
        serve(file, listen="localhost:81", live="true", threads="2", grace="0.5", watch="a b")
    options, door = became
    assert door.title == "a[1].ini"
    assert door.script == ()
    assert door.watch == (str(tmp_path / "a[[]1].ini"), str(tmp_path / "base.ini"))
    assert options == {
        "host": "localhost",
        "port": 81,
        "live": True,
        "threads": 2,
        "grace": 0.5,
        "watch": ("a", "b"),
    }


def test_pserve_itself_is_run_as_a_module(
    became: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pserve = SimpleNamespace(main=object())
    monkeypatch.setitem(sys.modules, "pyramid.scripts.pserve", pserve)
    monkeypatch.setitem(sys.modules, "__main__", pserve)
    monkeypatch.setattr("sys.argv", ["/bin/pserve", "a.ini"])
    with pytest.raises(BecameError):
        serve(tmp_path / "a.ini")
    assert became[1].script == ("-m", "pyramid.scripts.pserve", "a.ini")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"live": "yes"}, "live must be true or false, not 'yes'"),
        ({"threads": "x"}, "threads must be a number, not 'x'"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    became: list[Any], tmp_path: Path, section: dict[str, str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        serve(tmp_path / "a.ini", **section)
    assert str(caught.value) == f"asyncreload: error: {message}"


def test_an_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match='there is no option "url_scheme"'):
        serve(tmp_path / "a.ini", url_scheme="https")


def test_pserves_own_reloader_is_refused(
    became: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hupper", SimpleNamespace(is_active=lambda: True))
    with pytest.raises(SystemExit, match="leave --reload out"):
        serve(tmp_path / "a.ini")
    assert became == []


@pytest.mark.parametrize("end_of_child", [SystemExit(3), KeyboardInterrupt()])
def test_a_child_serves_and_watches_and_ends_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end_of_child: BaseException
) -> None:
    def end(app: Any) -> NoReturn:
        assert app is APP
        raise end_of_child

    watched: list[str] = []
    child = SimpleNamespace(
        is_live=False, watch=watched.append, started_with=Settings(target="", script=("pserve",))
    )
    monkeypatch.setattr(process_role, "_role", process_role._Role(end, cast("Any", child)))
    with pytest.raises(BaseException) as caught:  # of a kind that nobody catches
        serve(tmp_path / "a.ini")
    assert not isinstance(caught.value, Exception | SystemExit | KeyboardInterrupt)
    assert watched == [str(tmp_path / "a.ini")]


def test_without_pastedeploy_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paste, "find_spec", lambda name: None)
    with pytest.raises(TargetError, match='install it with "pip install plaster_pastedeploy"'):
        paste.main("a.ini")
