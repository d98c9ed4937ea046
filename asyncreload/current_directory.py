"""The current directory, which somebody may have removed: `git checkout` of another branch, say."""

from __future__ import annotations

import os


def current_directory() -> str:
    """Return the current directory; "" when it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""
