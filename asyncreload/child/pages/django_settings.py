"""Which setting of a Django project names what could not be imported.

Django itself imports what is named there: no line of the project is in the traceback.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from traceback import walk_tb

from asyncreload.child.pages.stack_frames import is_machinery, is_project_file

_QUOTED = r"""["'](\w+(?:\.\w+)+)["']"""
_DEEPEST = 8
"""Of lists and dictionaries in one another, as in LOGGING."""


def setting_that_names(module: str) -> tuple[str, str]:
    """Return the setting that names a module, or something in it, and the name that it has there.

    Both are "" if there is none.
    """
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return "", ""
    for setting in filter(str.isupper, dir(conf.settings)):
        with suppress(Exception):  # such as for a SECRET_KEY that is empty
            for text in _texts(getattr(conf.settings, setting), 0):
                if f"{text}.".startswith(f"{module}."):
                    return setting, text
    return "", ""


def setting_to_blame(exc: BaseException) -> tuple[str, str]:
    """Return the setting that names what an import has not found, by its error or its causes.

    And what it names. Both are "" if no setting is to blame: as when it is a line of the project
    that imports.
    """
    seen: set[int] = set()
    one: BaseException | None = exc
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, ImportError) and not _is_imported_by_project(one):
            for name in (str(one.name or ""), *re.findall(_QUOTED, str(one))):
                if name and any(found := setting_that_names(name)):
                    return found
        one = one.__cause__
    return "", ""


def _is_imported_by_project(error: ImportError) -> bool:
    """Tell whether a line of the project has asked for the import that has failed."""
    files = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    asking = next((file for file in reversed(files) if not is_machinery(file)), "")
    return bool(asking) and is_project_file(asking)


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < _DEEPEST and isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each, depth + 1)
