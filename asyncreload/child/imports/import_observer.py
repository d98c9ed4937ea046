"""What is told of every load of code, before and after it; the import hooks call it directly."""

from __future__ import annotations

from types import CodeType

from asyncreload.child.watch.file_kinds import FileKind
from asyncreload.child.watch.file_state import FileState

Code = CodeType | bytes
"""The code of a module, or the `.pyc` that it is in."""


class ImportObserver:
    """Observes nothing; what observes something overrides these.

    Which observer there is depends on the phase of the child: one that refuses the project's code
    while packages are imported ahead, one that records while the app is loaded, one that only
    takes notes while requests are served (preload/session.py).
    """

    def before_module(self, path: str, name: str, kind: FileKind) -> None:
        """A module is about to be loaded from a source of the project's or of a package.

        Raises ImportError for one that must not be loaded now.
        """

    def after_compile(self, path: str, code: Code, state: FileState) -> None:
        """A module of the project's was compiled, or read from its cache, and is about to run.

        state: the baseline of its source.
        """

    def before_other_code(self, path: str) -> bool:
        """A file of the project's is about to be run that is not imported from a source.

        Such as a script, an archive or an extension. Return whether it is to be watched.
        """
        del path
        return True
