"""Which setting of a Django project names what could not be imported.

Django itself imports what is named there: no line of the project is in the traceback.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress

_QUOTED = re.compile(r"""["'](\w+(?:\.\w+)+)["']""")
_DEEPEST = 8
"""Of lists and dictionaries in one another, as in LOGGING."""


def setting_that_names(module: str) -> str:
    """Return the setting that names a module, or something in it; "" if there is none."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return ""
    for setting in filter(str.isupper, dir(conf.settings)):
        with suppress(Exception):  # such as for a SECRET_KEY that is empty
            texts = _texts(getattr(conf.settings, setting), 0)
            if any(f"{text}.".startswith(f"{module}.") for text in texts):
                return setting
    return ""


def setting_to_blame(exc: BaseException) -> str:
    """Return the setting that names what an import has not found, by its error or its causes."""
    seen: set[int] = set()
    one: BaseException | None = exc
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, ImportError):
            for name in (str(one.name or ""), *_QUOTED.findall(str(one))):
                if name and (setting := setting_that_names(name)):
                    return setting
        one = one.__cause__
    return ""


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < _DEEPEST and isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each, depth + 1)
