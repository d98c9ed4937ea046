"""The script by which a child runs a Django project: `manage.py runserver`. Knows no Django."""

from __future__ import annotations

import os
from collections.abc import Sequence

NAME = "manage.py"
COMMAND = "runserver"

IN_CHILD = ("--noreload", "--traceback")
"""What a child adds to the command. With the first, Django raises what is wrong with the models,
and with the second, what is wrong with the settings; else it would print that, and go on or end."""


def find_manage_py(target: str, directory: str) -> str | None:
    """Return the `manage.py` of a Django project that a target names, or None.

    The target names the file or the directory that it is in; the path is relative if that is.
    """
    path = os.path.normpath(target)
    if os.path.isdir(os.path.join(directory, path)):
        path = os.path.normpath(os.path.join(path, NAME))
    return path if is_manage_py(os.path.join(directory, path)) else None


def is_manage_py(path: str) -> bool:
    """Tell whether a file is the `manage.py` of a Django project; others have one as well."""
    if os.path.basename(path) != NAME:
        return False
    try:
        with open(path, "rb") as file:
            return b"execute_from_command_line" in file.read()
    except (OSError, ValueError):
        return False


def script_of(manage_py: str) -> tuple[str, ...]:
    """Return the script, with its arguments, by which a child serves a project."""
    return (manage_py, COMMAND, *IN_CHILD)


def script_in_child(script: Sequence[str]) -> list[str]:
    """Return the script by which a child does what a person has typed.

    A script that calls the command by another name, from its own code, is left as it is.
    """
    added = [word for word in IN_CHILD if word not in script] if COMMAND in script else []
    return [*script, *added]
