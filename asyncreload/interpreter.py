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
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word == "-x":
            continue  # about the first line of the script, which is not ours
        if word == "--check-hash-based-pycs":
            flags += [word, *rest[:1]]
            del rest[:1]
            continue
        if word.startswith("--"):
            flags.append(word)
            continue
        for place, letter in enumerate(word[1:], start=1):
            if letter in _END:
                if place > 1:
                    flags.append(word[:place])
                attached = word[place + 1 :]
                return flags, [f"-{letter}", *([attached] if attached else []), *rest]
            if letter in _WITH_VALUE:
                flags.append(word)
                if place == len(word) - 1:
                    flags += rest[:1]
                    del rest[:1]
                break
        else:
            flags.append(word)
    return flags, rest


def boot_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs `main` of a module of ours in a fresh interpreter."""
    flags, _ = split_command(sys.orig_argv)
    return [sys.executable, *flags, BOOT, module, *arguments]
