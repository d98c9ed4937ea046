"""Tells of options in a file that are changed while the server runs: it has read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Self

from asyncreload import config
from asyncreload.errors import SettingsError
from asyncreload.ini_files import address_in, files_of
from asyncreload.options import options_of
from asyncreload.printing import Voice
from asyncreload.settings import Settings


class OptionChanges:
    """The options in a file, as they were at the start.

    find: returns the path of the file, None if there is none.
    read: returns the options by name; raises `SettingsError` for a file that is wrong.
    has_any: a file without any is wrong, too, and somebody else says so.
    """

    def __init__(
        self,
        find: Callable[[], str | None],
        read: Callable[[str], Mapping[str, Any]],
        *,
        has_any: bool = False,
    ) -> None:
        self._find = find
        self._has_any = has_any
        self._read = read
        self._name = ""
        self._state = self._look()
        self._told = self._at_start = self._options()

    @classmethod
    def in_pyproject(cls, directory: str) -> Self:
        """Return those in the nearest pyproject.toml, from a directory upwards."""
        known = options_of(Settings, Voice)
        return cls(lambda: config.find(directory), lambda path: config.read(path, known))

    @classmethod
    def in_ini(cls, target: str) -> Self:
        """Return the address in a file of PasteDeploy's."""
        return cls(lambda: files_of(target)[0], address_in, has_any=True)

    def look(self) -> str:
        """Return what is to be told: that options are others than at the start. Else ""."""
        if (state := self._look()) == self._state:
            return ""
        self._state = state
        now = self._options()
        if self._has_any and not now:
            return ""
        before, self._told = self._told, now
        if self._told in (before, self._at_start):
            return ""
        if isinstance(self._told, str):
            return self._told
        return (
            f"options in {self._name} changed; they are read at the start: "
            "stop the server and start it again"
        )

    def _look(self) -> tuple[Any, ...]:
        """Return by what the file is known to be the same: nothing is read that has not changed."""
        path = self._find()
        self._name = os.path.basename(path) if path else self._name
        try:
            state = os.stat(path) if path else None
        except OSError:  # deleted this moment
            state = None
        return (path, state.st_mtime_ns, state.st_size, state.st_ino) if state else ()

    def _options(self) -> Mapping[str, Any] | str:
        """Return the options by name, or what is wrong with the file."""
        path = self._find()
        try:
            return self._read(path) if path else {}
        except SettingsError as exc:
            return str(exc)
