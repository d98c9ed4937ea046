"""What this process is: a supervised child, or anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from asyncreload.forks import in_forks_of_app

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

Serve = Callable[["WSGIApplication"], NoReturn]


class _Role:
    """How a child serves what `run` hands it, whether it still loads, and for the first time."""

    def __init__(
        self,
        serve: Serve | None = None,
        is_first_load: Callable[[], bool] = lambda: False,
        *,
        loading: bool = False,
    ) -> None:
        self.serve = serve
        self.is_first_load = is_first_load
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


def is_first_load() -> bool:
    """Tell whether this process is a child that no change of a file has led to."""
    return _role.is_first_load()


def become_child(serve: Serve, is_first_load: Callable[[], bool] = lambda: False) -> None:
    """Note that this process is a child, and how it serves an app that a script gives to `run`.

    is_first_load: tells whether no change has led to it; asked when that is to be known.
    """
    _role.serve, _role.is_first_load, _role.loading = serve, is_first_load, True
    in_forks_of_app(_forget)


def has_loaded() -> None:
    """Note that the child's app is loaded, or failed to."""
    _role.loading = False


def server_of_child() -> Serve | None:
    """Return how an app is served here if this process is a child."""
    return _role.serve


def _forget() -> None:
    _role.serve, _role.is_first_load, _role.loading = None, lambda: False, False
