"""Tells of options in pyproject.toml that are changed while the server runs: it has read them."""

from __future__ import annotations

import os
from typing import Any

from asyncreload import config
from asyncreload.errors import SettingsError
from asyncreload.options import options_of
from asyncreload.printing import Voice
from asyncreload.settings import Settings


class OptionChanges:
    """The options in the nearest pyproject.toml, as they were at the start.

    directory: from where upwards that file is looked for.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._state = self._look()
        self._told = self._at_start = self._options()

    def look(self) -> str:
        """Return what is to be told: that options are others than at the start. Else ""."""
        if (state := self._look()) == self._state:
            return ""
        self._state = state
        before, self._told = self._told, self._options()
        if self._told in (before, self._at_start):
            return ""
        if isinstance(self._told, str):
            return self._told
        return (
            f"options in {config.NAME} changed; they are read at the start: "
            "stop the server and start it again"
        )

    def _look(self) -> tuple[Any, ...]:
        """Return by what the file is known to be the same: nothing is read that has not changed."""
        path = config.find(self._directory)
        try:
            state = os.stat(path) if path else None
        except OSError:  # deleted this moment
            state = None
        return (path, state.st_mtime_ns, state.st_size, state.st_ino) if state else ()

    def _options(self) -> dict[str, Any] | str:
        """Return the options by name, or what is wrong with the file."""
        path = config.find(self._directory)
        try:
            return config.read(path, options_of(Settings, Voice)) if path else {}
        except SettingsError as exc:
            return str(exc)
