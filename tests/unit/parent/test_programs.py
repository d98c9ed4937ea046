"""Targets that a program of ours serves in the child."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncreload.errors import TargetError
from asyncreload.parent.supervisor import _with_program
from asyncreload.settings import Settings


def test_an_ini_file_is_served_by_the_door_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.ini").touch()
    settings = _with_program(Settings(target="a.ini#admin"), str(tmp_path))
    assert settings.script == ("-m", "asyncreload.paste", "a.ini#admin")
    with pytest.raises(TargetError, match=r'There is no file "b\.ini" in .*: check the name\.'):
        _with_program(Settings(target="b.ini"), str(tmp_path))


def test_what_is_a_program_already_stays_so() -> None:
    settings = Settings(target="a.ini", script=("x.py",))
    assert _with_program(settings, "/nowhere") is settings
    assert _with_program(other := Settings(target="app.py"), "/nowhere") is other
