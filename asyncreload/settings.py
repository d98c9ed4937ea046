"""The one list of options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from typing import Any, Literal, Self, TypedDict

from asyncreload.editors import editor_url
from asyncreload.errors import SettingsError
from asyncreload.networks import DOCKER, parse_network
from asyncreload.style import shown
from asyncreload.unknown_option import unknown_option

PRELOADS = ("packages", "interpreter")
AUTO, WSGI, ASGI = INTERFACES = ("auto", "wsgi", "asgi")


Texts = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""One text or path, or several."""


class CommonOptions(TypedDict, total=False):
    """What `run`, `Supervisor` and `supervise` may be given by name, as type checkers want it."""

    trust: Sequence[str]
    editor: str
    env_file: Texts
    watch: Texts
    ignore: Texts
    refresh: Texts
    live: bool
    access_log: bool
    interface: Literal["auto", "wsgi", "asgi"]
    threads: int
    grace: float
    interval: float
    standby: bool
    preload: Literal["packages", "interpreter"]
    inotify: bool
    checkpoints: int
    keep: Texts


class Options(CommonOptions, total=False):
    """What `Supervisor` and `supervise` may be given by name: the fields of `Settings` for people.

    For type checkers, which cannot derive it; a test compares the two.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a supervisor is asked to do. Times are in seconds.

    Raises `SettingsError` when an option has a value that cannot work.

    Each field is an option of the command, a key in pyproject.toml and a row in the README (see
    options.py); the first sentence below it is its line in `--help`. Metadata:

    metavar: what stands for the value in `--help`, where that is not the type's usual word.
    command: the command's default, where that differs.
    path: what the value names, from the current directory or from pyproject.toml's: a "file"; a
        "pattern", or what may be such a "name" anywhere below (child/watch/globs.py).
    off: what `--no-NAME` stands for, where the value is a number.
    rare: that `--help` leaves it to the README, to fit a screen.
    internal: that it is no option for people.
    """

    target: str
    """What to serve: `app.py`, `app.py:name`, `pkg.module:name`, `pkg.module:create()`."""
    host: str = "127.0.0.1"
    """The address to listen on. `::` listens on every address, IPv4 and IPv6."""
    port: int = 8000
    """The port to listen on; 0 picks a free one."""
    trust: tuple[str, ...] = field(default=(), metadata={"metavar": "ADDRESS"})
    """An address or network that may see errors in full. `docker` is the container's host."""
    editor: str = field(default="", metadata={"metavar": "WHAT", "rare": True})
    """The editor that error pages link to, as `vscode`. Or a URL with `{path}` and `{line}`."""
    env_file: tuple[str, ...] = field(default=(), metadata={"metavar": "FILE", "path": "file"})
    """A file of variables for the app, read at each load. What is set already stays as it is."""
    watch: tuple[str, ...] = field(default=(), metadata={"metavar": "PATTERN", "path": "pattern"})
    """Files, directories or patterns to watch as well. The imported modules are, by themselves."""
    ignore: tuple[str, ...] = field(default=(), metadata={"metavar": "PATTERN", "path": "name"})
    """Files, directories or patterns not to watch. Imported or not."""
    refresh: tuple[str, ...] = field(
        default=(), metadata={"metavar": "PATTERN", "path": "pattern", "rare": True}
    )
    """Such files need no reload when they change. Open live pages are told."""
    live: bool = False
    """Have open pages load themselves again at a reload. At the moment the new code answers."""
    access_log: bool = field(default=False, metadata={"command": True})
    """Log each request to standard error. The command does."""
    interface: str = field(default=AUTO, metadata={"metavar": "WHAT", "rare": True})
    """What the app speaks, `wsgi` or `asgi`; `auto` finds out. ASGI needs the extra `asgi`."""
    threads: int = 64
    """How many WSGI requests are answered at a time. Those that wait for a client do not count."""
    grace: float = 5.0
    """How long a last response may take at a reload. So may `atexit`, when all ends."""
    interval: float = field(default=0.1, metadata={"rare": True})
    """How often an idle child looks at the files. Freshness does not depend on it."""
    standby: bool = True
    """Start the next process before it is needed."""
    preload: str = field(default="packages", metadata={"metavar": "WHAT", "rare": True})
    """What it loads ahead, `packages` or `interpreter`. The former are those that the app uses."""
    inotify: bool = field(default=True, metadata={"rare": True})
    """Be told of changes by the kernel. On Linux, with the extra `inotify`."""
    checkpoints: int = field(default=4, metadata={"off": 0, "rare": True})
    """How many checkpoints are kept, 0 for none. Frozen forks of a load, to go on from; Linux."""
    keep: tuple[str, ...] = field(default=(), metadata={"metavar": "MODULE", "rare": True})
    """A module that is loaded once. What it holds is then as old as that."""
    script: tuple[str, ...] = field(default=(), metadata={"internal": True})
    """For `run`: the script and its arguments as Python was given them; replaces the target."""
    door: str = field(default="", metadata={"internal": True})
    """The framework whose command the script is: `asyncreload.<door>.in_child` prepares a child."""

    def __post_init__(self) -> None:
        _check_text("target", self.target)
        _check_text("host", self.host)
        for name in ("trust", "env_file", "watch", "ignore", "refresh", "keep"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        _check_networks("trust", self.trust)
        _check_editor("editor", self.editor)
        _check_patterns("watch", self.watch)
        _check_patterns("ignore", self.ignore)
        _check_patterns("refresh", self.refresh)
        for name in ("standby", "inotify", "live", "access_log"):
            _check_switch(name, getattr(self, name))
        _check_whole("port", self.port, 0, 65535)
        _check_whole("checkpoints", self.checkpoints, 0, 64)
        _check_whole("threads", self.threads, 1, 1024)
        _check_choice("preload", self.preload, PRELOADS)
        _check_choice("interface", self.interface, INTERFACES)
        _check_seconds("interval", self.interval, 0.01, 3600)
        _check_seconds("grace", self.grace, 0, 3600)
        if self.env_file and find_spec("dotenv") is None:
            raise SettingsError(
                "env_file needs python-dotenv: install it with pip install 'asyncreload[dotenv]'"
            )

    @classmethod
    def of(cls, target: str, options: Mapping[str, Any]) -> Self:
        """Return the settings of a target with options by their names.

        Raises `SettingsError` for one that there is not, too.
        """
        known = [each.name for each in fields(cls) if "internal" not in each.metadata]
        for name in options:
            if name not in cls.__dataclass_fields__:
                raise unknown_option(name, known, ": see asyncreload.Settings")
        return cls(target=target, **options)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return the settings that came as JSON, which knows no tuples."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        return cls(**values)


def _check_text(name: str, value: Any) -> None:
    if name == "host" and value == "":
        raise SettingsError(f"{name} must not be empty")
    if not isinstance(value, str) or "\0" in value:
        raise SettingsError(f"{name} must be text, not {shown(value)}")


def _texts(name: str, value: Any) -> tuple[str, ...]:
    one = isinstance(value, str | os.PathLike)
    try:
        texts = tuple(os.fspath(text) for text in ((value,) if one else value))
    except TypeError:
        raise SettingsError(f"{name} must be a list of texts, not {shown(value)}") from None
    if "" in texts:
        raise SettingsError(f"{name} must not have an empty text in it")
    for text in texts:
        if not isinstance(text, str) or "\0" in text:
            raise SettingsError(f"{name} must be a list of texts; {shown(text)} is none")
    return texts


def _check_networks(name: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        if text != DOCKER:
            try:
                parse_network(text)
            except ValueError as exc:
                raise SettingsError(f"{name}: {shown(text)} {exc}") from None


def _check_editor(name: str, editor: str) -> None:
    _check_text(name, editor)
    if editor:
        try:
            editor_url(editor)
        except ValueError as exc:
            raise SettingsError(f"{name}: {shown(editor)} {exc}") from None


def _check_patterns(name: str, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if pattern.startswith("!"):
            remedy = f"use ignore for {shown(pattern[1:])}"
            raise SettingsError(f"{name}: no pattern begins with !, as {shown(pattern)}: {remedy}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        *first, last = choices
        raise SettingsError(f"{name} must be {', '.join(first)} or {last}, not {shown(value)}")


def _check_switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} must be True or False, not {shown(value)}")


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SettingsError(
            f"{name} must be a whole number from {low} to {high}, not {shown(value)}"
        )


def _check_seconds(name: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # which no infinity is, and no NaN
        raise SettingsError(f"{name} must be from {low:g} to {high:g} seconds, not {shown(value)}")
