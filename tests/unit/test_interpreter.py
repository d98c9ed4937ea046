"""The interpreter's own flags, told from what it was told to run."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

import asyncreload
from asyncreload import interpreter
from asyncreload.interpreter import (
    BOOT,
    boot_command,
    split_command,
    start_directory,
    start_environment,
)

TABLE: list[tuple[str, list[str], list[str]]] = [
    ("python", [], []),
    ("python app.py", [], ["app.py"]),
    ("python app.py -X dev -c", [], ["app.py", "-X", "dev", "-c"]),
    ("python -X dev app.py", ["-X", "dev"], ["app.py"]),
    ("python -Xdev app.py", ["-Xdev"], ["app.py"]),
    ("python -X dev -X utf8 app.py", ["-X", "dev", "-X", "utf8"], ["app.py"]),
    ("python -O app.py", ["-O"], ["app.py"]),
    ("python -OO app.py", ["-OO"], ["app.py"]),
    ("python -W error app.py", ["-W", "error"], ["app.py"]),
    ("python -Werror app.py", ["-Werror"], ["app.py"]),
    ("python -Wmc app.py", ["-Wmc"], ["app.py"]),
    ("python -bW error app.py", ["-bW", "error"], ["app.py"]),
    ("python -bWerror app.py", ["-bWerror"], ["app.py"]),
    ("python -P app.py", ["-P"], ["app.py"]),
    ("python -I -P app.py x", ["-I", "-P"], ["app.py", "x"]),
    ("python -m shop.wsgi", [], ["-m", "shop.wsgi"]),
    ("python -mshop", [], ["-m", "shop"]),
    ("python -bm mod -m x", ["-b"], ["-m", "mod", "-m", "x"]),
    ("python -bmmod", ["-b"], ["-m", "mod"]),
    ("python -c code -O", [], ["-c", "code", "-O"]),
    ("python -ccode", [], ["-c", "code"]),
    ("python -Ic code", ["-I"], ["-c", "code"]),
    ("python -u -Ic code", ["-u", "-I"], ["-c", "code"]),
    (
        "python --check-hash-based-pycs always app.py",
        ["--check-hash-based-pycs", "always"],
        ["app.py"],
    ),
    (
        "python --check-hash-based-pycs always -m mod",
        ["--check-hash-based-pycs", "always"],
        ["-m", "mod"],
    ),
    ("python -", [], ["-"]),
    ("python - -X dev", [], ["-", "-X", "dev"]),
    ("python -q -", ["-q"], ["-"]),
    ("python -X", ["-X"], []),
    ("python -O", ["-O"], []),
]


@pytest.mark.parametrize(("line", "flags", "rest"), TABLE, ids=[line for line, _, _ in TABLE])
def test_flags_are_told_from_what_is_run(line: str, flags: list[str], rest: list[str]) -> None:
    given = tuple(line.split())
    assert split_command(given) == (flags, rest)


def test_arguments_with_spaces_and_empty_ones_stay_whole() -> None:
    argv = ["/a b/python", "-W", "ignore::UserWarning", "my app.py", "", "a b"]
    assert split_command(argv) == (["-W", "ignore::UserWarning"], ["my app.py", "", "a b"])


def test_two_dashes_end_the_flags() -> None:
    _, rest = split_command(["python", "-O", "--", "-x.py", "a"])
    assert rest == ["-x.py", "a"]


def test_our_modules_are_booted_by_their_location_with_the_same_flags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-Im", "pytest", "-q"])
    monkeypatch.setattr(sys, "executable", "/opt/bin/python")
    command = boot_command("asyncreload.child.__main__", "3", "4")
    assert command == [
        "/opt/bin/python",
        "-X",
        "dev",
        "-I",
        BOOT,
        "asyncreload.child.__main__",
        "3",
        "4",
    ]


def test_boot_is_a_file_beside_the_package() -> None:
    assert asyncreload.__file__ is not None
    assert Path(BOOT) == Path(asyncreload.__file__).resolve().parent / "boot.py"
    assert Path(BOOT).is_file()


def a_main(file: str = "") -> ModuleType:
    """Return a module as `__main__` is; without a file, if none is given."""
    main = ModuleType("__main__")
    if file:
        main.__file__ = file
    return main


@pytest.mark.parametrize(
    ("script", "file", "python", "directory"),
    [
        ("app.py", "/start/app.py", "", "/start"),
        ("./src/app.py", "/start/./src/app.py", "", "/start"),
        ("./src/app.py", "/start/src/app.py", "", "/start"),
        ("../app.py", "/start/../app.py", "", "/start"),
        ("app.py", "/app.py", "", "/"),
        ("src", "/start/src/__main__.py", "", "/start"),
        ("app.pyz", "/start/app.pyz/__main__.py", "", "/start"),
        ("/abs/app.py", "/abs/app.py", ".venv/bin/python", "/start"),
        ("/abs/app.py", "/abs/app.py", "python", "/otherwise"),
        ("app.py", "", "python", "/otherwise"),
        ("..", "/start/../__main__.py", "python", "/otherwise"),
    ],
)
def test_the_directory_of_the_start_is_told_by_what_was_relative_to_it(
    script: str, file: str, python: str, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", [python, script])
    monkeypatch.setattr(sys, "executable", f"/start/{python}")
    assert start_directory([script], a_main(file), "/otherwise") == directory


@pytest.mark.parametrize(
    ("path", "more", "directory"),
    [
        (["/start"], "", "/start"),
        (["/inserted", "/start"], "", "/start"),
        (["/start", "/start/lib"], "lib", "/start"),
        ([""], "", "/otherwise"),
        ([], "", "/otherwise"),
        (["/inserted", "{cwd}"], "", "/otherwise"),  # which it has not left
    ],
)
def test_with_m_it_stands_on_the_path(
    path: list[str], more: str, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = f"/usr/lib/python{sys.version_info.major}{sys.version_info.minor}.zip"
    entries = [entry.format(cwd=os.getcwd()) for entry in path]
    monkeypatch.setattr(sys, "path", [*entries, archive, "/usr/lib"])
    monkeypatch.setenv("PYTHONPATH", more)
    main = a_main("/elsewhere/pkg/main.py")
    assert start_directory(["-m", "pkg.main"], main, "/otherwise") == directory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_environment_of_the_start_is_not_that_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADDED_BY_A_TEST", "1")
    assert b"ADDED_BY_A_TEST" not in start_environment()
    assert start_environment()[b"PATH"]


@pytest.mark.parametrize("content", [None, b"python: a title\0\0", b"A=1\0cut"])
def test_without_it_that_of_now_is_taken(
    content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_environment(_path: str, _mode: str) -> io.BytesIO:
        if content is None:
            raise FileNotFoundError
        return io.BytesIO(content)

    monkeypatch.setattr(interpreter, "open", open_environment, raising=False)
    assert start_environment() == dict(os.environb)
