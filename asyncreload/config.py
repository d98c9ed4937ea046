"""`[tool.asyncreload]` in the nearest pyproject.toml, from the current directory upwards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from asyncreload.errors import SettingsError
from asyncreload.options import Option
from asyncreload.style import shown
from asyncreload.target import did_you_mean

NAME = "pyproject.toml"


def find(directory: str) -> str | None:
    """Return the path of the nearest pyproject.toml, in the directory or above it."""
    while not os.path.isfile(path := os.path.join(directory, NAME)):
        above = os.path.dirname(directory)
        if above == directory:
            return None
        directory = above
    return path


def read(path: str, options: Mapping[str, Option]) -> dict[str, Any]:
    """Return the values that a pyproject.toml gives to options, by their names.

    Files are named from its directory. A name may be written with `-` or `_`.

    Raises `SettingsError` when it cannot be read, for an unknown name and for a wrong type.
    """
    import tomllib  # noqa: PLC0415  not every project has a pyproject.toml

    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as exc:
        raise SettingsError(f"cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:  # broken TOML, and bytes that are no UTF-8
        raise SettingsError(f"cannot read {path}: {exc}") from exc
    except RecursionError as exc:
        raise SettingsError(f"cannot read {path}: its values are nested too deeply") from exc
    tool = document.get("tool", {})
    table = tool.get("asyncreload", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: tool.asyncreload must be a table, not {shown(table)}")
    values: dict[str, Any] = {}
    for key, value in table.items():
        try:
            option = _option(key, options)
            values[option.name] = option.placed(option.checked(value), os.path.dirname(path))
        except SettingsError as exc:
            raise SettingsError(f"{path}: in [tool.asyncreload], {exc}") from exc
    return values


def _option(key: str, options: Mapping[str, Option]) -> Option:
    name = key.replace("-", "_")
    if name not in options:
        known = ", ".join(options)
        raise SettingsError(
            f'there is no option "{key}"{did_you_mean(name, options, f"; there are {known}")}'
        )
    return options[name]
