"""Prepares a child for a Django project, before any of its code is run."""

from __future__ import annotations

import os
import sys

from asyncreload.errors import TargetError


def prepare(root: str) -> None:
    """Have Django find our `runserver`, and have apps know where they run.

    root: the directory that the project's imports start from.

    Raises `TargetError` when Django is not installed.
    """
    # Apps start threads and schedulers only where this is set: not in the outer process, which has
    # loaded the project as well.
    os.environ["RUN_MAIN"] = "true"
    if not sys.flags.safe_path and root not in sys.path:
        sys.path.insert(0, root)  # as the script will have it, which is run next
    try:
        from asyncreload.django.command_lookup import find_ours  # noqa: PLC0415  it imports Django
    except ModuleNotFoundError as exc:
        if exc.name != "django":
            raise
        raise TargetError(
            f"Django is not installed for {sys.executable}: install it, or activate the "
            "environment that has it"
        ) from None
    find_ours()
