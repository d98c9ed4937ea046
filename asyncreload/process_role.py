"""What this process is: a supervised child, or anything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from asyncreload.forks import in_forks_of_app

if TYPE_CHECKING:
    from asyncreload.settings import Settings

Serve = Callable[[object], NoReturn]
"""Serves an app, whichever interface it speaks."""


class ForFramework(Protocol):
    """What a child does for the door of a framework, while it loads."""

    @property
    def is_live(self) -> bool:
        """Whether open pages are told of changes."""

    @property
    def started_with(self) -> Settings:
        """The options that the supervisor goes by."""

    def is_own(self, directory: str) -> bool:
        """Tell whether a directory is the project's, and no installed package's."""

    def is_first_load(self) -> bool:
        """Tell whether no change of a file has led to this load."""

    def watch(self, path: str) -> None:
        """Watch a file; called before it is read."""

    def notice(self, text: str) -> None:
        """Tell the user something, once for all loads."""

    def refresh_with(self, patterns: Sequence[str], refresh: Callable[[str], bool]) -> None:
        """Watch these files as well, and ask of each change whether it needs a reload.

        patterns: absolute.
        refresh: called with the path of each file that has changed, modules included, in another
            thread; returns whether that is seen to. If nobody has, the app is reloaded.
        """


class _Role:
    """How a child serves what `run` hands it, what it does for a framework, whether it loads."""

    def __init__(
        self,
        serve: Serve | None = None,
        for_framework: ForFramework | None = None,
        *,
        loading: bool = False,
    ) -> None:
        self.serve = serve
        self.for_framework = for_framework
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


def for_framework() -> ForFramework | None:
    """Return what a child does for a framework if this process is one."""
    return _role.for_framework


def become_child(serve: Serve, for_framework: ForFramework | None = None) -> None:
    """Note that this process is a child, and how it serves an app that a script gives to `run`."""
    _role.serve, _role.for_framework, _role.loading = serve, for_framework, True
    in_forks_of_app(_forget)


def watch(path: str) -> None:
    """Have a file watched, if this process is a child: call it before the file is read."""
    if _role.for_framework is not None:
        _role.for_framework.watch(path)


def notice(text: str) -> None:
    """Tell the user something, once for all loads, if this process is a child."""
    if _role.for_framework is not None:
        _role.for_framework.notice(text)


def has_loaded() -> None:
    """Note that the child's app is loaded, or failed to."""
    _role.loading = False


def server_of_child() -> Serve | None:
    """Return how an app is served here if this process is a child."""
    return _role.serve


def _forget() -> None:
    _role.serve, _role.for_framework, _role.loading = None, None, False
