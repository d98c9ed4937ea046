"""Where a child is in its life; the same words for the child itself and for its supervisor."""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """The phases of a child, in their order. One that fails to load reports instead of serving."""

    BOOTING = auto()
    """The interpreter and our own modules are being loaded."""
    WARM = auto()
    """Standing by: up, perhaps with packages imported ahead, and waiting for `Go`."""
    LOADING = auto()
    """The project's code is being imported."""
    SERVING = auto()
    """Requests are answered by the app."""
    REPORTING = auto()
    """Requests are answered with a report: the load failed, or the last child crashed."""
    DRAINING = auto()
    """No more requests are taken; the last ones are answered, and `atexit` handlers run."""
    GONE = auto()
    """Nothing of the app runs any more, and nothing is held open."""

    @property
    def when(self) -> str:
        """The phase as the end of a sentence, as in "killed by SIGSEGV while serving"."""
        return {
            Phase.BOOTING: "before loading",
            Phase.WARM: "before loading",
            Phase.DRAINING: "while leaving",
            Phase.GONE: "after its end",
        }.get(self, f"while {self.name.lower()}")
