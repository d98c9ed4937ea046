"""The settings of the terminal, which a debugger changes while it waits at its prompt."""

from __future__ import annotations

import os
import termios
from contextlib import suppress
from typing import Any


class Terminal:
    """The settings of the terminal (echo and all the rest) as they are now, to be put back."""

    def __init__(self) -> None:
        self._settings: list[Any] | None = None
        with suppress(termios.error, OSError, ValueError):
            self._settings = termios.tcgetattr(0)

    def restore(self) -> None:
        """Put the settings back where they differ; does nothing without a terminal."""
        if self._settings is None:
            return
        with suppress(termios.error, OSError):
            if os.tcgetpgrp(0) != os.getpgrp():
                return  # in the background it is not ours, and touching it would stop us
            if termios.tcgetattr(0) != self._settings:
                termios.tcsetattr(0, termios.TCSANOW, self._settings)
