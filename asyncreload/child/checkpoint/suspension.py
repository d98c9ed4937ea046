"""What a process holds back from the moment when it becomes a checkpoint until it goes on.

Until its `Go`, no code of the app may run in it, and it may be asked to wait for long. So signals
are blocked, whose handlers are the app's; nothing is collected, as the app's finalizers might run;
and the files that the app reads are not opened anew before it is known that the load goes on.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Collection
from typing import Self

from asyncreload.child.checkpoint.read_files import ReadFiles
from asyncreload.frozen_data import FrozenData

Signals = set[signal.Signals | int]


class Suspension(FrozenData):
    """How the process was before. Used by the main thread; Linux only (`sigtimedwait`, `/proc`)."""

    signals: Signals
    """Those that were blocked."""
    collects: bool
    """Whether the garbage collector was at work."""
    files: ReadFiles
    """What the app has open for reading."""

    @classmethod
    def begin(cls, own_descriptors: Collection[int]) -> Self:
        """Hold all back from now on, here and in a fork that follows. Raises OSError."""
        files = ReadFiles.open_now(own_descriptors)
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        collects = gc.isenabled()
        gc.disable()
        return cls(signals, collects, files)

    def undo(self) -> None:
        """Let go again in the process that was forked from: nothing was missed."""
        if self.collects:
            gc.enable()
        signal.pthread_sigmask(signal.SIG_SETMASK, self.signals)

    def end(self) -> None:
        """Let go in a process that goes on. Raises OSError if a file cannot be opened.

        The signals that have come until now are forgotten: they were not meant for this process.
        """
        self.files.open_anew()
        while pending := signal.sigpending():
            signal.sigtimedwait(pending, 0)
        self.undo()
