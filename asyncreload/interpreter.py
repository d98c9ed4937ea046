"""The command that starts another interpreter as this one was started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

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
