"""The server for `bottle.run`: what it hands to `run`, and what it does to Bottle's reloader."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncreload import process_role

bottle = pytest.importorskip("bottle")
door = pytest.importorskip("asyncreload.bottle")


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> process_role._Role:
    role = process_role._Role()
    monkeypatch.setattr(process_role, "_role", role)
    monkeypatch.delenv("BOTTLE_CHILD", raising=False)
    return role


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, role: process_role._Role) -> list[Any]:
    asked: list[Any] = []

    def serve(app: Any, given: Any, *, reload: bool, usual: Any) -> None:
        asked.append((app, given, reload, usual))

    monkeypatch.setattr(door, "serve_script", serve)
    return asked


def test_options_are_those_of_the_command(
    asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    app = bottle.Bottle()
    bottle.run(app, server="asyncreload.bottle:Server", host="::1", port=81, live=True)
    address = {"host": "::1", "port": 81}
    assert asked == [(app, address | {"live": True}, True, address)]
    assert capsys.readouterr() == ("", "")  # what Bottle says of itself is not so


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_is_heeded(
    asked: list[Any], capsys: pytest.CaptureFixture[str], *, quiet: bool
) -> None:
    bottle.run(bottle.Bottle(), server="asyncreload.bottle:Server", quiet=quiet)
    (_, given, _, _), *_ = asked
    assert given == ({"quiet": True} if quiet else {})
    assert capsys.readouterr() == ("", "")


def test_bottles_own_address_is_none_that_somebody_has_named(asked: list[Any]) -> None:
    app = bottle.Bottle()
    bottle.run(app, server="asyncreload.bottle:Server", reload=False)
    assert asked == [(app, {}, False, {"host": "127.0.0.1", "port": 8080})]


def test_bottles_thread_is_put_to_rest(
    asked: list[Any], role: process_role._Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    role.serve = print  # type: ignore[assignment]
    role.for_framework = cast("Any", SimpleNamespace(notice=told.append))
    monkeypatch.setenv("BOTTLE_CHILD", "true")
    looks = bottle.FileCheckerThread("", 60)
    ended = threading.Event()
    monkeypatch.setattr(looks, "run", lambda: ended.wait(5))

    with looks:
        looks.status = None
        door.Server().run(bottle.Bottle())
        assert looks.status == "exit"
    assert looks.is_alive()  # nobody has waited for it
    ended.set()
    threading.Thread.join(looks)
    (only,) = told
    assert only.endswith("leave it out, asyncreload.bottle:Server reloads without it")


def test_before_that_it_ends_with_bottles_first_process(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[bool] = []
    monkeypatch.setattr(door, "end_at_parents_end", lambda: bound.append(True))
    door.Server().run(bottle.Bottle())
    assert bound == []
    monkeypatch.setenv("BOTTLE_CHILD", "true")
    door.Server().run(bottle.Bottle())
    assert bound == [True]


def test_nothing_behind_it_is_run_in_a_child(
    role: process_role._Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(door, "serve_script", interrupt)
    bottle.run(bottle.Bottle(), server=door.Server)  # by a person
    role.serve = print  # type: ignore[assignment]
    with pytest.raises(SystemExit) as ended:
        bottle.run(bottle.Bottle(), server=door.Server)
    assert isinstance(ended.value.__cause__, KeyboardInterrupt)  # an interrupt, no failed load
