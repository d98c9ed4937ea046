"""What is read out of an ini file before anything of the project is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncreload.cli import _asked
from asyncreload.ini_files import address_in, files_of, is_ini


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("development.ini", True),
        ("conf/a.ini#admin", True),
        ("app.py", False),
        ("ini", False),
        ("", False),
    ],
)
def test_an_ini_file_by_its_name(target: str, *, expected: bool) -> None:
    assert is_ini(target) is expected


def test_what_it_includes_is_found_once_and_through_others(directory: Path) -> None:
    (directory / "conf").mkdir()
    first = "[app:main]\nuse = config:conf/base.ini\n[composite:x]\n/api = config:api.ini#main\n"
    (directory / "development.ini").write_text(first)
    base = "[app:main]\nuse = config:%(here)s/more.ini\nthen = config:../development.ini\n"
    (directory / "conf" / "base.ini").write_text(base)
    names = ("development.ini", "api.ini", "conf/base.ini", "conf/more.ini")
    assert files_of("development.ini") == [str(directory / name) for name in names]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("listen = localhost:6543", {"host": "localhost", "port": 6543}),
        ("listen = 127.0.0.1:6543 [::1]:6543", {"host": "127.0.0.1", "port": 6543}),
        ("listen = [::1]:6543", {"host": "::1", "port": 6543}),
        ("listen = *:6543", {"host": "0.0.0.0", "port": 6543}),
        ("host = ::\nport = 80", {"host": "::", "port": 80}),
        ("port = %(http_port)s", {}),
        ("use = egg:waitress", {}),
        ("a mistake", {}),
    ],
)
def test_where_to_listen(directory: Path, section: str, expected: dict[str, Any]) -> None:
    (directory / "a.ini").write_text(f"[server:main]\n{section}\n")
    assert address_in("a.ini#admin") == expected


def test_what_is_typed_counts_more(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "a.ini").write_text("[server:main]\nlisten = ::1:6543\n")
    assert _asked(["a.ini"]) == {
        "host": "::1",
        "port": 6543,
        "access_log": True,
        "target": "a.ini",
    }
    assert _asked(["a.ini", "--port", "1"])["port"] == 1
    monkeypatch.setenv("PORT", "2")
    assert _asked(["a.ini"])["port"] == 6543  # as `pserve` has it, which knows no PORT
    (directory / "pyproject.toml").write_text('[tool.asyncreload]\nport = 3\nhost = "::"\n')
    asked = _asked(["a.ini"])
    assert (asked["host"], asked["port"]) == ("::1", 6543)
    (directory / "a.ini").write_text("[server:main]\nhost = 127.0.0.1\n")
    asked = _asked(["a.ini"])
    assert (asked["host"], asked["port"]) == ("127.0.0.1", 3)
