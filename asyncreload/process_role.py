"""What this process is: a supervised child, or anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from asyncreload.forks import in_forks_of_app

Serve = Callable[[object], NoReturn]
"""Serves an app, whichever interface it speaks."""


class _Role:
    """How a child serves what `run` hands it, and whether it still loads."""

    def __init__(self, serve: Serve | None = None, *, loading: bool = False) -> None:
        self.serve = serve
        self.loading = loading


_role = _Role()


def is_child() -> bool:
    """Tell whether this process is one that asyncreload started to load and serve the app.

    False in the supervisor, in a process that the app starts, and in one that it forks.
    """
    return _role.serve is not None


def is_loading() -> bool:
    """Tell whether this process is a child whose app is not loaded yet."""
    return _role.loading


def become_child(serve: Serve) -> None:
    """Note that this process is a child, and how it serves an app that a script gives to `run`."""
    _role.serve, _role.loading = serve, True
    in_forks_of_app(_forget)


def has_loaded() -> None:
    """Note that the child's app is loaded, or failed to."""
    _role.loading = False


def server_of_child() -> Serve | None:
    """Return how an app is served here if this process is a child."""
    return _role.serve


def _forget() -> None:
    _role.serve, _role.loading = None, False
