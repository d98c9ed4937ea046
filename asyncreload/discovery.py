"""What plain `asyncreload` serves: it looks for the usual things in a known order.

Nothing is imported for that. Sources are read, as far as it takes to see whether an app is in them.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from importlib.util import find_spec

from asyncreload import config, flask_environment
from asyncreload.frozen_data import FrozenData
from asyncreload.target import USUAL_FACTORIES, USUAL_FILES, USUAL_NAMES

FLASK_COMMAND = ("-m", "flask", "dev", "--found")
"""Finds and serves the app of FLASK_APP, in the child (flask.py)."""


class Found(FrozenData):
    """What is there to be served."""

    target: str
    where: str
    """For people: how it was found."""
    script: tuple[str, ...] = ()
    """What the child runs to serve it; empty for what the target names."""
    watch: tuple[str, ...] = ()
    """Patterns of files that it reads."""


def discover(directory: str = "") -> Found | None:
    """Return what is to be served in a directory, as named from the current one.

    In this order: FLASK_APP; `manage.py`; `[tool.fastapi]` in pyproject.toml; `app`, `wsgi`,
    `asgi`, `main`, `api` as a file or a package, here or in `src`. Those in whose source an app
    stands come first.
    """
    is_here = os.path.abspath(directory) == os.getcwd()
    if is_here and (app := flask_environment.flask_app(os.getcwd())) and find_spec("flask"):
        watched = flask_environment.watched(os.getcwd())
        return Found(app, "named by FLASK_APP", FLASK_COMMAND, watched)
    # --- Django: the target that `manage.py` stands for is the Django door's affair ---
    if os.path.isfile(manage := os.path.join(directory, "manage.py")):
        return Found(manage, f"found in {directory or 'this directory'}")
    # ---
    if is_here and (entry := _entry_for_fastapi()):
        return Found(entry, f"named in [tool.fastapi] of {config.NAME}")
    candidates = list(_candidates(directory))
    for path, target, where in candidates:
        if has_app(path):
            return Found(target, where)
    # An app may have no name, as Bottle's default one.
    for _, target, where in candidates:
        if target.endswith(".py"):
            return Found(target, where)
    return None


def _entry_for_fastapi() -> str:
    """Return what `fastapi dev` would serve here by its `entrypoint`; "" if that is not given."""
    import tomllib  # noqa: PLC0415  not every project has a pyproject.toml

    try:
        with open(config.NAME, "rb") as file:
            entry = tomllib.load(file)["tool"]["fastapi"]["entrypoint"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return entry if isinstance(entry, str) else ""


def _candidates(directory: str) -> Iterator[tuple[str, str, str]]:
    """Yield the sources in which an app may be: the path, the target, where it was found."""
    for folder in (directory, os.path.join(directory, "src")):
        where = f"found in {folder or 'this directory'}"
        for name in USUAL_FILES:
            package = os.path.join(folder, name)
            file = f"{package}.py"
            if os.path.isfile(file):
                yield file, file, where
            if os.path.isfile(start := os.path.join(package, "__init__.py")):
                yield start, os.path.join(".", package), where
                for module in USUAL_FILES:
                    if os.path.isfile(file := os.path.join(package, f"{module}.py")):
                        yield file, file, where


def module_with_app(package: str) -> str | None:
    """Return the name of the usual module in a package's directory that has an app, if one has."""
    for name in USUAL_FILES:
        path = os.path.join(package, f"{name}.py")
        if os.path.isfile(path) and has_app(path):
            return name
    return None


def has_app(path: str) -> bool:
    """Tell whether a source gives a value to a name that an app usually has, or a factory.

    One that cannot be read as Python may: its mistake is to be shown.
    """
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # as Python has it
        return True
    wanted = {*USUAL_NAMES, *USUAL_FACTORIES}
    return any(name in wanted for node in tree.body for name in _names_given_by(node))


def _names_given_by(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name for alias in aliases)
        case ast.Assign() | ast.AnnAssign():
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))
        case ast.If() | ast.Try() | ast.With():
            inner = (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt))
            for each in inner:
                yield from _names_given_by(each)
