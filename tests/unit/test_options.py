"""Settings as options: of the command line and of pyproject.toml."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from asyncreload import config
from asyncreload.cli import _parse, configured
from asyncreload.errors import SettingsError
from asyncreload.options import options_of
from asyncreload.printing import Voice
from asyncreload.settings import Settings

OPTIONS = options_of(Settings, Voice)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One field of each kind."""

    name: str
    """What it is."""
    plain: str = "x"
    on: bool = True
    """Do it. Or not."""
    some_files: tuple[str, ...] = field(default=(), metadata={"path": True, "metavar": "FILE"})
    """Over
    two lines."""
    loud: bool = field(default=False, metadata={"command": True})
    ours: int = field(default=0, metadata={"internal": True})


def test_a_field_tells_all_that_an_option_needs() -> None:
    options = options_of(Example)
    assert {name: option.spelled for name, option in options.items()} == {
        "name": "NAME",
        "plain": "--plain PLAIN",
        "on": "--no-on",
        "some_files": "--some-files FILE",
        "loud": "--no-loud",
    }
    assert options["some_files"].meaning == "Over two lines."
    assert options["plain"].meaning == ""
    assert [name for name, option in options.items() if option.repeats] == ["some_files"]


def test_every_setting_is_an_option_that_says_what_it_means() -> None:
    internal = {"script", "door"}
    expected = {field.name for owner in (Settings, Voice) for field in fields(owner)} - internal
    assert set(OPTIONS) == expected
    assert all(option.meaning.endswith(".") for option in OPTIONS.values())


# --- pyproject.toml --------------------------------------------------------------------------


def read(directory: Path, text: str) -> dict[str, Any]:
    path = directory / "pyproject.toml"
    path.write_text(text)
    return config.read(str(path), OPTIONS)


def table(directory: Path, text: str) -> dict[str, Any]:
    return read(directory, f"[tool.asyncreload]\n{text}\n")


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    assert config.find(str(inner)) in {None, "/pyproject.toml"}
    for place in (tmp_path, tmp_path / "a"):
        (place / "pyproject.toml").touch()
        assert config.find(str(inner)) == str(place / "pyproject.toml")
    (tmp_path / "a" / "b" / "pyproject.toml").mkdir()
    assert config.find(str(inner)) == str(tmp_path / "a" / "pyproject.toml")


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'", "[tool.other]\nport = 1"])
def test_a_file_may_have_nothing_for_us(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == {}


def test_values_have_the_names_and_the_types_of_the_options(tmp_path: Path) -> None:
    text = """\
target = "shop:app"
port = 0
interval = 1
grace = 0.5
access-log = false
standby = true
quiet = true
env_file = [".env", "/etc/x.env"]
"""
    assert table(tmp_path, text) == {
        "target": "shop:app",
        "port": 0,
        "interval": 1,
        "grace": 0.5,
        "access_log": False,
        "standby": True,
        "quiet": True,
        "env_file": (str(tmp_path / ".env"), "/etc/x.env"),
    }


def test_the_home_directory_is_not_looked_for_below_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert table(tmp_path, 'watch = ["~/a"]\nenv_file = ["~/b"]') == {
        "watch": ("/home/somebody/a",),
        "env_file": ("/home/somebody/b",),
    }


def test_a_single_value_needs_no_list(tmp_path: Path) -> None:
    assert table(tmp_path, 'env-file = ".env"') == {"env_file": (str(tmp_path / ".env"),)}


BAD = [
    ("prot = 1", 'there is no option "prot": did you mean "port"?'),
    ("access_logs = true", 'there is no option "access_logs": did you mean "access_log"?'),
    ("script = ['x']", f'there is no option "script"; there are {", ".join(OPTIONS)}'),
    ('port = "80"', "port must be a whole number, not '80'"),
    ("port = true", "port must be a whole number, not true"),
    ("checkpoints = false", "checkpoints must be a whole number, not false: write 0 for none"),
    ("port = 1.5", "port must be a whole number, not 1.5"),
    ("standby = 1", "standby must be true or false, not 1"),
    ("target = []", "target must be a text, not []"),
    ("grace = 'x'", "grace must be a number, not 'x'"),
    ("env_file = [1]", "env_file must be a list of texts, not [1]"),
    ("env_file = {}", "env_file must be a list of texts, not {}"),
    ("port = 99999", "port must be a whole number from 0 to 65535, not 99999"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_cannot_work_is_told_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        table(tmp_path, text)
    place = tmp_path / "pyproject.toml"
    assert str(caught.value) == f"{place}: in [tool.asyncreload], {message}"


@pytest.mark.parametrize("text", ["[tool", "x = = 1", "\udcff"])
def test_what_is_no_toml_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError) as caught:
        config.read(str(path), OPTIONS)
    assert str(caught.value).startswith(f"cannot read {path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\nasyncreload = 1", "[[tool.asyncreload]]"])
def test_what_should_be_a_table_is_one_or_an_error(text: str, tmp_path: Path) -> None:
    if text == "tool = 1":
        assert read(tmp_path, text) == {}
        return
    with pytest.raises(SettingsError, match="must be a table"):
        read(tmp_path, text)


# --- both ------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with options of its own, one directory above the current one."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.asyncreload]\n"
        'target = "shop.py"\nport = 9000\nstandby = false\nquiet = true\nenv_file = ".env"\n'
    )
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    return tmp_path


def asked(project: Path, line: str) -> dict[str, Any]:
    return configured(_parse(line.split()), str(project / "inner"))


def test_plain_asyncreload_serves_the_target_of_the_project(project: Path) -> None:
    (project / "shop.py").touch()
    assert asked(project, "") == {
        "target": "shop.py",
        "port": 9000,
        "standby": False,
        "quiet": True,
        "access_log": False,
        "env_file": (str(project / ".env"),),
    }
    assert os.getcwd() == str(project)


def test_the_command_line_wins(project: Path) -> None:
    line = "app.py --port 1 --standby --env-file a --env-file /b --verbose"
    assert asked(project, line) == {
        "target": "app.py",
        "port": 1,
        "standby": True,
        "verbose": True,
        "access_log": True,
        "env_file": (str(project / "inner" / "a"), "/b"),
    }
    assert os.getcwd() == str(project / "inner")


@pytest.mark.parametrize(
    ("line", "logged"),
    [
        ("", True),
        ("--no-access-log", False),
        ("--quiet", False),
        ("--quiet --access-log", True),
        ("--no-quiet", True),
    ],
)
def test_quiet_is_quiet_about_requests_too(line: str, logged: bool, tmp_path: Path) -> None:  # noqa: FBT001  a parameter
    given = _parse(["app.py", *line.split()])
    assert configured(given, str(tmp_path))["access_log"] is logged


@pytest.mark.parametrize("text", ["static", Path("static")])
def test_a_single_text_is_one_text(text: object, tmp_path: Path) -> None:
    """Not its letters: `*` of `*.log` would be all files."""
    placed = OPTIONS["ignore"].placed(text, str(tmp_path))
    assert placed == (f"{tmp_path}/**/static",)
    assert OPTIONS["trust"].placed("10.0.0.1", str(tmp_path)) == ("10.0.0.1",)
    assert OPTIONS["watch"].placed(3, str(tmp_path)) == 3  # which is refused later
