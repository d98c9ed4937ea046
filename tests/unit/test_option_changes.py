"""Options that are changed in pyproject.toml while the server runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncreload.option_changes import OptionChanges

CHANGED = (
    "options in pyproject.toml changed; they are read at the start: "
    "stop the server and start it again"
)
LIVE = "[tool.asyncreload]\nlive = true\n"


def test_each_change_of_an_option_is_told_once(tmp_path: Path) -> None:
    changes = OptionChanges.in_pyproject(str(tmp_path))
    assert not changes.look()
    (file := tmp_path / "pyproject.toml").write_text(LIVE)
    assert changes.look() == CHANGED
    assert not changes.look()
    file.write_text(f"{LIVE}port = 1\n")
    assert changes.look() == CHANGED


@pytest.mark.parametrize("text", [LIVE, f"# about\n{LIVE}", f"{LIVE}[project]\nname = 'x'\n"])
def test_what_is_as_at_the_start_is_not_told(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "pyproject.toml").write_text(LIVE)
    changes = OptionChanges.in_pyproject(str(tmp_path))
    file.write_text(f"{LIVE}port = 1\n")
    assert changes.look() == CHANGED
    file.write_text(text)
    assert not changes.look()


def test_what_the_next_start_would_refuse_is_told(tmp_path: Path) -> None:
    (file := tmp_path / "pyproject.toml").write_text(LIVE)
    changes = OptionChanges.in_pyproject(str(tmp_path))
    file.write_text("[tool.asyncreload]\nlve = true\n")
    told = 'in [tool.asyncreload], there is no option "lve": did you mean "live"?'
    assert changes.look() == f"{file}: {told}"
    file.unlink()
    assert changes.look() == CHANGED


def test_the_address_in_an_ini_file_counts_and_nothing_else_in_it(tmp_path: Path) -> None:
    (file := tmp_path / "development.ini").write_text("[server:main]\nlisten = localhost:6543\n")
    changes = OptionChanges.in_ini(f"{file}#admin")
    file.write_text("[server:main]\nport = 6543\nhost = localhost\n[app:main]\nuse = x\n")
    assert not changes.look()
    file.write_text("[server:main]\nlisten = localhost:6544\n")
    assert changes.look() == CHANGED.replace("pyproject.toml", "development.ini")
    file.write_text("[server:main\n")  # which the load tells
    assert not changes.look()
    file.write_text("[server:main]\nlisten = localhost:6544\n")
    assert not changes.look()
