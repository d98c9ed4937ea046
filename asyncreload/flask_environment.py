"""Where the command `flask` takes variables from: the nearest `.flaskenv` and `.env`.

Flask itself is not imported here, nor is anything of the project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from glob import escape
from importlib.util import find_spec

NAMES = (".flaskenv", ".env")
"""The later counts more."""
UNREAD = "FLASK_APP in {} is not read, as python-dotenv is not installed"


def flask_app(directory: str) -> str:
    """Return the value of FLASK_APP, from the environment or from the files; empty if unset."""
    if "FLASK_APP" in os.environ:
        return os.environ["FLASK_APP"]
    found = ""
    for path in _present(directory):
        from dotenv import dotenv_values  # noqa: PLC0415  an optional package, and few need it

        with suppress(ValueError):  # bytes that are no UTF-8: Flask tells of them
            found = dotenv_values(path, encoding="utf-8").get("FLASK_APP") or found
    return found


def unread(directory: str) -> str:
    """Return the name of the file that names FLASK_APP, but is not read without python-dotenv."""
    if find_spec("dotenv") is not None or not _are_wanted():
        return ""
    for name in reversed(NAMES):
        if (path := _nearest(name, directory)) is None:
            continue
        with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            if re.search(r"^\s*(export\s+)?FLASK_APP\s*=", file.read(), re.MULTILINE):
                return name
    return ""


def watched(directory: str, *others: str) -> tuple[str, ...]:
    """Return patterns of these files, those that may come included.

    others: more files of that kind, such as that of `flask --env-file`.
    """
    if not _are_read():
        return ()
    nearest = (os.path.join(directory, name) for name in NAMES)
    paths = [*nearest, *_present(directory), *map(os.path.abspath, others)]
    return tuple(map(escape, dict.fromkeys(paths)))


def forget(directory: str, *others: str) -> None:
    """Take from the environment of this process what Flask has read from these files.

    The child reads them afresh, and they may have changed by then. A variable that had the same
    value before is taken, too. Only macOS needs this: Linux tells with what a process was started.
    """
    if not _are_read():
        return
    from dotenv import dotenv_values  # noqa: PLC0415  an optional package, and few need it

    for path in (*_present(directory), *others):
        for name, value in dotenv_values(path, encoding="utf-8").items():
            if value is not None and os.environ.get(name) == value:
                del os.environ[name]


def _present(directory: str) -> Iterator[str]:
    if not _are_read():
        return
    for name in NAMES:
        if (path := _nearest(name, directory)) is not None:
            yield path


def _nearest(name: str, directory: str) -> str | None:
    paths = (os.path.join(folder, name) for folder in _upwards(directory))
    return next(filter(os.path.isfile, paths), None)


def _upwards(directory: str) -> Iterator[str]:
    yield directory
    while (above := os.path.dirname(directory)) != directory:
        directory = above
        yield directory


def _are_read() -> bool:
    """Tell whether Flask reads such files: without python-dotenv it does not."""
    return _are_wanted() and find_spec("dotenv") is not None


def _are_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    return environ.get("FLASK_SKIP_DOTENV", "").lower() in {"", "0", "false", "no"}
