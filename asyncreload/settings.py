"""The one list of options."""

from __future__ import annotations

import os
import reprlib
from dataclasses import dataclass
from typing import Any

from asyncreload.errors import SettingsError

PRELOADS = ("packages", "interpreter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a supervisor is asked to do. Times are in seconds.

    Raises `SettingsError` when an option has a value that cannot work.
    """

    target: str
    """What to serve: `app.py`, `app.py:name`, `pkg.module:name`, `pkg.module:create()`."""
    host: str = "127.0.0.1"
    """The address to listen on; `::` listens on every address, IPv4 and IPv6."""
    port: int = 8000
    """The port to listen on; 0 picks a free one."""
    interval: float = 0.1
    """How often an idle child looks at the files. Freshness does not depend on it."""
    grace: float = 5.0
    """How long an old process may still send its last response, or run `atexit` at the end."""
    threads: int = 64
    """How many requests are answered at a time."""
    standby: bool = True
    """Whether the next process is started before it is needed."""
    preload: str = "packages"
    """What it has loaded then: the app's `packages`, or just the `interpreter`."""
    watch: tuple[str, ...] = ()
    """Files, directories and patterns that are watched beside the imported modules."""
    ignore: tuple[str, ...] = ()
    """Files, directories and patterns that are not watched, imported or not."""
    inotify: bool = True
    """Whether the kernel is asked to tell of changes (Linux, with the extra `inotify`)."""
    access_log: bool = True
    """Whether each request is logged to standard error."""
    live: bool = False
    """Whether open pages of the app load themselves again when the new code answers."""
    script: tuple[str, ...] = ()
    """For `run`: the script and its arguments as Python was given them; replaces the target."""

    def __post_init__(self) -> None:
        _check_text("target", self.target)
        _check_text("host", self.host)
        for name in ("watch", "ignore"):
            object.__setattr__(self, name, _patterns(name, getattr(self, name)))
        _check_whole("port", self.port, 0, 65535)
        _check_whole("threads", self.threads, 1, 1024)
        if self.preload not in PRELOADS:
            raise SettingsError(
                f"preload must be {' or '.join(PRELOADS)}, not {_show(self.preload)}"
            )
        _check_seconds("interval", self.interval, 0.01, 3600)
        _check_seconds("grace", self.grace, 0, 3600)


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or "\0" in value or (name == "host" and not value):
        raise SettingsError(f"{name} must be text, not {_show(value)}")


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, (str, os.PathLike)) else value
    try:
        patterns = tuple(os.fspath(text) for text in texts)
    except TypeError:
        raise SettingsError(f"{name} must be a list of patterns, not {_show(value)}") from None
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern or "\0" in pattern:
            raise SettingsError(f"{name} must be a list of patterns; {_show(pattern)} is none")
        if pattern.startswith("!"):
            remedy = f"use ignore for {_show(pattern[1:])}"
            raise SettingsError(f"{name}: no pattern begins with !, as {_show(pattern)}: {remedy}")
    return patterns


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SettingsError(
            f"{name} must be a whole number from {low} to {high}, not {_show(value)}"
        )


def _check_seconds(name: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # which no infinity is, and no NaN
        raise SettingsError(f"{name} must be from {low:g} to {high:g} seconds, not {_show(value)}")


def _show(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # too many digits for Python to print
        return "that"
