"""What a standby must not load: the project's code, and what cannot be imported ahead."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from asyncreload.child.imports.import_observer import ImportObserver
from asyncreload.child.watch.file_kinds import FileKind


class RefusingObserver(ImportObserver):
    """In a standby: refuses project code, which would be old before it is used.

    It refuses the packages that are left out as well: one that needs them is to be left out, too,
    also if it copes without them, as after `try: import other`.
    """

    def __init__(self) -> None:
        self._left_out: frozenset[str] = frozenset()
        self._begun: list[str] = []
        self.has_refused: bool = False
        """Whether anything was refused since `begin`."""

    def leave_out(self, names: Iterable[str]) -> None:
        """Refuse these modules, too, and those below them."""
        self._left_out |= {*names}

    def begin(self) -> None:
        """Begin with another import."""
        self._begun.clear()
        self.has_refused = False

    def failed(self) -> set[str]:
        """Return the modules whose import has failed since `begin`, whoever copes with that."""
        return {name for name in self._begun if name not in sys.modules}

    def before_module(self, path: str, name: str, kind: FileKind) -> None:
        if kind is FileKind.PROJECT:
            self._refuse(f"{path} belongs to the project: a standby does not load it")
        if is_among(name, self._left_out):
            self._refuse(f"{name} cannot be imported ahead")
        self._begun.append(name)

    def before_other_code(self, path: str) -> bool:
        del path
        return False

    def _refuse(self, why: str) -> None:
        self.has_refused = True
        raise ImportError(why)


def is_among(name: str, modules: frozenset[str]) -> bool:
    """Tell whether a module is one of these, or below one of them."""
    parts = name.split(".")
    return any(".".join(parts[:end]) in modules for end in range(1, len(parts) + 1))
