"""Holds a reload back while somebody debugs: it begins when the debugger's prompt is left.

Requests that need the new code wait as well. debugger.py tells if there is a prompt, and the change
monitor asks it: `ChangeMonitor.on_change`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from asyncreload.current_directory import current_directory
from asyncreload.style import file_names


class _Held(Enum):
    NOTHING = auto()
    CHANGE = auto()
    """Files have changed; if they are as they were again, there is nothing to do."""
    REQUEST = auto()
    """Somebody has asked for a reload, or a package was installed: no look finds that again."""


class HeldReload:
    """The reload that is held back; there is at most one, and none at first.

    notice: tells the user.
    """

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._held = _Held.NOTHING

    def __bool__(self) -> bool:
        """Tell whether a reload is held back."""
        return self._held is not _Held.NOTHING

    @property
    def was_asked_for(self) -> bool:
        """Whether it is one that somebody has asked for, or that is to come in any case."""
        return self._held is _Held.REQUEST

    def hold(self, paths: list[str], *, for_good: bool = False) -> None:
        """Hold back a reload for these files; for none, one that somebody has asked for.

        for_good: whether it is to come though these are as they were at the next look.
        """
        if not self:
            cause = (
                f"{file_names(paths, current_directory())} changed" if paths else "asked to reload"
            )
            self._notice(f"{cause}; reloading when you leave the debugger")
        if not self.was_asked_for:
            self._held = _Held.CHANGE if paths and not for_good else _Held.REQUEST

    def take_back(self) -> bool:
        """Let go of one that was for changes, as there are none any more; tell if there was one."""
        is_for_changes = self._held is _Held.CHANGE
        if is_for_changes:
            self._held = _Held.NOTHING
        return is_for_changes
