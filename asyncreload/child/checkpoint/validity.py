"""Judges whether a load may go on from a checkpoint: what that rests on must be as it was."""

from __future__ import annotations

import os
import sys
from itertools import chain

from asyncreload.child.checkpoint.inputs import Inputs
from asyncreload.child.imports.django_app import directories_of_apps
from asyncreload.child.watch.change_scanner import ChangeScanner
from asyncreload.child.watch.file_kinds import absolute


class Validity:
    """Knows what the last checkpoint rests on. Used by the main thread.

    inputs: what the load has read, beside modules.
    scanner: knows the modules, and what imports have looked for.
    """

    def __init__(self, inputs: Inputs, scanner: ChangeScanner) -> None:
        self.inputs: Inputs = inputs
        """What the load has read, beside modules."""
        self._scanner = scanner
        self._directory = os.curdir
        self._missing: list[str] = []

    def note(self) -> None:
        """Before a checkpoint is taken: note what will not be asked for any more."""
        try:
            self._directory = os.getcwd()
        except OSError:  # it has been removed
            self._directory = ""
        asked_for = {*_places_of_imports(), *directories_of_apps()}
        self._missing = [path for path in asked_for if not os.path.exists(path)]

    def differing(self) -> str:
        """Return what has changed since the checkpoint that this process goes on from.

        "" if nothing has. Otherwise a load from here would not be what a start from nothing is.
        """
        if path := self.inputs.differing():
            return path
        if come := next(filter(os.path.exists, self._missing), ""):
            return come
        try:
            os.chdir(self._directory)  # it may be another one by now, of the same name
        except OSError:
            return self._directory or "the current directory"
        scanner = self._scanner
        changed = scanner.compare_now(scanner.look())
        return next(chain(changed, scanner.searches.ignored(), scanner.moved_packages()), "")


def _places_of_imports() -> set[str]:
    """Return where modules are looked for: the path, and what was on it when they were."""
    places = {*sys.path, *sys.path_importer_cache}
    return {absolute(place or os.curdir) for place in places if isinstance(place, str)}
