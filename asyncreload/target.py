"""What to serve, as the user wrote it: a file or a module, and the application in it."""

from __future__ import annotations

import keyword
import os
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING

from asyncreload.errors import TargetError
from asyncreload.frozen_data import FrozenData

if TYPE_CHECKING:
    from collections.abc import Iterable


USUAL_FILES = ("app", "wsgi", "asgi", "main", "api")
"""The files and packages in which an app usually is, in the order in which they are looked at."""
USUAL_NAMES = ("application", "app")
"""Looked at first, in this order; WSGI servers call for the one, Flask's users write the other."""
USUAL_FACTORIES = ("create_app", "make_app")
"""What returns an app; called if a module has none."""
_NO_CODE = frozenset(
    {".css", ".html", ".js", ".json", ".md", ".rst", ".toml", ".txt", ".yaml", ".yml"}
)
"""How the names of files end that are no Python's, and may be typed by mistake."""
_ALIKE = 0.74
"""How much of two names is the same if one is taken for a slip of the other, as `prot`."""


class Target(FrozenData):
    """A parsed target: plain data, so that it can travel from the parent to a child as JSON."""

    text: str
    """As given."""
    file: str | None
    """The absolute path, for a target that names a file."""
    module: str | None
    """The dotted name, for a target that names a module."""
    attribute: str
    """Where in the module the application is, dotted; empty: look for it."""
    call: bool
    """The attribute is a factory: what it returns is the application."""
    root: str
    """The directory that imports start from."""
    name: str
    """The dotted name under which the module is imported."""

    @property
    def location(self) -> str:
        """The text without the attribute."""
        spelled = f":{self.attribute}()" if self.call else f":{self.attribute}"
        return self.text.removesuffix(spelled)

    @classmethod
    def parse(cls, text: str, cwd: str | None = None, *, must_exist: bool = True) -> Target:
        """Parse `app.py`, `app.py:name`, `pkg.module`, `pkg.module:name.attr` or `...:create()`.

        Nothing is imported, so only a child can know whether a module exists.
        """
        if not isinstance(text, str):
            raise TargetError(_no_text(text))
        if not text.strip():
            raise TargetError('The target is empty: name a file or a module, such as "app.py:app".')
        base = Path.cwd() / (cwd or "")
        try:
            location, attribute, call = _split(text, base)
            if location.endswith(".ipynb"):
                raise TargetError(_no_notebook(location))
            file = _find_file(location, base, must_exist=must_exist)
            if file is None:
                return cls(text, None, location, attribute, call, str(base), location)
            root, name = _place(file)
        except OSError as exc:
            raise TargetError(
                f'"{text}" cannot be looked up ({exc.strerror}): name a file that can be read.'
            ) from exc
        return cls(text, str(file), None, attribute, call, root, name)


def did_you_mean(word: str, known: Iterable[str], otherwise: str, prefix: str = "") -> str:
    """The end of an error message: the known name that is likely meant, if there is one."""
    close = closest(word, known)
    return f': did you mean "{prefix}{close}"?' if close else otherwise


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known name that is most like a word; "" if none is alike enough."""
    from difflib import get_close_matches  # noqa: PLC0415  a millisecond, for mistakes alone

    return next(iter(get_close_matches(word, known, n=1, cutoff=_ALIKE)), "")


def _no_text(target: object) -> str:
    message = f'The target must be text such as "app.py:app", not {reprlib.repr(target)}'
    if callable(target):
        # An application in hand has been loaded already: nobody could load it afresh.
        return f"{message}: name it as text, or serve the object with asyncreload.run(app)."
    return f"{message}."


def _no_notebook(location: str) -> str:
    return (
        f'"{location}" is a notebook: write "jupyter nbconvert --to script {location}", then '
        f'"asyncreload {location.removesuffix(".ipynb")}.py".'
    )


def _split(text: str, base: Path) -> tuple[str, str, bool]:
    """Location, attribute, and whether that is to be called."""
    location, colon, attribute = text.partition(":")
    # A path may hold colons itself; one that exists is meant.
    if (base / text).exists():
        location, colon, attribute = text, "", ""
    elif (base / text.rpartition(":")[0]).is_file():
        location, colon, attribute = text.rpartition(":")
    if not location:
        raise TargetError(
            f'"{text}" has nothing before the colon: name a file or a module, as in "app.py{text}".'
        )
    name = attribute.removesuffix("()")
    if colon and not _is_dotted(name):
        raise TargetError(
            f'"{text}" is malformed: after the colon goes a name, as in "{location}:app", '
            f'or a call without arguments, as in "{location}:create()".'
        )
    return location, name, name != attribute


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))


def _find_file(location: str, base: Path, *, must_exist: bool) -> Path | None:
    """The file that is meant, or None for a module."""
    path = Path(os.path.normpath(base / location))
    if not location.endswith(".py") and os.sep not in location:
        source = base.joinpath(*location.split(".")).with_suffix(".py")
        is_there = _is_there(path)
        is_module = _is_dotted(location) and path.suffix not in _NO_CODE
        if is_module and (source.is_file() or not path.is_file()):
            return None
        if not is_there and path.suffix not in _NO_CODE:
            raise TargetError(
                f'"{location}" is neither a file nor a module\'s name{_suggestion(location, path)}'
            )
    if path.is_dir():
        package = path / "__init__.py"
        if package.is_file():
            return package
        raise TargetError(
            f'"{location}" is a directory: name a file in it, '
            f'such as "{Path(location, likely_file(path))}".'
        )
    if must_exist and not (_is_there(path) and path.is_file()):
        raise TargetError(f'There is no file "{location}"{_suggestion(location, path)}')
    if path.suffix in _NO_CODE:
        raise TargetError(
            f'"{location}" has no Python code in it: name the file in which the app is, '
            f'such as "{Path(location).with_name(likely_file(path.parent))}".'
        )
    return path


def _is_there(path: Path) -> bool:
    """Tell whether something has this path; raise OSError where that cannot be known.

    `Path.exists` says no in that case, from Python 3.14 on.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: it can be no path
        return False
    return True


def _suggestion(location: str, path: Path) -> str:
    if path.with_name(f"{path.name}.py").is_file():  # app/main
        return f': did you mean "{location}.py"?'
    dotted = Path(path.stem.replace(".", os.sep) + ".py")  # app.main.py
    if (path.parent / dotted).is_file():
        return f': did you mean "{Path(location).parent / dotted}"?'
    near = [file.name for file in path.parent.glob("*.py")]
    otherwise = f" in {path.parent}: check the name and where you are."
    elsewhere = (each / path.name for each in _below(path.parent))
    if below := next((each for each in elsewhere if each.is_file()), None):
        return f': did you mean "{os.path.relpath(below, path.parent)}"?'
    if above := next((each for each in path.parents if (each / path.name).is_file()), None):
        return f': did you mean "{os.path.relpath(above / path.name)}"?'
    return did_you_mean(path.name, near, otherwise, location.removesuffix(path.name))


def _below(directory: Path) -> Iterable[Path]:
    """Return the packages in a directory, and `src` and those in it."""
    inner = [place for place in (directory, directory / "src") if place.is_dir()]
    packages = [file.parent for place in inner for file in sorted(place.glob("*/__init__.py"))]
    return [*inner[1:], *packages]


def likely_file(directory: Path) -> str:
    """Return the name of the file in a directory that most likely is the app's."""
    files = sorted(file.name for file in directory.glob("*.py") if file.name != "__init__.py")
    if not files and (packages := sorted(directory.glob("*/__init__.py"))):
        package = packages[0].parent
        return os.path.join(package.name, likely_file(package))
    if (directory / "development.ini").is_file():
        return "development.ini"
    usual = [f"{name}.py" for name in USUAL_FILES if f"{name}.py" in files]
    return (usual or files or ["app.py"])[0]


def _place(file: Path) -> tuple[str, str]:
    """The import root of a file, and its dotted name from there.

    As Flask finds it: up from the file while there is an `__init__.py`. A directory with a dot
    in its name cannot be a package, whatever it contains.
    """
    parts = [] if file.name == "__init__.py" else [file.stem.replace(".", "_")]
    folder = file.parent
    while folder.name and "." not in folder.name and (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(parts) or "__init__"
