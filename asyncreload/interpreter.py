"""The command that starts another interpreter as this one was started."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

BOOT = str(Path(__file__).resolve().with_name("boot.py"))

# Options of the interpreter that take their value from the next argument if it is not attached.
_WITH_VALUE = frozenset("WX")
_END = frozenset("cm")


def split_command(orig_argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what followed the interpreter's name: its own flags, and what it was told to run.

    The second part starts with the script, or with `-m` or `-c` on its own.
    Taken from `sys.orig_argv`, so `-X dev`, `-O`, `-W ...`, `-P` and `-I` stay exactly as given.
    """
    flags: list[str] = []
    rest = list(orig_argv[1:])
    while rest and rest[0].startswith("-") and rest[0] not in {"-", "--"}:
        word = rest.pop(0)
        own, end = _cut(word)
        if own not in {
            "-",
            "-x",
        }:  # the latter is about the first line of a script that is not ours
            flags.append(own)
        if end:
            return flags, [*end, *rest]
        if _wants_value(own):
            flags += rest[:1]
            del rest[:1]
    return flags, rest[1:] if rest[:1] == ["--"] else rest


def _cut(word: str) -> tuple[str, list[str]]:
    """Split `-Bmpkg` into `-B` and `-m pkg`: what ends the options may stand among them."""
    for place, letter in enumerate(word):
        if word.startswith("--") or letter in _WITH_VALUE:
            break
        if place and letter in _END:
            attached = word[place + 1 :]
            return word[:place], [f"-{letter}", *([attached] if attached else [])]
    return word, []


def _wants_value(word: str) -> bool:
    """Tell whether the value of an option is the next word."""
    if word.startswith("--"):
        return word == "--check-hash-based-pycs"
    first = next((letter for letter in word[1:] if letter in _WITH_VALUE), None)
    return first is not None and word.index(first) == len(word) - 1


def boot_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs `main` of a module of ours in a fresh interpreter."""
    flags, _ = split_command(sys.orig_argv)
    return [sys.executable, *flags, BOOT, module, *arguments]


def command_of(script: Sequence[str]) -> list[str]:
    """Return the command that runs a program in an interpreter like this one: its `orig_argv`."""
    flags, _ = split_command(sys.orig_argv)
    return [sys.orig_argv[0], *flags, *script]


def start_directory(script: Sequence[str], main: ModuleType, otherwise: str) -> str:
    """Return the directory in which this process was started, though it may have left it.

    Python keeps no note of it. But it has made absolute, in that directory, what it was given: the
    script's name, or its own.
    script: what the interpreter was told to run, as `split_command` returns it.
    main: the module `__main__`.
    otherwise: returned when all that was given was absolute.
    """
    if script[0] == "-m" and (found := _searched_first()):
        return found
    file = str(getattr(main, "__file__", ""))
    for given, resolved in [
        (script[0], file),
        (script[0], file.removesuffix("/__main__.py")),  # of a directory or an archive
        (sys.orig_argv[0] if os.sep in sys.orig_argv[0] else "", sys.executable),
    ]:
        if given == "." and os.path.isdir(resolved):
            return resolved
        for spelled in (given, given.removeprefix("./")):
            if spelled.strip(".-") and resolved.endswith(f"/{spelled}"):
                return resolved.removesuffix(spelled).rstrip("/") or "/"
    return otherwise


def _searched_first() -> str | None:
    """Return the directory that `-m` puts first on the path, if it can be told.

    The program may have put others before it. None lies between it and those of PYTHONPATH, after
    which comes the archive of the standard library.
    """
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    ends = [place for place, entry in enumerate(sys.path) if entry.endswith(archive)]
    if sys.flags.safe_path or not ends or os.getcwd() in sys.path:
        return None
    has_more = not sys.flags.ignore_environment and os.environ.get("PYTHONPATH")
    before = sys.path[: ends[0]]
    found = before[0 if has_more else -1] if before else ""
    return found if os.path.isabs(found) else None


def start_environment() -> dict[bytes, bytes]:
    """Return the variables with which this process was started, whatever it has set since.

    Where the system does not tell (macOS), or a program has written its title over them, those of
    now.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    *entries, end = entries
    if end or any(b"=" not in entry for entry in entries):
        return dict(os.environb)
    return dict(entry.split(b"=", 1) for entry in entries)
