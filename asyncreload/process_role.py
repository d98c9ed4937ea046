"""What this process is: a supervised child, or anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from asyncreload.forks import in_forks_of_app

Serve = Callable[[object], NoReturn]
"""Serves an app, whichever interface it speaks."""
Tell = Callable[[str], None]


class _Role:
    """How a child serves what `run` hands it, what it can be told, and whether it still loads."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.serve: Serve | None = None
        self.watch: Tell | None = None
        self.notice: Tell | None = None
        self.loading = False


_role = _Role()


def is_child() -> bool:
    """Tell whether this process is one that asyncreload started to load and serve the app.

    False in the supervisor, in a process that the app starts, and in one that it forks.
    """
    return _role.serve is not None


def is_loading() -> bool:
    """Tell whether this process is a child whose app is not loaded yet."""
    return _role.loading


def become_child(serve: Serve, watch: Tell | None = None, notice: Tell | None = None) -> None:
    """Note that this process is a child, and how it serves an app that a script gives to `run`.

    watch: watches a file, which is told before it is read.
    notice: tells the user something, once.
    """
    _role.serve, _role.watch, _role.notice, _role.loading = serve, watch, notice, True
    in_forks_of_app(_role.forget)


def watch(path: str) -> None:
    """Have a file watched, if this process is a child: call it before the file is read."""
    if _role.watch is not None:
        _role.watch(path)


def notice(text: str) -> None:
    """Tell the user something, once for all loads, if this process is a child."""
    if _role.notice is not None:
        _role.notice(text)


def has_loaded() -> None:
    """Note that the child's app is loaded, or failed to."""
    _role.loading = False


def server_of_child() -> Serve | None:
    """Return how an app is served here if this process is a child."""
    return _role.serve
