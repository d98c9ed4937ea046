"""Finds modules that no import hook has seen: an app may have loaders of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType

from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.file_kinds import FileKind, container, kind_of, source_file


class ModuleScan:
    """Goes through the modules that have come since the last scan.

    To be called by one thread at a time; the main thread may import meanwhile.

    modules: where modules are registered; `sys.modules`, but for tests.
    """

    def __init__(
        self, baselines: Baselines, modules: Mapping[str, ModuleType | None] = sys.modules
    ) -> None:
        self._baselines = baselines
        self._modules = modules
        self._seen = set(modules)  # what we need ourselves is not the app's

    def is_behind(self) -> bool:
        """Tell whether modules have come or gone since the last scan."""
        return len(self._modules) != len(self._seen)

    def scan(self) -> None:
        """Take baselines of the files of new modules, where the import hooks took none.

        How such a file was when it was loaded is not known: one that changed after the load had
        begun counts as changed.
        """
        names = set(self._modules)
        for name in names - self._seen:
            path = source_file(self._modules.get(name))
            if path is None or self._baselines.is_watched(path):
                continue
            path = container(path)
            kind = kind_of(path)
            if kind is FileKind.IGNORED or self._baselines.is_watched(path):
                continue
            if not self._baselines.patterns.ignores(path):
                self._baselines.take_late(path, kind)
        self._seen = names
