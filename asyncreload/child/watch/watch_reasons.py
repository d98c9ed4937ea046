"""Why a file is watched, in words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterable

from asyncreload.child.watch.file_kinds import source_file


def reasons(
    paths: Iterable[str],
    env_files: Container[str],
    is_asked_for: Callable[[str], bool],
    needs_no_reload: Callable[[str], bool],
) -> dict[str, str]:
    """Return the reason for each of these project files.

    is_asked_for: tells whether a file is watched because of a pattern.
    needs_no_reload: tells the same of one that a framework, or `refresh`, asks for.
    """
    modules = {source_file(module): name for name, module in dict(sys.modules).items()}

    def reason(path: str) -> str:
        if path in env_files:
            return "an environment file"
        if name := modules.get(path):
            return "run as a script" if name == "__main__" else f"imported as {name}"
        if needs_no_reload(path):
            return "it is read afresh, or renewed, when it changes: no reload is needed"
        if is_asked_for(path):
            return "asked for by --watch"
        return "a change of it may mend the load, or it was imported and dropped"

    return {path: reason(path) for path in paths}
