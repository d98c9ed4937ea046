"""The files that were changed last are found soon, however many others there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncreload.parent import recent_files as module
from asyncreload.parent.recent_files import recent_files


def write(root: Path, name: str, age: int) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, ns=(0, 1_000_000_000 * (1000 - age)))
    return str(path)


def test_those_that_were_changed_last_come_first(tmp_path: Path) -> None:
    old, young = write(tmp_path, "old.py", 9), write(tmp_path, "shop/views/young.py", 1)
    write(tmp_path, "shop/page.html", 0)
    middle = write(tmp_path, "shop/__init__.py", 5)
    assert recent_files(str(tmp_path), 2) == [young, middle]
    assert recent_files(str(tmp_path), 9) == [young, middle, old]


def test_what_is_not_the_projects_own_is_left_out(tmp_path: Path) -> None:
    own = write(tmp_path, "app.py", 9)
    write(tmp_path, ".git/hook.py", 0)
    write(tmp_path, "site-packages/lib.py", 0)
    write(tmp_path, "env/lib.py", 0)
    (tmp_path / "env/pyvenv.cfg").touch()
    assert recent_files(str(tmp_path), 9) == [own]


def test_packages_are_found_below_directories_without_code(tmp_path: Path) -> None:
    found = write(tmp_path, "backend/src/shop/views.py", 0)
    assert recent_files(str(tmp_path), 1) == [found]


def test_thousands_of_translations_do_not_hide_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Wagtail, where more than 2,000 directories hold them."""
    monkeypatch.setattr(module, "MOST_DIRECTORIES", 50)
    young = write(tmp_path, "shop/admin/views/pages/edit/form.py", 0)
    for package in ("shop", "shop/admin", "shop/admin/views", "shop/admin/views/pages"):
        write(tmp_path, f"{package}/__init__.py", 9)
    for number in range(50):
        (tmp_path / "shop/admin/locale" / str(number)).mkdir(parents=True)
    assert recent_files(str(tmp_path), 1) == [young]
