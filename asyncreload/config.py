"""`[tool.asyncreload]` in the nearest pyproject.toml, from the current directory upwards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from asyncreload.errors import SettingsError
from asyncreload.options import Option, options_of
from asyncreload.printing import Voice
from asyncreload.settings import Settings
from asyncreload.style import shown
from asyncreload.unknown_option import unknown_option

NAME = "pyproject.toml"


def completed(given: Mapping[str, Any], cwd: str) -> dict[str, Any]:
    """Add what is not given to a framework's command, or to `run`: see `merged`.

    The target of the file is left out, as the command has one of its own.
    """
    path = find(cwd)
    in_file = read(path, options_of(Settings, Voice)) if path else {}
    return merged(given, {k: v for k, v in in_file.items() if k != "target"}, cwd)


def merged(given: Mapping[str, Any], in_file: Mapping[str, Any], cwd: str) -> dict[str, Any]:
    """Add what is not given: from the file, the environment's PORT, or the command's defaults.

    given: what counts most, by name; files are named from the directory `cwd`. What is no option
        is left for the check of all options.
    """
    options = options_of(Settings, Voice)
    asked = {name: option.default for name, option in options.items() if option.is_commands_own}
    if given.keys() & {"quiet", "verbose"}:
        in_file = {k: v for k, v in in_file.items() if k not in {"quiet", "verbose"}}
    placed = {
        name: options[name].placed(value, cwd) if name in options else value
        for name, value in given.items()
    }
    told = {**in_file, **placed}
    asked |= told
    if asked.get("quiet") and "access_log" not in told:
        asked["access_log"] = False
    if "port" not in asked and (port := os.environ.get("PORT")):
        asked["port"] = _port(port)
    return asked


def _port(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(
            f"PORT in the environment must be a whole number, not {text!r}"
        ) from None


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
    table = _table(document, path)
    values: dict[str, Any] = {}
    for key, value in table.items():
        try:
            option = _option(key, options)
            values[option.name] = option.placed(option.checked(value), os.path.dirname(path))
        except SettingsError as exc:
            raise SettingsError(f"{path}: in [tool.asyncreload], {exc}") from exc
    return values


def _table(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the table of ours. Raises `SettingsError` for one that stands somewhere else."""
    tool = document.get("tool", {})
    table = tool.get("asyncreload", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: tool.asyncreload must be a table, not {shown(table)}")
    tools = document.get("tools", {})
    for name, place in (("tools.asyncreload", tools), ("asyncreload", document)):
        if isinstance(place, dict) and "asyncreload" in place:
            raise SettingsError(f"{path}: write [tool.asyncreload] in the place of [{name}]")
    return table


def _option(key: str, options: Mapping[str, Option]) -> Option:
    name = key.replace("-", "_")
    if name not in options:
        known = ", ".join(options)
        raise unknown_option(key, options, f"; there are {known}")
    return options[name]
