"""Every option with every value that cannot work, and what is said of it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from asyncreload import config, settings
from asyncreload.errors import AsyncreloadError, SettingsError
from asyncreload.options import options_of
from asyncreload.settings import Options, Settings

PORT = "port must be a whole number from 0 to 65535, not {}"
THREADS = "threads must be a whole number from 1 to 1024, not {}"
INTERVAL = "interval must be from 0.01 to 3600 seconds, not {}"
GRACE = "grace must be from 0 to 3600 seconds, not {}"
NO_NETWORK = "is no address or network: name one, as 192.168.0.7 or 10.0.0.0/8, or docker"

BAD: list[tuple[str, Any, str]] = [
    ("target", None, "target must be text, not None"),
    ("target", b"app.py", "target must be text, not b'app.py'"),
    ("target", "a\0.py", r"target must be text, not 'a\x00.py'"),
    ("interface", "wsig", "interface must be auto, wsgi or asgi, not 'wsig'"),
    ("preload", "all", "preload must be packages or interpreter, not 'all'"),
    ("preload", None, "preload must be packages or interpreter, not None"),
    ("preload", [], "preload must be packages or interpreter, not []"),
    ("env_file", 1, "env_file must be a list of texts, not 1"),
    ("env_file", (1,), "env_file must be a list of texts, not (1,)"),
    ("env_file", ("",), "env_file must not have an empty text in it"),
    ("watch", ("a\0b",), "watch must be a list of texts; 'a\\x00b' is none"),
    ("watch", "!a", "watch: no pattern begins with !, as '!a': use ignore for 'a'"),
    ("ignore", ["!a"], "ignore: no pattern begins with !, as '!a': use ignore for 'a'"),
    ("trust", 1, "trust must be a list of texts, not 1"),
    ("trust", ("",), "trust must not have an empty text in it"),
    ("trust", ("docker", "mybox"), f"trust: 'mybox' {NO_NETWORK}"),
    ("trust", "10.0.0.0/8,::1", f"trust: '10.0.0.0/8,::1' {NO_NETWORK}"),
    (
        "trust",
        ["10.0.0.1/8"],
        "trust: '10.0.0.1/8' is not where a network begins: name 10.0.0.0/8, or 10.0.0.1 alone",
    ),
    ("live", 1, "live must be True or False, not 1"),
    ("standby", None, "standby must be True or False, not None"),
    ("host", "", "host must not be empty"),
    ("host", 127, "host must be text, not 127"),
    ("host", None, "host must be text, not None"),
    ("host", "localhost\0", r"host must be text, not 'localhost\x00'"),
    *(("port", value, PORT.format(repr(value))) for value in (-1, 65536, True, False, "80", 80.0)),
    ("port", None, PORT.format(None)),
    *(("threads", value, THREADS.format(repr(value))) for value in (0, -1, 1025, True, "4", 4.0)),
    *(
        ("interval", value, INTERVAL.format(repr(value)))
        for value in (0, 0.009, -1, 3600.1, math.nan, math.inf, -math.inf, True, "1", None, 1j)
    ),
    *(
        ("grace", value, GRACE.format(repr(value)))
        for value in (-0.001, 3601, math.nan, math.inf, False, "5", None)
    ),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_a_value_that_cannot_work_is_named_with_the_remedy(
    name: str, value: Any, message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**({"target": "app.py"} | {name: value}))
    assert str(caught.value) == message
    assert isinstance(caught.value, AsyncreloadError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", ""),
        ("host", "::"),
        ("port", 0),
        ("port", 65535),
        ("threads", 1),
        ("threads", 1024),
        ("interval", 0.01),
        ("interval", 3600),
        ("grace", 0),
        ("preload", "interpreter"),
        ("trust", ()),
        ("trust", ("docker", "192.168.0.7", "10.0.0.0/8", "fd00::/8")),
        ("standby", False),
        ("grace", 3600.0),
    ],
)
def test_the_ends_of_each_range_work(name: str, value: Any) -> None:
    settings = Settings(**({"target": "app.py"} | {name: value}))
    assert getattr(settings, name) == value


@pytest.mark.parametrize(
    ("name", "value"), [("interval", 10**400), ("port", 10**5000)], ids=["interval", "port"]
)
def test_a_number_beyond_all_bounds_is_refused_like_others(name: str, value: Any) -> None:
    with pytest.raises(SettingsError):
        Settings(**({"target": "app.py"} | {name: value}))


def test_the_defaults() -> None:
    assert dataclasses.asdict(Settings(target="app.py")) == {
        "target": "app.py",
        "host": "127.0.0.1",
        "port": 8000,
        "trust": (),
        "editor": "",
        "interval": 0.1,
        "grace": 5.0,
        "interface": "auto",
        "threads": 64,
        "standby": True,
        "preload": "packages",
        "watch": (),
        "ignore": (),
        "inotify": True,
        "checkpoints": 4,
        "keep": (),
        "refresh": (),
        "live": False,
        "env_file": (),
        "access_log": False,
        "script": (),
        "door": "",
    }


def test_settings_are_frozen() -> None:
    settings = Settings(target="app.py")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
    assert settings.port == 8000


def test_options_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Settings("app.py")  # type: ignore[call-arg]


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError):
        Settings(target="app.py", prot=1)  # type: ignore[call-arg]


def test_without_python_dotenv_its_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda _name: None)
    Settings(target="app.py")
    with pytest.raises(SettingsError) as caught:
        Settings(target="app.py", env_file=(".env",))
    assert str(caught.value) == (
        "env_file needs python-dotenv: install it with pip install 'asyncreload[dotenv]'"
    )


def test_settings_travel_as_json() -> None:
    asked = Settings(target="app.py", env_file=("a", "b"), trust=("::1",), script=("app.py", "-v"))
    assert Settings.from_json(json.loads(json.dumps(dataclasses.asdict(asked)))) == asked


def test_the_options_for_type_checkers_are_the_fields() -> None:
    assert {*Options.__annotations__} == {
        each.name
        for each in dataclasses.fields(Settings)
        if each.name != "target" and "internal" not in each.metadata
    }


def test_an_unknown_option_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of("app.py", {"prot": 1})
    assert str(caught.value) == 'there is no option "prot": did you mean "port"?'
    with pytest.raises(
        SettingsError, match=r'^there is no option "colour": see asyncreload\.Settings$'
    ):
        Settings.of("app.py", {"colour": 1})


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("reload", "it always reloads, so leave that out"),  # and not "preload"
        ("workers", "one process answers; for WSGI, threads says how many requests at a time"),
        ("reload_dir", "imported modules are watched by themselves, others with watch"),
        ("timeout_graceful_shutdown", "that is grace here, in seconds"),
        ("debug", "turn it on in the app, as by app.debug = True or bottle.debug(True)"),
    ],
)
def test_an_option_of_other_servers_is_answered_with_what_to_do(
    name: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of("app.py", {name: True})
    assert str(caught.value) == f'there is no option "{name}": {remedy}'
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.asyncreload]\n{name} = true\n")
    with pytest.raises(SettingsError, match=re.escape(f'there is no option "{name}": {remedy}')):
        config.read(str(path), options_of(Settings))
