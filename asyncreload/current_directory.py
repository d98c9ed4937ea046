"""The current directory, which somebody may have removed: `git checkout` of another branch, say."""

from __future__ import annotations

import os

from asyncreload.errors import SettingsError


def current_directory() -> str:
    """Return the current directory; "" when it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def existing_directory() -> str:
    """Return the same; raise `SettingsError` when it has been removed."""
    try:
        return os.getcwd()
    except OSError as exc:
        raise SettingsError(f"there is no current directory ({exc.strerror}): enter one") from exc
